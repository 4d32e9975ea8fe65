"""Score part.png with a detector that was exported to ONNX. Needs neither ganlib nor Keras."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = onnxruntime.InferenceSession("detector.onnx")
about = json.loads(Path("detector.onnx.json").read_text())
image = ImageOps.exif_transpose(Image.open("part.png")).convert(about["mode"])
if about["resize"] != "squeeze":
    side = (max if about["resize"] == "letterbox" else min)(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))  # black beyond the edges
image = image.resize((about["image_size"], about["image_size"]), Image.Resampling.BOX)
images = np.asarray(image).reshape(1, *about["input"]["shape"][1:])
score, heat_map = model.run(["score", "heat_map"], {"images": images})
print(score[0], "anomaly" if score[0] >= about["threshold"] else "normal", heat_map.max())
