"""Only what ganlib saves is loaded, whole; nothing that a file brings along ever runs."""

import io
import json
import pickle
import re
import zipfile
from pathlib import Path

import grimp
import h5py
import keras
import numpy as np
import pytest
from small import SMALL

import ganlib
from ganlib.detector.load import load_model
from ganlib.errors import GanlibError
from ganlib.models import Autoencoder

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype="uint8")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Content of a good file, of a model that was trained a little."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = Autoencoder(**SMALL)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    model.fit(IMAGES, batch_size=5, verbose=0)
    model.calibrate(np.arange(50.0))
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


def with_weights(path, saved, change):
    files = members(saved)
    weights = io.BytesIO(files["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        change(file)
    return archive_of(path, {**files, "model.weights.h5": weights.getvalue()})


def refusal(path):
    with pytest.raises(GanlibError) as refused:
        load_model(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_model_comes_back_uncompiled_and_other_files_are_refused(saved, tmp_path):
    """In a process that has imported no class of models: see test_own_model."""
    (tmp_path / "model.keras").write_bytes(saved)
    loaded = load_model(str(tmp_path / "model.keras"))
    assert not loaded.compiled and loaded.thresholds["quantile"] > 40
    Planted.ran = 0
    for content in (pickle.dumps(Planted()), members(saved)["model.weights.h5"], b"", saved[:-9]):
        for name in ("model.keras", "model.pkl", "model"):
            (tmp_path / name).write_bytes(content)
            assert "is not a .keras file" in refusal(tmp_path / name)
    assert Planted.ran == 1  # as it was pickled
    (tmp_path / "model.zip").write_bytes(saved)
    assert "is not a .keras file" in refusal(tmp_path / "model.zip")
    assert "is not a .keras file" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "missing.keras")


class Planted:
    """What a program of the file's author would do."""

    ran = 0

    def __init__(self, *arguments, **named):
        Planted.ran += 1

    @classmethod
    def from_config(cls, config):
        return cls()

    def __reduce__(self):
        return (Planted, ())


FOREIGN = {
    "Lambda": {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "x"}},
    "lambda": {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
    "function": {"class_name": "function", "module": "os", "config": "system"},
    "registered alone": {"registered_name": "theirs>Planted", "config": {}},
    "no name": {"registered_name": ["os", "system"], "config": {}},
    "optimizer": {"registered_name": "keras>Adam", "config": {}},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_nothing_foreign_runs_wherever_it_is(kind, saved, tmp_path, monkeypatch):
    monkeypatch.setitem(keras.saving.get_custom_objects(), "theirs>Planted", Planted)
    Planted.ran, foreign = 0, FOREIGN[kind]

    def whole(config):
        config.clear()
        config.update(foreign)

    def argument(config):
        config["config"]["filters"] = foreign

    def build(config):  # which Keras's own loader would follow
        config["build_config"] = config["compile_config"] = {"optimizer": foreign}

    path = tmp_path / "model.keras"
    for change in (whole, argument):
        refusal(with_config(path, saved, change))
    assert not load_model(with_config(path, saved, build)).compiled
    assert Planted.ran == 0


def test_an_archive_must_hold_its_three_members_alone_and_uncompressed(saved, tmp_path):
    path, files = tmp_path / "model.keras", members(saved)
    for name in ("../out.txt", "/tmp/out.txt", "assets/x.pkl", "model.weights.npz"):
        assert "it holds" in refusal(archive_of(path, {**files, name: b"x"}))
    for name in files:
        rest = {key: value for key, value in files.items() if key != name}
        assert "it holds" in refusal(archive_of(path, rest))
    archive_of(path, files)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.json", "{}")
    assert "it holds" in refusal(path)
    bomb = {**files, "model.weights.h5": b"\0" * 50_000_000}
    assert "is compressed" in refusal(archive_of(path, bomb, zipfile.ZIP_DEFLATED))
    for text in ("[" * 200_000 + "]" * 200_000, "{", "[]", '{"config": {}}', "7"):
        assert "is damaged" in refusal(archive_of(path, {**files, "config.json": text}))


def test_weights_must_be_in_the_file_and_fit(saved, tmp_path):
    path = tmp_path / "model.keras"
    (tmp_path / "secret").write_bytes(b"0" * 64)
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4,))
    for plant in (
        lambda file: file.__setitem__("x", h5py.ExternalLink(str(tmp_path / "other.h5"), "/")),
        lambda file: file.__setitem__("x", h5py.SoftLink("/vars")),
        lambda file: file.create_dataset(
            "x", (4,), "float32", external=[(str(tmp_path / "secret"), 0, 16)]
        ),
        lambda file: file.create_virtual_dataset("x", layout),
    ):
        assert "are a link" in refusal(with_weights(path, saved, plant))

    def bomb(file):  # 8 TB of which nothing is stored
        file.create_dataset("bomb", (10**12,), "float64", chunks=(10**6,))

    assert "claim 8000" in refusal(with_weights(path, saved, bomb))
    names = []
    with h5py.File(io.BytesIO(members(saved)["model.weights.h5"])) as file:
        file.visit(lambda name: names.append(name) if name.endswith("vars/0") else None)
    names = [name for name in names if name.startswith(("encoder", "decoder"))]

    def reshape(file):
        values = np.zeros((1, *file[names[0]].shape), "float32")
        del file[names[0]]
        file[names[0]] = values

    for change in (reshape, *(lambda file, name=n: file.__delitem__(name) for n in names[::4])):
        assert "do not fit the model" in refusal(with_weights(path, saved, change))
    for name, value in (("filters", 5), ("image_size", 33), ("filters", "x"), ("more", 1)):
        refusal(with_config(path, saved, lambda c, n=name, v=value: c["config"].update({n: v})))


def test_a_flipped_byte_or_a_cut_is_noticed_or_changes_nothing(saved, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(saved)
    expected = load_model(path).get_weights()
    for tenth in range(10):
        path.write_bytes(saved[: len(saved) * tenth // 10])
        refusal(path)
    noticed = 0
    for place in [*range(0, 60, 6), *range(0, len(saved), len(saved) // 40)]:
        path.write_bytes(saved[:place] + bytes([saved[place] ^ 0x55]) + saved[place + 1 :])
        try:
            found = load_model(path).get_weights()
        except GanlibError:
            noticed += 1
        else:  # some of the archive's own bytes mean nothing
            assert all((a == b).all() for a, b in zip(found, expected, strict=True))
    assert noticed > 30


def test_nothing_loads_pickles():
    """Keras's loader is called nowhere, nor anything that unpickles."""
    library = Path(ganlib.__file__).parent
    unsafe = (
        r"allow_pickle=True|pickle\.load|import pickle|torch\.load|unsafe_deser|safe_mode"
        r"|deserialize_keras_object|keras\.(saving|models)\.load_model"
    )
    for path in [*library.rglob("*.py"), *(library.parent / "notebooks").glob("*.ipynb")]:
        assert not re.search(unsafe, path.read_text()), path


def test_loading_knows_every_model_without_another_import():
    graph = grimp.build_graph("ganlib", cache_dir=None)
    known = graph.find_upstream_modules("ganlib.detector.load")
    holders = graph.find_modules_that_directly_import("ganlib.models.base")
    assert {each for each in holders if each.startswith("ganlib.models.")} <= known
