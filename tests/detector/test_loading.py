"""Only what ganlib saves is loaded, whole; nothing that a file brings along ever runs."""

import io
import json
import pickle
import re
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from ganlib.data.images import _open_cache
from ganlib.detector.load import load_model
from ganlib.errors import GanlibError
from ganlib.models.anogan import AnoGAN
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.fanogan import FAnoGAN
from ganlib.models.ganomaly import GANomaly
from ganlib.models.published import CarriedAnoGAN, OneEncoderGANomaly

SMALL = {"image_size": 32, "channels": 1, "latent_dim": 6, "filters": 4}
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype="uint8")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Content of a good file."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = Autoencoder(**SMALL)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(IMAGES, batch_size=5, verbose=0)
    model.save(path)
    return path.read_bytes()


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(path, files, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def with_config(path, saved, change):
    files = members(saved)
    config = json.loads(files["config.json"])
    change(config)
    return archive_of(path, {**files, "config.json": json.dumps(config)})


def refusal(path):
    """The one line that is shown for a file."""
    with pytest.raises(GanlibError) as refused:
        load_model(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_all_that_ganlib_saves_is_loaded_and_answers_the_same(tmp_path):
    path = tmp_path / "model.keras"
    dcgan = DCGAN(**SMALL)
    networks = dcgan.generator, dcgan.discriminator
    fanogan = FAnoGAN(*networks, filters=4)
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 100)
    ganomaly = GANomaly(**SMALL)
    ganomaly.compile(keras.optimizers.AdamW(schedule, clipnorm=1.0))
    ganomaly.fit(IMAGES, batch_size=5, verbose=0)
    for model in (
        fanogan,
        AnoGAN(*networks, steps=2, encoder=fanogan.encoder),
        CarriedAnoGAN(*networks, steps=2, batch_size=5),
        OneEncoderGANomaly(**SMALL),
        ganomaly,
    ):
        model.calibrate(np.arange(50.0))
        model.save(path)
        loaded = load_model(path)
        assert type(loaded) is type(model)
        assert dict(loaded.thresholds) == dict(model.thresholds)
        np.testing.assert_array_equal(loaded.detect(IMAGES).scores, model.detect(IMAGES).scores)
    assert len(loaded.optimizer.variables) == len(ganomaly.optimizer.variables) > 10
    for model in (dcgan, dcgan.generator):
        model.save(path)
        loaded = load_model(str(path))
        for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_pytorch_saved_is_loaded_without_it(saved, tmp_path):
    def by_torch(config):
        config["compile_config"]["optimizer"]["module"] = (
            "keras.src.backend.torch.optimizers.torch_adam"
        )

    path = with_config(tmp_path / "torch.keras", saved, by_torch)
    plain = tmp_path / "model.keras"
    plain.write_bytes(saved)
    loaded = load_model(path)
    assert loaded.compiled == (keras.backend.backend() == "torch")
    expected = load_model(plain).detect(IMAGES).scores
    np.testing.assert_array_equal(loaded.detect(IMAGES).scores, expected)


def test_no_class_need_be_imported_before(saved, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(saved)
    program = "from ganlib.detector.load import load_model; print(type(load_model({!r})).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program.format(str(path))], capture_output=True, text=True
    )
    assert done.stdout.strip() == "Autoencoder", done.stderr[-2000:]


class Planted:
    """What a program of the file's author would do."""

    ran = 0

    @classmethod
    def from_config(cls, config):
        cls.ran += 1
        return cls()

    def __reduce__(self):
        return (Planted.from_config, ({},))


def planted_function(*arguments):
    Planted.ran += 1
    return arguments[0]


@pytest.fixture
def registered():
    """A class and a function that the user's program has registered for itself."""
    objects = keras.saving.get_custom_objects()
    before = dict(objects)
    objects |= {"theirs>Planted": Planted, "theirs>planted": planted_function, "bare": Planted}
    yield
    objects.clear()
    objects |= before


def layer(module, name, registered=None, config=None):
    return {
        "module": module,
        "class_name": name,
        "config": config or {},
        "registered_name": registered,
    }


FOREIGN = {
    "lambda layer": layer(
        "keras.layers",
        "Lambda",
        config={"function": {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}},
    ),
    "lambda": {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
    "function": {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    },
    "built-in function": {
        "module": "builtins",
        "class_name": "function",
        "config": "planted",
        "registered_name": "function",
    },
    "program": layer("os", "system"),
    "saved model": layer("keras.layers", "TFSMLayer", config={"filepath": "/tmp/x"}),
    "torch module": layer("keras.layers", "TorchModuleWrapper"),
    "file reader": layer("keras.layers", "StringLookup", config={"vocabulary": "/etc/passwd"}),
    "getter of files": layer("keras.utils", "get_file"),
    "function of an allowed module": layer("keras.optimizers", "get"),
    "internal": layer("keras.src.utils.python_utils", "func_load"),
    "registered by others": layer("their.module", "Planted", "theirs>Planted"),
    "registered, in Keras's name": layer("keras.layers", "Dense", "theirs>Planted"),
    "registered, by class name": layer("keras.layers", "theirs>Planted"),
    "unknown of ours": layer("ganlib.models", "Missing", "ganlib>Missing"),
    "ours with another's class": layer("os", "system", "ganlib>GANomaly"),
    "a type": {
        "class_name": "__typespec__",
        "spec_name": "x",
        "module": "os",
        "registered_name": None,
        "config": [],
    },
    "named only": "theirs>planted",
    "named without a package": "bare",
    "no name": {"class_name": ["os", "system"], "config": {}},
    "no module's name": layer(["os"], "Dense"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("place", ["whole", "argument", "optimizer", "deep"])
def test_what_could_run_is_refused_wherever_it_is(kind, place, saved, tmp_path, registered):
    foreign, Planted.ran = FOREIGN[kind], 0

    def plant(config):
        if place == "whole" and isinstance(foreign, dict):
            config.clear()
            config.update(foreign)
        elif place == "deep":
            config["config"]["dtype"]["config"]["more"] = [[{"x": [foreign]}]]
        elif place == "optimizer":
            config["compile_config"]["optimizer"] = foreign
        else:
            config["config"]["thresholds"] = foreign

    message = refusal(with_config(tmp_path / "model.keras", saved, plant))
    assert "was refused: it " in message
    assert Planted.ran == 0


def test_a_lambda_that_would_write_a_file_never_does(tmp_path):
    """A real one: Keras itself runs it when it is told to trust the file."""
    marker, path = tmp_path / "marker", tmp_path / "model.keras"

    # "write" is what Keras calls with a tensor.
    write = eval(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Lambda(write, output_shape=(4,))(inputs))
    model.save(path)
    marker.unlink(missing_ok=True)
    assert "Lambda" in refusal(path)
    assert not marker.exists()
    keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 4)))
    assert marker.exists()


def test_pickles_and_files_of_other_programs_are_refused(saved, tmp_path):
    Planted.ran = 0
    weights = members(saved)["model.weights.h5"]
    numbers = io.BytesIO()
    np.save(numbers, np.array([Planted()], dtype=object), allow_pickle=True)
    for content, kind in (
        (pickle.dumps(Planted()), "a pickle"),
        (numbers.getvalue(), "a NumPy file"),
        (weights, "an HDF5 file"),
        (b"", "of an unknown kind"),
        (b"\x89PNG\r\n", "of an unknown kind"),
    ):
        for name in ("model.keras", "model.pkl", "model.h5", "model.npz", "model"):
            path = tmp_path / name
            path.write_bytes(content)
            assert kind in refusal(path)
    assert Planted.ran == 0
    path = tmp_path / "model.zip"
    path.write_bytes(saved)
    assert "ends in .zip" in refusal(path)
    assert "is a folder" in refusal(tmp_path)
    assert "is not there" in refusal(tmp_path / "missing.keras")


def test_an_archive_with_anything_else_in_it_is_refused(saved, tmp_path):
    path, files = tmp_path / "model.keras", members(saved)
    for name in ("../out.txt", "/tmp/out.txt", "assets/x.pkl", "model.weights.npz", "x\\y"):
        assert "also holds" in refusal(archive_of(path, {**files, name: b"x"}))
    for name in files:
        rest = {key: value for key, value in files.items() if key != name}
        assert f"lacks '{name}'" in refusal(archive_of(path, rest))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("metadata.json", "{}")
    assert "holds" in refusal(path)
    assert not (tmp_path.parent / "out.txt").exists()


def test_bombs_are_refused_unopened(saved, tmp_path):
    path, files = tmp_path / "model.keras", members(saved)
    bomb = {**files, "model.weights.h5": b"\0" * 50_000_000}
    assert "is compressed to" in refusal(archive_of(path, bomb, zipfile.ZIP_DEFLATED))

    weights = io.BytesIO(files["model.weights.h5"])
    with h5py.File(weights, "a") as file:  # 8 TB of which nothing is stored
        file.create_dataset("bomb", (1_000_000_000_000,), "float64", chunks=(1_000_000,))
    message = refusal(archive_of(path, {**files, "model.weights.h5": weights.getvalue()}))
    assert "claim 8000" in message
    deep = {**files, "config.json": "[" * 200_000 + "]" * 200_000}
    assert "is damaged" in refusal(archive_of(path, deep))


def test_weights_that_lie_in_another_file_are_refused(saved, tmp_path):
    path, files = tmp_path / "model.keras", members(saved)
    (tmp_path / "secret").write_bytes(b"0" * 64)
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4,))
    for plant in (
        lambda file: file.__setitem__("x", h5py.ExternalLink(str(tmp_path / "other.h5"), "/")),
        lambda file: file.__setitem__("x", h5py.SoftLink("/_layer_checkpoint")),
        lambda file: file.create_dataset(
            "x", (4,), "float32", external=[(str(tmp_path / "secret"), 0, 16)]
        ),
        lambda file: file.create_virtual_dataset("x", layout),
    ):
        weights = io.BytesIO(files["model.weights.h5"])
        with h5py.File(weights, "a") as file:
            plant(file)
        changed = {**files, "model.weights.h5": weights.getvalue()}
        assert re.search("are a link|lie in another", refusal(archive_of(path, changed)))


