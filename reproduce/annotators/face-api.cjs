// Landmarks of face-api's two networks as reference-style TSV: node face-api.cjs FACES OUT, where FACES holds train.tsv, valid.tsv and their
// images. Beside it: npm install @vladmandic/face-api@1.7.15 @tensorflow/tfjs @tensorflow/tfjs-backend-wasm jpeg-js
const fs = require('fs'), path = require('path'), jpeg = require('jpeg-js');
const root = path.dirname(require.resolve('@vladmandic/face-api/package.json'));
const faceapi = require(path.join(root, 'dist/face-api.node-wasm.js'));
const [faces, out] = process.argv.slice(2);
const SIDE = 1.1; // sides of the crop, of the longer side of the file's box
const SIZE = 112; // pixels of the networks' input

function crop(image, cx, cy, side) {
  const data = new Float32Array(SIZE * SIZE * 3);
  const within = (v, size) => Math.min(Math.max(v, 0), size - 1);
  for (let v = 0; v < SIZE; v++) for (let u = 0; u < SIZE; u++) {
    const x = cx + ((u + 0.5) / SIZE - 0.5) * side - 0.5, y = cy + ((v + 0.5) / SIZE - 0.5) * side - 0.5;
    const x0 = Math.floor(x), y0 = Math.floor(y), fx = x - x0, fy = y - y0;
    for (let c = 0; c < 3; c++) {
      const at = (dx, dy) => image.data[4 * (within(y0 + dy, image.height) * image.width + within(x0 + dx, image.width)) + c];
      data[3 * (v * SIZE + u) + c] =
        (1 - fx) * (1 - fy) * at(0, 0) + fx * (1 - fy) * at(1, 0) + (1 - fx) * fy * at(0, 1) + fx * fy * at(1, 1);
    }
  }
  return faceapi.tf.tensor3d(data, [SIZE, SIZE, 3]);
}

(async () => {
  await faceapi.tf.setBackend('wasm');
  await faceapi.tf.ready();
  const nets = { 'face-api': faceapi.nets.faceLandmark68Net, 'face-api-tiny': faceapi.nets.faceLandmark68TinyNet };
  for (const net of Object.values(nets)) await net.loadFromDisk(path.join(root, 'model'));
  for (const file of ['train.tsv', 'valid.tsv']) {
    const [head, ...rows] = fs.readFileSync(path.join(faces, file), 'utf8').trim().split('\n');
    const lines = Object.fromEntries(Object.keys(nets).map((name) => [name, [head]]));
    for (const row of rows) {
      const [image, , , scale, cx, cy] = row.split('\t');
      const side = 200 * scale * SIDE, left = cx - side / 2, top = cy - side / 2;
      const input = crop(jpeg.decode(fs.readFileSync(path.join(faces, image))), +cx, +cy, side);
      for (const [name, net] of Object.entries(nets)) {
        const found = await net.detectLandmarks(input);
        const points = found.positions.map((p) => [left + p.x / SIZE * side - 0.5, top + p.y / SIZE * side - 0.5]);
        const text = (list) => list.map((p) => p.map((v) => v.toFixed(2)).join(',')).join(',');
        const mean = (a, b) => [0, 1].map((i) => points.slice(a, b).reduce((s, p) => s + p[i], 0) / (b - a));
        const five = [mean(36, 42), mean(42, 48), points[30], points[48], points[54]];
        lines[name].push([image, text(five), text(points), scale, cx, cy].join('\t'));
      }
      faceapi.tf.dispose(input);
    }
    for (const [name, text] of Object.entries(lines)) fs.writeFileSync(path.join(out, `${name}-${file}`), text.join('\n') + '\n');
  }
})();
