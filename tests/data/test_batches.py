"""Batches: the right images in the right order on every backend, and hardly any memory for them."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from processes import answer_of
from refusals import refused

from ganlib.data.batches import Batches
from ganlib.errors import GanlibError


@pytest.fixture
def images(tmp_path):
    """50 images on disk as `load_images` returns them; the first pixel is the row number."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype="uint8")
    pixels[:, 0, 0, 0] = np.arange(50)
    np.save(tmp_path / "images.npy", pixels)
    return np.load(tmp_path / "images.npy", mmap_mode="r")


ROWS = np.arange(3, 46, 2)  # 22 of the 50


def rows_of(batch):
    return batch[:, 0, 0, 0].tolist()


def an_epoch(batches):
    return [row for batch in batches for row in rows_of(batch)]


def test_a_batch_has_the_pixels_of_its_rows_whose_order_is_of_seed_and_epoch_alone(images):
    for other in (images, np.array(images), images[2:], images[:, 4:], images[::-1]):
        batches = Batches(other, ROWS, batch_size=8)
        for index in (2, 0, 1):
            assert type(batches[index]) is np.ndarray and batches[index].dtype == np.uint8
            expected = other[batches.order(0)[index * 8 :][:8]]
            np.testing.assert_array_equal(batches[index], expected)
        changed = Batches(other, ROWS, 8, transform=lambda batch, random: batch * 4.0)
        np.testing.assert_array_equal(changed[1], 4.0 * batches[1])
    batches = Batches(images, ROWS, batch_size=8, seed=1)
    assert [len(batch) for batch in batches] == [8, 8, 6]
    assert sorted(an_epoch(batches)) == ROWS.tolist() != an_epoch(batches)
    with pytest.raises(IndexError):
        batches[3]
    orders = {
        (seed, epoch): tuple(an_epoch(Batches(images, ROWS, 8, seed=seed, epoch=epoch)))
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    }
    assert len(set(orders.values())) == 6
    first = Batches(images, ROWS, 8, seed=1)
    assert tuple(an_epoch(first)) == orders[1, 0]
    assert tuple(an_epoch(first)) == orders[1, 0]  # a second iterator of the same epoch
    assert tuple(first.order(2)) == orders[1, 2]
    assert an_epoch(Batches(images, ROWS, 8, shuffle=False, epoch=5)) == ROWS.tolist()


class Spy(keras.Model):
    """Keeps the row numbers of the images that Keras gives it."""

    def __init__(self, n):
        super().__init__()
        self.seen = self.add_weight(shape=(n,), initializer="zeros", trainable=False)
        self.step = self.add_weight(shape=(), initializer="ones", dtype="int32", trainable=False)
        self.weight = self.add_weight(shape=(), initializer="ones")
        self.built = True

    def call(self, x):
        return keras.ops.cast(x, "float32") * self.weight

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        here = keras.ops.arange(self.seen.shape[0]) == self.step.value - 1
        row = keras.ops.cast(x[0, 0, 0, 0], "float32")
        self.seen.assign(keras.ops.where(here, row, self.seen.value))
        self.step.assign_add(1)
        return keras.ops.mean(y_pred)


def test_fit_takes_epoch_after_epoch_and_goes_on_where_it_was(images):
    """Batches of one image, so that the model sees the order."""
    batches = Batches(images, ROWS, batch_size=1, seed=3)
    spy = Spy(4 * len(ROWS))
    spy.compile(keras.optimizers.SGD(0.0))
    spy.fit(batches, epochs=1, shuffle=False, verbose=0)
    spy.fit(batches, epochs=2, shuffle=False, verbose=0)
    assert batches.epoch == 3
    resumed = Batches(images, ROWS, batch_size=1, seed=3, epoch=3)
    spy.fit(resumed, epochs=4, initial_epoch=3, shuffle=False, verbose=0)
    expected = np.concatenate([batches.order(epoch) for epoch in range(4)])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(spy.seen), expected)


def test_what_gives_no_batches_and_a_file_that_was_cut_off_are_refused(images):
    for rows, message in (
        ([], "at least one"),
        ([True, False], "type bool"),
        ([3, 50], "from 3 to 50: expected .* below 50"),
        ([-1, 4], "from -1 to 4"),
    ):
        refused(message, Batches, images, rows)
    for name, value in {"batch_size": 0, "seed": -1, "epoch": -1}.items():
        refused(f"{name}={value}", Batches, images, ROWS, **{name: value})
    with Path(images.filename).open("r+b") as file:
        file.truncate(images.offset + 45 * 64 + 10)
    batches = Batches(images, [44, 45], 1, shuffle=False)
    assert batches[0].shape == (1, 8, 8, 1)
    with pytest.raises(GanlibError, match="before row 45"):
        batches[1]


MEMORY = """
import json, sys
import numpy as np
from ganlib.data.batches import Batches

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

images = np.load(sys.argv[1], mmap_mode="r")
batches = Batches(images, np.arange(len(images)), 32)
total = int(batches[0][0].sum())
before = resident()
for batch in batches:
    total += int(batch[-1].sum())
read = resident() - before
for start in range(0, len(images), 32):
    total += int(images[start : start + 32].sum())
print(json.dumps([read, resident() - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_epoch_leaves_no_images_in_memory(tmp_path):
    path = tmp_path / "images.npy"
    written = np.lib.format.open_memmap(path, "w+", "uint8", (800, 256, 256, 1))  # 52 MB
    written[:] = 1
    written.flush()
    read, mapped = answer_of("-c", MEMORY, path, KERAS_BACKEND="numpy")
    assert read < 15
    assert mapped > 35  # what the test would find if batches were taken from the map
