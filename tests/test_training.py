"""A training that was interrupted ends as if it had not been, and a bad one ends with a reason."""

import functools
import types

import keras
import numpy as np
import pytest
from tiny import assert_equal, build, some_images, values

from ganlib import training
from ganlib.data.batches import Batches
from ganlib.errors import GanlibError
from ganlib.models import DCGAN, Autoencoder, GANomaly

IMAGES = some_images(6)
EPOCHS = 3


class Killed(Exception):
    """Stands for kill -9: the process of the test goes on."""


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Write after every epoch, however quick it was."""
    monkeypatch.setattr(training, "SHARE", float("inf"))


def train(path, cls=Autoencoder, killed_in=None, epochs=EPOCHS, weights=0, rate=1e-3, **options):
    """Train; eagerly where a test is of the file: compiling takes longer than a few steps."""
    named = {"minutes": None, "callbacks": [], "images": IMAGES, "run_eagerly": True}
    minutes, callbacks, images, run_eagerly = (options.pop(*each) for each in named.items())
    cooling = options.pop("cooling", False)

    def kill(epoch, logs):
        if epoch == killed_in:
            raise Killed

    model = build(cls, seed=weights)
    model.compile(keras.optimizers.Adam(rate, beta_1=0.5), run_eagerly=run_eagerly)
    batches = Batches(images, **{"rows": np.arange(6), "batch_size": 4, **options})
    callbacks = [*callbacks, keras.callbacks.LambdaCallback(on_epoch_end=kill)]
    about = (model, batches, epochs, path, callbacks, minutes, cooling)
    return model, training.fit(*about, verbose=0)


def state(model):
    return values([*model.variables, *model.optimizer.variables])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):

    @functools.cache
    def once(cls=Autoencoder, **options):
        model, result = train(tmp_path_factory.mktemp("whole") / "c.npz", cls, **options)
        return state(model), result

    return once


@pytest.mark.parametrize(
    ("cls", "killed_in", "options"),
    [
        (DCGAN, 1, {"run_eagerly": False}),
        (GANomaly, 1, {}),
        (Autoencoder, 0, {}),
        (Autoencoder, 1, {"cooling": True}),
        (Autoencoder, EPOCHS - 1, {}),
    ],
    ids=str,
)
def test_a_killed_training_ends_as_an_uninterrupted_one(
    cls, killed_in, options, whole, tmp_path, capsys
):
    with pytest.raises(Killed):
        train(tmp_path / "c.npz", cls, killed_in, **options)
    # Other initial weights: what goes on must come from the checkpoint alone.
    model, result = train(tmp_path / "c.npz", cls, weights=min(killed_in, 1), **options)
    expected, uninterrupted = whole(cls, **options)
    assert_equal(state(model), expected)
    assert result.history == uninterrupted.history
    assert all(len(losses) == EPOCHS for losses in result.history.values())
    assert (f"Resuming after epoch {killed_in}" in capsys.readouterr().out) == (killed_in > 0)


def test_time_adds_up_and_a_finished_training_trains_no_more(whole, tmp_path):
    _, first = train(tmp_path / "c.npz")
    model, again = train(tmp_path / "c.npz", weights=1)
    assert again == first
    assert_equal(state(model), whole()[0])
    _, longer = train(tmp_path / "c.npz", epochs=EPOCHS + 1)
    assert longer.seconds > first.seconds > 0


OTHERS = {
    "rate": lambda path: train(path, rate=2e-3, epochs=1),
    "model": lambda path: train(path, DCGAN, epochs=1),
    "seed": lambda path: train(path, seed=1, epochs=1),
    "rows": lambda path: train(path, rows=np.arange(5), epochs=1),
    "images": lambda path: train(path, images=255 - IMAGES, epochs=1),
    "damaged": lambda path: path.write_bytes(b"PK no archive"),
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(train(path, epochs=1) and path.read_bytes()[:-5000]),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_not_of_this_training_is_not_gone_on_from(other, whole, tmp_path, capsys):
    other(tmp_path / "c.npz")
    model, result = train(tmp_path / "c.npz")
    assert_equal(state(model), whole()[0])
    assert len(result.history["loss"]) == EPOCHS
    assert "starting over" in capsys.readouterr().out


def test_one_other_image_among_many_is_another_training():
    images = np.repeat(IMAGES[:1], 200, axis=0)
    other, model = images.copy(), build(DCGAN)
    other[1] = IMAGES[1]
    model.compile("adam")
    batches = [Batches(each, np.arange(200), 8, 0) for each in (images, other)]
    assert len({training._identity(model, each) for each in batches}) == 2


def test_other_code_starts_over(tmp_path, monkeypatch, capsys):
    train(tmp_path / "c.npz", epochs=1)
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "losses.py").write_text("half = 0.5\n")
    monkeypatch.setattr(training, "__file__", str(tmp_path / "library" / "training.py"))
    train(tmp_path / "c.npz", epochs=1)
    assert "starting over" in capsys.readouterr().out


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    train(tmp_path / "c.npz", epochs=2)
    before = (tmp_path / "c.npz").read_bytes()

    def full(place, **arrays):
        place.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(training.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path / "c.npz", epochs=3)
    assert (tmp_path / "c.npz").read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} <= {"c.npz", ".lock"}


@pytest.fixture
def clock(monkeypatch):
    """Stand in for the time, in seconds: `clock.now`; a step takes `clock.step`."""
    clock = types.SimpleNamespace(now=0.0, step=1)

    def wait(batch, logs):
        clock.now += clock.step

    monkeypatch.setattr(training.time, "perf_counter", lambda: clock.now)
    clock.callbacks = [keras.callbacks.LambdaCallback(on_train_batch_end=wait)]
    return clock


def test_checkpoints_take_a_twentieth_of_the_time(clock, tmp_path, monkeypatch):
    """It takes 0.12 s to write one: after the first, every third is written, and the last."""
    written = []

    def write(path, function):
        written.append(round(clock.now, 2))
        clock.now += 0.12

    monkeypatch.setattr(training, "write_safely", write)
    monkeypatch.setattr(training, "SHARE", 1 / 20)
    train(tmp_path / "c.npz", epochs=8, rows=np.arange(2), callbacks=clock.callbacks)
    assert written == [1, 4.12, 7.24, 8.36]


@pytest.mark.parametrize(("minutes", "steps"), [(100, 6), (2.5, 3), (0.5, 1), (-1, 1)])
def test_training_ends_with_the_step_that_goes_beyond_the_time(minutes, steps, clock, tmp_path):
    clock.step = 60
    for _ in range(2):  # a second one has no more time than the first has left
        model, result = train(tmp_path / "c.npz", callbacks=clock.callbacks, minutes=minutes)
        assert int(model.optimizer.iterations) == steps and result.seconds == 60 * steps
        assert len(result.history["loss"]) == (steps + 1) // 2


@pytest.mark.parametrize(("minutes", "most"), [(100, 6), (2.5, 2.5)])
def test_the_learning_rate_falls_to_0_with_what_ends_first(minutes, most, clock, tmp_path):
    clock.step, rates = 60, []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(
            float(note.model.optimizer.learning_rate)
        )
    )
    callbacks = [note, *clock.callbacks]
    train(tmp_path / "c.npz", callbacks=callbacks, minutes=minutes, cooling=True, rate=0.1)
    done = np.arange(len(rates)) / most
    np.testing.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * done)), rtol=1e-5)


class Spoil(keras.callbacks.Callback):
    """A weight is not finite after the last step of the second epoch, which no loss tells."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            weight = self.model.trainable_variables[-1]
            weight.assign(weight * np.nan)


