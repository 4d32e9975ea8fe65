"""What holds for every figure: words, files, style."""

import itertools

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from drawn import CAPTION, FIGURES, TITLE, draw, forest, pictures
from matplotlib.text import Text
from PIL import Image

from ganlib import figures


def unseen_ticks(figure):
    """The labels of ticks beyond an axis's ends, which matplotlib holds but does not draw."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


@pytest.mark.parametrize("name", FIGURES)
def test_title_caption_and_words_are_whole_inside_and_apart(name):
    figure = draw(name)
    figure.draw_without_rendering()
    assert figure.get_suptitle() == TITLE
    assert CAPTION in [" ".join(text.get_text().split()) for text in figure.texts]
    unseen = set(unseen_ticks(figure))
    boxes = {
        text: text.get_window_extent()
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in unseen
    }
    # Ticks of hidden axes, such as a gallery's, have no width.
    boxes = [(text.get_text(), box.padded(-1)) for text, box in boxes.items() if box.width > 0]
    # Jupyter cuts a figure down to this.
    page = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    for words, box in boxes:
        for edge in (figure.bbox, page):
            assert edge.x0 - 1 < box.x0 < box.x1 < edge.x1 + 1, words
            assert edge.y0 - 1 < box.y0 < box.y1 < edge.y1 + 1, words
    for (words, box), (others, other) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other), (words, others)


def test_generated_images_get_a_stripe_and_seeds_stay_on_one_line():
    for words in ("casting, Kaggle images", "GENERATED images (casting-like)"):
        caption = " · ".join([words, "x" * 110, "seeds 0 1 2"])
        figure = figures.image_grid(pictures(1), None, "t", caption)
        stripes = figure.findobj(lambda each: each.get_gid() == "generated")
        assert len(stripes) == words.startswith("GENERATED")
        said = " ".join(text.get_text() for text in figure.texts)
        assert ("these numbers are not about real ones" in said) == len(stripes)
        assert "seeds\xa00\xa01\xa02" in said


def test_the_same_figure_is_the_same_file_and_drawing_changes_nothing_else(tmp_path):
    contents = []
    for folder in ("one", "two"):
        figure = figures.image_grid(pictures(1), None, "t", "c")
        paths = figures.save(figure, tmp_path / folder / "figure-0.5")
        assert [path.name for path in paths] == ["figure-0.5.png", "figure-0.5.pdf"]
        assert len(list(paths[0].parent.iterdir())) == 2
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert b"CreationDate" not in contents[0][1]
    with Image.open(paths[0]) as image:
        assert image.width == 150 * figure.get_size_inches()[0]
    before, table = dict(plt.rcParams), forest()
    figures.auroc_forest(table, "t", CAPTION)
    assert dict(plt.rcParams) == before
    pd.testing.assert_frame_equal(table, forest())
