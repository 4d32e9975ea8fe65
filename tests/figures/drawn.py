"""What the tests of figures share: made-up images, and reading what is drawn."""

import itertools

import matplotlib

matplotlib.use("Agg")

import numpy as np

CAPTION = "Casting, profile quick, seed 7."


def random():
    return np.random.default_rng(0)


def pictures(n=4, side=16, channels=1):
    return random().integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def images_of(figure):
    """The images drawn, with their left and bottom edge in the figure."""
    return [
        (axes.images[0], axes.get_position().x0, axes.get_position().y0)
        for axes in figure.axes
        if axes.images
    ]


def assert_title_and_caption(figure, title, caption):
    assert figure.get_suptitle() == title
    (small_print,) = [text for text in figure.texts if text.get_gid() == "caption"]
    assert " ".join(small_print.get_text().split()) == caption
    box = small_print.get_window_extent(figure.canvas.get_renderer())
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y0 >= 0
    # Jupyter cuts a figure down to this; the hundredth of a pixel is for rounding.
    shown = figure.get_tightbbox().transformed(figure.dpi_scale_trans).padded(0.01)
    for text in figure.texts:
        box = text.get_window_extent(figure.canvas.get_renderer())
        assert shown.x0 <= box.x0 <= box.x1 <= shown.x1
        assert shown.y0 <= box.y0 <= box.y1 <= shown.y1


def unseen_ticks(figure):
    """The labels of ticks beyond an axis's ends, which matplotlib holds but does not draw."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    yield tick.label1
                    yield tick.label2


def assert_words_apart(figure):
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    unseen = set(unseen_ticks(figure))
    boxes = [
        (text.get_text(), text.get_window_extent(renderer).padded(-1))
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text().strip() and text not in unseen
    ]
    # Ticks of hidden axes, such as a gallery's, have no width.
    boxes = [(words, box) for words, box in boxes if box.width > 0]
    for words, box in boxes:
        assert box.x0 > -1, words
        assert box.x1 < figure.bbox.width + 1, words
    for (words, box), (others, other) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other), (words, others)
