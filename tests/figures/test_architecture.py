import keras
import pytest
from drawn import DECODER, DISCRIMINATOR, draw, texts_of

from ganlib.figures import architecture
from ganlib.models import networks

TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize("name", ["anogan_architecture", "ganomaly_architecture"])
def test_architecture_shows_shapes_parameters_and_weights_of_losses(name):
    text = " ".join(texts_of(draw(name)))
    for model in (DECODER, DISCRIMINATOR):
        assert f", {model.count_params():,} parameters" in text
        for layer in model.layers:  # without the code under test
            if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
                assert TIMES.join(map(str, layer.output.shape[1:])) in text
    for term in (r"$2\cdot L_{adv}", r"$30\cdot L_{con}", r"$0.5\cdot L_{enc}"):
        assert term in text or name == "anogan_architecture"


def test_blocks_hold_what_follows_a_convolution():
    blocks = architecture.read_blocks(DISCRIMINATOR)
    assert [block.shape for block in blocks] == [(16, 16, 4), (8, 8, 8), (4, 4, 16), (1, 1, 1)]
    rest = ("BN", "LeakyReLU")
    assert [block.extras for block in blocks] == [("LeakyReLU",), rest, rest, ()]
    assert [block.is_feature for block in blocks] == [False, False, True, False]
    assert blocks[0].operation == f"conv 4{TIMES}4 /2"
    assert architecture.read_blocks(DECODER)[-1].extras == ("tanh",)
    enlarging = architecture.read_blocks(networks.decoder(32, 1, 5, 2, "resize"))
    assert [block.shape for block in enlarging] == [(4, 4, 8), (8, 8, 4), (16, 16, 2), (32, 32, 1)]
    assert [block.operation for block in enlarging[1:]] == 3 * [f"up, conv 3{TIMES}3"]
