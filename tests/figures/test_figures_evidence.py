"""The figures that say what a comparison is worth: leaks, intervals, thresholds, failures."""

import math

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
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from ganlib import figures

RED = figures.GROUP_COLOURS["train normal"]
DASH = "\N{EN DASH}"
SIX_KINDS = ["blowhole", "scratch", "shrinkage", "chipped_edge", "stain", "normal"]
METHODS = {
    "AnoGAN": "GAN",
    "GANomaly": "GAN",
    "mean brightness": "baseline",
    "grey histogram": "baseline",
    "nearest neighbour": "baseline",
    "PCA": "baseline",
    "untrained GANomaly": "baseline",
    "autoencoder": "baseline",
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def lines_of(axes, gid):
    return [line for line in axes.get_lines() if line.get_gid() == gid]


def points_of(axes, gid):
    """The (x, y) of the symbols with a gid, from top to bottom."""
    found = [(line.get_xdata(), line.get_ydata()) for line in lines_of(axes, gid)]
    pairs = [(float(np.ravel(x)[0]), float(np.ravel(y)[0])) for x, y in found]
    return sorted(pairs, key=lambda pair: pair[1])


# Data


def strips():
    """A test image that is a training image, one that is near, one that is far; then two far."""
    images, others = pictures(3), 255 - pictures(3)
    others[1] = images[1]
    return {
        "paper": (images, others, np.array([20.0, 0.0, 3.25])),
        "grouped": (images[:2], 255 - images[:2], np.array([15.0, 17.5])),
    }


def forest():
    rng, rows = random(), []
    for dataset in ("casting", "cloud"):
        for protocol in ("paper", "grouped"):
            for method, family in METHODS.items():
                auroc = rng.uniform(0.3, 0.99)
                published = 0.907 if family == "GAN" and protocol == "paper" else np.nan
                rows.append((dataset, protocol, method, family, auroc, published))
    columns = ["dataset", "protocol", "method", "family", "auroc", "published"]
    table = pd.DataFrame(rows, columns=columns)
    seeds = [
        [a - 0.01, a + 0.01] if f == "GAN" else [a]
        for a, f in zip(table["auroc"], table["family"], strict=True)
    ]
    return table.assign(low=table["auroc"] - 0.05, high=table["auroc"] + 0.01, seeds=seeds)


def rates():
    rules = ["quantile 5 %", "mean + 3 sd", "tail 5 %", "best accuracy"]
    table = pd.DataFrame(
        [(d, m, r) for d in ("casting", "cloud") for m in ("AnoGAN", "GANomaly") for r in rules],
        columns=["dataset", "method", "rule"],
    )
    table["false_alarm_rate"] = np.linspace(0.004, 0.31, len(table))
    table["detection_rate"] = np.linspace(0.05, 0.98, len(table))
    for rate in ("false_alarm", "detection"):
        table[f"{rate}_low"] = table[f"{rate}_rate"] * 0.9
        table[f"{rate}_high"] = table[f"{rate}_rate"] * 1.01
    table["oracle"] = table["rule"] == "best accuracy"
    table["asked"] = np.where(table["rule"].str.contains("5 %"), 0.05, np.nan)
    return table


def by_kind():
    table = pd.DataFrame(
        [
            (dataset, kind, method, n)
            for dataset, kind, n in (
                ("cloud", "cloudy", 40),
                ("cloud", "partly_cloudy", 40),
                ("casting", "chipped_edge", 91),
            )
            for method in METHODS
        ],
        columns=["dataset", "kind", "method", "n"],
    )
    table["auroc"] = np.linspace(0.04, 0.98, len(table))
    return table.assign(low=table["auroc"] - 0.02, high=table["auroc"] + 0.02)


def complexity(kinds=("normal", "haze", "cloudy")):
    rng = random()
    return pd.concat(
        pd.DataFrame(
            {
                "kind": kind,
                "complexity": rng.normal(6000 - 1000 * i, 300, 31).round(),
                "score": rng.normal(5 - i, 0.5, 31),
            }
        )
        for i, kind in enumerate(kinds)
    )


def errors(n=3, channels=1, scale=1.0):
    rng = random()
    return {
        kind: (
            pictures(n, channels=channels),
            255 - pictures(n, channels=channels),
            (rng.random((n, 16, 16, channels)) * scale * factor).astype("float32"),
            np.arange(n) + factor,
            [f"partly cloudy, above {i} % of normals" for i in range(n)],
        )
        for kind, factor in (("false alarms", 100), ("misses", 10))
    }


def effects():
    presets = ["corrected", "E never trained, G_E twice", "cloud scaled by 31.5", "published"]
    table = pd.DataFrame(
        [(d, m, p) for d in ("casting", "cloud") for m in ("AnoGAN", "GANomaly") for p in presets],
        columns=["dataset", "method", "preset"],
    )
    table["difference"] = [0.0, -0.05, 0.03, -0.14] * 4
    table["auroc"] = 0.8 + table["difference"]
    table["low"], table["high"] = table["auroc"] - 0.02, table["auroc"] + 0.02
    table["difference_low"] = table["difference"] - 0.02
    table["difference_high"] = table["difference"] + 0.01
    corrected = table["preset"] == "corrected"
    table.loc[corrected, ["difference_low", "difference_high"]] = np.nan
    return table


def curves():
    rng = random()
    labels = np.repeat([0, 1], 50)
    return {method: (labels, rng.normal(size=100) + labels) for method in METHODS}


BASELINES = [method for method, family in METHODS.items() if family == "baseline"]
DRAW = {
    "leaks": lambda t, c: figures.leaks(
        strips(), t, c, {"paper": "64 of 262 identical, 250 nearer than the threshold"}, 10.0
    ),
    "distance_histogram": lambda t, c: figures.distance_histogram(
        {"paper": random().gamma(2, 3, 262), "grouped": 12 + random().gamma(2, 3, 80)}, t, c, 12.0
    ),
    "auroc_forest": lambda t, c: figures.auroc_forest(forest(), t, c),
    "auroc_forest of one panel": lambda t, c: figures.auroc_forest(
        forest().query("dataset == 'cloud' and protocol == 'paper' and family == 'GAN'"), t, c
    ),
    "threshold_rates": lambda t, c: figures.threshold_rates(rates(), t, c),
    "auroc_by_kind": lambda t, c: figures.auroc_by_kind(by_kind(), t, c),
    "score_against_complexity": lambda t, c: figures.score_against_complexity(
        {"AnoGAN": complexity(), "GANomaly": complexity(), "PCA": complexity()}, t, c
    ),
    "score_against_complexity of six kinds": lambda t, c: figures.score_against_complexity(
        {
            "PCA": complexity(
                ["blowhole", "scratch", "shrinkage", "chipped_edge", "stain", "normal"]
            )
        },
        t,
        c,
    ),
    "worst_errors": lambda t, c: figures.worst_errors(
        {"AnoGAN": errors(5), "GANomaly": errors(5)}, t, c
    ),
    "errata_effects": lambda t, c: figures.errata_effects(effects(), t, c),
    "roc_and_precision_recall": lambda t, c: figures.roc_and_precision_recall(
        curves(), t, c, baselines=BASELINES
    ),
}


# What holds for every figure


@pytest.mark.parametrize("name", DRAW)
def test_title_and_caption_stand_whole_and_no_words_lie_over_others(name):
    title, caption = "A title of the figure", " ".join(["source, profile, seed 7;"] * 30)
    figure = DRAW[name](title, caption)
    assert_words_apart(figure)
    assert_title_and_caption(figure, title, caption)


def test_drawing_leaves_matplotlib_and_the_table_as_they_were(tmp_path):
    before, table, kept = dict(plt.rcParams), forest(), forest()
    figure = figures.auroc_forest(table, "t", CAPTION)
    paths = figures.save(figure, tmp_path / "forest")
    assert all(path.stat().st_size > 10_000 for path in paths)
    assert dict(plt.rcParams) == before
    pd.testing.assert_frame_equal(table, kept)


# Leaks


def edges_of(figure):
    """Colour, width and line of the frame of each image, in the order of drawing."""
    found = []
    for axes in figure.axes:
        if axes.images:
            spine = axes.spines["left"]
            solid = spine.get_linestyle() in ("-", "solid")
            found.append((to_hex(spine.get_edgecolor()), spine.get_linewidth(), solid))
    return found


def test_leaks_are_drawn_from_nearest_to_farthest_above_their_training_image():
    figure = DRAW["leaks"]("t", CAPTION)
    images, nearest, _ = strips()["paper"]
    drawn = images_of(figure)
    assert len(drawn) == 2 * 3 + 2 * 2
    for place, i in enumerate([1, 2, 0]):
        (above, left, high), (below, left_too, low) = drawn[2 * place : 2 * place + 2]
        np.testing.assert_array_equal(above.get_array(), images[i, ..., 0])
        np.testing.assert_array_equal(below.get_array(), nearest[i, ..., 0])
        assert left == left_too
        assert high > low
    lefts = [left for _, left, _ in drawn[:6:2]]
    assert lefts == sorted(lefts)


def test_identical_images_have_a_thick_frame_and_near_ones_a_dashed_one():
    figure = DRAW["leaks"]("t", CAPTION)
    paper, grouped = edges_of(figure)[:6], edges_of(figure)[6:]
    assert [(colour, solid) for colour, _, solid in paper[::2]] == [
        (RED, True),
        (RED, False),
        ("#999999", True),
    ]
    assert paper[0][1] > paper[2][1] > paper[4][1]
    assert {colour for colour, *_ in grouped} == {"#999999"}
    texts = texts_of(figure)
    assert texts.count("identical") == 2  # once in the legend
    assert {"3.25", "20.0", "15.0", "17.5", "nearer than the threshold 10"} <= set(texts)
    assert "64 of 262 identical, 250 nearer than the threshold" in texts


def test_a_distance_of_zero_alone_is_not_called_identical():
    images = pictures(1)
    turned = images[:, ::-1]
    figure = figures.leaks({"paper": (images, turned, np.zeros(1))}, "t", CAPTION)
    assert texts_of(figure).count("identical") == 1  # the legend
    assert edges_of(figure)[0][0] == "#999999"


def test_histogram_counts_every_image_and_is_red_below_the_threshold():
    distances = {"paper": np.array([0, 0, 1, 9.99, 10, 30.0]), "grouped": np.array([10, 11, 40.0])}
    figure = figures.distance_histogram(distances, "t", CAPTION, threshold=10.0)
    for axes, near, far in zip(figure.axes, (4, 0), (2, 3), strict=True):
        bars = [(bar, to_hex(bar.get_facecolor())) for bar in axes.patches]
        red = [bar for bar, colour in bars if colour == RED]
        assert sum(bar.get_height() for bar in red) == near
        assert sum(bar.get_height() for bar, colour in bars if colour != RED) == far
        full = [bar for bar in red if bar.get_height()]
        assert all(bar.get_x() + bar.get_width() <= 10 + 1e-9 for bar in full)
    assert {"4 of 6 nearer than the threshold", "0 of 3 nearer than the threshold"} <= set(
        texts_of(figure)
    )


# AUROC of all methods


def test_forest_draws_each_value_in_its_panel_and_row():
    table = forest()
    figure = figures.auroc_forest(table, "t", CAPTION)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        f"{dataset}, protocol {protocol}"
        for dataset in ("casting", "cloud")
        for protocol in ("paper", "grouped")
    ]
    for axes, (_, part) in zip(
        figure.axes, table.groupby(["dataset", "protocol"], sort=False), strict=True
    ):
        gans, baselines = part[part["family"] == "GAN"], part[part["family"] == "baseline"]
        drawn = points_of(axes, "GAN")
        assert [x for x, _ in drawn] == pytest.approx(gans["auroc"].tolist())
        others = points_of(axes, "baseline")
        assert [x for x, _ in others] == pytest.approx(baselines["auroc"].tolist())
        assert max(y for _, y in drawn) < min(y for _, y in others)  # GANs come first
        intervals = [tuple(line.get_xdata()) for line in lines_of(axes, "interval")]
        assert intervals == list(zip(part["low"], part["high"], strict=True))
        dots = [line.get_xdata().tolist() for line in lines_of(axes, "seeds")]
        assert dots == [s if len(s) > 1 else [] for s in part["seeds"]]
        published = [x for x, _ in points_of(axes, "published") if not math.isnan(x)]
        assert published == ([0.907] * 2 if "paper" in axes.get_title(loc="left") else [])


