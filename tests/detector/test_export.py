"""What is exported answers as the detector does, in programs that have neither ganlib nor Keras."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from refusals import refused
from small import CARD, GOOD, SMALL

import ganlib.detector.export as module
from ganlib.data.images import decode
from ganlib.data.synthetic import casting_images
from ganlib.detector.detector import Detector
from ganlib.detector.export import SUFFIXES, export
from ganlib.models import DCGAN, AnoGAN, FAnoGAN, Gaussian, GRDNet, PatchCore, fast

for package in ("tensorflow", "tf2onnx", "onnxruntime", "openvino", "ai_edge_litert"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"EXPORTING IS NOT TESTED: there is no {package}", allow_module_level=True)

EXAMPLE = [line[4:] for line in module.__doc__.splitlines() if line.startswith("    ")]
DEFECTS = casting_images(["blow_hole", "burr", "dent"], 1, 32)
# Black for white, and noise: far from all that the detector knows.
STRANGE = np.concatenate([255 - GOOD[:2], np.random.default_rng(0).choice(256, (2, 32, 32, 1))])
TESTED = np.concatenate([GOOD[:4], DEFECTS, STRANGE]).astype("uint8")


@pytest.fixture(scope="module")
def wide():
    """Have convolutions computed in a way that only ganlib has, as those of wide networks are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "WIDE", 0)
        yield


@pytest.fixture(scope="module")
def exported(ganomaly, wide, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    detector = calibrated(ganomaly)
    paths = {name: folder / name / f"part{suffix}" for name, suffix in SUFFIXES.items()}
    for format, path in paths.items():
        export(detector, path, format)
    return paths


def calibrated(ganomaly, **options):
    made = Detector(ganomaly, {**CARD, "resize": "crop"}, **options)
    made.calibrate_on(ganomaly.detect(GOOD[30:]), 0.1, ganomaly.detect(GOOD[:30]))
    return made


def onnx(path, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images}), strict=True))


def litert(path, images):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path)).get_signature_runner()(images=images)


def saved_model(path, images):
    import tensorflow as tf

    model = tf.saved_model.load(path)
    return {name: value.numpy() for name, value in model.serve(images).items()}


def openvino(path, images):
    from openvino import Core

    # Some processors would compute in bfloat16.
    model = Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answers = model({"images": images})
    names = ("score", "reconstruction", "residual", "heat_map")
    return {name: answers[name] for name in names}


RUN = {"onnx": onnx, "litert": litert, "saved_model": saved_model, "openvino": openvino}


def answers(detector, images):
    return {name: np.asarray(value) for name, value in detector(images).items()}


@pytest.mark.parametrize("n", [1, len(TESTED)])
@pytest.mark.parametrize("format", RUN)
def test_every_format_answers_as_keras_does(format, n, detector, exported, wide):
    expected = answers(detector, TESTED[:n])
    assert n == 1 or expected["heat_map"].max() > 1.5
    found = RUN[format](exported[format], TESTED[:n])
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "build", [lambda **sizes: FAnoGAN(DCGAN(**sizes), 4), GRDNet], ids=["in two parts", "forging"]
)
def test_the_models_own_score_is_exported_too(build, wide, tmp_path):
    made = Detector(build(**SMALL), score="own", thresholds={"quantile": 1.0})
    export(made, tmp_path / "part.onnx")
    expected = answers(made, TESTED)["score"]
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(onnx(tmp_path / "part.onnx", TESTED)["score"], expected, rtol=1e-4)


@pytest.mark.parametrize("cls", [PatchCore, Gaussian])
def test_detectors_of_features_are_exported_too(cls, tmp_path):
    images = casting_images(["normal"] * 10 + ["dent"], 0, 64)
    model = cls(64, 1)
    model.adapt(images[:5])
    made = Detector(model)
    made.calibrate_on(model.detect(images[5:10]), 0.2)
    export(made, tmp_path / "part.onnx")
    expected, found = answers(made, images[8:]), onnx(tmp_path / "part.onnx", images[8:])
    assert np.ptp(expected["score"]) > 0 and expected["heat_map"].max() > 0
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-3 * values.max())


def test_nothing_else_is_left_and_the_json_tells_what_a_program_must_know(detector, exported):
    for format, path in exported.items():
        more = ["part.bin"] if format == "openvino" else []
        names = sorted([path.name, *more, f"{path.name}.json"])
        assert sorted(file.name for file in path.parent.iterdir()) == names
        about = json.loads(path.with_name(f"{path.name}.json").read_text())
        assert (about["model"], about["format"], about["resize"]) == (path.name, format, "crop")
        assert about["threshold"] == detector.thresholds["quantile"]
        assert about["card"] == {**detector.card, "resize": "crop"}
        assert about["outputs"].keys() == answers(detector, TESTED[:1]).keys()
    assert sys.modules["openvino_telemetry"] is None  # it reports to nobody


