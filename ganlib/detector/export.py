"""Export a detector for programs that have neither ganlib nor Keras.

The exported model takes raw pixels. The JSON file next to it describes how to resize images, the
outputs, the threshold and the card. A complete program with ONNX:

    import json

    import numpy as np
    import onnxruntime
    from PIL import Image, ImageOps

    model = onnxruntime.InferenceSession("detector.onnx")
    about = json.load(open("detector.onnx.json"))
    image = ImageOps.exif_transpose(Image.open("part.png"))
    if image.mode[0] == "I":  # 16 bit
        levels = np.minimum(np.asarray(image), about["white"])
        image = Image.fromarray((levels / about["white"] * 255).astype("float32"))
    else:
        black = Image.new("RGBA", image.size, "black")  # under transparent pixels
        image = Image.alpha_composite(black, image.convert("RGBA")).convert(about["mode"])
    if about["resize"] != "squeeze":
        side = (max if about["resize"] == "letterbox" else min)(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))  # black beyond the edges
    image = image.resize((about["image_size"], about["image_size"]), Image.Resampling.BOX)
    pixels = np.rint(np.atleast_3d(image)).astype("uint8")
    images = np.broadcast_to(pixels, (1, *about["input"]["shape"][1:]))
    score, heat_map = model.run(["score", "heat_map"], {"images": images})
    print(score[0], "anomaly" if score[0] >= about["threshold"] else "normal", heat_map.max())
"""

import importlib
import json
import shutil
import sys
import warnings
from pathlib import Path

import keras

import ganlib
from ganlib.detector.detector import Detector
from ganlib.errors import GanlibError
from ganlib.files import shown, unfinished
from ganlib.models.base import AnomalyModel
from ganlib.models.fast import plain_convolutions

SUFFIXES = {"onnx": ".onnx", "litert": ".tflite", "saved_model": "", "openvino": ".xml"}
FORMATS = {"saved_model": "tf_saved_model"}  # Keras's names, where they differ
PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino"}

OUTPUTS = {
    "score": "(n,) float32: an anomaly if at or above the threshold",
    "reconstruction": "(n, image_size, image_size, channels) float32, 0..255",
    "residual": "same shape, |image - reconstruction|, 0..255; or one channel, the model's own map",
    "heat_map": "(n, image_size, image_size) float32; false_alarm_rate of normal images reach 1",
}
PRECISION = "float32; OpenVINO uses bfloat16 where it can, unless INFERENCE_PRECISION_HINT is f32"


def export(detector: Detector, path: str | Path, format: str = "onnx") -> list[Path]:
    """Export a calibrated detector, whose model scores in one pass, for other programs.

    The input is `images`, uint8 `(n, image_size, image_size, channels)`, the outputs are those of
    `Detector.call`. `path` must have its format's suffix, see `SUFFIXES`. Return the written paths,
    `<path>.json` last. A GanlibError names an unsuitable detector or path, or a missing package.
    """
    path = Path(path)
    _check(detector, path, format)
    shape = (None, detector.image_size, detector.image_size, detector.channels)
    signature = [keras.InputSpec(shape=shape, dtype="uint8", name="images")]
    options = {"format": FORMATS.get(format, format), "input_signature": signature}
    folder = unfinished(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with plain_convolutions(), warnings.catch_warnings(action="ignore"):
            detector.export(str(folder / path.name), verbose=False, **options)
        about = json.dumps(_about(detector, path.name, format), indent=1)
        (folder / f"{path.name}.json").write_text(about, encoding="utf-8")
        return _move(folder, path)
    except OSError as error:
        raise GanlibError(f"{shown(path)} cannot be written: {error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(detector: Detector, path: Path, format: str) -> None:
    if format not in SUFFIXES:
        raise GanlibError(f"format is {format!r}: choose one of {', '.join(SUFFIXES)}.")
    name = type(detector).__name__
    if not isinstance(detector, Detector) or detector.threshold is None:
        raise GanlibError(f"This {name} is not a calibrated detector: see Detector.calibrate_on.")
    name, backend = type(detector.model).__name__, keras.backend.backend()
    if type(detector.model).detect is not AnomalyModel.detect:
        raise GanlibError(f"{name} searches for each image: export a detector of another method.")
    suffix = SUFFIXES[format]
    if path.suffix != suffix and (suffix or path.suffix in SUFFIXES.values()):
        ending = f"a file name ending in {suffix}" if suffix else f"a folder, not {path.suffix}"
        raise GanlibError(f"path is {shown(path)}: {format} requires {ending}.")
    if path.is_dir() if suffix else path.exists() and not (path / "saved_model.pb").is_file():
        raise GanlibError(f"{shown(path)} exists and is not in this format: choose another name.")
    if backend != "tensorflow":
        raise GanlibError(f"Keras runs on {backend}: export with KERAS_BACKEND=tensorflow.")
    if format == "openvino":
        # Otherwise OpenVINO sends telemetry on imports and conversions.
        sys.modules.setdefault("openvino_telemetry", None)
    try:
        importlib.import_module(PACKAGES.get(format, "tensorflow"))
    except ImportError as error:
        raise GanlibError(f"{format}: {error}. Run pip install 'ganlib[export]'.") from error


def _about(detector: Detector, name: str, format: str) -> dict:
    size, channels = detector.image_size, detector.channels
    return {
        "model": name,
        "format": format,
        "image_size": size,
        "mode": "L" if channels == 1 else "RGB",
        "resize": detector.resize,
        "white": detector.white,
        "filter": "box: each pixel is the mean of the pixels it covers",
        "threshold": detector.threshold,
        "input": {"name": "images", "type": "uint8", "shape": [None, size, size, channels]},
        "outputs": OUTPUTS,
        "precision": PRECISION,
        "thresholds": dict(detector.thresholds),
        "card": dict(detector.card),
        "ganlib": ganlib.__version__,
    }


def _move(folder: Path, path: Path) -> list[Path]:
    about = path.with_name(f"{path.name}.json")  # moved last: it never describes another model
    about.unlink(missing_ok=True)
    if path.is_dir():
        path.rename(folder / "replaced")
    weights = path.with_suffix(".bin")
    paths = [path, *([weights] if (folder / weights.name).exists() else []), about]
    for place in paths:
        (folder / place.name).replace(place)
    return paths
