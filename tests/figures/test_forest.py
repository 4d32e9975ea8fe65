import numpy as np
import pytest
from drawn import by_kind, draw, effects, forest, lines_of, on_sets, rates, texts_of, values_of
from matplotlib.colors import to_hex

from ganlib import figures

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def test_forest_draws_each_value_in_its_panel_and_row():
    figure, table = draw("auroc_forest"), forest()
    parts = table.groupby(["dataset", "protocol"], sort=False)
    for axes, ((dataset, protocol), part) in zip(figure.axes, parts, strict=True):
        assert axes.get_title(loc="left") == f"{dataset}, protocol {protocol}"
        ys = []
        for family in ("GAN", "baseline"):
            expected = part.loc[part["family"] == family, "auroc"]
            assert values_of(axes, family) == pytest.approx(list(expected))
            ys += [line.get_ydata()[0] for line in lines_of(axes, family)]
        assert ys == sorted(ys)  # GANs come first
        intervals = [tuple(line.get_xdata()) for line in lines_of(axes, "interval")]
        assert intervals == list(zip(part["low"], part["high"], strict=True))
        seeds = [list(line.get_xdata()) for line in lines_of(axes, "seeds")]
        assert seeds == [each if len(each) > 1 else [] for each in part["seeds"]]
        assert values_of(axes, "published") == [0.907] * 2 * (protocol == "paper")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    names = dict(zip(axes.get_yticks(), labels, strict=True))
    assert [names[y] for y in ys] == list(part["method"])
    first, texts = table.iloc[0], set(texts_of(figure))
    interval = f"{first['low']:.3f}{DASH}{first['high']:.3f}".replace("0.", ".")
    assert {"GANs", "baselines", f"{first['auroc']:.3f}", interval, "0.907"} <= texts


def test_thresholds_draw_rates_hollow_for_oracles_and_effects_are_changes():
    figure, table = draw("threshold_rates"), rates()
    for i, (_, part) in enumerate(table.groupby("dataset")):
        for axes, rate in zip(figure.axes[2 * i :], ("false_alarm", "detection"), strict=False):
            for gid, rows in ((rate, part[~part["oracle"]]), ("oracle", part[part["oracle"]])):
                assert values_of(axes, gid) == pytest.approx(list(rows[f"{rate}_rate"]))
            ends = np.array([line.get_xdata() for line in lines_of(axes, "interval")])
            np.testing.assert_allclose(ends, part[[f"{rate}_low", f"{rate}_high"]])
            hollow = {to_hex(line.get_markerfacecolor()) for line in lines_of(axes, "oracle")}
            assert hollow == {"#ffffff"}
            assert values_of(axes, "asked") == [0.05] * (rate == "false_alarm")  # a line
    assert {"best accuracy (oracle)", "0.4 %", "98 %"} <= set(texts_of(figure))
    figure, table = draw("errata_effects"), effects()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["casting", "cloud"]
    for axes in figure.axes:
        for preset, part in table[table["dataset"] == "casting"].groupby("preset"):
            changes = [] if preset == "corrected" else list(part["difference"])  # the zero line
            assert values_of(axes, preset) == changes
        intervals = [line.get_xdata() for line in lines_of(axes, "interval")]
        assert np.isfinite(intervals).all(axis=1).sum() == 6
        low, high = axes.get_xlim()
        assert low < -0.16 < 0.04 < high
    texts = texts_of(figure)
    assert texts.count("it is called as a global") == 4
    assert {f"{MINUS}0.050", "+0.030", "0.660", f"{MINUS}0.160 to {MINUS}0.130"} <= set(texts)


@pytest.mark.parametrize("missing", [[], [10]])
def test_kinds_below_chance_are_hatched(missing):
    table = by_kind().drop(index=missing)
    figure = figures.auroc_by_kind(table, "t", "c")
    cells = [axes.collections[0].get_array() for axes in figure.axes]
    values = np.concatenate([each.filled(np.nan).ravel() for each in cells])
    drawn = ~np.isnan(values)
    np.testing.assert_allclose(values[drawn], table["auroc"])
    hatched = [patch for axes in figure.axes for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == (table["auroc"] < 0.5).sum()
    texts = texts_of(figure)
    assert {f"{auroc:.3f}" for auroc in table["auroc"]} <= set(texts)
    assert {"partly cloudy (40)", "chipped edge (40)", f"0.02{DASH}0.06"} <= set(texts)


def test_methods_are_in_the_order_of_their_means_over_the_sets_that_tell():
    figure, table = draw("methods_on_sets"), on_sets()
    means = table.dropna(subset="auroc").groupby("method")["auroc"].mean().drop("PCA")
    means = means.sort_values(ascending=False)
    grid = np.array(figure.axes).reshape(4, 7)
    for axes in grid[[0, 2], 0]:  # repeated where a new row begins
        assert axes.get_title(loc="left") == "mean of 6"
        assert [each.get_text() for each in axes.get_yticklabels()] == [*means.index, "PCA"]
        np.testing.assert_allclose(values_of(axes, "mean"), means)
    assert {f"{value:.3f}" for value in means} <= set(texts_of(figure))
    for axes, (name, part) in zip(grid[[0, 2], 1:].flat, table.groupby("set"), strict=False):
        assert axes.get_title(loc="left") == name.replace("-", "\n")
        drawn = [*values_of(axes, "GAN"), *values_of(axes, "baseline")]
        assert sorted(drawn) == sorted(part["auroc"].dropna())
    assert [axes.get_visible() for axes in grid[3]] == [True] * 2 + [False] * 5
