"""Batches of decoded images for training, read from disk when needed.

This is the only module of `ganlib.data` that imports Keras, so import it by its full name.
"""

import math
from collections.abc import Callable

import keras
import numpy as np

from ganlib.data.images import read_rows
from ganlib.errors import GanlibError


class Batches(keras.utils.PyDataset):
    """Batches of images for `fit`, reshuffled every epoch, with few in memory at a time.

    The order of an epoch depends only on `seed` and the epoch's number, on every backend.

    Args:
        images: `(n, height, width, channels)`, from `load_images`, or any other array.
        rows: int `(m,)`, the images to use, for instance `split.train`.
        shuffle: False keeps the order of `rows`. Always pass shuffle=False to Keras's `fit`.
        transform: Called with a batch and its own random generator; the model gets the result.
        epoch: Number of the next epoch, to resume training; Keras's `fit` increments it.
    """

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        batch_size: int = 32,
        seed: int = 0,
        shuffle: bool = True,
        transform: Callable[[np.ndarray, np.random.Generator], object] | None = None,
        epoch: int = 0,
    ):
        super().__init__()
        rows = np.asarray(rows)
        listed = rows.ndim == 1 and len(rows) and rows.dtype.kind in "iu"
        if not listed or rows.min() < 0 or rows.max() >= len(images):
            span = f"from {min(rows.flat, default=None)} to {max(rows.flat, default=None)}"
            found = f"rows has shape {rows.shape}, type {rows.dtype}, values {span}"
            raise GanlibError(f"{found}: expected at least one row number below {len(images)}.")
        if batch_size < 1 or seed < 0 or epoch < 0:
            raise GanlibError(f"{batch_size=}, {seed=}, {epoch=}: expected at least 1, 0 and 0.")
        self.images, self.rows, self.batch_size, self.seed = images, rows, batch_size, seed
        self.shuffle, self.transform, self.epoch = shuffle, transform, epoch
        self._order = None, rows  # an epoch and its order
        self._left = math.inf  # batches that Keras has not requested yet

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return math.ceil(len(self.rows) / self.batch_size)

    def __getitem__(self, index: int):
        """Read one batch of the current epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"There is no batch {index}: an epoch has {len(self)}.")
        if self._order[0] != self.epoch:
            self._order = self.epoch, self.order(self.epoch)
        order = self._order[1]
        batch = read_rows(self.images, order[index * self.batch_size :][: self.batch_size])
        self._left -= 1
        if self.transform is None:
            return batch
        return self.transform(batch, np.random.default_rng([self.seed, self.epoch, 1, index]))

    def order(self, epoch: int) -> np.ndarray:
        """Return the rows in the order of one epoch, `(m,)`."""
        if not self.shuffle:
            return self.rows
        # Sort uniform random numbers: NumPy may change how `permutation` uses the generator.
        random = np.random.default_rng([self.seed, epoch, 0]).random(len(self.rows))
        return self.rows[random.argsort(kind="stable")]

    def on_epoch_begin(self):
        """Start counting the batches that Keras requests."""
        self._left = len(self)

    def on_epoch_end(self):
        """Move on to the next epoch if this one is complete."""
        self.epoch += self._left <= 0  # Keras also calls this after peeking at the first ones
        self._left = math.inf