def test_forest_marks_baselines_otherwise_and_writes_the_numbers():
    table = forest()
    first = table.iloc[0]
    figure = figures.auroc_forest(table, "t", CAPTION)
    (gan, *_), (baseline, *_) = (lines_of(figure.axes[0], f) for f in ("GAN", "baseline"))
    assert gan.get_marker() != baseline.get_marker()
    assert to_hex(gan.get_markerfacecolor()) != to_hex(baseline.get_markerfacecolor())
    interval = f"{first['low']:.3f}{DASH}{first['high']:.3f}".replace("0.", ".")
    texts = texts_of(figure)
    assert {"GANs", "baselines", f"{first['auroc']:.3f}", interval, "0.907"} <= set(texts)
    # Row names stand on the left panels only.
    assert texts.count("nearest neighbour") == 2


def test_forest_without_intervals_does_not_speak_of_them_and_shows_the_lowest_value():
    table = forest().head(2).assign(low=np.nan, high=np.nan, auroc=[0.2, 0.9])
    figure = figures.auroc_forest(table, "t", CAPTION)
    axes = figure.axes[0]
    assert lines_of(axes, "interval") == []
    assert not any("interval" in text for text in texts_of(figure))
    assert "baseline" not in texts_of(figure)
    assert axes.get_xlim()[0] < 0.19


