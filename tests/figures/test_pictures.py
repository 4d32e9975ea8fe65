import numpy as np
import pytest
from drawn import CAPTION, draw, errors, images_of, pairs, pictures, residuals, strips, texts_of
from matplotlib.colors import to_hex

from ganlib import figures

RED, GREY = figures.GROUP_COLOURS["train normal"], "#999999"


def residuals_of(figure):
    return [image for image, *_ in images_of(figure) if image.get_cmap().name == "magma"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_reconstruction_is_right_of_its_image_over_its_score(channels):
    panel = pairs(2, channels)
    panel["anomaly"] = (*panel["anomaly"][:2], np.array([12.3456, 1234.5]))
    figure = figures.reconstructions({"AnoGAN": panel}, "t", CAPTION)
    drawn = images_of(figure)
    expected = [
        x[i].squeeze()
        for images, made, _ in panel.values()
        for i in range(2)
        for x in (images, made)
    ]
    assert len(drawn) == len(expected)
    for (image, *_), value in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(image.get_array(), value)
    for (_, left, low), (_, right, low_too) in zip(drawn[::2], drawn[1::2], strict=True):
        assert left < right
        assert low == low_too
    assert {"score 0", "score 1", "score 12.3", "score 1,234"} <= set(texts_of(figure))


def test_grey_levels_are_never_stretched():
    dim = np.full((1, 8, 8, 1), 100, np.uint8)
    ((image, *_),) = images_of(figures.image_grid(dim, None, "t", CAPTION))
    assert image.get_clim() == (0, 255)


@pytest.mark.parametrize("name", ["residual_images", "worst_errors"])
def test_residuals_of_a_method_share_one_scale_with_one_bar(name):
    figure = draw(name)  # GANomaly's residuals are half as large
    scales = [image.get_clim() for image in residuals_of(figure)]
    first, second = scales[: len(scales) // 2], scales[len(scales) // 2 :]
    assert len(set(first)) == len(set(second)) == 1
    assert first[0][0] == 0
    assert second[0][1] == pytest.approx(first[0][1] / 2)
    assert texts_of(figure).count("grey levels") == 2


def test_residuals_are_means_over_the_channels():
    panel = residuals(channels=3)
    shown = residuals_of(figures.residual_images({"AnoGAN": panel}, "t", CAPTION))
    expected = np.concatenate([rest.mean(axis=-1) for _, rest in panel.values()])
    np.testing.assert_allclose([image.get_array() for image in shown], expected, rtol=1e-5)


def test_residuals_of_a_perfect_reconstruction_are_black():
    nothing = dict.fromkeys(("normal", "anomaly"), (pictures(2), np.zeros((2, 16, 16, 1), "f4")))
    for image in residuals_of(figures.residual_images({"A": nothing}, "t", CAPTION)):
        assert image.norm(image.get_array()).max() == 0


def test_worst_errors_are_over_reconstruction_and_residual_worst_first():
    panel = errors(2)
    figure = figures.worst_errors({"AnoGAN": panel}, "t", CAPTION)
    rows = {}
    for image, left, low in images_of(figure):
        rows.setdefault(low, []).append((left, image.get_array()))
    for (_, row), place in zip(sorted(rows.items(), reverse=True), range(3), strict=True):
        lefts, arrays = zip(*row, strict=True)
        assert list(lefts) == sorted(lefts)
        expected = np.concatenate([panel[kind][place][..., 0] for kind in panel])
        np.testing.assert_allclose(arrays, expected, rtol=1e-5)
    texts = [" ".join(text.split()) for text in texts_of(figure)]
    assert {"100", "101", "10", "11", "partly cloudy, above 1 % of normals"} <= set(texts)


def test_a_method_without_misses_is_drawn_without_them():
    panel = errors(2)
    del panel["misses"]
    figure = figures.worst_errors({"AnoGAN": panel, "GANomaly": errors(2)}, "t", CAPTION)
    assert len(images_of(figure)) == 3 * 2 + 3 * 4


def test_samples_have_a_row_per_epoch_and_a_column_per_latent_vector():
    figure, samples = draw("samples_over_epochs"), pictures(6).reshape(2, 3, 16, 16)
    places = images_of(figure)
    lefts = sorted({left for _, left, _ in places})
    lows = sorted({low for *_, low in places}, reverse=True)
    assert (len(lows), len(lefts)) == (2, 3)
    for image, left, low in places:
        expected = samples[lows.index(low), lefts.index(left)]
        np.testing.assert_array_equal(image.get_array(), expected)
    assert {"epoch 1", "epoch 20"} <= set(texts_of(figure))


def test_a_gallery_has_at_most_eight_images_in_a_row():
    rows = [low for *_, low in images_of(draw("image_grid"))]
    assert [rows.count(row) for row in dict.fromkeys(rows)] == [8, 2]


def test_leaks_are_drawn_from_nearest_to_farthest_above_their_training_image():
    images, nearest, _ = strips()["paper"]
    drawn = images_of(draw("leaks"))[:6]
    order = [1, 2, 0]
    for (above, left, high), (below, left_too, low), i in zip(
        drawn[:3], drawn[3:], order, strict=True
    ):
        np.testing.assert_array_equal(above.get_array(), images[i, ..., 0])
        np.testing.assert_array_equal(below.get_array(), nearest[i, ..., 0])
        assert left == left_too
        assert high > low
    assert drawn[0][1] < drawn[1][1] < drawn[2][1]


def edges_of(figure):
    """Colour, width and whether the line is whole, of the frame of each image."""
    spines = [axes.spines["left"] for axes in figure.axes if axes.images]
    lines = [(spine.get_linewidth(), spine.get_linestyle() in ("-", "solid")) for spine in spines]
    return [(to_hex(s.get_edgecolor()), *line) for s, line in zip(spines, lines, strict=True)]


def test_identical_images_have_a_thick_frame_and_near_ones_a_dashed_one():
    figure = draw("leaks")
    paper, grouped = edges_of(figure)[:6], edges_of(figure)[6:]
    assert [(c, whole) for c, _, whole in paper[:3]] == [(RED, True), (RED, False), (GREY, True)]
    assert paper[0][1] > paper[1][1] > paper[2][1]
    assert {colour for colour, *_ in grouped} == {GREY}
    texts = texts_of(figure)
    assert texts.count("identical") == 2  # once in the legend
    assert {"3.25", "20.0", "15.0", "17.5", "64 of 262 identical"} <= set(texts)


def test_a_distance_of_zero_alone_is_not_called_identical():
    images = pictures(1)
    figure = figures.leaks({"paper": (images, images[:, ::-1], np.zeros(1))}, "t", CAPTION)
    assert edges_of(figure)[0][0] == GREY
