"""A detector as a file for other programs, which need neither ganlib nor Keras.

The model takes raw pixels and gives score, reconstruction, residual and heat map: scaling and the
comparison with normal images are inside. Opening an image, and bringing it to the model's size, are
not; what that takes, the threshold and the detector's card stand in a JSON file beside the model.
This opens a detector that was exported to ONNX:

    import json
    import numpy as np
    import onnxruntime
    from PIL import Image, ImageOps

    model = onnxruntime.InferenceSession("detector.onnx")
    about = json.load(open("detector.onnx.json"))
    image = ImageOps.exif_transpose(Image.open("part.png")).convert(about["mode"])
    if about["resize"] != "squeeze":
        side = (max if about["resize"] == "letterbox" else min)(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))  # black beyond the edges
    image = image.resize((about["image_size"], about["image_size"]), Image.Resampling.BOX)
    images = np.asarray(image).reshape(1, *about["input"]["shape"][1:])
    score, heat_map = model.run(["score", "heat_map"], {"images": images})
    print(score[0], "anomaly" if score[0] >= about["threshold"] else "normal", heat_map.max())
"""

import importlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import ganlib
from ganlib.detector.detector import Detector
from ganlib.errors import GanlibError
from ganlib.files import shown, unfinished, write_json
from ganlib.models.detection import check_images
from ganlib.models.layers import plain_convolutions

# What the name of a model of each format ends in; a SavedModel is a folder.
SUFFIXES = {
    "onnx": ".onnx",
    "litert": ".tflite",
    "litert-int8": ".tflite",
    "saved_model": "",
    "openvino": ".xml",
}
PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino"}
# Operations of LiteRT that the networks do not need: the scaling before and the verdict after them.
# In int8 these would end at the highest value of the calibration images, which are normal: no score
# and no heat could be higher than theirs.
VERDICT = (
    *("ABS", "ADD", "DEPTHWISE_CONV_2D", "DIV", "MAXIMUM", "MEAN", "MUL", "REDUCE_MAX"),
    *("SQUARE", "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM"),
)