def test_forest_writes_a_dash_where_one_row_lacks_its_interval():
    table = forest().head(2)
    table.loc[0, ["low", "high", "published"]] = np.nan
    figure = figures.auroc_forest(table, "t", CAPTION)
    assert texts_of(figure).count(DASH) == 2
    assert len(lines_of(figure.axes[0], "interval")) == 1


# Thresholds


def test_rates_of_each_rule_lie_in_their_panel():
    table = rates()
    figure = figures.threshold_rates(table, "t", CAPTION)
    assert len(figure.axes) == 4
    for i, dataset in enumerate(("casting", "cloud")):
        part = table[table["dataset"] == dataset]
        for axes, rate in zip(
            figure.axes[2 * i : 2 * i + 2], ("false_alarm", "detection"), strict=True
        ):
            fitted = [x for x, _ in points_of(axes, rate)]
            assert fitted == pytest.approx(part.loc[~part["oracle"], f"{rate}_rate"].tolist())
            oracles = [x for x, _ in points_of(axes, "oracle")]
            assert oracles == pytest.approx(part.loc[part["oracle"], f"{rate}_rate"].tolist())
            intervals = [tuple(line.get_xdata()) for line in lines_of(axes, "interval")]
            assert intervals == list(zip(part[f"{rate}_low"], part[f"{rate}_high"], strict=True))