def test_a_file_cut_off_anywhere_is_refused(saved, tmp_path):
    path = tmp_path / "model.keras"
    for tenth in range(10):
        path.write_bytes(saved[: len(saved) * tenth // 10])
        refusal(path)
    path.write_bytes(saved[:-1])
    refusal(path)
    path.write_bytes(saved)
    load_model(path)  # a retry with the whole file


def test_a_flipped_byte_is_noticed_or_changes_nothing(saved, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(saved)
    expected = load_model(path).get_weights()
    places = np.random.default_rng(0).integers(0, len(saved), 60).tolist()
    # In weights and description by the checksum; of the archive's own bytes some mean nothing.
    directory = saved.rindex(b"PK\x01\x02") - 120
    places += [*range(0, 60, 3), *range(directory, len(saved), 5)]
    noticed = 0
    for place in places:
        path.write_bytes(saved[:place] + bytes([saved[place] ^ 0x55]) + saved[place + 1 :])
        try:
            found = load_model(path).get_weights()
        except GanlibError:
            noticed += 1
        else:
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)
    assert noticed > 60


def test_weights_that_are_missing_or_of_another_shape_are_refused(saved, tmp_path):
    path, files = tmp_path / "model.keras", members(saved)

    def refused_after(change):
        weights = io.BytesIO(files["model.weights.h5"])
        with h5py.File(weights, "a") as file:
            change(file)
        changed = {**files, "model.weights.h5": weights.getvalue()}
        assert "do not fit the model" in refusal(archive_of(path, changed))

    names = []
    with h5py.File(io.BytesIO(files["model.weights.h5"])) as file:
        file.visit(lambda name: names.append(name) if name.endswith("vars/0") else None)
    networks = [name for name in names if name.startswith("encoder")]
    for name in (networks[0], networks[-1], "optimizer/vars/0"):
        refused_after(lambda file, name=name: file.__delitem__(name))
    refused_after(lambda file: file.__delitem__("decoder"))

    def reshape(file):
        values = np.zeros((1, *file[networks[0]].shape), "float32")
        del file[networks[0]]
        file[networks[0]] = values

    refused_after(reshape)

    def another_size(config):
        config["config"]["filters"] = 5

    assert "do not fit" in refusal(with_config(path, saved, another_size))

    def no_such_size(config):
        config["config"]["image_size"] = 33

    assert "33" in refusal(with_config(path, saved, no_such_size))


def test_a_planted_pickle_is_no_cache(tmp_path):
    Planted.ran, path = 0, tmp_path / "cache.npy"
    np.save(path, np.array([Planted()], dtype=object), allow_pickle=True)
    assert _open_cache(path, (1,)) is None
    assert Planted.ran == 0


def test_nothing_loads_pickles():
    """`np.load` is called nowhere with leave to unpickle, and Keras's loader only by ours."""
    from pathlib import Path

    import ganlib

    library = Path(ganlib.__file__).parent
    sources = {path: path.read_text() for path in library.rglob("*.py")}
    for notebook in (library.parent / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        sources[notebook] = "\n".join("".join(cell["source"]) for cell in cells)
    unsafe = (
        r"allow_pickle|pickle\.load|import pickle|joblib|torch\.load|unsafe_deser|safe_mode=False"
    )
    for path, source in sources.items():
        assert not re.search(unsafe, source), path
        if path.name != "load.py":
            assert not re.search(r"keras\.(saving|models)\.load_model", source), path
