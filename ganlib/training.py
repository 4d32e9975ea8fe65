"""Training that goes on where it was interrupted, and ends as if it had not been."""

import hashlib
import json
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from ganlib.data.batches import Batches
from ganlib.data.images import read_rows
from ganlib.files import write_safely
from ganlib.locks import only_one
from ganlib.models.feed import feed
from ganlib.watch import StopAtNonFinite

# Writing checkpoints may take this share of the time of training.
SHARE = 1 / 20


class Training(NamedTuple):
    """What a training left behind, all its interrupted parts together.

    Attributes:
        history: name of a loss to its value after each epoch, as Keras's `History.history`.
        seconds: time of training; what an interruption lost is not in it.
    """

    history: dict[str, list[float]]
    seconds: float


def fit(
    model: keras.Model,
    batches: Batches,
    epochs: int,
    checkpoint: str | Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 2,
) -> Training:
    """Train a model, going on from its checkpoint if there is one.

    After epochs, the model's variables, the optimiser's and those of its random numbers are written
    with the history, in one file that is there whole or not at all. Together with the order of
    `Batches`, which depends on seed and epoch alone, nothing else decides how training goes on: it
    ends with the weights that it would have had uninterrupted.

    A checkpoint of something else is not gone on from but written over: of another model,
    optimiser, seed, other images, another version of ganlib or of Keras.

    Args:
        model: compiled; its initial weights are replaced if there is a checkpoint.
        batches: what to train on.
        epochs: how many in all, those before an interruption included.
        checkpoint: the file, `.npz`. Remove it when what the training was for is done.
        callbacks: Keras's; they see only the epochs that are still to be trained.
        verbose: as for Keras's `fit`.

    Returns:
        History and time of the whole training.

    Raises:
        GanlibError: another process trains to the same folder, or a loss is not finite, see
            `ganlib.watch`; the checkpoint stays as it was.

    Example:
        >>> dcgan.compile(keras.optimizers.Adam(2e-4, 0.5))
        >>> checkpoints.fit(dcgan, Batches(images, split.train), 30, "checkpoint.npz")
    """
    checkpoint = Path(checkpoint)
    model.optimizer.build(model.trainable_variables)
    writer = _Writer(checkpoint, _about(model, batches))
    with only_one(checkpoint.parent, f"training to {checkpoint.name}"):
        done = writer.restore(model)
        batches.epoch = done
        if done < epochs:
            model.fit(
                feed(batches),
                epochs=epochs,
                initial_epoch=done,
                shuffle=False,  # the batches are shuffled already
                callbacks=[StopAtNonFinite(), *callbacks, writer],
                verbose=verbose,
            )
    return Training(writer.history, writer.seconds)


class _Writer(keras.callbacks.Callback):
    """Writes a checkpoint after an epoch, unless the last one is too recent for what it cost."""

    def __init__(self, path: Path, about: str):
        super().__init__()
        self.path = path
        self.about = about
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._cost = 0.0

    def restore(self, model: keras.Model) -> int:
        """Put the state of the checkpoint into the model; returns the epochs that it has seen."""
        try:
            with np.load(self.path) as file:
                state = json.loads(str(file["state"]))
                if state["about"] != self.about:
                    print(f"{self.path} is of another training: beginning anew.")
                    return 0
                values = [file[str(number)] for number in range(len(_variables(model)))]
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            print(f"{self.path} cannot be read ({error}): beginning anew.")
            return 0
        for variable, value in zip(_variables(model), values, strict=True):
            variable.assign(value)
        self.history, self.seconds = state["history"], state["seconds"]
        print(f"Going on after epoch {state['epoch']}, from {self.path}.")
        return state["epoch"]

    def on_train_begin(self, logs=None):
        self._began = self._written = time.perf_counter()
        self._before = self.seconds

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        now = time.perf_counter()
        self.seconds = self._before + now - self._began
        if epoch + 1 < self.params["epochs"] and now - self._written < self._cost / SHARE:
            return
        state = {"epoch": epoch + 1, "history": self.history, "seconds": self.seconds}
        state = json.dumps({"about": self.about, **state})
        # Asking for the model has Keras bring its variables up to date, which JAX's step keeps.
        arrays = [ops.convert_to_numpy(variable.value) for variable in _variables(self.model)]
        arrays = {str(number): array for number, array in enumerate(arrays)}
        write_safely(self.path, lambda path: np.savez(path, state=state, **arrays))
        self._written = time.perf_counter()
        self._cost = self._written - now


def _variables(model: keras.Model) -> list:
    return [*model.variables, *model.optimizer.variables]


def _about(model: keras.Model, batches: Batches) -> str:
    """Digest all that decides how a training goes on, but for its state."""
    some = batches.rows[:: max(1, len(batches.rows) // 64)]
    pixels = read_rows(batches.images, some)
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py"))]
    # Keras numbers the names of what a process makes: "dcgan_1".
    configs = [{**part.get_config(), "name": ""} for part in (model, model.optimizer)]
    about = [
        configs,
        [variable.shape for variable in _variables(model)],
        [batches.batch_size, batches.seed, batches.shuffle, batches.images.shape],
        [
            hashlib.sha256(part).hexdigest()
            for part in (batches.rows.tobytes(), pixels.tobytes(), *code)
        ],
        [keras.backend.backend(), keras.version()],
    ]
    return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()
