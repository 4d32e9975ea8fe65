"""Networks that another one learns through: their weights read once per step, or frozen."""

import keras
from keras import ops

from ganlib.models.layers import as_product


def read_weights(network: keras.Model) -> list:
    """Read the trainable weights of a network once, for all its calls in one training step.

    A call that reads them anew may, in a compiled step of TensorFlow, come after the optimiser has
    changed some of them: nothing that the optimiser waits for depends on the frozen call's reading.

    Args:
        network: a built model.

    Returns:
        Its trainable weights as tensors, through which gradients reach them.
    """
    # A copy, because `convert_to_tensor` hands TensorFlow's variable through unread.
    return [ops.copy(variable.value) for variable in network.trainable_variables]


def call_with(network: keras.Model, weights: list, inputs):
    """Call a network in training mode with weights that were read before.

    Args:
        network: a built model.
        weights: from `read_weights`.
        inputs: what the network takes.

    Returns:
        What it returns. Moving averages of batch normalisation are updated.
    """
    kept = network.non_trainable_variables
    outputs, updated = network.stateless_call(
        weights, [variable.value for variable in kept], inputs, training=True
    )
    for variable, value in zip(kept, updated, strict=True):
        variable.assign(value)
    return outputs


def call_frozen(network: keras.Model, weights: list, inputs):
    """Call a network in training mode with its weights as constants.

    A generator that learns through the discriminator must not change it. With this call, generator
    and discriminator have one loss and one optimiser on every backend, and neither gets a gradient
    of the other's loss. Moving averages of batch normalisation are left as they are.

    Args:
        network: a built model.
        weights: from `read_weights`.
        inputs: what the network takes.

    Returns:
        What it returns.
    """
    outputs, _ = network.stateless_call(
        [ops.stop_gradient(weight) for weight in weights],
        [variable.value for variable in network.non_trainable_variables],
        inputs,
        training=True,
    )
    return outputs


def frozen_copy(network: keras.Model, dtype: keras.DTypePolicy | None = None) -> keras.Model:
    """Copy a network for use without training it; its owner can go on training the original.

    Args:
        network: a built functional model.
        dtype: what the copy computes in; its outputs stay as they were. None: as the network.

    Returns:
        A model of the same weights, none of them trainable. Wide convolutions are computed as
        `PatchConv2D` does.
    """
    last = [output._keras_history.operation for output in network.outputs]

    def copied(layer):
        copy = as_product(layer)
        if dtype is not None and layer not in last:
            copy.dtype_policy = dtype
        return copy

    copy = keras.models.clone_model(network, clone_function=copied)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy


def networks_of(config: dict, *names: str) -> dict:
    """Make the networks that a model's configuration holds, without their weights.

    Args:
        config: from `get_config`, read from a file.
        *names: the arguments that are networks; one that is None stays None.

    Returns:
        The configuration with models in place of their descriptions.
    """
    made = {name: keras.saving.deserialize_keras_object(config[name]) for name in names}
    return {**config, **made}
