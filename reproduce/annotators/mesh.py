"""Landmarks of MediaPipe's face mesh without its attention network (PyPI: mediapipe 0.10.14, pillow) as reference-style TSV:
python mesh.py FACES OUT, where FACES holds train.tsv, valid.tsv, mesh_to_68.npy and the images. A face it does not find has no row."""
import os
import sys

import mediapipe as mp
import numpy as np
from PIL import Image

faces, out = sys.argv[1:3]
weights = np.load(os.path.join(faces, "mesh_to_68.npy"))[:, :468]
weights /= weights.sum(axis=1, keepdims=True)  # this mesh lacks the irises
mesh = mp.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=False, min_detection_confidence=0.2)

# The outline of the face from above each ear to the chin.
SIDES = [
    [162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152],
    [389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152],
]


def side(points):
    """Nine points at equal arc lengths, the first 3 % of the second vertex' distance from the chin above it (as in train.tsv)."""
    arc = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    arc -= arc[1]
    at = np.linspace(-0.03 * arc[-1], arc[-1], 9)
    return np.c_[np.interp(at, arc, points[:, 0]), np.interp(at, arc, points[:, 1])]


def text(points):
    return ",".join(f"{v:.2f}" for v in np.ravel(points))


for name in ["train.tsv", "valid.tsv"]:
    head, *rows = open(os.path.join(faces, name), encoding="utf-8").read().strip().split("\n")
    lines = [head]
    for row in rows:
        image, _, _, scale, x, y = row.split("\t")
        pixels = np.asarray(Image.open(os.path.join(faces, image)).convert("RGB"))
        found = mesh.process(pixels).multi_face_landmarks
        if not found:
            continue
        height, width = pixels.shape[:2]
        points = np.array([[p.x * width, p.y * height] for p in found[0].landmark])
        left, right = (side(points[indices]) for indices in SIDES)
        shape = weights @ points
        shape[:17] = np.r_[left, right[-2::-1]]
        five = [shape[36:42].mean(axis=0), shape[42:48].mean(axis=0), shape[30], shape[48], shape[54]]
        lines.append("\t".join([image, text(five), text(shape), scale, x, y]))
    print(f"{name}: {len(lines) - 1} of {len(rows)} faces found")
    open(os.path.join(out, f"mesh-{name}"), "w", encoding="utf-8").write("\n".join(lines) + "\n")
