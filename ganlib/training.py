"""Resumable training: an interrupted run ends as if it had not been interrupted."""

import hashlib
import json
import math
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from ganlib.data.batches import Batches
from ganlib.data.images import read_rows
from ganlib.errors import GanlibError
from ganlib.files import only_one, write_safely
from ganlib.models import devices
from ganlib.models.base import feed
from ganlib.models.dcgan import DCGAN
from ganlib.settings import Settings
from ganlib.settings import epochs as epochs_of

LOOKED_AT = 500  # maximum number of training images that are passed to `lessons`
SHARE = 1 / 20  # fraction of the training time that writing checkpoints may take


class Training(NamedTuple):
    """Keras's `History.history` and the training time, over all interrupted parts."""

    history: dict[str, list[float]]
    seconds: float


def train(
    model: keras.Model,
    images: np.ndarray,
    rows: np.ndarray,
    settings: Settings,
    seed: int,
    checkpoint: str | Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    transform: Callable | None = None,
    **options,
) -> Training:
    """Train a model on some rows of images with these settings, on all devices; see `fit`.

    A model with a method `adapt(images)` learns from all of them at once, without steps.
    """
    if hasattr(model, "adapt"):
        began = time.perf_counter()
        model.adapt(read_rows(images, rows))
        return Training({}, time.perf_counter() - began)
    transform = transform or model.lessons(read_rows(images, rows[:: -(-len(rows) // LOOKED_AT)]))
    own = "dcgan_" if isinstance(model, DCGAN) else ""
    steps, rate = (getattr(settings, own + name) for name in ("steps", "learning_rate"))
    batch_size = getattr(model, "batch_size", settings.batch_size)
    batches = Batches(images, rows, batch_size, seed, transform=transform)
    epochs = epochs_of(steps, len(rows), batch_size)
    with devices.every_device():
        if not model.compiled:
            model.compile(keras.optimizers.Adam(rate, settings.beta_1, epsilon=1e-8))
        return fit(model, batches, epochs, checkpoint, callbacks, **options)


def fit(
    model: keras.Model,
    batches: Batches,
    epochs: int,
    checkpoint: str | Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    minutes: float | None = None,
    cooling: bool = False,
    verbose: int = 2,
) -> Training:
    """Train a compiled model, resuming from its checkpoint (`.npz`) if there is one.

    A checkpoint holds the history and the variables of the model, the optimizer and the random
    generators. Only these and the order of `Batches` determine the rest of the training. The
    checkpoint of another model, optimizer, seed, other images or other code is overwritten.

    `epochs` includes those before an interruption; `callbacks` see only the remaining ones.
    Training ends with the first step that exceeds `minutes`. With `cooling`, the learning rate
    falls to 0 along half a cosine, over the epochs or the minutes, whichever end first. Raise a
    GanlibError if another process trains to the folder, or if the loss or a weight is not finite.
    """
    checkpoint = Path(checkpoint)
    model.optimizer.build(model.trainable_variables)
    writer = _Checkpoint(checkpoint, _identity(model, batches), minutes)
    writer.cooled_from = float(model.optimizer.learning_rate) if cooling else None
    with only_one(checkpoint.parent, f"training to {checkpoint.name}"):
        done = batches.epoch = writer.restore(model)
        if done < epochs and writer.seconds < writer.most_seconds:
            span = {"initial_epoch": done, "epochs": epochs, "callbacks": [*callbacks, writer]}
            # `Batches` already shuffles.
            model.fit(feed(batches), shuffle=False, verbose=verbose, **span)
    return Training(writer.history, writer.seconds)


def _not_finite(model: keras.Model, reason: str) -> GanlibError:
    lower = f"a learning rate below {float(model.optimizer.learning_rate):g}"
    advice = f"Choose {lower}, and check that the images are 0 to 255. The last checkpoint is kept."
    return GanlibError(f"Training of {type(model).__name__} stopped: {reason}. {advice}")


class _Checkpoint(keras.callbacks.Callback):
    """Write a checkpoint after an epoch, unless that would take more than `SHARE` of the time."""

    def __init__(self, path: Path, identity: str, minutes: float | None):
        super().__init__()
        self.path, self.identity = path, identity
        # The remaining minutes may be 0 or negative: at least one step is trained.
        self.most_seconds = float("inf") if minutes is None else max(60 * minutes, 1e-3)
        self.history: dict[str, list[float]] = {}
        self.seconds = self._cost = 0.0
        self.cooled_from: float | None = None
        if minutes is not None:  # only then: this hook makes Keras wait for each step
            self.on_train_batch_end = self._look_at_the_time

    def restore(self, model: keras.Model) -> int:
        """Load the checkpoint into the model; return its number of finished epochs."""
        try:
            with np.load(self.path) as file:
                state = json.loads(str(file["state"]))
                if state["identity"] != self.identity:
                    print(f"{self.path} is from a different training run: starting over.")
                    return 0
                values = [file[str(number)] for number in range(len(_variables(model)))]
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            print(f"{self.path} cannot be read ({error}): starting over.")
            return 0
        for variable, value in zip(_variables(model), values, strict=True):
            variable.assign(value)
        self.history, self.seconds = state["history"], state["seconds"]
        print(f"Resuming after epoch {state['epoch']}, from {self.path}.")
        return state["epoch"]

    def on_train_begin(self, logs=None):
        self._began = self._written = time.perf_counter()
        self._before = self.seconds

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.cooled_from:
            done = (self._epoch + batch / self.params["steps"]) / self.params["epochs"]
            done = min(1.0, max(done, self.seconds / self.most_seconds))
            rate = self.cooled_from * (1 + math.cos(math.pi * done)) / 2
            self.model.optimizer.learning_rate = rate

    def _look_at_the_time(self, batch, logs=None):
        self.seconds = self._before + time.perf_counter() - self._began
        if self.seconds > self.most_seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise _not_finite(self.model, f"the loss is {logs['loss']} in epoch {epoch + 1}")
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        now = time.perf_counter()
        self.seconds = self._before + now - self._began
        ends = self.model.stop_training or epoch + 1 == self.params["epochs"]
        if not ends and now - self._written < self._cost / SHARE:
            return
        # Reading `self.model` makes Keras update its variables, which JAX's step holds.
        arrays = [ops.convert_to_numpy(variable.value) for variable in _variables(self.model)]
        if not all(np.isfinite(array).all() for array in arrays):
            raise _not_finite(self.model, f"weights are not finite after epoch {epoch + 1}")
        state = {"epoch": epoch + 1, "history": self.history, "seconds": self.seconds}
        state = json.dumps({"identity": self.identity, **state})
        arrays = {str(number): array for number, array in enumerate(arrays)}
        write_safely(self.path, lambda path: np.savez(path, state=state, **arrays))
        self._written = time.perf_counter()
        self._cost = self._written - now


def _variables(model: keras.Model) -> list:
    return [*model.variables, *model.optimizer.variables]


def _identity(model: keras.Model, batches: Batches) -> str:
    """Return a digest of everything that determines the training, except its state."""
    pixels = hashlib.sha256()
    for start in range(0, len(batches.rows), 256):
        pixels.update(read_rows(batches.images, batches.rows[start : start + 256]))
    identity = [
        # Keras numbers the names of objects within a process: "dcgan_1".
        *({**part.get_config(), "name": ""} for part in (model, model.optimizer)),
        [variable.shape for variable in _variables(model)],
        [batches.batch_size, batches.seed, batches.shuffle, batches.images.shape],
        [keras.backend.backend(), keras.version()],
    ]
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py"))]
    text = json.dumps(identity, default=str).encode()
    parts = (text, batches.rows.tobytes(), pixels.digest(), *code)
    digests = [hashlib.sha256(part).digest() for part in parts]
    return hashlib.sha256(b"".join(digests)).hexdigest()