def export(
    detector: Detector,
    path: str | Path,
    format: str = "onnx",
    calibration_images: np.ndarray | None = None,
) -> list[Path]:
    """Write a detector in a format that other programs read.

    The model's input is `images`, uint8 `(n, image_size, image_size, channels)`, 0..255, for any n.
    Its outputs are named as those of `Detector.call`: `score` `(n,)`, `reconstruction`, `residual`
    and `heat_map`. Computed in float32, as Keras does, except for "litert-int8".

    Args:
        detector: a calibrated detector.
        path: what to write; the name must end as the format's do, see `SUFFIXES`. What is there of
            this name is replaced.
        format: "onnx" (ONNX Runtime and others), "litert" (TensorFlow Lite, for phones and small
            devices), "litert-int8" (the same with networks that compute in 8 bit: a quarter of the
            size, other scores), "saved_model" (TensorFlow Serving) or "openvino" (Intel).
        calibration_images: for "litert-int8", which sets the range of every layer by them: uint8
            `(n, image_size, image_size, channels)`, normal images, a hundred or more.

    Returns:
        The paths written: the model, with OpenVINO its weights in a `.bin`, and last
        `<path>.json`: how images are brought to the model's size, threshold, card, and what inputs
        and outputs mean.

    Raises:
        GanlibError: the format is none of these, the name does not end as it must, a package is
            missing, Keras does not run on TensorFlow, the detector has no threshold, or
            calibration images are needed and missing or not what the detector takes.

    Example:
        >>> detector = load_model("detector.keras")
        >>> export(detector, "detector.onnx")
        [PosixPath('detector.onnx'), PosixPath('detector.onnx.json')]
    """
    path = Path(path)
    _check(detector, path, format)
    write = {
        "onnx": _with_keras("onnx"),
        "saved_model": _with_keras("tf_saved_model"),
        "openvino": _with_keras("openvino"),
        "litert": _write_litert,
        "litert-int8": _write_litert,
    }[format]
    images = None
    if format == "litert-int8":
        if calibration_images is None:
            raise GanlibError(
                'format is "litert-int8" and there are no calibration_images: give normal images '
                "as the detector takes them, a hundred or more."
            )
        shape = (detector.image_size, detector.image_size, detector.channels)
        images = check_images(calibration_images, shape)
    made = unfinished(path)
    try:
        made.mkdir(parents=True, exist_ok=True)
        with plain_convolutions(), warnings.catch_warnings(action="ignore"):
            write(detector, made / path.name, images)
        write_json(made / f"{path.name}.json", _about(detector, path.name, format))
        return _move(made, path)
    except OSError as error:
        raise GanlibError(
            f"{shown(path)} cannot be written: {error}. Choose another place, or free some space."
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check(detector: Detector, path: Path, format: str) -> None:
    if format not in SUFFIXES:
        raise GanlibError(f"format is {format!r}: choose one of {', '.join(SUFFIXES)}.")
    if not isinstance(detector, Detector):
        raise GanlibError(
            f"This is a {type(detector).__name__}: only a Detector can be exported. Make one of a "
            "GANomaly with ganlib.detector.detector.Detector(ganomaly) and calibrate it."
        )
    if detector.thresholds is None:
        raise GanlibError(
            "This detector has no threshold yet: call calibrate_on with what it says of normal "
            "images that it was not trained on, then export it."
        )
    suffix = SUFFIXES[format]
    if path.suffix != suffix and (suffix or path.suffix in SUFFIXES.values()):
        ending = f"ends in {suffix}" if suffix else "is a folder and has no such ending"
        raise GanlibError(f"path is {shown(path)}, but the name of a model of {format} {ending}.")
    if not suffix and path.exists() and not (path / "saved_model.pb").is_file():
        raise GanlibError(
            f"{shown(path)} is there already and is no SavedModel: choose another name."
        )
    if suffix and path.is_dir():
        raise GanlibError(f"{shown(path)} is a folder: choose another name.")
    if keras.backend.backend() != "tensorflow":
        raise GanlibError(
            f"Keras runs on {keras.backend.backend()}, and exporting takes TensorFlow: set the "
            "environment variable KERAS_BACKEND=tensorflow and load the detector again, its "
            "scores stay the same."
        )
    if format == "openvino":
        # Imported, it would report that to its makers, and later what it converts.
        sys.modules.setdefault("openvino_telemetry", None)
    package = PACKAGES.get(format, "tensorflow")
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise GanlibError(
            f"Exporting to {format} needs the package {package}, which cannot be imported "
            f"({error}): pip install {package}, or all formats with pip install 'ganlib[export]'."
        ) from error


def _input(detector: Detector) -> keras.InputSpec:
    shape = (None, detector.image_size, detector.image_size, detector.channels)
    return keras.InputSpec(shape=shape, dtype="uint8", name="images")


def _with_keras(format: str) -> Callable:
    def write(detector: Detector, path: Path, images: None) -> None:
        detector.export(str(path), format=format, verbose=False, input_signature=[_input(detector)])

    return write


def _write_litert(detector: Detector, path: Path, images: np.ndarray | None) -> None:
    """Convert by way of a SavedModel, as Keras does, which cannot leave operations in float."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        _with_keras("tf_saved_model")(detector, Path(folder), None)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if images is None:
            content = converter.convert()
        else:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ({"images": i[None]} for i in images)
            options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=list(VERDICT))
            content = tf.lite.experimental.QuantizationDebugger(
                converter=converter,
                debug_dataset=converter.representative_dataset,
                debug_options=options,
            ).get_nondebug_quantized_model()
    path.write_bytes(content)


def _about(detector: Detector, name: str, format: str) -> dict:
    """Describe what a program needs to know that uses the model."""
    size, channels = detector.image_size, detector.channels
    rate = detector.card.get("false_alarm_rate")
    share = "as large a share" if rate is None else f"a share of {rate:g}"
    return {
        "model": name,
        "format": format,
        "image_size": size,
        "channels": channels,
        "mode": "L" if channels == 1 else "RGB",
        "resize": detector.resize,
        "filter": "box: a pixel is the mean of those that it covers",
        "threshold": detector.threshold,
        "input": {
            "name": "images",
            "type": "uint8",
            "shape": [None, size, size, channels],
            "values": "0..255, not scaled",
        },
        "outputs": {
            "score": "(n,) float32: an anomaly if at or above the threshold",
            "reconstruction": "(n, image_size, image_size, channels) float32, 0..255",
            "residual": "the same, |image - reconstruction|, 0..255",
            "heat_map": "(n, image_size, image_size) float32, 0 and up: 1.0 is the level that "
            f"{share} of held-out normal images reach anywhere",
        },
        "thresholds": dict(detector.thresholds),
        "card": dict(detector.card),
        "ganlib": ganlib.__version__,
    }


def _move(made: Path, path: Path) -> list[Path]:
    """Put what was made in its place; the JSON file last, so that it never tells of another."""
    about = path.with_name(f"{path.name}.json")
    about.unlink(missing_ok=True)
    if path.is_dir():
        path.rename(made / "replaced")
    rest = sorted(made.glob(f"{path.stem}.bin"))
    names = [path.name, *(file.name for file in rest), about.name]
    for name in names:
        (made / name).replace(path.with_name(name))
    return [path.with_name(name) for name in names]
