// An image with what was found in it, on a canvas.

const EDGE = "rgb(60 190 255 / 0.75)";
const ELLIPSE = "rgb(255 110 30 / 0.9)";
// To the head's left, up, and to its front.
const AXES = ["rgb(240 60 60)", "rgb(70 210 70)", "rgb(70 110 255)"];
// Ellipses are drawn at so many standard deviations.
const DEVIATIONS = 2;
// An axis in sides of the face's box.
const AXIS = 0.45;

// Orange where a landmark is unsure, green where it is sure; green where nothing is known of it.
export function colour(confidence) {
  const sure = confidence === undefined ? 1 : Math.min(1, Math.max(0, confidence));
  return `hsl(${15 + 78 * sure} 100% 60%)`;
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
export function draw(canvas, { image, size, record, edges }, options, width, height) {
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
  for (const face of record?.faces ?? []) drawFace(ctx, face, edges, options, scale);
}

function drawFace(ctx, face, edges, options, scale) {
  const side = Math.max(face.box.width, face.box.height);
  // Grows with the face as it is seen, and is seen however small that is.
  const unit = Math.min(3, Math.max(0.75, (side * scale) / 220)) / scale;
  const at = (k) => face.points[k];
  ctx.lineJoin = "round";
  if (options.lines) {
    ctx.strokeStyle = EDGE;
    ctx.lineWidth = 1.1 * unit;
    for (const edge of edges) {
      ctx.beginPath();
      edge.points.map(at).forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
      if (edge.closed) ctx.closePath();
      ctx.stroke();
    }
  }
  if (options.axes && face.pose) {
    const sum = face.points.reduce(([x, y], p) => [x + p[0], y + p[1]], [0, 0]);
    const [x, y] = sum.map((value) => value / face.points.length);
    ctx.lineWidth = 2.2 * unit;
    axes(face.pose).forEach(([dx, dy], k) => {
      ctx.strokeStyle = AXES[k];
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(x + AXIS * side * dx, y + AXIS * side * dy);
      ctx.stroke();
    });
  }
  if (options.points) {
    // Smaller than most ellipses.
    const radius = (options.ellipses ? 0.7 : 1.9) * unit;
    face.points.forEach(([x, y], k) => {
      ctx.beginPath();
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
      ctx.fillStyle = colour(face.confidence?.[k]);
      ctx.fill();
      if (options.ellipses) return;
      // Seen on skin and on light ground alike.
      ctx.lineWidth = 0.5 * unit;
      ctx.strokeStyle = "rgb(0 0 0 / 0.65)";
      ctx.stroke();
    });
  }
  if (options.ellipses) {
    ctx.strokeStyle = ELLIPSE;
    ctx.lineWidth = 0.9 * unit;
    face.ellipse.forEach(({ major, minor, angle }, k) => {
      ctx.beginPath();
      ctx.ellipse(...at(k), DEVIATIONS * major, DEVIATIONS * minor, (angle * Math.PI) / 180, 0, 2 * Math.PI);
      ctx.stroke();
    });
  }
}
