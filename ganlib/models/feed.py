"""Handing images to a model so that TensorFlow does not idle at the end of every epoch."""

import contextlib
import ctypes
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

PASS = 32  # images per pass of `predict`

# A generator that feeds TensorFlow has it tell glibc to give freed memory back at once (it says so:
# "M_TRIM_THRESHOLD=128 kb was set"), and asking for it again, page by page, in every step took as
# long as the step of a small network. So glibc is told to keep some for each thread (M_TOP_PAD,
# bytes), which it heeds only before TensorFlow's threads begin. Other C libraries have no such
# habit, and no such setting.
with contextlib.suppress(OSError, AttributeError, TypeError):
    ctypes.CDLL(None).mallopt(-2, 128 * 2**20)


def feed(batches: keras.utils.PyDataset):
    """Make of batches what `fit` takes without waiting.

    `tf.data` tunes its own pipeline in a thread that looks every 10, 20, 40, ... ms, and an epoch
    that has ended waits for its next look: epochs of arrays or of a `PyDataset` last 0.6, 1.3, 2.6,
    5.1 s and nothing between, up to twice what they need (TensorFlow 2.21; `benchmarks/README.md`).
    Keras offers no way to switch the tuning off, so this makes the dataset itself. There is nothing
    to tune in it: one generator, and two batches ahead of the step.

    Args:
        batches: any `PyDataset`. Give `fit` shuffle=False, for it has its own order.

    Returns:
        With TensorFlow a `tf.data.Dataset` of the same batches, with other backends `batches`.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    def generate():
        batches.on_epoch_begin()
        for index in range(len(batches)):
            yield batches[index]
        batches.on_epoch_end()

    def any_number(array):
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    signature = tf.nest.map_structure(any_number, batches[0])
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def predict(answer: Callable[[np.ndarray], object], images: np.ndarray) -> list[np.ndarray]:
    """Do what `model.predict` does, without the wait that `feed` tells of, always in equal passes.

    A backend may add up in another order for another number of images, and the last digits differ.
    Every pass so has `PASS` images, the last one filled up, and on processors with AVX-512 an
    image's answer has the same bits alone, in any company, order and chunks. On others convolutions
    may round by its place in the pass. One image takes as long as `PASS` of them.

    Args:
        answer: from `(PASS, height, width, channels)` to one or more arrays of `PASS` rows each,
            for instance a model's `predict_on_batch`.
        images: uint8 `(n, height, width, channels)`, 0..255, n > 0.

    Returns:
        An array `(n, ...)` per output, in a list.
    """
    batches = []
    for start in range(0, len(images), PASS):
        batch = np.asarray(images[start : start + PASS])
        filled = np.concatenate([batch, np.repeat(batch[-1:], PASS - len(batch), axis=0)])
        outputs = [ops.convert_to_numpy(each) for each in keras.tree.flatten(answer(filled))]
        batches.append([output[: len(batch)] for output in outputs])
    return [np.concatenate(outputs) for outputs in zip(*batches, strict=True)]
