"""Running a network so that gradients reach its input and not its weights."""

import keras
from keras import ops


def call_frozen(network: keras.Model, inputs):
    """Call a network in training mode with its weights as constants.

    A generator that learns through the discriminator must not change it. With this call, generator
    and discriminator have one loss and one optimiser on every backend, and neither gets a gradient
    of the other's loss. Moving averages of batch normalisation are left as they are.

    Args:
        network: a built model.
        inputs: what it takes.

    Returns:
        What it returns.
    """
    outputs, _ = network.stateless_call(
        [ops.stop_gradient(variable.value) for variable in network.trainable_variables],
        [variable.value for variable in network.non_trainable_variables],
        inputs,
        training=True,
    )
    return outputs
