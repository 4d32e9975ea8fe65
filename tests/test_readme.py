"""Every number of the README is that of the results file it names."""

import re
from pathlib import Path

import pandas as pd
import pytest

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()
RESULTS = pd.read_csv(PROJECT / "figures" / "quick" / "results.csv")


def table_rows():
    table = README.split("<!--table-->")[1].split("<!--/table-->")[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_the_table_is_the_results_file():
    shown = set()
    for dataset, method, _, ours, train, tested, _ in table_rows():
        name = dataset.split()[0]
        rows = RESULTS[(RESULTS["dataset"] == name) & (RESULTS["method"] == method)]
        expected = f"{rows['auroc'].mean():.3f} ± {rows['auroc'].std():.3f}"
        assert ours.strip("*") == expected
        assert train == f"{rows['n_train'].iloc[0]:,}"
        assert tested == f"{rows['n_test_normal'].iloc[0]} + {rows['n_test_anomaly'].iloc[0]}"
        shown.add((name, method))
    assert shown == set(zip(RESULTS["dataset"], RESULTS["method"], strict=True))


def test_seeds_and_device_are_those_of_the_results_file():
    assert RESULTS.groupby(["dataset", "method"]).size().unique().tolist() == [
        int(re.search(r"<!--seeds-->(\d+)<", README)[1])
    ]
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
