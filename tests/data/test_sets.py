import numpy as np
import pandas as pd
from sets import make_parts, saved
from typer.testing import CliRunner

from ganlib import load_model, sets
from ganlib.__main__ import app
from ganlib.errors import GanlibError
from ganlib.settings import settings


def test_nothing_is_done_twice_and_nothing_stops_the_rest(tmp_path, monkeypatch):
    calls, train, outcome = [], sets.train_detector, {"b": KeyboardInterrupt()}

    def train_or_raise(dataset, *about, **options):
        calls.append(dataset.name)
        if error := outcome.get(dataset.name):
            raise error
        return train(dataset, *about, **options)

    def compare(*arguments):
        calls.clear()
        asked = ["sets", *arguments, "--methods", "autoencoder", "--output", "out"]
        return CliRunner().invoke(app, asked)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sets, "train_detector", train_or_raise)
    monkeypatch.setattr(sets, "settings", lambda _, name, **sizes: settings("smoke", name, **sizes))
    for name in "abc":
        make_parts(tmp_path / name, 12)
    mask, image = "a/ground_truth/hole/000_mask.png", "b/test/hole/000.png"
    outline = saved(np.diag([0, 255, 255, 0]).astype("uint8"), tmp_path / mask)
    (tmp_path / "c/train/good/003.png").write_text("no picture")

    assert compare("c", "a", "b").exit_code == 130
    outcome.clear()
    result = compare("c", "a", "b")  # goes on: a is done; of c an image cannot be read
    assert calls == ["b"]
    assert result.exit_code == 2 and "1 of 3 failed" in result.stderr
    table = pd.read_csv("out/results.csv").set_index("set")
    assert list(table.columns) == sets.COLUMNS[1:] and list(table.index) == ["c", "a", "b"]
    assert "003.png" in table.loc["c", "error"] and table.loc["c"].count() == 3
    for name in "ab":
        row, path = table.loc[name], tmp_path / f"runs/sets/{name}/autoencoder/detector.keras"
        made = load_model(path)
        assert {key: row[key] for key in made.card["test"]} == made.card["test"]
        assert ("pro" in made.card["test"]) == (name == "a")
        assert (row["n_train"], row["n_calibration"], row["n_anomaly"]) == (9, 3, 4)
        assert row["asked"] == 1 / 4 and row["ms_per_image"] > 0 and row["image_size"] == 32
        assert row["megabytes"] == path.stat().st_size / 1e6
    assert len([*(tmp_path / "out").iterdir()]) == 3  # the table, and the figure in two formats
    monkeypatch.setattr(sets.forest, "methods_on_sets", lambda *_: None)  # as it was
    monkeypatch.setattr(sets, "save", lambda *_: None)

    outcome |= dict.fromkeys("ab", GanlibError("not today"))
    assert compare("a", "b").exit_code == 0 and not calls
    assert compare("a", "b", "--seed", "1").exit_code == 2 and len(calls) == 2
    saved(outline.T[::-1], tmp_path / mask)
    compare("a", "b")
    assert calls == ["a"]
    saved(outline, tmp_path / mask)
    saved(outline, tmp_path / image)
    compare("a", "b")
    assert calls == ["b"]
