"""Keras's own pipelines without the tuner of `tf.data`, for which every epoch of an array waits.

See `ganlib.models.feed`. The pipeline of a `fit` that an exception ended waits for up to a minute,
whenever Python throws it away.
"""

import sys


def untune():
    """Switch the tuner off in all pipelines that are made from now on, where TensorFlow is used."""
    if tensorflow := sys.modules.get("tensorflow"):
        options = tensorflow.data.Options
        original = options.__init__

        def untuned(self, *given, **named):
            original(self, *given, **named)
            self.autotune.enabled = False

        options.__init__ = untuned
