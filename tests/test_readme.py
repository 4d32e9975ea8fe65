"""Every number of the README is that of the results files it names."""

import re

import pandas as pd
import pytest
from tracked import PROJECT, published

README = (PROJECT / "README.md").read_text()
RESULTS = pd.read_csv(published("figures/quick/results.csv"))
SUMMARY = pd.read_csv(published("figures/quick/summary.csv"))
PROTOCOLS = [name for name in ("paper", "grouped", "kfold") if name in set(SUMMARY["protocol"])]
SECTION = README.split("## Results")[1].split("\n## ")[0]


def marked(name):
    return re.search(rf"<!--{name}-->(.*?)<!--/{name}-->", README, re.S)[1]


def test_the_table_is_the_summary_of_the_results():
    expected = []
    for (dataset, method), same in SUMMARY.groupby(["dataset", "method"], sort=False):
        by_protocol = dict(list(same.groupby("protocol")))
        paper = by_protocol["paper"].iloc[0]
        stand_in = " (stand-in)" if paper["source"] == "unverified" else ""
        published = "\N{EN DASH}" if pd.isna(paper["published"]) else f"{paper['published']:.3f}"
        ours = "{auroc:.3f} ± {sd:.3f} [{low:.3f}, {high:.3f}]".format
        tested = f"{paper['n_test_normal']} + {paper['n_test_anomaly']}"
        numbers = [ours(**by_protocol[name].iloc[0]) for name in PROTOCOLS]
        expected.append([dataset + stand_in, method, published, *numbers, tested])
    table = [line.strip("|").split("|") for line in marked("table").strip().splitlines()[2:]]
    assert [[cell.strip(" *") for cell in line] for line in table] == expected
    main = RESULTS[(RESULTS["kind"] == "all") & (RESULTS["preset"] == "corrected")]
    means = main.groupby(["dataset", "protocol", "method"])["auroc"].agg(["mean", "std", "size"])
    for line in SUMMARY.itertuples():
        mean, deviation, seeds = means.loc[line.dataset, line.protocol, line.method]
        assert (line.auroc, line.sd) == pytest.approx((mean, deviation))
        assert line.n_seeds == seeds == int(marked("seeds"))


def test_every_auroc_and_rate_in_the_text_is_in_a_results_file():
    tables = [
        pd.read_csv(published(path.relative_to(PROJECT)))
        for profile in ("quick", "paper")
        for path in (PROJECT / "figures" / profile).glob("*.csv")
    ]
    numbers = [table.select_dtypes("number").to_numpy().ravel() for table in tables]
    known = {f"{abs(number):.3f}" for each in numbers for number in each if abs(number) <= 1}
    assert set(re.findall(r"\b0\.\d{3}\b", SECTION)) <= known


def test_results_tell_what_they_are_of_and_the_run_at_the_published_size_is_told_as_it_went():
    assert set(RESULTS["protocol"]) == set(PROTOCOLS) >= {"paper", "grouped"}
    assert set(RESULTS["family"]) == {"GAN", "baseline"}
    assert {"corrected", "published"} < set(RESULTS["preset"])
    assert {"all", "haze", "cloudy", "partly_cloudy"} <= set(RESULTS["kind"])
    assert RESULTS[["auroc", "auroc_low", "auroc_high"]].notna().all(axis=None)
    assert marked("device") == RESULTS["device"].unique().item()
    assert set(RESULTS["source"]) == {"kaggle", "unverified"}
    assert "stand-in" in RESULTS[RESULTS["dataset"] == "cloud"]["caption"].iloc[0]
    assert "**stand-in**" in README
    run = pd.read_csv(published("figures/paper/results.csv")).iloc[0]
    text = README.split("At the published size")[1].split("\n")[0]
    assert f"{run['image_size']}x{run['image_size']}, {run['filters']} filters" in text
    assert f"{run['ganomaly_steps']:,} steps at {run['ganomaly_learning_rate']}" in text
    assert f"seed {run['seed']}" in text
    assert f"AUROC is {run['auroc']:.3f}" in text
    assert f"in {run['train_seconds'] / 60:.0f} minutes" in text
    assert run["device"] == marked("device")  # "the same two cores"


def test_files_and_make_targets_that_the_readme_names_exist():
    paths = set(re.findall(r"\]\(((?!http)[^)]+)\)", README))
    assert len(paths) > 3 and [path for path in paths if not (PROJECT / path).exists()] == []
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"`make ([a-z-]+)", README)) <= set(targets)
