import functools
import math

import keras
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import (
    CAPTION,
    assert_title_and_caption,
    assert_words_apart,
    images_of,
    pictures,
    random,
    texts_of,
)
from keras import layers
from matplotlib.colors import to_hex
from PIL import Image

from ganlib import figures
from ganlib.figures import architecture


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# Data


def score_panel(train=50, outliers=()):
    rng = random()
    anomalies = np.concatenate([rng.gamma(4, 1, 60), outliers])
    parts = {
        "train normal": rng.gamma(4, 0.5, train),
        "test normal": rng.gamma(4, 0.5, 20),
        "test anomaly": anomalies,
    }
    return pd.concat(
        [pd.DataFrame({"group": group, "score": scores}) for group, scores in parts.items()],
        ignore_index=True,
    )


def pairs(n=3, channels=1):
    return {
        kind: (pictures(n, channels=channels), 255 - pictures(n, channels=channels), np.arange(n))
        for kind in ("normal", "anomaly")
    }


def residuals(scale=1.0, channels=1):
    rng = random()
    return {
        kind: (
            pictures(2, channels=channels),
            (rng.random((2, 16, 16, channels)) * scale * factor).astype("float32"),
        )
        for kind, factor in (("normal", 10), ("anomaly", 100))
    }


def curves(n):
    rng = random()
    labels = np.repeat([0, 1], 50)
    return {f"method {i}": (labels, rng.normal(size=100) + labels * i / 3) for i in range(n)}


HISTORY = {
    "generator_loss": [1.0, 1.2, 1.1],
    "discriminator_loss": [0.7, 0.6, 0.65],
    "adversarial_loss": [0.3, 0.2, 0.1],
    "contextual_loss": [1.0, 0.1, 0.001],
    "encoder_loss": [0.5, 0.4, 0.3],
}


