"""Every number of the README is that of the results files it names."""

import re
import shutil
import subprocess

import pandas as pd
import pytest
from tracked import PROJECT, published

README = (PROJECT / "README.md").read_text()
RESULTS = pd.read_csv(published("figures/quick/results.csv"))
SUMMARY = pd.read_csv(published("figures/quick/summary.csv"))
SECTION = README.split("## Results")[1].split("\n## ")[0]


def table_rows():
    table = README.split("<!--table-->")[1].split("<!--/table-->")[0].strip().splitlines()
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table[2:]]


def expected_rows():
    """The table as the summary has it."""
    rows = []
    for (dataset, method), same in SUMMARY.groupby(["dataset", "method"], sort=False):
        paper, grouped = (same[same["protocol"] == name].iloc[0] for name in ("paper", "grouped"))
        stand_in = " (stand-in)" if paper["source"] == "unverified" else ""
        published = "\N{EN DASH}" if pd.isna(paper["published"]) else f"{paper['published']:.3f}"
        cells = [
            f"{line['auroc']:.3f} ± {line['sd']:.3f} [{line['low']:.3f}, {line['high']:.3f}]"
            for line in (paper, grouped)
        ]
        tested = [
            f"{line['n_test_normal']} + {line['n_test_anomaly']}" for line in (paper, grouped)
        ]
        assert tested[0] == tested[1]
        rows.append([f"{dataset}{stand_in}", method, published, *cells, tested[0]])
    return rows


def test_the_table_is_the_summary():
    assert table_rows() == expected_rows()


def test_the_summary_is_of_the_results():
    main = RESULTS[(RESULTS["kind"] == "all") & (RESULTS["preset"] == "corrected")]
    means = main.groupby(["dataset", "protocol", "method"])["auroc"].agg(["mean", "std", "size"])
    for line in SUMMARY.itertuples():
        mean, deviation, seeds = means.loc[line.dataset, line.protocol, line.method]
        assert line.auroc == pytest.approx(mean)
        assert line.sd == pytest.approx(deviation)
        assert line.n_seeds == seeds == int(re.search(r"<!--seeds-->(\d+)<", README)[1])


def test_every_auroc_and_rate_in_the_text_is_in_a_results_file():
    tables = [
        pd.read_csv(published(path.relative_to(PROJECT)))
        for profile in ("quick", "paper")
        for path in (PROJECT / "figures" / profile).glob("*.csv")
    ]
    numbers = [table.select_dtypes("number").to_numpy().ravel() for table in tables]
    known = {f"{abs(number):.3f}" for each in numbers for number in each if abs(number) <= 1}
    for number in re.findall(r"\b0\.\d{3}\b", SECTION):
        assert number in known, number


def test_results_csv_tells_protocol_interval_family_preset_and_kind():
    assert {"protocol", "family", "preset", "kind", "auroc_low", "auroc_high"} <= set(RESULTS)
    assert set(RESULTS["protocol"]) == {"paper", "grouped"}
    assert set(RESULTS["family"]) == {"GAN", "baseline"}
    assert {"corrected", "published"} < set(RESULTS["preset"])
    assert {"all", "haze", "cloudy", "partly_cloudy"} <= set(RESULTS["kind"])
    assert RESULTS[["auroc", "auroc_low", "auroc_high"]].notna().all(axis=None)


def test_device_is_that_of_the_results_file():
    assert re.search(r"<!--device-->(.*?)<", README)[1] == RESULTS["device"].unique().item()


def test_sources_are_named():
    assert set(RESULTS["source"]) == {"kaggle", "unverified"}
    assert "stand-in" in RESULTS[RESULTS["dataset"] == "cloud"]["caption"].iloc[0]
    assert "**stand-in**" in README


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)]+)\)", README))))
def test_what_the_readme_points_to_exists(path):
    assert (PROJECT / path).exists()


def test_every_make_target_named_exists():
    makefile = (PROJECT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_run_at_the_published_size_is_told_as_it_went():
    run = pd.read_csv(published("figures/paper/results.csv")).iloc[0]
    told = README.split("At the published size")[1].split("\n")[0]
    assert f"{run['image_size']}x{run['image_size']}, {run['filters']} filters" in told
    assert f"{run['ganomaly_steps']:,} steps at {run['ganomaly_learning_rate']}" in told
    assert f"seed {run['seed']}" in told
    assert f"AUROC is {run['auroc']:.3f}" in told
    assert f"in {run['train_seconds'] / 60:.0f} minutes" in told
    assert run["device"] == RESULTS["device"].unique().item()  # "the same two cores"


def test_what_is_published_is_what_git_holds(tmp_path):
    """Figures that a user has made are no reason for README's tests to fail."""
    (tmp_path / "results.csv").write_text("published")
    if shutil.which("git"):
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "results.csv"], cwd=tmp_path, check=True)
        (tmp_path / "results.csv").write_text("made since")
    (tmp_path / "new.csv").write_text("new")
    assert published("results.csv", tmp_path).read() == "published"
    assert published("new.csv", tmp_path).read() == "new"
