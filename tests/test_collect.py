"""The runs there are, judged as the comparison judges them."""

import numpy as np
import pandas as pd
import pytest

from ganlib import collect, comparison, results


def write_run(folder, method, shift):
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    table = pd.DataFrame({"label": labels, "score": random.normal(size=40) + shift * labels})
    table = table.assign(kind=np.where(labels, "bent", "normal"), role="test", cluster=range(40))
    results.write_csv(folder / "scores.csv", table)
    results.write_json(folder / "result.json", {"method": method, "seed": 0})
    return table


def test_every_run_there_is_has_its_line(tmp_path):
    runs = tmp_path / "runs"
    tables = {
        method: write_run(runs / "casting" / f"seed-{k}" / method, method, shift)
        for k, (method, shift) in enumerate({"ganomaly": 2.0, "pca": 0.5}.items())
    }
    assert collect.main([str(runs), str(tmp_path / "results.csv")]) == 0
    found = pd.read_csv(tmp_path / "results.csv").set_index("method")
    assert list(found.index) == ["ganomaly", "pca"]
    for method, table in tables.items():
        assert found.loc[method, "auroc"] == pytest.approx(comparison.merits(table)["auroc"][0])
        assert found.loc[method, "n_test_anomaly"] == 20


def test_no_run_is_one_line_and_status_1(tmp_path, capsys):
    assert collect.main([str(tmp_path), str(tmp_path / "results.csv")]) == 1
    assert capsys.readouterr().err == (
        f"Error: {tmp_path} holds no run (no result.json): run a notebook first.\n"
    )
    assert not (tmp_path / "results.csv").exists()