def saved_as(kind: str, picture: Image.Image, path: Path) -> None:
    """Save a grey picture as cameras and programs do."""
    levels = np.asarray(picture)
    clear = np.where(levels > levels.mean(), 255, 0).astype("uint8")
    pixels = {"16 bit": levels * np.uint16(257), "clear": np.dstack([*3 * [levels], clear])}
    Image.fromarray(pixels.get(kind, levels)).convert(*["RGB"] * (kind == "rgb")).save(path)


@pytest.mark.parametrize(
    ("resize", "size", "kind"),
    [
        ("squeeze", (48, 80), "rgb"),
        ("crop", (75, 41), "16 bit"),
        ("squeeze", (48, 80), "clear"),
        ("letterbox", (64, 40), "rgb"),
    ],
)
def test_the_example_gives_the_verdict_of_the_detector(
    resize, size, kind, detector, exported, tmp_path
):
    example = "\n".join(EXAMPLE)
    for name in ("detector.onnx", "detector.onnx.json"):
        source = exported["onnx"].with_name(name.replace("detector", "part"))
        (tmp_path / name).write_bytes(source.read_bytes())
    about = json.loads((tmp_path / "detector.onnx.json").read_text())
    (tmp_path / "detector.onnx.json").write_text(json.dumps({**about, "resize": resize}))
    alone = "import sys\nfor name in ('ganlib', 'keras', 'tensorflow'): sys.modules[name] = None\n"
    shown = casting_images(["scratch"], 3, 128)[0, :, :, 0]
    saved_as(kind, Image.fromarray(shown).resize(size), tmp_path / "part.png")
    done = subprocess.run(
        [sys.executable, "-c", alone + example], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    score, verdict, heat = done.stdout.split()
    images = decode(tmp_path / "part.png", 32, 1, resize)[np.newaxis]
    expected = answers(detector, images)
    # Letterbox is rounded twice in ganlib, once here.
    rtol = 1e-2 if resize == "letterbox" else 1e-4
    np.testing.assert_allclose(float(score), expected["score"], rtol=rtol)
    np.testing.assert_allclose(float(heat), expected["heat_map"].max(), rtol=rtol)
    assert verdict == ("anomaly" if detector.is_anomaly(images) else "normal")


def test_what_cannot_be_written_is_refused_and_leaves_nothing(detector, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    (tmp_path / "there.onnx").mkdir()
    (tmp_path / "file").write_text("no folder")
    before = sorted(tmp_path.rglob("*"))
    for name, format, message in (
        ("part.onnx", "tflite", "format is 'tflite': choose one of onnx, litert"),
        ("part.keras", "onnx", r"part\.keras: onnx requires a file name ending in \.onnx"),
        ("part.onnx", "saved_model", r"requires a folder, not \.onnx"),
        ("there", "saved_model", "exists and is not in this format"),
        ("there.onnx", "onnx", r"there\.onnx exists"),
        ("file/part.onnx", "onnx", "cannot be written"),
    ):
        refused(message, export, detector, tmp_path / name, format)
        assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_exported_is_refused(ganomaly, detector, tmp_path, monkeypatch):
    searching = Detector(AnoGAN(DCGAN(**SMALL), steps=2), thresholds={"quantile": 1.0})

    def refuses(what, message):
        refused(message, export, what, tmp_path / "part.onnx")
        assert not list(tmp_path.iterdir())

    refuses(ganomaly, "This GANomaly is not a calibrated detector")
    refuses(Detector(ganomaly), "not a calibrated detector")
    refuses(searching, "AnoGAN searches for each image")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tf2onnx", None)
        refuses(detector, r"tf2onnx.*pip install 'ganlib\[export\]'")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    refuses(detector, "Keras runs on jax.*KERAS_BACKEND=tensorflow")


def test_an_older_model_is_replaced_only_by_a_whole_one(detector, tmp_path, monkeypatch):
    def write(text, error=None):
        def instead(path, **options):
            Path(path).mkdir()
            (Path(path) / "saved_model.pb").write_text(text)
            if error is not None:
                raise error

        monkeypatch.setattr(detector, "export", instead)
        return export(detector, tmp_path / "part", "saved_model")

    model, about = tmp_path / "part" / "saved_model.pb", tmp_path / "part.json"
    assert write("first") == [model.parent, about]
    refused("cannot be written: No space left", write, "half", OSError("No space left"))
    with pytest.raises(KeyboardInterrupt):
        write("half", KeyboardInterrupt())
    assert model.read_text() == "first" and about.is_file()
    write("second")
    assert model.read_text() == "second"
    assert sorted(tmp_path.iterdir()) == [model.parent, about]
