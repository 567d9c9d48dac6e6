"""Time of one training sample on one thread, prepared with OpenCV and SciPy as the method's own loader does it.

Written from the method's description: decode, flip, one affine warp to 256x256, occlusion, blur, gamma, noise, grey; per keypoint
a bump on the 256 grid, resampled to 64; per edge a spline drawn on the grid four times as fine, averaged to 256, resampled to 64.
With a command after `--` that prints a line `<set> whole <milliseconds> ms`, runs it after every round, so that both are measured
in alternation:

    python sample_opencv.py --set dlib --tsv dlib/train.tsv dlib/test.tsv -- \\
        env STAR_BENCH_BREAKDOWN=1 taskset -c 0 target/release/deps/sample-<hash>
"""

import argparse
import os
import statistics
import subprocess
import time

import cv2
import numpy as np
from scipy import interpolate

SIZE, MAP, SIGMA, FINE, SAMPLES = 256, 64, 1.5, 4, 5

# 68 points: indices of each edge, and whether it is closed.
EDGES = [(range(17), False), (range(17, 22), False), (range(22, 27), False), (range(27, 31), False), (range(31, 36), False),
         (range(36, 42), True), (range(42, 48), True), (range(48, 60), True), (range(60, 68), True)]
PAIRS = [(i, 16 - i) for i in range(8)] + [(17 + i, 26 - i) for i in range(5)] + [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43)]
PAIRS += [(39, 42), (40, 47), (41, 46), (48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)]


def rows(path):
    """Images' paths, points, scale and centre of a reference-style TSV, with or without header."""
    for line in open(path, encoding="utf-8"):
        fields = line.rstrip("\n").split("\t")
        try:
            scale, x, y = (float(v) for v in fields[3:6])
        except ValueError:
            continue
        points = np.array([float(v) for v in fields[2].split(",")]).reshape(-1, 2)
        yield os.path.join(os.path.dirname(path), fields[0]), points, scale, (x, y)


def crop_and_jitter(scale, centre, rng):
    middle = (SIZE - 1) / 2
    s = SIZE / (scale * 200)
    crop = np.array([[s, 0, middle - s * centre[0]], [0, s, middle - s * centre[1]], [0, 0, 1]])
    shift = rng.normal(0, 0.05 * (SIZE - 1), 2)
    angle = np.deg2rad(rng.normal(0, 18))
    zoom = rng.normal(1, 0.1)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    turn = np.array([[cos, -sin, middle - cos * middle + sin * middle + shift[0]],
                     [sin, cos, middle - sin * middle - cos * middle + shift[1]], [0, 0, 1]])
    return turn @ crop


def photometric(image, rng):
    height, width = image.shape[:2]
    if rng.random() < 0.4:
        rh = rng.uniform(0.2, 0.8)
        rw = rh - 0.2 + rng.uniform(0, 0.4)
        h, w = height / 2 * rh, width / 2 * rw
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        y0, y1, x0, x1 = (int(max(0, v)) for v in (y - h / 2, y + h / 2, x - w / 2, x + w / 2))
        image[y0:y1, x0:x1] = 0
    if rng.random() < 0.3:
        kernel = int(rng.uniform(0, 0.05) * (height + width) / 2)
        if kernel > 1:
            image = cv2.blur(image, (kernel, kernel))
    if rng.random() < 0.2:
        gamma = rng.uniform(0.25, 1) if rng.random() < 0.5 else rng.uniform(1, 4)
        table = (np.power(np.arange(256) / 255.0, gamma) * 255).astype(np.uint8)
        image = cv2.LUT(image, table)
    if rng.random() < 0.2:
        noise = rng.integers(0, 256, image.shape, dtype=np.uint8)
        alpha = rng.uniform(0, 0.5)
        image = cv2.addWeighted(image, 1 - alpha, noise, alpha, 0)
    if rng.random() < 0.2:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return image