def test_oracles_are_hollow_and_named_so_and_the_asked_rate_is_marked():
    figure = figures.threshold_rates(rates(), "t", CAPTION)
    false_alarms, detections = figure.axes[:2]
    for axes, rate in ((false_alarms, "false_alarm"), (detections, "detection")):
        assert {to_hex(p.get_markerfacecolor()) for p in lines_of(axes, "oracle")} == {"#ffffff"}
        assert {to_hex(p.get_markerfacecolor()) for p in lines_of(axes, rate)} != {"#ffffff"}
    texts = texts_of(figure)
    assert texts.count("best accuracy (oracle)") == 4
    assert "oracle: knows the test labels" in texts
    asked = [x for x, _ in points_of(false_alarms, "asked") if not math.isnan(x)]
    assert asked == [0.05] * 4
    assert lines_of(detections, "asked") == []
    assert "0.4 %" in texts
    assert "98 %" in texts


# Kinds of anomalies


def test_below_chance_is_hatched_and_of_another_colour():
    table = by_kind()
    figure = figures.auroc_by_kind(table, "t", CAPTION)
    cells = [p for p in figure.findobj(Rectangle) if p.get_gid() in ("cell", "below chance")]
    assert len(cells) == len(table)
    for cell, auroc in zip(cells, table["auroc"], strict=True):
        assert bool(cell.get_hatch()) == (auroc < 0.5)
        red, _, blue, _ = cell.get_facecolor()
        assert (red > blue) == (auroc < 0.5)
    texts = texts_of(figure)
    assert {f"{auroc:.3f}" for auroc in table["auroc"]} <= set(texts)
    assert {"partly cloudy (40)", "chipped edge (91)", "0.02" + DASH + "0.06"} <= set(texts)


def test_a_kind_that_a_method_was_not_tried_on_stays_empty():
    table = by_kind().drop(index=3)
    figure = figures.auroc_by_kind(table, "t", CAPTION)
    cells = [p for p in figure.findobj(Rectangle) if p.get_gid() in ("cell", "below chance")]
    assert len(cells) == len(table)


def test_complexity_shows_every_image_and_the_median_of_each_kind():
    panel = complexity()
    figure = figures.score_against_complexity({"PCA": panel}, "t", CAPTION)
    axes = figure.axes[0]
    drawn = {points.get_gid(): points.get_offsets() for points in axes.collections}
    for kind, part in panel.groupby("kind"):
        np.testing.assert_allclose(drawn[kind], part[["complexity", "score"]])
        middle = part[["complexity", "score"]].median().to_numpy()
        np.testing.assert_allclose(drawn[f"{kind} median"], middle[None])
    (corner,) = [patch for patch in axes.patches if patch.get_gid() == "simpler"]
    normal = panel.loc[panel["kind"] == "normal", ["complexity", "score"]].median()
    box = corner.get_bbox()
    assert (box.x1, box.y1) == pytest.approx(tuple(normal))
    assert (box.x0, box.y0) == (axes.get_xlim()[0], axes.get_ylim()[0])
    assert next(iter(drawn)) == "normal"