def trunk(side, channels, width):
    inputs = keras.Input((side, side, channels))
    x = layers.Conv2D(width, 4, 2, "same", use_bias=False)(inputs)
    x = layers.LeakyReLU(0.2)(x)
    for _ in range(int(math.log2(side)) - 3):
        width *= 2
        x = layers.Conv2D(width, 4, 2, "same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.LeakyReLU(0.2)(x)
    return inputs, x


@functools.cache
def encoder(side=64, channels=1, width=4, latent=100):
    inputs, x = trunk(side, channels, width)
    return keras.Model(inputs, layers.Reshape((latent,))(layers.Conv2D(latent, 4)(x)))


@functools.cache
def discriminator(side=64, channels=1, width=4):
    inputs, x = trunk(side, channels, width)
    return keras.Model(inputs, [x, layers.Reshape((1,))(layers.Conv2D(1, 4)(x))])


@functools.cache
def decoder(side=64, channels=1, width=4, latent=100, dense=False):
    inputs = keras.Input((latent,))
    steps = int(math.log2(side)) - 3
    width *= 2**steps
    if dense:
        x = layers.Reshape((4, 4, width))(layers.Dense(16 * width)(inputs))
    else:
        x = layers.Reshape((1, 1, latent))(inputs)
        x = layers.Conv2DTranspose(width, 4, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for _ in range(steps):
        width //= 2
        x = layers.Conv2DTranspose(width, 4, 2, "same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(channels, 4, 2, "same", activation="tanh")(x)
    return keras.Model(inputs, x)


def draw_anogan(title="t", caption=CAPTION, **size):
    return architecture.anogan_architecture(decoder(**size), discriminator(**size), title, caption)


def draw_ganomaly(title="t", caption=CAPTION, **size):
    return architecture.ganomaly_architecture(
        encoder(**size), decoder(**size), encoder(**size), discriminator(**size), title, caption
    )


DRAW = {
    "score_scatter": lambda t, c: figures.score_scatter(
        {"AnoGAN": score_panel(), "GANomaly": score_panel(outliers=[500.0])},
        t,
        c,
        {"AnoGAN": 0.612, "GANomaly": 0.934},
    ),
    "reconstructions": lambda t, c: figures.reconstructions(
        {"AnoGAN": pairs(), "GANomaly": pairs()}, t, c
    ),
    "residual_images": lambda t, c: figures.residual_images(
        {"AnoGAN": residuals(), "GANomaly": residuals(0.5)}, t, c
    ),
    "roc_and_precision_recall": lambda t, c: figures.roc_and_precision_recall(curves(9), t, c),
    "training_curves": lambda t, c: figures.training_curves(HISTORY, t, c),
    "samples_over_epochs": lambda t, c: figures.samples_over_epochs(
        pictures(6).reshape(2, 3, 16, 16, 1), [1, 20], t, c
    ),
    "search_loss": lambda t, c: figures.search_loss(
        random().random((5, 6)) + 0.1,
        ["test normal", "test anomaly"] * 3,
        t,
        c,
        steps=[0, 10, 20, 30, 40],
    ),
    "image_grid": lambda t, c: figures.image_grid(
        pictures(10, channels=3), [f"image {i}" for i in range(10)], t, c
    ),
    "anogan_architecture": draw_anogan,
    "ganomaly_architecture": draw_ganomaly,
}


# What holds for every figure


@pytest.mark.parametrize("name", DRAW)
def test_title_and_caption_stand_in_the_figure_whole(name):
    title, caption = "A title of the figure", " ".join(["source, profile, seed 7;"] * 30)
    figure = DRAW[name](title, caption)
    assert_title_and_caption(figure, title, caption)


@pytest.mark.parametrize("name", DRAW)
def test_no_words_lie_over_other_words_or_outside(name):
    figure = DRAW[name]("A title", CAPTION)
    assert_words_apart(figure)


@pytest.mark.parametrize("name", ["score_scatter", "anogan_architecture"])
def test_an_unchanged_figure_is_an_unchanged_file(name, tmp_path):
    contents = []
    for folder in ("one", "two"):
        paths = figures.save(DRAW[name]("t", CAPTION), tmp_path / folder / "figure-0.5")
        contents.append([path.read_bytes() for path in paths])
        assert [path.name for path in paths] == ["figure-0.5.png", "figure-0.5.pdf"]
    assert contents[0] == contents[1]
    assert b"CreationDate" not in contents[0][1]


def test_save_writes_150_dots_an_inch_and_leaves_nothing_else(tmp_path):
    figure = DRAW["image_grid"]("t", CAPTION)
    png, _ = figures.save(figure, tmp_path / "new" / "folder" / "grid")
    with Image.open(png) as image:
        assert image.width >= 150 * figure.get_size_inches()[0]
    assert sorted(path.name for path in png.parent.iterdir()) == ["grid.pdf", "grid.png"]


def test_a_save_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    figure = DRAW["image_grid"]("t", CAPTION)
    png, _ = figures.save(figure, tmp_path / "grid")
    before = png.read_bytes()

    def half(path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        figures.save(figure, tmp_path / "grid")
    assert png.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_drawing_leaves_matplotlib_as_it_was():
    before = dict(plt.rcParams)
    DRAW["score_scatter"]("t", CAPTION)
    assert dict(plt.rcParams) == before


# Score scatter


def drawn_points(axes):
    return {points.get_gid(): points for points in axes.collections if points.get_gid()}


def test_scatter_holds_each_score_in_its_groups_colour():
    panel = score_panel()
    figure = figures.score_scatter({"AnoGAN": panel}, "t", CAPTION, {"AnoGAN": 0.5})
    points = drawn_points(figure.axes[0])
    assert set(points) == set(figures.GROUP_COLOURS)
    ends = []
    for group, colour in figures.GROUP_COLOURS.items():
        x, y = points[group].get_offsets().T
        np.testing.assert_allclose(y, panel.loc[panel["group"] == group, "score"])
        assert to_hex(points[group].get_facecolor()[0]) == colour
        assert np.all(np.diff(x) > 0)
        ends.append((x.min(), x.max()))
    # One group after another.
    assert ends[0][1] < ends[1][0] < ends[1][1] < ends[2][0]


def test_scatter_shows_an_extreme_score_at_the_edge_and_counts_it():
    panel = score_panel(outliers=[500.0, 9000.0])
    figure = figures.score_scatter({"GANomaly": panel}, "t", CAPTION, {"GANomaly": 0.5})
    axes = figure.axes[0]
    points = drawn_points(axes)
    assert len(points["test anomaly"].get_offsets()) == 60
    assert len(points["test anomaly above"].get_offsets()) == 2
    assert axes.get_ylim()[1] < 100
    assert "2 above,\nup to 9,000" in texts_of(figure)


def test_scatter_hides_nothing_without_extreme_scores():
    figure = figures.score_scatter({"AnoGAN": score_panel()}, "t", CAPTION, {"AnoGAN": 0.5})
    assert not any("above" in name for name in drawn_points(figure.axes[0]))


def test_scatter_clips_no_more_than_a_twentieth_of_a_group():
    panel = score_panel(outliers=np.full(5, 500.0))
    figure = figures.score_scatter({"AnoGAN": panel}, "t", CAPTION, {"AnoGAN": 0.5})
    assert len(drawn_points(figure.axes[0])["test anomaly"].get_offsets()) == 65


def test_scatter_writes_the_auroc_that_it_is_given():
    # 0.123 is not the AUROC of these scores: the figure must not compute one.
    panels = {"AnoGAN": score_panel(), "GANomaly": score_panel()}
    figure = figures.score_scatter(panels, "t", CAPTION, {"AnoGAN": 0.123, "GANomaly": 0.9876})
    texts = texts_of(figure)
    assert {"AUROC 0.123", "AUROC 0.988", "(a) AnoGAN", "(b) GANomaly"} <= set(texts)


# Images


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstruction_stands_to_the_right_of_its_image(channels):
    panel = pairs(n=2, channels=channels)
    figure = figures.reconstructions({"AnoGAN": panel}, "t", CAPTION)
    drawn = [image.get_array() for image, _, _ in images_of(figure)]
    assert len(drawn) == 8
    for kind, at in (("normal", 0), ("anomaly", 4)):
        for i in range(2):
            np.testing.assert_array_equal(drawn[at + 2 * i], panel[kind][0][i].squeeze())
            np.testing.assert_array_equal(drawn[at + 2 * i + 1], panel[kind][1][i].squeeze())
    places = images_of(figure)
    for (_, left, low), (_, right, low_too) in zip(places[::2], places[1::2], strict=True):
        assert left < right
        assert low == low_too


def test_grey_levels_are_never_stretched():
    dim = np.full((1, 8, 8, 1), 100, np.uint8)
    figure = figures.image_grid(dim, None, "t", CAPTION)
    ((image, _, _),) = images_of(figure)
    assert image.get_clim() == (0, 255)


def test_scores_are_written_under_the_pairs():
    panel = pairs(n=1)
    panel["anomaly"] = (*panel["anomaly"][:2], np.array([12.3456]))
    assert "score 12.3" in texts_of(figures.reconstructions({"A": panel}, "t", CAPTION))


def test_residuals_of_a_method_share_one_scale():
    panels = {"AnoGAN": residuals(1.0, channels=3), "GANomaly": residuals(0.25, channels=3)}
    figure = figures.residual_images(panels, "t", CAPTION)
    shown = [image for image, _, _ in images_of(figure) if image.get_cmap().name == "magma"]
    assert len(shown) == 8
    scales = [image.get_clim() for image in shown]
    assert len(set(scales[:4])) == 1
    assert len(set(scales[4:])) == 1
    assert scales[0][0] == 0
    assert scales[4][1] == pytest.approx(scales[0][1] / 4)
    expected = panels["AnoGAN"]["normal"][1][0].mean(axis=-1)
    np.testing.assert_allclose(shown[0].get_array(), expected, rtol=1e-5)
    # One bar a method says what the colours mean.
    assert texts_of(figure).count("grey levels") == 2


def test_residuals_of_a_perfect_reconstruction_are_black():
    nothing = {
        kind: (pictures(2), np.zeros((2, 16, 16, 1), "float32")) for kind in ("normal", "anomaly")
    }
    figure = figures.residual_images({"A": nothing}, "t", CAPTION)
    for image, _, _ in images_of(figure):
        if image.get_cmap().name == "magma":
            assert image.norm(image.get_array()).max() == 0


def test_samples_have_a_row_per_epoch_and_a_column_per_latent_vector():
    samples = pictures(6).reshape(2, 3, 16, 16, 1)
    figure = figures.samples_over_epochs(samples, [1, 20], "t", CAPTION)
    places = images_of(figure)
    assert len({round(low, 6) for _, _, low in places}) == 2
    assert len({round(left, 6) for _, left, _ in places}) == 3
    assert {"epoch 1", "epoch 20"} <= set(texts_of(figure))
    np.testing.assert_array_equal(places[4][0].get_array(), samples[1, 1, ..., 0])


def test_gallery_has_at_most_eight_images_in_a_row():
    figure = figures.image_grid(pictures(10), [f"image {i}" for i in range(10)], "t", CAPTION)
    rows = [round(low, 6) for _, _, low in images_of(figure)]
    assert [rows.count(row) for row in dict.fromkeys(rows)] == [8, 2]
    assert "image 9" in texts_of(figure)


# Charts


def test_roc_of_a_perfect_and_of_a_reversed_score():
    labels = np.array([0, 0, 1, 1])
    figure = figures.roc_and_precision_recall(
        {"perfect": (labels, [1, 2, 3, 4]), "reversed": (labels, [4, 3, 2, 1])}, "t", CAPTION
    )
    texts = " ".join(texts_of(figure))
    assert "perfect: AUROC 1.000, AP 1.000" in texts
    assert "reversed: AUROC 0.000" in texts


def test_nine_roc_curves_differ_without_their_colour():
    figure = figures.roc_and_precision_recall(curves(9), "t", CAPTION)
    lines = [line for line in figure.axes[0].get_lines() if line.get_label() != "chance"]
    looks = {(line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(lines) == len(looks) == 9
    assert len({to_hex(line.get_color()) for line in lines}) == 9


def test_chance_in_precision_is_the_share_of_anomalies():
    labels = np.array([0, 0, 0, 1])
    figure = figures.roc_and_precision_recall({"A": (labels, np.arange(4))}, "t", CAPTION)
    (chance,) = [line for line in figure.axes[1].get_lines() if line.get_label() == "chance"]
    assert list(chance.get_ydata()) == [0.25, 0.25]


def drawn_panels(figure):
    return {
        axes.get_title(loc="left"): [line.get_ydata().tolist() for line in axes.get_lines()]
        for axes in figure.axes
        if axes.get_visible()
    }


def test_every_loss_is_drawn_and_only_comparable_ones_share_a_panel():
    panels = drawn_panels(figures.training_curves(HISTORY, "t", CAPTION))
    assert panels.pop("generator and discriminator") == [
        HISTORY["generator_loss"],
        HISTORY["discriminator_loss"],
    ]
    assert panels == {
        name.replace("_", " "): [HISTORY[name]]
        for name in ("adversarial_loss", "contextual_loss", "encoder_loss")
    }


def test_a_generator_loss_of_another_size_gets_its_own_panel():
    history = {"discriminator_loss": [0.6, 0.7], "generator_loss": [55.0, 40.0]}
    panels = drawn_panels(figures.training_curves(pd.DataFrame(history), "t", CAPTION))
    assert set(panels) == {"generator loss", "discriminator loss"}


def test_epochs_count_from_one_or_as_the_history_says():
    for history, expected in (
        ({"loss": [3, 2]}, [1, 2]),
        ({"epoch": [5, 10], "loss": [3, 2]}, [5, 10]),
    ):
        axes = figures.training_curves(history, "t", CAPTION).axes[0]
        assert axes.get_lines()[0].get_xdata().tolist() == expected


def test_search_loss_draws_median_and_middle_of_each_group():
    losses = np.tile(np.arange(1.0, 12.0), (3, 2))
    losses[:, 11:] *= 10
    groups = ["test normal"] * 11 + ["test anomaly"] * 11
    figure = figures.search_loss(losses, groups, "t", CAPTION, steps=[0, 50, 100])
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    medians = {
        line.get_label(): line for line in axes.get_lines() if line.get_label().startswith("test")
    }
    normal = medians["test normal (11 images)"]
    assert normal.get_ydata().tolist() == [6, 6, 6]
    assert normal.get_xdata().tolist() == [0, 50, 100]
    assert medians["test anomaly (11 images)"].get_ydata().tolist() == [60, 60, 60]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (2, 10)


# Architectures


def labels_of(*models):
    """The shapes after each convolution, read without the code under test."""
    return {
        "\N{MULTIPLICATION SIGN}".join(map(str, layer.output.shape[1:]))
        for model in models
        for layer in model.layers
        if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose)
    }


@pytest.mark.parametrize("draw", [draw_anogan, draw_ganomaly])
@pytest.mark.parametrize(("side", "channels"), [(32, 1), (128, 3), (256, 1)])
def test_architecture_shows_the_models_shapes_at_every_size(draw, side, channels):
    size = {"side": side, "channels": channels}
    figure = draw(**size)
    texts = set(texts_of(figure))
    assert labels_of(decoder(**size), discriminator(**size)) <= texts
    assert f"{side}\N{MULTIPLICATION SIGN}{side}\N{MULTIPLICATION SIGN}{channels}" in texts
    assert_words_apart(figure)


def test_architecture_changes_with_the_model():
    narrow, wide = (set(texts_of(draw_ganomaly(width=width))) for width in (4, 8))
    assert "32\N{MULTIPLICATION SIGN}32\N{MULTIPLICATION SIGN}4" in narrow
    assert "32\N{MULTIPLICATION SIGN}32\N{MULTIPLICATION SIGN}4" not in wide
    assert "32\N{MULTIPLICATION SIGN}32\N{MULTIPLICATION SIGN}8" in wide


def test_architecture_counts_the_parameters():
    generator, judge = decoder(), discriminator()
    text = " ".join(texts_of(architecture.anogan_architecture(generator, judge, "t", CAPTION)))
    assert f"generator, {generator.count_params():,} parameters" in text
    assert f"discriminator, {judge.count_params():,} parameters" in text


def test_ganomaly_writes_the_weights_of_its_losses():
    models = encoder(), decoder(), encoder(), discriminator()
    figure = architecture.ganomaly_architecture(*models, "t", CAPTION, weights=(2, 30, 0.5))
    texts = " ".join(texts_of(figure))
    for term in (r"$2\cdot L_{adv}", r"$30\cdot L_{con}", r"$0.5\cdot L_{enc}"):
        assert term in texts


def test_blocks_hold_what_follows_a_convolution():
    blocks = architecture.read_blocks(discriminator(side=16, channels=3))
    assert [block.shape for block in blocks] == [(8, 8, 4), (4, 4, 8), (1, 1, 1)]
    assert [block.extras for block in blocks] == [("LeakyReLU",), ("BN", "LeakyReLU"), ()]
    assert [block.is_feature for block in blocks] == [False, True, False]
    assert blocks[0].operation == "conv 4\N{MULTIPLICATION SIGN}4 /2"
    assert architecture.read_blocks(decoder(side=16))[-1].extras == ("tanh",)


def test_a_dense_start_and_a_model_within_a_model_are_read():
    inner = decoder(side=16, dense=True)
    inputs = keras.Input((100,))
    for model in (inner, keras.Model(inputs, inner(inputs))):
        blocks = architecture.read_blocks(model)
        assert [block.kind for block in blocks] == ["dense", "convT", "convT"]
        assert [block.shape for block in blocks] == [(4, 4, 8), (8, 8, 4), (16, 16, 1)]


def test_anogan_is_drawn_with_a_discriminator_that_answers_logits_alone():
    judge = discriminator()
    judge = keras.Model(judge.inputs, judge.outputs[1])
    figure = architecture.anogan_architecture(decoder(), judge, "t", CAPTION)
    assert labels_of(judge) <= set(texts_of(figure))


def test_pooling_is_a_block_of_its_own():
    inputs, x = trunk(16, 1, 4)
    x = layers.Dense(1)(layers.GlobalAveragePooling2D()(x))
    blocks = architecture.read_blocks(keras.Model(inputs, x))
    assert [block.kind for block in blocks] == ["conv", "conv", "other", "dense"]
    assert blocks[2].shape == (8,)
