"""Disable the tuner of `tf.data`: with it, every epoch on an array waits for the tuner's thread.

See `ganlib.models.base.feed`. After an exception in `fit`, the pipeline waits for up to a minute
when Python deletes it.
"""

import sys


def untune():
    """Disable the tuner in all pipelines created from now on, if TensorFlow is imported."""
    if tensorflow := sys.modules.get("tensorflow"):
        options = tensorflow.data.Options
        original = options.__init__

        def untuned(self, *given, **named):
            original(self, *given, **named)
            self.autotune.enabled = False

        options.__init__ = untuned
