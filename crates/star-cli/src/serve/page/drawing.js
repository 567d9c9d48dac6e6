// An image with what was found in it, on a canvas.

// As the program's own drawings: around edges, around points, and the edges where the points speak by their confidence.
const SHADE = "rgb(0 0 0 / 0.25)";
const RIM = "rgb(0 0 0 / 0.5)";
const REST = "#f5f5f5";
// To the head's left, up, and to its front.
const AXES = ["rgb(240 60 60)", "rgb(70 210 70)", "rgb(70 110 255)"];
// Ellipses are drawn at so many standard deviations.
const DEVIATIONS = 2;
// An axis in sides of the face's box.
const AXIS = 0.45;

// From red where a landmark is unsure to green where it is sure.
const STOPS = [[255, 60, 50], [255, 205, 60], [90, 240, 120]];

export function colour(confidence) {
  const at = 2 * Math.min(1, Math.max(0, confidence));
  const first = Math.min(1, Math.floor(at));
  return `rgb(${STOPS[first].map((from, c) => Math.round(from + (at - first) * (STOPS[first + 1][c] - from))).join(" ")})`;
}

// Where the head's axes point, as the program's own drawing has them.
function axes({ yaw, pitch, roll }) {
  const [y, p, r] = [yaw, pitch, roll].map((degrees) => (degrees * Math.PI) / 180);
  const [sy, cy, sp, cp, sr, cr] = [y, p, r].flatMap((a) => [Math.sin(a), Math.cos(a)]);
  const right = [cy, 0, sy];
  const up = [-sp * sy, cp, sp * cy];
  return [0, 1, 2].map((k) => [cr * right[k] - sr * up[k], -(sr * right[k] + cr * up[k])]);
}

// Draws `image` as large as `width` pixels of the page, and the faces of `record`, which are in pixels of an image `size`.
export function draw(canvas, { image, size, record, model }, options, width, height) {
  const scale = Math.min(width / size[0], height / size[1]);
  const dense = window.devicePixelRatio || 1;
  const [w, h] = size.map((side) => Math.max(1, Math.round(side * scale)));
  canvas.width = Math.round(w * dense);
  canvas.height = Math.round(h * dense);
  canvas.style.width = `${w}px`;
  canvas.style.height = `${h}px`;
  const ctx = canvas.getContext("2d");
  ctx.setTransform(dense * scale, 0, 0, dense * scale, 0, 0);
  if (image) ctx.drawImage(image, 0, 0, size[0], size[1]);
  // A point counts from the middle of the first pixel.
  ctx.translate(0.5, 0.5);
  for (const face of record?.faces ?? []) drawFace(ctx, face, model, options, scale);
}

function drawFace(ctx, face, model, options, scale) {
  const side = Math.max(face.box.width, face.box.height);
  // Grows with the face as it is seen, and is seen however small that is.
  const unit = Math.min(3, Math.max(0.75, (side * scale) / 220)) / scale;
  const own = (k) => model.keypoints[k]?.colour ?? REST;
  ctx.lineJoin = "round";
  if (options.lines) {
    for (const edge of model.edges) {
      ctx.beginPath();
      edge.points.map((k) => face.points[k]).forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
      if (edge.closed) ctx.closePath();
      ctx.strokeStyle = SHADE;
      ctx.lineWidth = 2 * unit;
      ctx.stroke();
      // By confidence it is the points that speak.
      ctx.strokeStyle = `${options.sure ? REST : edge.colour}c8`;
      ctx.lineWidth = unit;
      ctx.stroke();
    }
  }
  if (options.ellipses) {
    face.ellipse.forEach(({ major, minor, angle }, k) => {
      ctx.beginPath();
      const turned = (angle * Math.PI) / 180;
      ctx.ellipse(...face.points[k], DEVIATIONS * major, DEVIATIONS * minor, turned, 0, 2 * Math.PI);
      ctx.fillStyle = `${own(k)}46`;
      ctx.fill();
      ctx.strokeStyle = `${own(k)}be`;
      ctx.lineWidth = 0.6 * unit;
      ctx.stroke();
    });
  }
  if (options.axes && face.pose) {
    const sum = face.points.reduce(([x, y], p) => [x + p[0], y + p[1]], [0, 0]);
    const [x, y] = sum.map((value) => value / face.points.length);
    ctx.lineWidth = 1.8 * unit;
    axes(face.pose).forEach(([dx, dy], k) => {
      ctx.strokeStyle = AXES[k];
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(x + AXIS * side * dx, y + AXIS * side * dy);
      ctx.stroke();
    });
  }
  if (options.points) {
    // Small enough to see the ellipse around it.
    const radius = (options.ellipses ? 1.1 : 1.9) * unit;
    face.points.forEach(([x, y], k) => {
      ctx.beginPath();
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
      // A dark rim keeps it apart from skin and from light ground.
      ctx.strokeStyle = RIM;
      ctx.lineWidth = unit;
      ctx.stroke();
      const confidence = face.confidence?.[k];
      ctx.fillStyle = options.sure && confidence !== undefined ? colour(confidence) : own(k);
      ctx.fill();
    });
  }
}
