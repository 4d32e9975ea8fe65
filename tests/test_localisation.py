"""Where the defect is: pixel AUROC and PRO against cases reckoned by hand."""

import numpy as np
import pytest
from scipy import ndimage

from ganlib.errors import GanlibError
from ganlib.localisation import pixel_auroc, pro


def two_regions():
    """One image of 5x5 pixels: a region of four, one of a single pixel, 20 normal pixels."""
    mask = np.zeros((1, 5, 5), bool)
    mask[0, :2, :2] = mask[0, 4, 4] = True
    return mask


def test_pixel_auroc_counts_pairs_of_pixels_of_all_images():
    masks = np.array([[[1, 0]], [[1, 0]]], bool)
    heat = np.array([[[0.9, 0.2]], [[0.5, 0.7]]])
    assert pixel_auroc(masks, heat) == 3 / 4  # only 0.5 lies below 0.7


def test_a_small_region_counts_as_much_as_a_large_one():
    masks = two_regions()
    heat = np.zeros((1, 5, 5))
    heat[0, :2, :2] = 1.0  # the large one is found, the small one is as cold as the normal pixels
    # The curve goes up to 1/2 at once and then straight to (1, 1).
    assert pro(masks, heat) == pytest.approx((0.3 * 0.5 + 0.3 * 0.15 / 2) / 0.3)
    assert pro(masks, heat, limit=1.0) == pytest.approx(0.75)
    assert pixel_auroc(masks, heat) == pytest.approx((4 + 1 / 2) / 5)
    heat[0, 4, 4] = 2.0
    assert pro(masks, heat) == pytest.approx(1.0)


def test_half_of_a_region_is_half_an_overlap():
    masks = two_regions()
    heat = np.zeros((1, 5, 5))
    heat[0, 0, :2] = heat[0, 4, 4] = 1.0
    heat[0, 2, :4] = 0.5  # four of 20 normal pixels before the rest
    # 3/4 up to a false share of 0.2, then straight to (1, 1).
    expected = 0.2 * 0.75 + 0.1 * (0.75 + (0.75 + 0.25 * 0.1 / 0.8)) / 2
    assert pro(masks, heat) == pytest.approx(expected / 0.3)


def test_pixels_that_touch_at_a_corner_are_one_region():
    masks = np.zeros((1, 6, 6), bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 2, 2] = True
    masks[0, 5, 5] = True
    heat = np.zeros((1, 6, 6))
    heat[0, 5, 5] = 1.0
    assert pro(masks, heat) == pytest.approx((0.3 * 0.5 + 0.3 * 0.15 / 2) / 0.3)


def test_guessing_gives_half_the_limit():
    for limit in (0.1, 0.3, 1.0):
        assert pro(two_regions(), np.ones((1, 5, 5)), limit) == pytest.approx(limit / 2)
    assert pixel_auroc(two_regions(), np.ones((1, 5, 5))) == 0.5


def test_defects_that_are_found_only_at_the_limit_count_for_nothing():
    heat = np.zeros((1, 5, 5))
    heat[0, 2, :] = heat[0, 3, 0] = 1.0  # six of 20 normal pixels, just the limit of 0.3
    heat[two_regions()] = 0.5
    assert pro(two_regions(), heat) == pytest.approx(0.0)


def test_it_is_the_overlap_at_every_threshold():
    """The same number the slow way, with images without a defect among the others."""
    random = np.random.default_rng(0)
    masks = ndimage.binary_dilation(random.random((6, 16, 16)) > 0.98)
    masks[2] = False
    heat = np.round(random.random(masks.shape) + 0.5 * masks, 2)  # with ties
    regions = [
        (image, labelled == number)
        for image, labelled in enumerate(ndimage.label(mask, np.ones((3, 3)))[0] for mask in masks)
        for number in range(1, labelled.max() + 1)
    ]
    points = [(0.0, 0.0)]
    for threshold in np.unique(heat)[::-1]:
        found = heat >= threshold
        overlap = np.mean([found[image][region].mean() for image, region in regions])
        points.append((found[~masks].mean(), overlap))
    false, overlaps = np.array(points).T
    grid = np.linspace(0, 0.3, 300001)
    assert pro(masks, heat) == pytest.approx(np.interp(grid, false, overlaps).mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("masks", "heat", "limit", "message"),
    [
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), 0.3, "0 of 4 pixels are of a defect"),
        (np.ones((1, 2, 2)), np.zeros((1, 2, 2)), 0.3, "4 of 4 pixels"),
        (np.eye(2)[None], np.zeros((1, 2, 3)), 0.3, r"\(1, 2, 2\) and .* \(1, 2, 3\) do not match"),
        (np.eye(2), np.eye(2), 0.3, "do not match: expected"),
        (np.eye(2)[None], np.full((1, 2, 2), np.nan), 0.3, "not finite"),
        (np.eye(2)[None], np.zeros((1, 2, 2)), 0.0, "limit is 0"),
    ],
)
def test_what_cannot_be_judged_is_refused(masks, heat, limit, message):
    with pytest.raises(GanlibError, match=message):
        pro(masks, heat, limit)
    if limit:
        with pytest.raises(GanlibError, match=message):
            pixel_auroc(masks, heat)
