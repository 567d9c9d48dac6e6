"""Landmarks of a face by a network of `star export`: python onnx_predict.py NETWORK.onnx IMAGE X Y WIDTH HEIGHT"""

import ast, sys
import numpy as np, onnxruntime
from PIL import Image, ImageOps

network, image_path, *box = sys.argv[1:]
x, y, width, height = map(float, box)
session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
size = session.get_inputs()[0].shape[2]
image = np.asarray(ImageOps.exif_transpose(Image.open(image_path)).convert("RGB"), np.float64)
image = np.pad(image, ((1, 2), (1, 2), (0, 0)))

# Crop: the box's middle to the crop's, its longer side to `face_scale` of the crop's; bilinear, black outside of the image.
scale = size * float(about["face_scale"]) / max(width, height)
middle, centre = (size - 1) / 2, (x + width / 2, y + height / 2)
columns, rows = ((np.arange(size) - middle) / scale + c for c in centre)
columns = np.clip(columns, -1, image.shape[1] - 3) + 1
rows = np.clip(rows, -1, image.shape[0] - 3) + 1
c, r = np.floor(columns).astype(int), np.floor(rows).astype(int)
u, v = (columns - c)[None, :, None], (rows - r)[:, None, None]
at = lambda dr, dc: image[r + dr][:, c + dc]
crop = np.round((at(0, 0) * (1 - u) + at(0, 1) * u) * (1 - v) + (at(1, 0) * (1 - u) + at(1, 1) * u) * v)

# Colours: in the network's order, scaled by its mean and deviation; [1, 3, S, S].
pixels = crop[:, :, ::-1] if about["channel_order"] == "bgr" else crop
pixels = (pixels - ast.literal_eval(about["mean"])) / ast.literal_eval(about["std"])
landmarks = session.run(["landmarks"], {"images": pixels.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]

# Decode: [-1, 1] spans the crop's outer edges; the crop's inverse leads back to the image.
points = ((landmarks + 1) * size - 1) / 2
for px, py in (points - middle) / scale + centre:
    print(f"{px:.3f} {py:.3f}")