def point_map(x, y):
    full = np.zeros((SIZE, SIZE), np.float32)
    x, y = min(max(x, 0), SIZE - 1), min(max(y, 0), SIZE - 1)
    reach = 3 * SIGMA
    left, top = int(x - reach), int(y - reach)
    right, bottom = int(x + reach + 1), int(y + reach + 1)
    side = int(2 * reach + 1)
    at = np.arange(side, dtype=np.float32)
    bump = np.exp(-((at[None] - side // 2) ** 2 + (at[:, None] - side // 2) ** 2) / (2 * SIGMA**2))
    x0, x1, y0, y1 = max(left, 0), min(right, SIZE), max(top, 0), min(bottom, SIZE)
    full[y0:y1, x0:x1] = bump[y0 - top:y1 - top, x0 - left:x1 - left]
    return cv2.resize(full, (MAP, MAP), interpolation=cv2.INTER_LINEAR)


def curve(points, closed):
    x, y = points.T
    if closed:
        x, y = np.append(x, x[0]), np.append(y, y[0])
    # Neighbours that coincide have no span between them.
    apart = np.insert(np.hypot(np.diff(x), np.diff(y)) > 1e-6, 0, True)
    x, y = x[apart], y[apart]
    length = np.insert(np.cumsum(np.hypot(np.diff(x), np.diff(y))), 0, 0)
    spans = [np.linspace(a, b, SAMPLES, endpoint=False) for a, b in zip(length[:-1], length[1:])]
    spline, _ = interpolate.splprep([x, y], u=length, s=0, k=min(3, len(x) - 1), per=closed)
    return np.stack(interpolate.splev(np.concatenate(spans + [length[-1:]]), spline), -1)


def edge_map(points, closed):
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    fine = cv2.resize(canvas, (SIZE * FINE, SIZE * FINE), interpolation=cv2.INTER_AREA)
    line = np.round(np.clip(curve(points, closed), 0, SIZE - 1) * FINE).astype(np.int32)
    cv2.polylines(fine, [line], False, 255, FINE, cv2.LINE_8)
    full = cv2.resize(fine, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cv2.resize(full, (MAP, MAP), interpolation=cv2.INTER_LINEAR)


def sample(path, points, scale, centre, rng):
    """Image, landmarks, point maps and edge maps of one row, and the seconds of each part."""
    marks = [time.perf_counter()]
    image = cv2.imread(path)
    marks.append(time.perf_counter())
    points, centre = points.copy(), list(centre)
    if rng.random() < 0.5:
        image = cv2.flip(image, 1)
        width = image.shape[1]
        points[:, 0] = width - 1 - points[:, 0]
        centre[0] = width - 1 - centre[0]
        for a, b in PAIRS:
            points[[a, b]] = points[[b, a]]
    matrix = crop_and_jitter(scale, centre, rng)
    image = cv2.warpAffine(image, matrix[:2], (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    points = points @ matrix[:2, :2].T + matrix[:2, 2]
    marks.append(time.perf_counter())
    image = photometric(image, rng)
    marks.append(time.perf_counter())
    pointmaps = np.stack([point_map(x, y) for x, y in points])
    marks.append(time.perf_counter())
    edgemaps = np.stack([edge_map(points[list(indices)], closed) for indices, closed in EDGES])
    marks.append(time.perf_counter())
    image = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
    image = image / 127.5 - 1
    points = np.clip((points * 2 + 1) / SIZE - 1, -1, 1).astype(np.float32)
    marks.append(time.perf_counter())
    return (image, points, pointmaps, edgemaps), np.diff(marks)


PARTS = ["decode", "warp", "augment", "pointmaps", "edgemaps", "scale"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tsv", nargs="+", required=True, help="annotations of 68 points, images beside them")
    parser.add_argument("--set", default="dlib", help="the set's name in the other program's lines")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passes", type=int, default=3, help="passes over the set in a round")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    faces = [row for path in options.tsv for row in rows(path)]
    rng = np.random.default_rng(0)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    peer, ours = [], []
    for _ in range(options.rounds):
        spent = np.array([sample(*face, rng)[1] for _ in range(options.passes) for face in faces]) * 1e3
        peer.append(spent.sum(axis=1).mean())
        parts = ", ".join(f"{name} {ms:.2f}" for name, ms in zip(PARTS, spent.mean(axis=0)))
        print(f"opencv {peer[-1]:.2f} ms a sample: {parts}", flush=True)
        if command:
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            lines = [line.split() for line in out.splitlines()]
            ours.append(next(float(line[2]) for line in lines if line[:2] == [options.set, "whole"]))
            print(f"ours   {ours[-1]:.2f} ms a sample, 1/{peer[-1] / ours[-1]:.1f}", flush=True)
    if ours:
        a, b = statistics.median(peer), statistics.median(ours)
        print(f"medians of {options.rounds} rounds, {len(faces)} faces, one thread: opencv {a:.2f} ms, ours {b:.2f} ms, 1/{a / b:.1f}")


if __name__ == "__main__":
    main()
