"""A layer that Keras does not have, and one that knows of several devices."""

import keras
from keras import ops

from ganlib import devices


@keras.saving.register_keras_serializable(package="ganlib")
class MinibatchDeviation(keras.layers.Layer):
    """Append a map that says how much the images of the batch differ from one another.

    A discriminator sees one image at a time, so a generator that makes the same good image of every
    z deceives it. With this map it sees that the batch is all alike.

    Input shape: `(n, height, width, depth)`. Output shape: `(n, height, width, depth + 1)`; the
    last map holds one number everywhere, the standard deviation over the batch of each value,
    averaged over all values.

    Reference:
        Salimans et al. 2016, minibatch discrimination, in the form of Karras et al. 2018.
    """

    def call(self, inputs):
        """Append the map."""
        # The small number keeps the gradient of the root finite where all images are equal.
        _, variance = ops.moments(inputs, axes=[0], synchronized=devices.replicas() > 1)
        deviation = ops.mean(ops.sqrt(variance + 1e-8))
        return ops.concatenate([inputs, ops.ones_like(inputs[..., :1]) * deviation], axis=-1)

    def compute_output_shape(self, input_shape):
        """Return the shape with one more map."""
        return (*input_shape[:-1], input_shape[-1] + 1)


@keras.saving.register_keras_serializable(package="ganlib")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, whose statistics are those of the whole batch on several devices too.

    Keras can do that on TensorFlow, at some cost, and refuses a model saved with it elsewhere. So
    it is asked for where there are replicas, whatever the saved model says.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "synchronized": devices.replicas() > 1})
