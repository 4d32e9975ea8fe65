"""Heat maps over images: at the right place, in colours that mean the same on every image."""

import numpy as np
import pytest
from PIL import Image

from ganlib.data.images import decode
from ganlib.detector.heat import BEGINS, FULL, LINE, at_own_size, draw_heat, overlay


def test_colour_depends_on_the_heat_alone_from_where_it_begins_to_full_heat():
    image = np.full((4, 4, 1), 100, "uint8")
    mild, hot = np.zeros((2, 4, 4), "float32")
    mild[1, 1] = hot[1, 1] = 1.0
    hot[2, 2] = 50.0
    np.testing.assert_array_equal(overlay(image, mild)[1, 1], overlay(image, hot)[1, 1])
    assert (overlay(image, mild)[0, 0] == 100).all()
    image = np.random.default_rng(0).integers(0, 256, (3, 2, 3), dtype="uint8")
    np.testing.assert_array_equal(overlay(image, np.full((3, 2), BEGINS)), image)
    full, beyond = (overlay(image, np.full((3, 2), heat)) for heat in (FULL, 9.0))
    np.testing.assert_array_equal(full, beyond)
    expected = image + 0.75 * (np.array([225, 0, 30]) - image)
    assert np.abs(full - expected).max() <= 0.5
    assert (full[..., 0].astype(int) > full[..., 1]).all()  # red


@pytest.mark.parametrize(("side", "width", "flagged"), [(64, 1, False), (256, 2, True)])
def test_what_reaches_the_threshold_has_an_outline(side, width, flagged):
    heat, expected = np.full((side, side), 0.99), np.zeros((side, side), bool)
    heat[10:30, 20:50], expected[10:30, 20:50] = 1.0, True
    expected[10 + width : 30 - width, 20 + width : 50 - width] = False
    image = np.full((side, side, 1), 90, "uint8")
    lined = (overlay(image, heat, flagged) == LINE).all(axis=-1)
    np.testing.assert_array_equal(lined, expected)


def test_the_hottest_place_of_an_image_that_is_flagged_as_a_whole_has_an_outline():
    heat, image = np.full((64, 64), 0.1), np.full((64, 64, 1), 90, "uint8")
    heat[10:30, 20:50] = 0.4
    whole = overlay(image, 2.5 * heat)  # whose outline is the same, at 1
    for flagged, lined in ((True, (whole == LINE).all(axis=-1)), (False, np.zeros((64, 64), bool))):
        found = (overlay(image, heat, flagged) == LINE).all(axis=-1)
        np.testing.assert_array_equal(found, lined)
    assert not (overlay(image, np.zeros((64, 64)), flagged=True) == LINE).all(axis=-1).any()


@pytest.mark.parametrize("resize", ["letterbox", "crop", "squeeze"])
@pytest.mark.parametrize("size", [(120, 60), (60, 120), (90, 90)])
def test_the_heat_of_a_spot_lies_on_the_spot(tmp_path, size, resize):
    """A white spot is decoded to a square; brightness as heat must come back to where it was."""
    width, height = size
    left, top = width // 2 - 12, height // 2 + 4
    pixels = np.zeros((height, width), "uint8")
    pixels[top : top + 10, left : left + 10] = 255
    Image.fromarray(pixels).save(tmp_path / "spot.png")
    square = decode(tmp_path / "spot.png", 30, 1, resize)[..., 0].astype("float32")
    found = at_own_size(square, width, height, resize)
    assert found.shape == (height, width)
    rows, columns = np.indices(found.shape)
    centre = [(found * axis).sum() / found.sum() for axis in (rows, columns)]
    np.testing.assert_allclose(centre, [top + 4.5, left + 4.5], atol=1.0)
    assert found[top + 5, left + 5] > 150


def test_a_picture_has_its_own_size_as_viewers_show_it_and_the_words_below(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    Image.fromarray(np.full((100, 300), 90, "uint8")).save(tmp_path / "p.jpg", exif=exif)
    picture = draw_heat(tmp_path / "p.jpg", np.zeros((8, 8), "float32"), "letterbox", "")
    assert picture.width == 240  # as wide as words need; the image is 100 wide and 300 high
    assert picture.height > 300
    Image.fromarray(np.full((200, 400), 90, "uint8")).save(tmp_path / "part.png")
    heat = np.zeros((16, 16), "float32")
    picture = np.asarray(draw_heat(tmp_path / "part.png", heat, "squeeze", "score 0.5"))
    assert picture.shape[1] == 400 and picture.shape[0] > 200
    assert (picture[:200] == 90).all()
    below = picture[200:]
    assert below.max() == 255 and below.min() < 90  # dark words on white
    # The bar has the colors of the heat, from none to all, and the line where it is 1.
    bar = below[8, 6:-6].astype(int)
    assert (bar[0] == 160).all() and bar[-1, 0] > 200 > 80 > bar[-1, 1]
    assert np.flatnonzero((bar == LINE).all(axis=-1)) == pytest.approx([0.4 * len(bar)], abs=1)
    longer = draw_heat(tmp_path / "part.png", heat, "squeeze", "word " * 60)
    assert longer.height > picture.shape[0]
