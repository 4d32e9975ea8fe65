import numpy as np
from drawn import (
    CAPTION,
    HISTORY,
    SIX_KINDS,
    complexity,
    draw,
    levels,
    lines_of,
    score_panel,
    texts_of,
)
from matplotlib.colors import to_hex

from ganlib import figures
from ganlib.figures import style

RED = figures.GROUP_COLOURS["train normal"]


def panels_of(history):
    """The values drawn under each title, and the epochs of the last line."""
    panels = {}
    for axes in figures.training_curves(history, "t", CAPTION).axes:
        lines = axes.get_lines()
        panels[axes.get_title(loc="left")] = [line.get_ydata().tolist() for line in lines]
    return panels, axes.get_lines()[-1].get_xdata().tolist()


def test_comparable_losses_share_a_panel_and_those_of_a_search_are_medians_of_groups():
    players, *others = HISTORY["generator_loss"], HISTORY["discriminator_loss"]
    panels, epochs = panels_of(HISTORY)
    assert panels == {
        "generator and discriminator": [players, *others],
        "contextual loss": [HISTORY["contextual_loss"]],
        "encoder loss": [HISTORY["encoder_loss"]],
    }
    assert epochs == [1, 2, 3]
    history = {"discriminator_loss": [0.6, 0.7], "generator_loss": [55.0, 40.0], "loss": [3, 2]}
    panels, epochs = panels_of(history | {"val_loss": [2, 1], "epoch": [5, 10]})
    assert panels["generator loss"] == [[55, 40]]
    assert panels["loss and val"] == [[3, 2], [2, 1]]
    assert epochs == [5, 10]
    losses = np.tile(np.arange(1.0, 12.0), (3, 2))
    losses[:, 11:] *= 10
    groups = ["test normal"] * 11 + ["test anomaly"] * 11
    (axes,) = figures.search_loss(losses, groups, "t", CAPTION, steps=[0, 50, 100]).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    for name, median in (("test normal (11 images)", 6), ("test anomaly (11 images)", 60)):
        assert lines[name].get_xydata().tolist() == [[x, median] for x in (0, 50, 100)]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (2, 10)


def scatter(panel):
    (axes,) = figures.score_scatter({"A": panel}, "t", CAPTION, {"A": 0.5}).axes
    return axes, {points.get_gid(): points for points in axes.collections if points.get_gid()}


def test_scatter_holds_each_score_in_its_groups_colour_and_counts_few_extreme_ones():
    panel, end = score_panel(), 0
    _, points = scatter(panel)
    assert list(points) == list(figures.GROUP_COLOURS)
    for group, colour in figures.GROUP_COLOURS.items():
        x, y = points[group].get_offsets().T
        np.testing.assert_allclose(y, panel.loc[panel["group"] == group, "score"])
        assert to_hex(points[group].get_facecolor()[0]) == colour
        assert end < x.min()  # one group after another
        assert np.all(np.diff(x) > 0)
        end = x.max()
    for outliers, hidden in (([], 0), ([500, 9000], 2), ([500] * 5, 0)):
        axes, points = scatter(score_panel(outliers))
        y = points["test anomaly"].get_offsets()[:, 1]
        assert len(y) == 60 + len(outliers)
        assert y.max() < axes.get_ylim()[1]
        assert (y > 100).sum() == len(outliers) - hidden
        words = [text.get_text() for text in axes.texts]
        assert words == ([f"{hidden} above,\nup to 9,000"] if hidden else [])


def test_histogram_counts_every_image_and_is_red_below_the_threshold():
    distances = {"paper": np.array([0, 0, 1, 9.99, 10, 30.0]), "grouped": np.array([10, 11, 40.0])}
    figure = figures.distance_histogram(distances, "t", CAPTION, threshold=10.0)
    for axes, near, far in zip(figure.axes, (4, 0), (2, 3), strict=True):
        red = [bar for bar in axes.patches if to_hex(bar.get_facecolor()) == RED]
        assert sum(bar.get_height() for bar in red) == near
        assert sum(bar.get_height() for bar in axes.patches) == near + far
        ends = [bar.get_x() + bar.get_width() for bar in red if bar.get_height()]
        assert all(end <= 10 + 1e-9 for end in ends)
        assert f"{near} of {near + far} nearer than the threshold" in texts_of(figure)
    figure = figures.score_histogram({"good": np.arange(10.0)}, 7.0, "t", CAPTION)
    assert "3 of 10 at or above the threshold" in texts_of(figure)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 10


def test_roc_of_a_perfect_and_a_reversed_score_and_every_image_by_its_complexity():
    labels = np.array([0, 0, 0, 1])
    methods = {"perfect": (labels, [1, 2, 3, 4]), "reversed": (labels, [4, 3, 2, 1])}
    figure = figures.roc_and_precision_recall(methods, "t", CAPTION)
    for axes, (merit, worst) in zip(figure.axes, (("AUROC", 0), ("AP", 0.25)), strict=True):
        words = [text.get_text() for text in axes.texts[:2]]  # best first, right of the ends
        assert words == [f"perfect\n{merit} 1.000", f"reversed\n{merit} {worst:.3f}"]
        assert axes.texts[0].get_position()[0] > 1
    chance = [line for line in figure.axes[1].get_lines() if line.get_label() == "chance"]
    assert {tuple(line.get_ydata()) for line in chance} == {(0.25, 0.25)}
    panel, (axes,) = complexity(SIX_KINDS), draw("score_against_complexity, six kinds").axes
    drawn = {points.get_gid(): points for points in axes.collections}
    for kind, part in panel.groupby("kind"):
        values = part[["complexity", "score"]]
        np.testing.assert_allclose(drawn[kind].get_offsets(), values)
        np.testing.assert_allclose(drawn[f"{kind} median"].get_offsets(), [values.median()])
    few = style.kind_looks(["normal", "stain", "blowhole"])
    assert few == style.kind_looks(["blowhole", "stain"])  # whatever comes first
    assert len(set(style.kind_looks(SIX_KINDS).values())) == len(SIX_KINDS)
    assert "(b) GANomaly, scaled to 0..1" in texts_of(draw("score_scatter"))


def test_levels_of_a_factor_are_full_where_they_differ_and_the_answer_stands_above():
    figure = draw("levels_of_factor")
    for axes in figure.axes:
        assert [len(lines_of(axes, gid)) for gid in ("same", "differs")] == [4, 2]
        _, *answers = axes.get_title("left").split("\n")
        assert answers == [f"{each}: 128 lower than 64" for each in ("paper", "grouped")]
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["32", "64", "128"]
    drawn = sorted(line.get_ydata()[0] for line in lines_of(figure.axes[0], "differs"))
    table = levels().query("dataset == 'casting' and level == 128")
    np.testing.assert_allclose(drawn, sorted(table["auroc"]))
    few = levels().assign(verdict=["unclear: 1 of 3 seeds", np.nan, "unclear: 1 of 3 seeds"] * 4)
    figure = figures.levels_of_factor(few, "t", CAPTION)
    assert "paper: too few results to tell" in figure.axes[0].get_title("left")
    assert not lines_of(figure.axes[0], "differs")
