"""From scores to tables: every number against one reckoned by hand or by another way."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ganlib import comparison, evaluation
from ganlib.errors import GanlibError


def scored(seed=0, shift=1.0, normals=60, anomalies=40, calibration=0, clusters=None):
    """One run: anomalies of two kinds, "faint" (half the shift) and "strong"."""
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [normals, anomalies])
    kinds = np.where(labels == 0, "normal", np.resize(["faint", "strong"], len(labels)))
    scores = random.normal(size=len(labels)) + shift * np.where(kinds == "faint", 0.5, labels)
    test = pd.DataFrame({"label": labels, "kind": kinds, "score": scores, "role": "test"})
    kept = pd.DataFrame({"score": random.normal(size=calibration), "role": "calibration"})
    kept = kept.assign(label=0, kind="normal")
    table = pd.concat([kept, test], ignore_index=True)
    return table.assign(cluster=np.arange(len(table)) if clusters is None else clusters)


def run(method, family, seed, protocol="paper", **numbers):
    return {
        "dataset": "casting", "source": "kaggle", "protocol": protocol, "family": family,
        "method": method, "seed": seed, "folder": f"{protocol}-{method}-{seed}", "n_train": 100,
        "n_test_normal": 60, "n_test_anomaly": 40, "train_seconds": 1.0 + seed,
        "score_ms_per_image": 2.0, **numbers,
    }  # fmt: skip


@pytest.fixture
def runs():
    """Two GANs and two baselines, three seeds each, of different quality."""
    quality = {"AnoGAN": 0.5, "GANomaly": 2.0, "PCA": 1.0, "grey histogram": 0.2}
    lines, tables = [], {}
    for method, shift in quality.items():
        family = "GAN" if method.endswith(("GAN", "omaly")) else "baseline"
        for seed in range(3):
            line = run(method, family, seed)
            tables[line["folder"]] = scored(seed + 10, shift)
            test = tables[line["folder"]]
            lines.append({**line, "auroc": roc_auc_score(test["label"], test["score"])})
    return pd.DataFrame(lines), tables


def test_merits_judge_all_and_each_kind_on_test_images_alone():
    table = scored(calibration=30)
    merits = comparison.merits(table).set_index("kind")
    assert list(merits.index) == ["all", "faint", "strong"]
    test = table[table["role"] == "test"]
    for kind in merits.index:
        rows = test if kind == "all" else test[test["kind"].isin(["normal", kind])]
        line = merits.loc[kind]
        assert line["auroc"] == pytest.approx(roc_auc_score(rows["label"], rows["score"]))
        assert line["auroc_low"] < line["auroc"] < line["auroc_high"]
        assert line["n_test_normal"] == 60
        assert line["n_test_anomaly"] == (40 if kind == "all" else 20)
    one_kind = comparison.merits(table.replace({"kind": {"faint": "strong"}}))
    assert one_kind["kind"].tolist() == ["all"]


def test_merits_draw_near_duplicates_together():
    table = scored()
    width = comparison.merits(table).iloc[0][["auroc_low", "auroc_high"]].diff().iloc[-1]
    four = pd.concat([table] * 4, ignore_index=True)
    copied = comparison.merits(four).iloc[0][["auroc_low", "auroc_high"]].diff().iloc[-1]
    assert copied == pytest.approx(width, rel=0.05)
    alone = comparison.merits(four.assign(cluster=range(len(four))))
    assert alone.iloc[0][["auroc_low", "auroc_high"]].diff().iloc[-1] < 0.6 * width


def test_summary_is_mean_and_sd_over_seeds_beside_the_published(runs):
    lines, tables = runs
    summary = comparison.summarise(lines, tables).set_index("method")
    for method, same in lines.groupby("method"):
        line = summary.loc[method]
        assert line["auroc"] == pytest.approx(same["auroc"].mean())
        assert line["sd"] == pytest.approx(np.std(same["auroc"], ddof=1))
        assert line["low"] < line["auroc"] < line["high"]
        assert (line["n_seeds"], line["train_seconds"]) == (3, 2.0)
        assert line["seeds"] == same["auroc"].round(4).tolist()
    assert summary["published"].drop(["PCA", "grey histogram"]).to_dict() == {
        "AnoGAN": 0.552,
        "GANomaly": 0.907,
    }
    assert summary.loc[["PCA", "grey histogram"], "published"].isna().all()


def test_published_figures_are_held_against_the_protocol_paper_alone(runs):
    lines, tables = runs
    summary = comparison.summarise(lines.assign(protocol="grouped"), tables)
    assert summary["published"].isna().all()


def test_differences_ask_the_two_questions(runs):
    lines, tables = runs
    table = comparison.differences(lines, tables).set_index("question")
    means = lines.groupby("method")["auroc"].mean()
    first, second = table.loc["GANomaly or AnoGAN"], table.loc["best GAN or best baseline"]
    assert first["difference"] == pytest.approx(means["GANomaly"] - means["AnoGAN"])
    assert (second["a"], second["b"]) == ("GANomaly", "PCA")
    assert second["difference"] == pytest.approx(means["GANomaly"] - means["PCA"])
    for line in (first, second):
        assert line["low"] < line["difference"] < line["high"]
        assert (line["p_value"] < 0.05) == (line["low"] > 0 or line["high"] < 0)
    assert first["p_value"] < 0.01


def test_one_seed_over_seeds_is_the_interval_of_the_run():
    table = scored()
    found = evaluation.over_seeds([table])
    low, high = evaluation.auroc_interval(table["label"], table["score"], table["cluster"])
    assert (found["low"], found["high"]) == (low, high)
    other = scored(1, 0.2)
    pair = evaluation.over_seeds([table], [other])
    expected = evaluation.paired_difference(
        table["label"], table["score"], other["score"], table["cluster"]
    )
    assert pair == {"value": expected.pop("difference"), **expected}


def test_training_again_on_the_same_test_images_makes_no_interval_narrower():
    table = scored()
    once, thrice = (evaluation.over_seeds([table] * n) for n in (1, 3))
    assert thrice == pytest.approx(once, abs=1e-9)


def test_other_test_images_do_make_it_narrower():
    tables = [
        scored(seed).assign(cluster=lambda t, s=seed: t["cluster"] + 1000 * s) for seed in range(4)
    ]
    widths = [
        found["high"] - found["low"]
        for found in (evaluation.over_seeds(tables[:1]), evaluation.over_seeds(tables))
    ]
    assert widths[1] < 0.65 * widths[0]


def test_over_seeds_against_a_plain_loop():
    """Two runs that share some clusters; draws of clusters written out image by image."""
    tables = [scored(0, clusters=np.arange(100) // 5), scored(1, clusters=10 + np.arange(100) // 5)]
    others = [table.assign(score=table["score"].to_numpy()[::-1]) for table in tables]
    found = evaluation.over_seeds(tables, others, resamples=4000)
    random = np.random.default_rng(5)
    pools = [
        np.unique(np.concatenate([t.loc[t["label"] == label, "cluster"] for t in tables]))
        for label in (1, 0)
    ]
    values = []
    for _ in range(500):
        drawn = [random.choice(pool, len(pool)) for pool in pools]
        total = pairs = 0.0
        for table, other in zip(tables, others, strict=True):
            members = [
                np.concatenate(
                    [
                        np.flatnonzero((table["label"] == label) & (table["cluster"] == c))
                        for c in of
                    ]
                ).astype(int)
                for label, of in zip((1, 0), drawn, strict=True)
            ]
            n = len(members[0]) * len(members[1])
            for sign, each in ((1, table), (-1, other)):
                kept = each.iloc[np.concatenate(members)]
                total += sign * n * roc_auc_score(kept["label"], kept["score"]) if n else 0.0
            pairs += n
        values.append(total / pairs)
    expected = np.percentile(values, [2.5, 97.5])
    assert (found["low"], found["high"]) == pytest.approx(expected, abs=0.04)


def test_methods_with_other_test_images_are_not_compared():
    others = [scored(), scored(normals=40, anomalies=60)]
    with pytest.raises(GanlibError, match="Run 2 of the two methods has not the same test images"):
        evaluation.over_seeds([scored(), scored()], others)


def test_thresholds_come_from_held_out_normals_and_are_judged_on_test_images(runs):
    lines, _ = runs
    lines = lines.iloc[:2]
    tables = {lines["folder"].iloc[0]: scored(), lines["folder"].iloc[1]: scored(calibration=99)}
    rates = comparison.threshold_rates(lines, tables)
    assert set(rates["seed"]) == {1}  # the other run holds nothing out
    assert rates["rule"].tolist() == ["quantile", "deviations", "tail", "best accuracy"]
    assert rates["oracle"].tolist() == [False, False, False, True]
    table = tables[lines["folder"].iloc[1]]
    held_out = np.sort(table.loc[table["role"] == "calibration", "score"])
    quantile = rates.iloc[0]
    assert quantile["threshold"] == pytest.approx(
        held_out[94], abs=1e-5
    )  # ceil(100 * .95) th of 99
    test = table[table["role"] == "test"]
    called = test["score"] >= quantile["threshold"]
    assert quantile["false_alarm_rate"] == pytest.approx(called[test["label"] == 0].mean())
    assert quantile["detection_rate"] == pytest.approx(called[test["label"] == 1].mean())
    # No label of a test image reaches a threshold: upside down they stay where they are.
    turned = {f: t.assign(label=1 - t["label"]) for f, t in tables.items()}
    others = comparison.threshold_rates(lines, turned)
    assert others["threshold"][:3].tolist() == rates["threshold"][:3].tolist()
    assert others["threshold"][3] != rates["threshold"][3]


def test_percentiles_are_among_the_test_normals():
    table = scored(normals=4, anomalies=2, calibration=5)
    table["score"] = [9, 9, 9, 9, 9, 1, 2, 3, 4, 8, 2.5]
    assert comparison.percentiles(table, pd.Series([8, 2.5, 1])) == [
        "above 100 % of the normals",
        "above 50 % of the normals",
        "above 0 % of the normals",
    ]
