// The page of `star serve`: an image or the webcam to the server, one at a time, and what it found onto the canvas.

import { draw } from "./drawing.js";

// Longer side of a webcam's frame that is sent, pixels: enough for faces at a desk.
const FRAME = 640;
const QUALITY = 0.85;
// Frames that the rate is a mean of.
const RATE = 30;
// What may be drawn.
const SHOWN = ["points", "lines", "ellipses", "axes", "sure"];

const $ = (id) => document.getElementById(id);
const [canvas, stage, status] = ["canvas", "stage", "status"].map($);

// What is shown: an image, its size, and the answer to it.
let shown = null;
let model = { keypoints: [], edges: [] };
// The webcam's stream while it is on.
let stream = null;
// Counts what was asked to be shown: an answer to what was before is not shown any more.
let turn = 0;

const options = () => Object.fromEntries(SHOWN.map((id) => [id, $(id).checked]));

function say(text, wrong = false) {
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("wrong", wrong);
}

function redraw() {
  if (!shown) return;
  stage.classList.remove("empty");
  const most = Math.max(240, window.innerHeight * 0.75);
  draw(canvas, { ...shown, model }, options(), stage.clientWidth, most);
}

class Refused extends Error {
  constructor(message, status, wait) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

// What the server finds in the file of an image.
async function ask(file) {
  const query = $("rotation").checked ? "?any_rotation=true" : "";
  const headers = { "Content-Type": file.type.startsWith("image/") ? file.type : "application/octet-stream" };
  const response = await fetch(`v1/predict${query}`, { method: "POST", headers, body: file });
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.error, response.status, Number(response.headers.get("Retry-After") ?? 1));
  return answer;
}

const explain = (error) =>
  error instanceof Refused ? error.message : "The server does not answer: is star serve still running?";

const row = (name, ...cells) => {
  const tr = document.createElement("tr");
  const th = document.createElement("th");
  th.scope = "row";
  th.textContent = name;
  const td = document.createElement("td");
  td.append(...cells);
  tr.append(th, td);
  return tr;
};

const degrees = (value, deviation) => `${value.toFixed(0)}° ± ${deviation.toFixed(0)}°`;

function describe(face, number) {
  const li = document.createElement("li");
  const title = document.createElement("b");
  title.textContent = `Face ${number + 1}`;
  const table = document.createElement("table");
  const share = (name, value) => {
    const meter = document.createElement("meter");
    meter.value = value;
    meter.setAttribute("aria-hidden", "true");
    table.append(row(name, meter, `${(100 * value).toFixed(0)} %`));
  };
  if (face.score !== undefined) share("is a face", face.score);
  const sure = face.confidence ?? [];
  if (sure.length) share("confidence, mean", sure.reduce((a, b) => a + b, 0) / sure.length);
  if (face.pose) {
    const { yaw, pitch, roll, deviations } = face.pose;
    [["yaw", yaw], ["pitch", pitch], ["roll", roll]].forEach(([name, value], k) =>
      table.append(row(name, degrees(value, deviations[k]))));
  }
  li.append(title, table);
  return li;
}

const counted = (count) => (count === 1 ? "1 face" : `${count} faces`);

function show(image, size, record, milliseconds) {
  shown?.image?.close?.();
  shown = { image, size, record };
  const count = record.faces.length;
  $("count").textContent = count;
  $("time").textContent = `${milliseconds.toFixed(0)} ms`;
  $("faces").replaceChildren(...record.faces.map(describe));
  $("save").hidden = false;
  canvas.setAttribute("aria-label", `Image with ${counted(count)}`);
  redraw();
}

// The image of a file, the right way up; none where the browser cannot read it, though the server may.
async function bitmap(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}

// A frame around points, for images that cannot be shown.
function around(faces) {
  const sides = [0, 1].map((axis) => Math.max(1, ...faces.flatMap((face) => face.points.map((p) => p[axis]))));
  return sides.map((side) => 1.15 * side);
}