def test_weights_that_are_not_finite_end_training_and_the_last_checkpoint_stays(whole, tmp_path):
    with pytest.raises(GanlibError, match="not finite after epoch 2"):
        train(tmp_path / "c.npz", callbacks=[Spoil()])
    with np.load(tmp_path / "c.npz") as file:
        assert all(np.isfinite(file[name]).all() for name in file.files if name != "state")
    model, _ = train(tmp_path / "c.npz", weights=1)
    assert_equal(state(model), whole()[0])


def test_a_loss_that_is_not_finite_ends_training_with_its_epoch_and_what_to_do(tmp_path):
    spoilt = np.full(IMAGES.shape, np.nan, "float32")
    with pytest.raises(GanlibError, match=r"loss is nan in epoch 1\. Choose a learning rate below"):
        train(tmp_path / "c.npz", images=spoilt)
    assert not (tmp_path / "c.npz").exists()


def test_something_is_done_at_the_end_of_a_step_only_where_time_is_limited(tmp_path):
    """Else Keras on JAX and PyTorch does not wait for steps; it looks for this mark of its own."""
    for minutes in (None, 1):
        writer = training._Checkpoint(tmp_path / "c.npz", "", minutes)
        default = getattr(writer.on_train_batch_end, "_is_default", False)
        assert default == (minutes is None)
        assert writer.on_batch_end._is_default
