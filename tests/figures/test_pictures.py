import numpy as np
import pytest
from drawn import CAPTION, draw, errors, images_of, pairs, pictures, residuals, strips, texts_of

from ganlib import figures


def arrays_of(figure):
    """The pixels drawn, in rows from top to bottom, each from left to right."""
    rows = {}
    for image, left, low in images_of(figure):
        rows.setdefault(low, []).append((left, image.get_array()))
    rows = [sorted(rows[low], key=lambda each: each[0]) for low in sorted(rows, reverse=True)]
    return [[array for _, array in row] for row in rows]


def residuals_of(figure):
    return [image for image, *_ in images_of(figure) if image.get_cmap().name == "magma"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_reconstruction_is_right_of_its_image_over_its_score_and_not_stretched(channels):
    panel = pairs(2, channels)
    panel["anomaly"] = (*panel["anomaly"][:2], np.array([12.3456, 1234.5]))
    figure = figures.reconstructions({"AnoGAN": panel}, "t", CAPTION)
    for row, (images, made, _) in zip(arrays_of(figure), panel.values(), strict=True):
        expected = [images[0], made[0], images[1], made[1]]
        np.testing.assert_array_equal(row, [image.squeeze() for image in expected])
    assert {"score 0", "score 1", "score 12.3", "score 1,234"} <= set(texts_of(figure))
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


def test_residuals_are_means_over_channels_below_the_worst_errors_worst_first():
    panel, shown = residuals(channels=3), residuals_of(draw("residual_images"))[:4]
    expected = np.concatenate([rest.mean(axis=-1) for _, rest in panel.values()])
    np.testing.assert_allclose([image.get_array() for image in shown], expected, rtol=1e-5)
    panel, figure = errors(), draw("worst_errors")
    for place, row in enumerate(arrays_of(figure)[:3]):
        expected = np.concatenate([panel[kind][place][..., 0] for kind in panel])
        np.testing.assert_allclose(row, expected, rtol=1e-5)
    texts = [" ".join(text.split()) for text in texts_of(figure)]
    assert {"100", "101", "10", "11", "partly cloudy, above 1 % of normals"} <= set(texts)


def test_samples_have_a_row_per_epoch_and_leaks_are_above_their_training_image_nearest_first():
    figure = draw("samples_over_epochs")
    np.testing.assert_array_equal(arrays_of(figure), pictures(6).reshape(2, 3, 8, 8))
    assert {"epoch 1", "epoch 20"} <= set(texts_of(figure))
    images, nearest, _ = strips()["paper"]
    above, below, *_ = arrays_of(draw("leaks"))
    np.testing.assert_array_equal(above, images[[1, 2, 0], ..., 0])
    np.testing.assert_array_equal(below, nearest[[1, 2, 0], ..., 0])


def test_what_is_alike_for_every_z_or_image_is_called_mode_collapse():
    one, many = np.repeat(pictures(1) // 2, 3, axis=0), pictures(3)
    one += np.array([0, 40, 90], np.uint8)[:, None, None, None]  # brightness is no variety
    framed = (0.5 * many + 0.6 * one).astype("uint8")  # what they share is the lesser part
    for made, collapsed in ((one, True), (many, False), (framed, False)):
        figure = figures.samples_over_epochs(np.stack([one, made]), [1, 9], "t", CAPTION, many)
        assert ("Mode collapse" in figure.get_suptitle()) == collapsed
        kinds = {kind: (many, made, np.arange(3)) for kind in ("normal", "anomaly")}
        figure = figures.reconstructions({"A": kinds}, "t", CAPTION)
        assert any("mode collapse" in text for text in texts_of(figure)) == collapsed


def test_a_ring_is_around_the_outlined_defect_else_the_highest_residual():
    residuals, masks = np.zeros((2, 64, 64, 3), "f4"), np.zeros((2, 64, 64), bool)
    residuals[:, 50, 12] = 9
    masks[0, 10:21, 30:41] = True
    (x, y, radius, outlined), second = figures.spots(residuals, masks)
    assert (x, y, outlined) == (35, 15, 1)
    assert np.hypot(5, 5) < radius < 14  # all of it, and little more
    assert second.tolist()[:2] + second.tolist()[3:] == [12, 50, 0]
    figure = draw("reconstructions, ringed")
    rings = figure.findobj(lambda each: each.get_gid() == "ring")
    assert len(rings) == 2 * 2 * 2 * 3  # dark and bright, two methods, pairs, anomalies alone
    said = texts_of(figure)
    assert "ring: the defect, as outlined" in said
    assert "ring: the highest residual (no outline is known)" in said
