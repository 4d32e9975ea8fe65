"""From scores to tables: every number against one worked by hand or in another way."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from ganlib import comparison, evaluation


def scored(seed=0, shift=1.0, normals=60, anomalies=40, calibration=0):
    """One run: anomalies of two kinds, "faint" (half the shift) and "strong"."""
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [normals, anomalies])
    kinds = np.where(labels == 0, "normal", np.resize(["faint", "strong"], len(labels)))
    scores = random.normal(size=len(labels)) + shift * np.where(kinds == "faint", 0.5, labels)
    test = pd.DataFrame({"label": labels, "kind": kinds, "score": scores, "role": "test"})
    held_out = pd.DataFrame({"score": random.normal(size=calibration), "role": "calibration"})
    table = pd.concat([held_out.assign(label=0, kind="normal"), test], ignore_index=True)
    return table.assign(cluster=np.arange(len(table)))


def add_runs(runs, tables, method, family, shift, seeds):
    for seed in seeds:
        folder = f"{method}-{seed}"
        tables[folder] = test = scored(seed + 10, shift)
        run = {
            "dataset": "casting", "source": "kaggle", "protocol": "paper", "family": family,
            "method": method, "seed": seed, "folder": folder, "n_train": 100, "n_test_normal": 60,
            "n_test_anomaly": 40, "train_seconds": 1.0 + seed, "score_ms_per_image": 2.0,
            "auroc": roc_auc_score(test["label"], test["score"]),
        }  # fmt: skip
        runs = pd.concat([runs, pd.DataFrame([run])], ignore_index=True)
    return runs


@pytest.fixture
def runs_and_tables():
    runs, tables = pd.DataFrame(), {}
    for method, family, shift in (
        ("AnoGAN", "GAN", 0.5),
        ("GANomaly", "GAN", 2.0),
        ("PCA", "baseline", 1.0),
        ("grey histogram", "baseline", 0.2),
    ):
        runs = add_runs(runs, tables, method, family, shift, range(3))
    return runs, tables


def test_merits_of_all_and_of_each_kind_on_test_images_alone():
    table = scored(calibration=30)
    table["cluster"] //= 3
    merits = comparison.merits(table).set_index("kind")
    assert list(merits.index) == ["all", "faint", "strong"]
    test = table[table["role"] == "test"]
    for kind in merits.index:
        rows = test if kind == "all" else test[test["kind"].isin(["normal", kind])]
        line, columns = merits.loc[kind], (rows["label"], rows["score"])
        assert line["auroc"] == pytest.approx(roc_auc_score(*columns))
        interval = evaluation.auroc_interval(*columns, rows["cluster"])  # near-duplicates together
        assert tuple(line[["auroc_low", "auroc_high"]]) == interval
        assert line["n_test_normal"] == 60
        assert line["n_test_anomaly"] == (40 if kind == "all" else 20)
    assert len(comparison.merits(table.replace({"kind": {"faint": "strong"}}))) == 1


def test_summary_is_over_seeds_and_differences_answer_two_questions(runs_and_tables):
    runs, tables = runs_and_tables
    summary = comparison.summarise(runs, tables).set_index("method")
    for method, same in runs.groupby("method"):
        line = summary.loc[method]
        assert line["auroc"] == pytest.approx(same["auroc"].mean())
        assert line["sd"] == pytest.approx(np.std(same["auroc"], ddof=1))
        assert line["low"] < line["auroc"] < line["high"]
        assert (line["n_seeds"], line["n_train"], line["train_seconds"]) == (3, 100, 2.0)
        assert line["seeds"] == same["auroc"].round(4).tolist()
    assert summary["published"].dropna().to_dict() == {"AnoGAN": 0.552, "GANomaly": 0.907}
    grouped = comparison.summarise(runs.assign(protocol="grouped"), tables)
    assert grouped["published"].isna().all()
    generated = comparison.summarise(runs.assign(source="generated"), tables)
    assert generated[["published", "published_on"]].isna().all(axis=None)
    runs, tables = runs_and_tables
    table = comparison.differences(runs, tables).set_index("question")
    means = runs.groupby("method")["auroc"].mean()
    first, second = table.loc["GANomaly or AnoGAN"], table.loc["best GAN or best baseline"]
    assert first["difference"] == pytest.approx(means["GANomaly"] - means["AnoGAN"])
    assert (second["a"], second["b"]) == ("GANomaly", "PCA")
    assert second["difference"] == pytest.approx(means["GANomaly"] - means["PCA"])
    for line in (first, second):
        assert line["low"] < line["difference"] < line["high"]
        assert (line["p_value"] < 0.05) == (line["low"] > 0 or line["high"] < 0)


def test_folds_are_merged_by_z_of_what_each_held_out():
    def fold(held_out, **tested):
        test = [("test", int(row[1:]), score) for row, score in tested.items()]
        held_out = [("calibration", 9, score) for score in held_out]
        return pd.DataFrame(held_out + test, columns=["role", "row", "score"])

    tables = {
        "one": fold([1, 2, 3, 4, 9], _7=3 + 1.4826, _8=3 + 3 * 1.4826),
        "other": fold([5, 5, 5]),
        "two": fold([10, 20, 30], _8=20 + 14.826, _2=20, _5=20 - 14.826),
    }
    runs = pd.DataFrame({"protocol": ["kfold-1", "grouped", "kfold-2"], "folder": list(tables)})
    runs = runs.assign(dataset="casting", method="PCA", seed=0)
    merged, scores = comparison.merge_folds(runs, tables)
    assert dict(merged[["folder", "protocol"]].to_numpy()) == {"one": "kfold", "other": "grouped"}
    assert scores["other"] is tables["other"]
    assert scores["one"]["row"].tolist() == [2, 5, 7, 8]
    assert scores["one"]["score"].tolist() == pytest.approx([0, -1, 1, 2])  # of 8: 3 and 1
    tables["two"] = fold([4, 4, 4], _2=5)  # no deviation
    assert comparison.merge_folds(runs, tables)[1]["one"]["score"].iloc[0] == 1


def test_differences_of_kfold_and_of_whatever_methods_there_are(runs_and_tables):
    runs, tables = runs_and_tables
    runs = runs.assign(protocol="kfold").replace({"method": {"PCA": "nearest neighbour"}})
    gan, simple = ([tables[f"{name}-{seed}"] for seed in range(3)] for name in ("GANomaly", "PCA"))
    line = comparison.summarise(runs, tables).set_index("method").loc["GANomaly"]
    assert line["high"] == evaluation.over_seeds(gan, draw_runs=True)["high"]
    assert line["pictures"] == "60 + 40"
    rows = comparison.differences(runs, tables).query("question == 'method or simple baseline'")
    pairs = rows[["a", "b"]].to_numpy().tolist()
    assert pairs == [[name, "nearest neighbour"] for name in ("AnoGAN", "GANomaly")]
    assert rows["high"].iloc[1] == evaluation.over_seeds(gan, simple, draw_runs=True)["high"]
    runs, tables = runs_and_tables
    runs = add_runs(runs, tables, "your own", "GAN", 4.0, [1])  # the best, but of one seed
    table = comparison.differences(runs[runs["method"] != "AnoGAN"], tables)
    assert table["question"].tolist() == ["best GAN or best baseline"]
    assert table[["a", "b"]].iloc[0].tolist() == ["your own", "PCA"]
    auroc = runs[runs["seed"] == 1].set_index("method")["auroc"]
    assert table["difference"][0] == pytest.approx(auroc["your own"] - auroc["PCA"])
    nothing = comparison.differences(runs[runs["method"] == "PCA"], tables)
    assert nothing.empty
    assert list(nothing) == list(table)


def test_thresholds_come_from_held_out_normals_and_are_applied_to_test_images(runs_and_tables):
    runs = runs_and_tables[0].iloc[:2]
    table = scored(calibration=99)
    tables = {"AnoGAN-0": scored(), "AnoGAN-1": table}
    rates = comparison.threshold_rates(runs, tables)
    assert set(rates["seed"]) == {1}  # the other run holds nothing out
    assert rates["rule"].tolist() == ["quantile", "deviations", "tail", "best accuracy"]
    assert rates["oracle"].tolist() == [False, False, False, True]
    held_out = np.sort(table.loc[table["role"] == "calibration", "score"])
    first, test = rates.iloc[0], table[table["role"] == "test"]
    assert first["threshold"] == pytest.approx(held_out[94], abs=1e-5)  # ceil(100 * .95)th of 99
    called = test["score"] >= first["threshold"]
    assert first["false_alarm_rate"] == pytest.approx(called[test["label"] == 0].mean())
    assert first["detection_rate"] == pytest.approx(called[test["label"] == 1].mean())
    # No label of a test image reaches a threshold: upside down they stay where they are.
    turned = {folder: t.assign(label=1 - t["label"]) for folder, t in tables.items()}
    others = comparison.threshold_rates(runs, turned)["threshold"]
    assert others[:3].tolist() == rates["threshold"][:3].tolist()


def test_percentiles_are_among_the_test_normals_and_complexity_is_the_size_of_the_png():
    table = scored(normals=4, anomalies=2, calibration=2)
    table["score"] = [9, 9, 1, 2, 3, 4, 8, 2.5]
    shares = [text.split()[1] for text in comparison.percentiles(table, pd.Series([8, 2.5, 1]))]
    assert shares == ["100", "50", "0"]
    for channels in (1, 3):  # complexity is the size of the PNG
        noise = np.random.default_rng(0).integers(0, 256, (32, 32, channels), dtype="uint8")
        sizes = comparison.image_complexity(np.stack([noise, np.full_like(noise, 90)]))
        file = io.BytesIO()
        Image.fromarray(noise.squeeze()).save(file, "PNG", compress_level=9)
        assert sizes[1] < sizes[0] == len(file.getvalue())
