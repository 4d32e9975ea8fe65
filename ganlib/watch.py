"""Callbacks that watch a GAN train: for a loss that is no number, for D when it has won, the time.

Reading the losses after every step makes Keras wait for the step to be done. Where steps are very
short, `compile(steps_per_execution=...)` makes the watch one of every so many steps.
"""

import contextlib
import math
import random
import time
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from ganlib.errors import GanlibError


class StopAtNonFinite(keras.callbacks.Callback):
    """End training with an error when a loss is NaN or infinite, with the last good weights.

    The weights and the optimiser's state are kept in memory after every epoch in which all were
    finite, and at the start. An error in the midst of an epoch puts those back, so that training
    can go on from there, with a lower learning rate. Other callbacks do not see the end of that
    epoch. Put this one first in the list, then none saves what is not a number.

    Raises:
        GanlibError: from `fit`: which loss was not finite, and where.

    Example:
        >>> ganomaly.fit(batches, epochs=15, shuffle=False, callbacks=[StopAtNonFinite()])
    """

    def on_train_begin(self, logs=None):
        """Keep the weights that training begins with."""
        self.model.optimizer.build(self.model.trainable_variables)
        self._good = self._state()
        self._epoch, self._done = 0, -1
        if not _all_finite(self._good):
            raise GanlibError(
                "The weights are not finite before the first step: load the last good checkpoint, "
                "or make the model anew."
            )

    def on_epoch_begin(self, epoch, logs=None):
        """Count the steps of an epoch."""
        self._epoch, self._done = epoch, -1

    def on_train_batch_end(self, batch, logs=None):
        """Look at the losses of the step, or of the last `steps_per_execution` steps."""
        # A mean over the epoch so far, which one value that is not finite makes so for good.
        bad = [name for name, value in (logs or {}).items() if not math.isfinite(value)]
        if bad:
            # The single losses say more than their sum, which is not finite with any of them.
            bad = [name for name in bad if name != "loss"] or bad
            what = ", ".join(f"{name} is {logs[name]}" for name in bad)
            between = f"{self._done + 2} to {batch + 1}" if batch > self._done + 1 else batch + 1
            self._stop(f"{what} at step {between}")
        self._done = batch

    def on_epoch_end(self, epoch, logs=None):
        """Keep the weights; the last step can have spoilt them after a finite loss."""
        state = self._state()
        if not _all_finite(state):
            self._stop(f"weights are no longer finite after step {self._done + 1}")
        self._good = state

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.weights, *self.model.optimizer.variables]

    def _state(self) -> list[np.ndarray]:
        _sync(self.model)
        # A copy, where the backend would hand out its own memory.
        return [np.array(ops.convert_to_numpy(each.value)) for each in self._variables()]

    def _stop(self, what: str) -> None:
        _sync(self.model)
        for variable, value in zip(self._variables(), self._good, strict=True):
            variable.assign(value)
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        raise GanlibError(
            f"Training of {type(self.model).__name__} stopped: {what} of epoch {self._epoch + 1}. "
            f"Choose a learning rate below {rate:g}, and look whether the images are 0 to 255. The "
            "model has its state after the last good epoch again, and a checkpoint stays as it was."
        )


class StopAfter(keras.callbacks.Callback):
    """End training before an epoch that would go beyond a time.

    Two runs on two machines then differ in their number of epochs: whoever wants the same weights
    again trains that number without this.

    Args:
        seconds: that training may take. One epoch is always trained.

    Example:
        >>> ganomaly.fit(batches, epochs=100, shuffle=False, callbacks=[StopAfter(120)])
    """

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        """Start the clock."""
        self._began = time.monotonic()
        self._lengths: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        """Look when the epoch begins."""
        self._epoch_began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Stop if another epoch might be too long."""
        now = time.monotonic()
        self._lengths.append(now - self._epoch_began)
        # The first one compiles, and is no measure for others.
        longest = max(self._lengths[1:], default=0.0)
        if now - self._began + longest > self.seconds:
            self.model.stop_training = True


class ReviveDiscriminator(keras.callbacks.Callback):
    """Draw the discriminator's weights anew when it has won: its loss has fallen to nothing.

    A discriminator that is never wrong tells the generator nothing more. All its trainable weights
    are drawn as at the start, with other numbers; its moving averages, the optimiser's state and
    all other networks stay.

    The loss of a step is taken out of Keras's mean over the epoch, which holds seven digits: below
    1e-7 of the sum of the epoch's losses it reads as nothing, and counts as a collapse.

    Args:
        threshold: of the discriminator's loss per kind of image, the mean of the cross entropies of
            real and of generated ones; half of what Keras logs as `discriminator_loss`.
        seed: of the weights drawn; the k-th time depends on seed and k alone.

    Attributes:
        revivals: (epoch, step) of every time, both from 1, for the results.

    Example:
        >>> revive = ReviveDiscriminator(seed=0)
        >>> ganomaly.fit(batches, epochs=15, shuffle=False, callbacks=[revive])
        >>> len(revive.revivals)
        0

    Reference:
        The GANomaly authors' code, `reinit_d`: after every step with err_d < 1e-5. Not in the
        paper.
    """

    def __init__(self, threshold: float = 1e-5, seed: int = 0):
        super().__init__()
        self.threshold = threshold
        self.seed = seed
        self.revivals: list[tuple[int, int]] = []

    def on_epoch_begin(self, epoch, logs=None):
        """Begin a new mean."""
        self._epoch, self._steps, self._sum = epoch, 0, 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Look at the loss of the step, or of the last `steps_per_execution` steps."""
        steps, total = batch + 1, (batch + 1) * logs["discriminator_loss"]
        loss = (total - self._sum) / (steps - self._steps) / 2
        self._steps, self._sum = steps, total
        if loss < self.threshold:
            self._revive()
            self.revivals.append((self._epoch + 1, steps))

    def _revive(self) -> None:
        discriminator = self.model.discriminator
        # A clone's initialisers get new seeds, from Python's own random numbers.
        with _drawing_from(f"{self.seed} {len(self.revivals)}"):
            drawn = keras.models.clone_model(discriminator)
        _sync(self.model)
        pairs = zip(discriminator.trainable_variables, drawn.trainable_variables, strict=True)
        for variable, value in pairs:
            variable.assign(value)


def _sync(model: keras.Model) -> None:
    """Give the model the weights that it has now: JAX keeps them aside while it trains."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def _all_finite(arrays: list[np.ndarray]) -> bool:
    return all(np.isfinite(array).all() for array in arrays)


@contextlib.contextmanager
def _drawing_from(seed: str) -> Iterator[None]:
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
