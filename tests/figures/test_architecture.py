import keras
import pytest
from drawn import CAPTION, anogan, ganomaly, models, texts_of
from keras import layers

from ganlib.figures import architecture

TIMES = "\N{MULTIPLICATION SIGN}"


def shapes_of(*networks):
    """The shapes after each convolution, read without the code under test."""
    return {
        TIMES.join(map(str, layer.output.shape[1:]))
        for network in networks
        for layer in network.layers
        if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose)
    }


@pytest.mark.parametrize("draw", [anogan, ganomaly])
@pytest.mark.parametrize("size", [(32, 1, 4), (64, 3, 8)])
def test_architecture_shows_the_models_shapes_and_parameters(draw, size):
    size = dict(zip(("side", "channels", "filters"), size, strict=True))
    _, decoder, discriminator = models(**size)
    text = " ".join(texts_of(draw(**size)))
    for shape in shapes_of(decoder, discriminator):
        assert shape in text
    for model in (decoder, discriminator):
        assert f", {model.count_params():,} parameters" in text


def test_ganomaly_writes_the_weights_of_its_losses():
    texts = " ".join(texts_of(ganomaly(weights=(2, 30, 0.5))))
    for term in (r"$2\cdot L_{adv}", r"$30\cdot L_{con}", r"$0.5\cdot L_{enc}"):
        assert term in texts


def test_blocks_hold_what_follows_a_convolution():
    _, decoder, discriminator = models(32, 3)
    blocks = architecture.read_blocks(discriminator)
    assert [block.shape for block in blocks] == [(16, 16, 4), (8, 8, 8), (4, 4, 16), (1, 1, 1)]
    rest = ("BN", "LeakyReLU")
    assert [block.extras for block in blocks] == [("LeakyReLU",), rest, rest, ()]
    assert [block.is_feature for block in blocks] == [False, False, True, False]
    assert blocks[0].operation == f"conv 4{TIMES}4 /2"
    assert architecture.read_blocks(decoder)[-1].extras == ("tanh",)


def test_a_dense_start_pooling_and_a_model_within_a_model_are_read():
    start = [layers.Dense(128, "relu"), layers.Reshape((4, 4, 8)), layers.BatchNormalization()]
    end = [layers.Conv2DTranspose(1, 4, 2), layers.GlobalAveragePooling2D(), layers.Dense(1)]
    inner = keras.Sequential([keras.Input((100,)), *start, *end])
    inputs = keras.Input((100,))
    for model in (inner, keras.Model(inputs, inner(inputs))):
        blocks = architecture.read_blocks(model)
        assert [block.kind for block in blocks] == ["dense", "convT", "other", "dense"]
        assert [block.shape for block in blocks] == [(4, 4, 8), (10, 10, 1), (1,), (1,)]
        assert blocks[0].extras == ("ReLU", "BN")


def test_anogan_is_drawn_with_a_discriminator_that_answers_logits_alone():
    _, decoder, judge = models(32)
    judge = keras.Model(judge.inputs, judge.outputs[1])
    figure = architecture.anogan_architecture(decoder, judge, "t", CAPTION)
    assert shapes_of(judge) <= set(texts_of(figure))
