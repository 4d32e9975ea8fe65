"""A training that was interrupted ends as if it had not been."""

import functools

import keras
import numpy as np
import pytest

from ganlib import training as checkpoints
from ganlib.data.batches import Batches
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.ganomaly import GANomaly

IMAGES = np.random.default_rng(0).integers(0, 256, (14, 32, 32, 1), dtype="uint8")
EPOCHS = 3


class Killed(Exception):
    """Stands for kill -9: the process of the test goes on."""


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Write after every epoch, however quick it was."""
    monkeypatch.setattr(checkpoints, "SHARE", float("inf"))


def made(model_class=DCGAN, weights=0, rate=1e-3, run_eagerly=True):
    """Eagerly where a test is of the file: compiling takes longer than a few steps."""
    keras.utils.set_random_seed(weights)
    model = model_class(32, 1, latent_dim=6, filters=4)
    model.compile(keras.optimizers.Adam(rate, beta_1=0.5), run_eagerly=run_eagerly)
    return model


def trained(path, model=None, killed_in=None, epochs=EPOCHS, **batches):
    running = []

    def kill(batch, logs):
        if killed_in == running[-1]:
            raise Killed

    model = model or made()
    callback = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: running.append(epoch), on_train_batch_end=kill
    )
    batches = Batches(IMAGES, **{"rows": np.arange(14), "batch_size": 4, **batches})
    training = checkpoints.fit(model, batches, epochs, path, [callback], verbose=0)
    return model, training


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("checkpoints") / "c.npz")[0]


def state(model):
    return [np.asarray(v.value) for v in (*model.variables, *model.optimizer.variables)]


def assert_same(model, other):
    for a, b in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Uninterrupted trainings whose steps are compiled."""

    @functools.cache
    def train(model_class):
        path = tmp_path_factory.mktemp("compiled") / "c.npz"
        return trained(path, made(model_class, run_eagerly=False))

    return train


@pytest.mark.parametrize(
    ("model_class", "killed_in"),
    [(DCGAN, 0), (DCGAN, 1), (DCGAN, EPOCHS - 1), (GANomaly, 1), (Autoencoder, 1)],
)
def test_a_killed_training_ends_as_an_uninterrupted_one(
    model_class, killed_in, compiled, tmp_path, capsys
):
    asked = {"model_class": model_class, "run_eagerly": False}
    expected, whole = compiled(model_class)
    path = tmp_path / "killed.npz"
    with pytest.raises(Killed):
        trained(path, made(**asked), killed_in)
    # Other initial weights: what goes on must come from the checkpoint alone.
    weights = 1 if killed_in else 0
    model, training = trained(path, made(weights=weights, **asked))
    assert_same(model, expected)
    assert training.history == whole.history
    assert all(len(values) == EPOCHS for values in training.history.values())
    assert (f"Going on after epoch {killed_in}" in capsys.readouterr().out) == (killed_in > 0)


def test_time_adds_up_and_a_finished_training_trains_no_more(uninterrupted, tmp_path):
    _, first = trained(tmp_path / "c.npz")
    model, again = trained(tmp_path / "c.npz", made(weights=1))
    assert again == first
    assert first.seconds > 0
    _, longer = trained(tmp_path / "c.npz", epochs=EPOCHS + 1)
    assert longer.seconds > first.seconds
    assert_same(model, uninterrupted)


@pytest.mark.parametrize(
    "other",
    [
        lambda path: trained(path, made(rate=2e-3), epochs=1),
        lambda path: trained(path, made(GANomaly), epochs=1),
        lambda path: trained(path, seed=1, epochs=1),
        lambda path: trained(path, batch_size=5, epochs=1),
        lambda path: trained(path, rows=np.arange(13), epochs=1),
        lambda path: path.write_bytes(b"PK no archive"),
        lambda path: path.write_bytes(b""),
        lambda path: np.savez(path, state="[]"),
        lambda path: path.write_bytes(trained(path, epochs=1) and path.read_bytes()[:-5000]),
    ],
    ids=["rate", "model", "seed", "batch", "rows", "damaged", "empty", "foreign", "truncated"],
)
def test_what_is_not_of_this_training_is_not_gone_on_from(other, uninterrupted, tmp_path, capsys):
    path = tmp_path / "c.npz"
    other(path)
    model, training = trained(path)
    assert_same(model, uninterrupted)
    assert len(training.history["loss"]) == EPOCHS
    assert "beginning anew" in capsys.readouterr().out


def test_other_code_begins_anew(tmp_path, monkeypatch, capsys):
    trained(tmp_path / "c.npz")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "losses.py").write_text("half = 0.5\n")
    monkeypatch.setattr(checkpoints, "__file__", str(tmp_path / "library" / "training.py"))
    trained(tmp_path / "c.npz")
    assert "beginning anew" in capsys.readouterr().out


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    trained(path, epochs=2)
    before = path.read_bytes()

    def full(place, **arrays):
        place.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoints.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        trained(path, epochs=3)
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"c.npz", ".lock"}


def test_checkpoints_take_a_twentieth_of_the_time(tmp_path, monkeypatch):
    written = []
    write = checkpoints.write_safely
    monkeypatch.setattr(
        checkpoints, "write_safely", lambda *given: (written.append(1), write(*given))
    )
    monkeypatch.setattr(checkpoints, "SHARE", 1e-9)
    trained(tmp_path / "c.npz")
    assert len(written) == 2  # the first, and the last
