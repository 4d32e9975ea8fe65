"""An image has one score, to the last bit: alone, in company, in any order, in any chunks.

For networks that holds on processors with AVX-512; on others their scores agree to 1e-5.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganlib.models import baselines
from ganlib.models.anogan import AnoGAN
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.fanogan import FAnoGAN
from ganlib.models.ganomaly import GANomaly

# Without AVX-512, convolutions round by an image's place in its batch.
CPU = Path("/proc/cpuinfo")
EXACT = CPU.is_file() and "avx512f" in CPU.read_text()
IMAGES = np.random.default_rng(0).integers(0, 256, (45, 32, 32, 3), dtype="uint8")
METHODS = [
    "AnoGAN",
    "AnoGAN leaving early",
    "FAnoGAN",
    "GANomaly l1",
    "GANomaly l2",
    "Autoencoder",
    "mean_brightness",
    "grey_histogram",
    "nearest_neighbour",
    "pca_reconstruction",
]


@pytest.fixture(scope="module")
def detectors():
    keras.utils.set_random_seed(0)
    # Lengths that no processor's registers divide: there the kinds of kernel differ most.
    sizes = {"image_size": 32, "channels": 3, "latent_dim": 13, "filters": 5}
    dcgan, gan, autoencoder = DCGAN(**sizes), GANomaly(**sizes), Autoencoder(**sizes)
    for model in (dcgan, gan, autoencoder):
        model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
        model.fit(IMAGES, batch_size=15, epochs=4, verbose=0)
    squared = GANomaly(**sizes, score="l2")
    squared.set_weights(gan.get_weights())
    networks = dcgan.generator, dcgan.discriminator
    leaving = AnoGAN(*networks, steps=10, batch_size=7, tolerance=0.02, round_steps=5)
    models = {
        "AnoGAN": AnoGAN(*networks, steps=8, batch_size=7),
        "AnoGAN leaving early": leaving,
        "FAnoGAN": FAnoGAN(*networks, filters=5),
        "GANomaly l1": gan,
        "GANomaly l2": squared,
        "Autoencoder": autoencoder,
    }
    found = {name: model.detect for name, model in models.items()}
    for name in METHODS[len(models) :]:
        found[name] = lambda images, name=name: getattr(baselines, name)(IMAGES[::2], images)
    return {name: (detect, detect(IMAGES)) for name, detect in found.items()}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(asked=st.data())
def test_a_score_has_the_same_bits_in_any_order_company_and_chunks(method, detectors, asked):
    detect, expected = detectors[method]
    rows = asked.draw(st.lists(st.integers(0, len(IMAGES) - 1), min_size=1, max_size=40))
    cuts = sorted(asked.draw(st.sets(st.integers(1, 40), max_size=3)))
    chunks = [chunk for chunk in np.split(np.array(rows), cuts) if len(chunk)]
    for values, parts in zip(
        expected, zip(*(detect(IMAGES[chunk]) for chunk in chunks), strict=True), strict=True
    ):
        found = np.concatenate(parts)
        if "_" not in method and not EXACT:  # a network's
            # A pixel half a grey level between two may be rounded either way.
            np.testing.assert_allclose(found, values[rows], rtol=1e-5, atol=found.ndim > 1)
        else:
            np.testing.assert_array_equal(found, values[rows])


@pytest.mark.parametrize("method", METHODS)
def test_one_image_alone_has_the_bits_that_it_has_among_all(method, detectors):
    detect, expected = detectors[method]
    alone = [detect(IMAGES[i : i + 1]).scores[0] for i in (0, 20, 44)]
    rounding = 0 if EXACT or "_" in method else 1e-5
    np.testing.assert_allclose(alone, expected.scores[[0, 20, 44]], rtol=rounding)
    assert len(np.unique(expected.scores)) > 20  # they tell images apart


def test_another_batch_size_changes_a_search_by_rounding_alone(detectors):
    anogan = detectors["AnoGAN"][0].__self__
    for batch_size in (1, 16):
        other = AnoGAN(anogan.generator, anogan.discriminator, steps=8, batch_size=batch_size)
        np.testing.assert_allclose(
            other.detect(IMAGES[:9]).scores, detectors["AnoGAN"][1].scores[:9], rtol=1e-5
        )
