"""Experiments: within their budget, nothing twice, no row for other settings; and the verdicts."""

import keras
import numpy as np
import pandas as pd
import pytest
from refusals import refused
from tiny import save_images

from ganlib import claims, experiments

SMALL = {"limit": 12, "filters": 4, "latent_dim": 6, "batch_size": 12, "search_batch_size": 16}
SMALL |= {"steps": 3, "dcgan_steps": 2, "search_steps": 2}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder of noise."""
    folder, random = tmp_path_factory.mktemp("images") / "parts", np.random.default_rng(0)
    for name, count in {"train/good": 24, "test/good": 6, "test/hole": 6}.items():
        save_images(folder / name, random.integers(0, 256, (count, 32, 32), "uint8"))
    return folder


@pytest.fixture
def plan(parts, tmp_path):
    def make(*questions, protocols=("paper",), seeds=(0,), runs="runs", searched=8, **overrides):
        folders = {"data_dir": parts.parent / "data", "runs_dir": tmp_path / runs}
        about = (list(questions), [str(parts)], protocols, seeds, "smoke", searched)
        return experiments.plan(*about, **folders, **{**SMALL, **overrides})

    return make


@pytest.fixture
def epochs(monkeypatch):
    """Count the epochs that are trained, of all models."""
    counted = []

    class Counting(keras.callbacks.LambdaCallback):
        def on_epoch_begin(self, epoch, logs=None):
            counted.append(epoch)

    monkeypatch.setattr(keras.callbacks, "LambdaCallback", Counting)
    return counted


def test_seeds_come_first_levels_take_turns_and_256_pixels_are_last(plan):
    cells = plan("size", "encoder", "contextual", protocols=("paper", "grouped"), seeds=(0, 1))
    sizes = [cell.settings.image_size for cell in cells]
    assert [size == 256 for size in sizes] == [False] * 40 + [True] * 4
    small = cells[:40]
    assert [cell.options["seed"] for cell in small] == [0] * 20 + [1] * 20
    assert [c.options["protocol"] for c in small[:20]] == ["paper"] * 10 + ["grouped"] * 10
    assert [c.question.name for c in cells[:6]] == ["size", "encoder", "contextual"] * 2
    # One factor differs, and the usual level is in every question the same training.
    usual = [cell for cell in small[:10] if cell.level == cell.usual]
    assert len(usual) == 3 and len({cell.file for cell in usual}) == 1
    assert len({cell.file for cell in small[:10]}) == 8
    refused("no question 'sizes': choose among size, channels", plan, "sizes")


def test_a_question_of_your_own_may_have_many_levels(plan, monkeypatch):
    widths = tuple(range(2, 9))
    own = claims.Question("width", "How wide?", "filters", widths, "the exercise")
    monkeypatch.setitem(claims.QUESTIONS, "width", own)
    levels = [cell.level for cell in plan("width", filters=16)]
    assert levels == [*widths, 16]  # and the usual one


def test_other_settings_or_code_have_other_rows(plan, monkeypatch):
    def files(**options):
        return [cell.file for cell in plan("encoder", "lambda", **options)]

    first, same = files(), files()
    assert first == same
    for change in ({"steps": 4}, {"limit": 11}, {"beta_1": 0.9}):
        searches = {file for file in first if file.name.startswith("anogan")}
        assert not (set(first) - searches) & set(files(**change)), change
    with monkeypatch.context() as patch:
        patch.setattr(experiments, "_CODE", ("data/*.py",))
        assert not set(first) & set(files())
    for change in ({"dcgan_steps": 3}, {"search_steps": 1}, {"searched": 7}):  # not GANomaly's
        assert set(first) & set(files(**change)) == set(first) - searches, change


def test_the_budget_ends_a_training_and_a_later_call_goes_on_with_it(plan, epochs, monkeypatch):
    cells = plan("encoder")[:2]  # three epochs each
    experiments.work(cells, 0)
    refused("No training has finished", experiments.read, cells)
    assert epochs == []
    clock, said = iter(range(1000)), []
    with monkeypatch.context() as patch:
        patch.setattr(experiments.time, "monotonic", lambda: next(clock))
        experiments.work(cells, 5 / 60, said.append)
    assert "not finished" in said[0] and "0 results are finished, 2 are missing" in said[-1]
    assert 0 < len(epochs) < 3
    experiments.work(cells, 60)
    assert epochs == [0, 1, 2, 0, 1, 2]
    experiments.work(cells, 60)
    assert len(epochs) == 6
    rows, scores = experiments.read(cells)
    assert rows["level"].tolist() == rows["encoder_weight"].tolist() == [0.0, 1.0]
    assert not list(cells[0].file.parent.glob("*.npz"))
    whole = plan("encoder", runs="whole")[:1]
    experiments.work(whole, 60)
    (uninterrupted,) = experiments.read(whole)[1].values()
    pd.testing.assert_frame_equal(scores[cells[0].file], uninterrupted)
    assert set(uninterrupted["role"]) == {"test"} and uninterrupted["label"].sum() == 6


def test_one_dcgan_serves_all_searches(plan, epochs):
    cells = plan("lambda")
    experiments.work(cells, 60)
    assert epochs == [0, 1]  # of one training
    rows, scores = experiments.read(cells)
    assert rows["discrimination_weight"].tolist() == [0.0, 0.1, 0.5]
    first, *others = scores.values()
    for other in others:
        assert len(other) == 8
        assert other["row"].tolist() == first["row"].tolist()
        assert other["score"].tolist() != first["score"].tolist()


def results(apart, seeds=(0, 1, 2)):
    """Invent rows: by (dataset, method, question, level) how far anomalies are from normal ones."""
    rows, scores = [], {}
    for (number, key), seed in ((each, seed) for each in enumerate(apart) for seed in seeds):
        random = np.random.default_rng([number, seed])
        label = np.repeat([0, 1], 40)
        score = random.normal(size=80) + apart[key] * label
        table = pd.DataFrame({"row": range(80), "cluster": range(80), "label": label})
        images = {"residual": score, "brightness": score, "contrast": 0.2, "kind": "anomaly"}
        images["contrast"] += random.normal(size=80) / 100
        scores[number, seed] = table.assign(score=score, **images)
        row = dict(zip(("dataset", "method", "question", "level"), key, strict=True))
        row |= {"usual": {"size": 64, "lambda": 0.1}[key[2]], "factor": key[2], "seed": seed}
        rows.append(row | {"protocol": "paper", "file": (number, seed), "auroc": apart[key]})
    return pd.DataFrame(rows), scores


def verdict_of(found, words):
    judged = claims.judge(*found)
    (row,) = judged[judged["claim"].str.contains(words)].to_dict("records")
    return row["verdict"]


GOOD, POOR = ("cloud", "GANomaly", "size", 64), ("cloud", "GANomaly", "size", 256)
SEARCH = ("cloud", "AnoGAN", "lambda", 0.1)


def test_a_claim_is_supported_or_not_where_its_interval_leaves_zero_out_with_three_seeds():
    sized, simple = "from 256 to 64", "GANomaly gathers normal"
    assert verdict_of(results({GOOD: 3, POOR: 0}), sized) == "supported"
    assert verdict_of(results({GOOD: 0, POOR: 3}), sized) == "not supported"
    assert verdict_of(results({GOOD: 1, POOR: 1}), sized) == "undecided"
    assert verdict_of(results({GOOD: 3, POOR: 0}, [0, 1]), sized) == "undecided: 2 of 3 seeds"
    assert verdict_of(results({GOOD: 3}), sized) == "undecided: 0 of 3 seeds"
    assert verdict_of(results({GOOD: 3, SEARCH: 0}), simple) == "supported"
    assert verdict_of(results({GOOD: 0, SEARCH: 3}), simple) == "not supported"
    assert verdict_of(results({GOOD: 1}), "single grey") == "supported"
    # None of these is haze, as of Kaggle's own: nothing can be said.
    assert verdict_of(results({GOOD: 1}), "thin haze") == "undecided"
    points = claims.summarize(*results({GOOD: 3, POOR: 0})).set_index("level")
    assert points.loc[256, "verdict"] == "lower" and points.loc[256, "difference_high"] < 0
    assert pd.isna(points.loc[64, "verdict"]) and points.loc[64, "n_seeds"] == 3


def test_every_claim_has_a_verdict_or_says_why_not():
    judged = claims.judge(*results({GOOD: 3, SEARCH: 1}))
    assert set(judged["section"]) == {"4", "5.1", "5.2", "6"}
    assert judged["verdict"].notna().all() and judged["compared"].str.len().min() > 10
    assert judged["claim"].nunique() == len(claims.CLAIMS)
    words = judged["verdict"].str.split(":").str[0]
    assert set(words) <= {"supported", "not supported", "undecided", "not tested"}


def test_a_better_level_is_chosen_by_other_seeds_than_it_is_compared_on():
    """At first each level is best by one seed alone, which is chance."""

    def gain(auroc):
        names = ("level", "seed", "auroc")
        rows = [
            (level, seed, auroc(level, seed)) for level in (64, 100, 101, 102) for seed in range(3)
        ]
        same = {"method": "GANomaly", "question": "size", "usual": 64, "protocol": "paper"}
        rows = pd.DataFrame(rows, columns=names).assign(dataset="cloud", file="", **same)
        return claims.better(claims.Split(rows, {}, "cloud", "paper")).difference

    assert gain(lambda level, seed: 0.9 if level == 100 + seed else 0.5) == 0
    assert gain(lambda level, seed: 0.9 if level == 101 else 0.5) == pytest.approx(0.4)