async function still(file) {
  stop();
  const own = ++turn;
  $("rate").textContent = "-";
  say("Looking…");
  try {
    const start = performance.now();
    const record = await ask(file);
    const milliseconds = performance.now() - start;
    const image = await bitmap(file);
    if (own !== turn) return image?.close();
    stage.classList.remove("mirrored");
    show(image, image ? [image.width, image.height] : around(record.faces), record, milliseconds);
    const count = record.faces.length;
    if (!count) say("No face found.");
    else say(image ? `${counted(count)} found.` : `${counted(count)} found; this browser cannot show the image itself.`);
  } catch (error) {
    if (own === turn) say(explain(error), true);
  }
}

function stop() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  turn++;
  $("webcam").textContent = "Start webcam";
  $("webcam").setAttribute("aria-pressed", "false");
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function live() {
  if (stream) {
    stop();
    return say("Webcam off.");
  }
  stop();
  const own = turn;
  let opened;
  try {
    if (!navigator.mediaDevices) throw new Error("the browser allows it on localhost or over https alone");
    say("Waiting for the webcam…");
    opened = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" } });
  } catch (error) {
    return say(`No webcam: ${error.message}`, true);
  }
  if (own !== turn) return opened.getTracks().forEach((track) => track.stop());
  stream = opened;
  const ended = () => own === turn && (stop(), say("The webcam was taken away.", true));
  stream.getTracks().forEach((track) => track.addEventListener("ended", ended));
  $("webcam").textContent = "Stop webcam";
  $("webcam").setAttribute("aria-pressed", "true");
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  await video.play().catch(() => {});
  const frame = document.createElement("canvas");
  const times = [];
  while (own === turn) {
    if (!video.videoWidth || document.hidden) {
      await pause(50);
      continue;
    }
    const scale = Math.min(1, FRAME / Math.max(video.videoWidth, video.videoHeight));
    frame.width = Math.round(video.videoWidth * scale);
    frame.height = Math.round(video.videoHeight * scale);
    frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
    try {
      const jpeg = await new Promise((resolve) => frame.toBlob(resolve, "image/jpeg", QUALITY));
      const start = performance.now();
      const record = await ask(jpeg);
      const milliseconds = performance.now() - start;
      const image = await createImageBitmap(frame);
      if (own !== turn) return image.close();
      stage.classList.add("mirrored");
      show(image, [frame.width, frame.height], record, milliseconds);
      times.push(performance.now());
      if (times.length > RATE) times.shift();
      const seconds = (times[times.length - 1] - times[0]) / 1000;
      if (times.length > 2) $("rate").textContent = ((times.length - 1) / seconds).toFixed(1);
      say("Webcam on, mirrored.");
    } catch (error) {
      if (own !== turn) return;
      say(explain(error), true);
      // Busy, or not there for a while: it goes on by itself.
      if (error instanceof Refused && error.status !== 503) return stop(), say(explain(error), true);
      await pause(1000 * (error.wait ?? 1));
    }
  }
}

function choose(files) {
  const file = [...files].find((file) => file.type.startsWith("image/")) ?? files[0];
  if (file) still(file);
}

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  choose($("file").files);
  // The same file can be chosen again.
  $("file").value = "";
});
$("webcam").addEventListener("click", live);
for (const id of SHOWN) $(id).addEventListener("change", redraw);
$("sure").addEventListener("change", () => ($("scale").hidden = !$("sure").checked));
new ResizeObserver(redraw).observe(stage);
// Anywhere on the page: a file that is dropped beside the stage would be opened instead of it.
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("over");
});
document.addEventListener("dragleave", (event) => event.relatedTarget ?? stage.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("over");
  choose(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => choose(event.clipboardData.files));
$("save").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([JSON.stringify(shown.record)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "landmarks.json";
  link.click();
  URL.revokeObjectURL(address);
});
$("example").textContent = `curl --data-binary @face.jpg \\\n  -H 'Content-Type: image/jpeg' \\\n  ${location.origin}/v1/predict`;
model = await (await fetch("v1/model")).json();
redraw();