def test_kinds_differ_without_their_colour():
    panel = complexity(SIX_KINDS)
    figure = figures.score_against_complexity({"PCA": panel}, "t", CAPTION)
    medians = [p for p in figure.axes[0].collections if p.get_gid().endswith("median")]
    shapes = {p.get_paths()[0].vertices.round(3).tobytes() for p in medians}
    assert len(medians) == len(shapes) == 6


# Failures


@pytest.mark.parametrize("channels", [1, 3])
def test_worst_errors_stand_over_reconstruction_and_residual(channels):
    panel = errors(2, channels)
    figure = figures.worst_errors({"AnoGAN": panel}, "t", CAPTION)
    drawn = images_of(figure)
    pictures_drawn = [drawn[3 * i : 3 * i + 3] for i in range(4)]
    truth = [(kind, i) for kind in ("false alarms", "misses") for i in range(2)]
    lefts = []
    for columns, (kind, i) in zip(pictures_drawn, truth, strict=True):
        images, made, residuals, *_ = panel[kind]
        expected = (images[i].squeeze(), made[i].squeeze(), residuals[i].mean(axis=-1))
        for (image, *_), value in zip(columns, expected, strict=True):
            np.testing.assert_allclose(image.get_array(), value, rtol=1e-5)
        assert len({left for _, left, _ in columns}) == 1
        heights = [low for *_, low in columns]
        assert heights == sorted(heights, reverse=True)
        lefts.append(columns[0][1])
    assert lefts == sorted(lefts)
    texts = [" ".join(text.split()) for text in texts_of(figure)]
    assert "partly cloudy, above 1 % of normals" in texts
    assert {"100", "101", "10", "11"} <= set(texts)


def test_residuals_of_a_methods_errors_share_one_scale():
    panels = {"AnoGAN": errors(), "GANomaly": errors(scale=0.5)}
    figure = figures.worst_errors(panels, "t", CAPTION)
    scales = [i.get_clim() for i, *_ in images_of(figure) if i.get_cmap().name == "magma"]
    assert len(scales) == 12
    assert len(set(scales[:6])) == len(set(scales[6:])) == 1
    assert scales[6][1] == pytest.approx(scales[0][1] / 2)


def test_a_method_without_misses_is_drawn_without_them():
    panel = errors(2)
    del panel["misses"]
    figure = figures.worst_errors({"AnoGAN": panel, "GANomaly": errors(2)}, "t", CAPTION)
    assert len(images_of(figure)) == 3 * 2 + 3 * 4
    assert_words_apart(figure)


# Errata


def test_effects_are_changes_from_the_corrected_model():
    table = effects()
    figure = figures.errata_effects(table, "t", CAPTION)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["casting", "cloud"]
    for axes in figure.axes:
        assert [x for x, _ in points_of(axes, "cloud scaled by 31.5")] == [0.03, 0.03]
        assert [x for x, _ in points_of(axes, "published")] == [-0.14, -0.14]
        assert lines_of(axes, "corrected") == []  # it is the zero line
        assert len(lines_of(axes, "interval")) == 6
        low, high = axes.get_xlim()
        assert low < -0.16 < 0.04 < high
    alone, together = (
        lines_of(figure.axes[0], gid)[0] for gid in ("cloud scaled by 31.5", "published")
    )
    assert alone.get_marker() != together.get_marker()
    minus = "\N{MINUS SIGN}"
    texts = texts_of(figure)
    assert {f"{minus}0.050", "+0.030", "0.660", f"{minus}0.160 to {minus}0.130"} <= set(texts)
    assert texts.count("0.800") == 4


# ROC


def test_baselines_are_thinner_and_grey():
    figure = figures.roc_and_precision_recall(curves(), "t", CAPTION, baselines=BASELINES)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for method, family in METHODS.items():
        red, green, blue = (
            int(to_hex(lines[method].get_color())[i : i + 2], 16) for i in (1, 3, 5)
        )
        assert (red == green == blue) == (family == "baseline")
    widths = {
        family: {lines[m].get_linewidth() for m in METHODS if METHODS[m] == family}
        for family in ("GAN", "baseline")
    }
    assert max(widths["baseline"]) < min(widths["GAN"])
    looks = {(line.get_linestyle(), line.get_marker()) for line in lines.values()}
    assert len(looks) == len(METHODS) + 1
