"""The command line as a user or a script meets it: what it writes, says and exits with."""

import csv
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from processes import HOLD
from tiny import save_images
from typer.testing import CliRunner

from ganlib import training
from ganlib.__main__ import app
from ganlib.data import held_out_split, open_dataset
from ganlib.data.images import decode
from ganlib.data.synthetic import casting_images
from ganlib.detector import score as scoring
from ganlib.detector.load import load_model
from ganlib.models import GANomaly

SMALL = ["--image-size", "32", "--filters", "4", "--steps", "8", "--false-alarm-rate", "0.2"]
SMALL += ["--method", "autoencoder"]
ODD = "Stück 7 - \N{HANGUL SYLLABLE GA}.png"


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def assert_one_line(result, *words):
    """An error is one line that names what is wrong, and no traceback."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.output
    assert all(word in lines[0] for word in words), lines[0]


def rows(path):
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def draw(folder, kinds, seed=0, size=48):
    return save_images(folder, casting_images(kinds, seed, size))


@pytest.fixture(scope="module")
def detector(parts):
    path = parts.parent / "parts.keras"
    result = run("train", parts, "-o", path, *SMALL)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}\n"
    return path


@pytest.fixture
def new(tmp_path):
    """Images to score, in folders, with names as people give them."""
    folder = draw(tmp_path / "new ones", ["normal", "blow_hole", "normal", "burr", "normal"], 5)
    (folder / "more").mkdir()
    for number, name in enumerate(("b.png", "a.png", ODD, "more/a.png", "more/c.png")):
        (folder / f"{number:02}.png").rename(folder / name)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_a_detector_says_what_it_is_and_leaves_nothing_else(parts, detector):
    assert sorted(path.name for path in parts.parent.iterdir()) == ["parts", "parts.keras"]
    made = load_model(detector)
    assert (made.image_size, made.channels, made.card["resize"]) == (32, 1, "letterbox")
    assert made.card["trained_on"] + made.card["calibrated_on"] == 30
    assert len(made.normal_scores) == made.card["held_out_pictures"] <= made.card["calibrated_on"]
    table = run("inspect", detector).stdout
    assert "false alarm rate  0.2\n" in table and "how many it finds is unknown" in table
    card = json.loads(run("inspect", detector, "--json").stdout)
    assert (card["method"], card["steps"]) == ("autoencoder", 8)
    assert card["images"] == "parts: 30 good images in a folder"
    assert (card["false_alarm_rate"], card["thresholds"]) == (0.2, made.thresholds)


def test_a_method_of_two_trainings_has_one_limit_for_both(parts, tmp_path, monkeypatch):
    limits, plain = [], training.fit

    def fit(*arguments, minutes, **options):
        limits.append(minutes)
        return plain(*arguments, minutes=minutes, **options)

    monkeypatch.setattr(training, "fit", fit)
    asked = ["train", parts, "-o", tmp_path / "x.keras", *SMALL, "--method"]
    assert_one_line(run(*asked, "nope"), "nope", "GANomaly", "AnoGAN")
    assert run(*asked, "f-AnoGAN").exit_code == 0
    card = load_model(tmp_path / "x.keras").card
    assert (card["method"], card["steps"]) == ("f-AnoGAN", 16)
    assert run("score", tmp_path / "x.keras", parts / "01.png").exit_code == 0
    assert not list(tmp_path.glob(".*"))
    # What the first leaves is the second's.
    first, second = limits
    assert first == pytest.approx(0.85 * 5 / 2, abs=0.1) and first < second < 0.85 * 5


def test_scores_are_those_of_the_detector_image_by_image(detector, new, tmp_path):
    report, heat = tmp_path / "out" / "report.html", tmp_path / "heat"
    asked = ["--csv", tmp_path / "scores.csv", "--report", report, "--heatmaps", heat]
    result = run("score", detector, new, *asked)
    assert result.exit_code == 0, result.output
    found, made = rows(tmp_path / "scores.csv"), load_model(detector)
    names = [ODD, "a.png", "b.png", "more/a.png", "more/c.png"]
    assert [row["file"] for row in found] == [str(new / name) for name in names]
    for row in found:
        image = decode(row["file"], 32, 1, "letterbox")[np.newaxis]
        (score,) = made.detect(image).scores
        assert np.float32(row["score"]) == score
        assert row["is_anomaly"] == str(made.is_anomaly(image)[0])
        assert float(row["above_normals"]) == pytest.approx(made.above(score))
        assert row["error"] == ""
    flagged = sum(row["is_anomaly"] == "True" for row in found)
    assert f"{flagged} of 5 images flagged; about 1 (20 %) false alarms" in result.stdout
    assert "how many it finds is unknown" in result.stderr
    drawn = ["Stück_7_-_가.png.png", "a.png.png", "b.png.png", "more_a.png.png", "more_c.png.png"]
    assert [row["heat_map"] for row in found] == [str(heat / name) for name in drawn]
    assert sorted(path.name for path in heat.glob("*.png")) == sorted(drawn)
    assert report.read_text().count('data-picture="data:image/') == 5
    assert not list(report.parent.glob(".*"))


def test_heat_maps_are_those_of_one_run_whatever_happened_before(detector, new, tmp_path):
    asked = ["score", detector, new, "--csv", tmp_path / "s.csv", "--heatmaps"]
    bad, heat, other = new / "more" / "z.png", new / "heat", tmp_path / "fresh"
    bad.write_bytes(b"no picture")
    (new / "more" / "a.png").rename(tmp_path / "late.png")
    assert_one_line(run(*asked, heat), "z.png")
    bad.unlink()
    (heat / "b.png.png").unlink()
    # Of names that are listed before the others, or that would be theirs.
    (tmp_path / "late.png").rename(new / "a 1.png")
    for name in ("a_1.png", "\N{HANGUL SYLLABLE GA}" * 80 + ".png"):
        (new / name).write_bytes((new / "a.png").read_bytes())
    assert run(*asked, heat).exit_code == 0
    first = (tmp_path / "s.csv").read_text().replace(str(heat), str(other))
    assert run(*asked, other).exit_code == 0
    assert (tmp_path / "s.csv").read_text() == first
    expected, found = ({p.name: p.read_bytes() for p in at.glob("*.png")} for at in (other, heat))
    assert found == expected and len(found) == len(rows(tmp_path / "s.csv")) == 7
    assert_one_line(run(*asked, new), "holds other images, such as")


def test_a_line_per_image_where_nothing_is_written(detector, new):
    (new / "more" / "c.png").write_bytes(b"")
    result = run("score", detector, new / "a.png", new / "more", "--on-error", "skip")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[2] for line in lines] == [
        str(new / name) for name in ("a.png", "more/a.png", "more/c.png")
    ]
    assert [line[0] in ("normal", "ANOMALY") for line in lines] == [True, True, False]
    assert "of 2 images flagged; " in result.stderr and " 1 unreadable." in result.stderr


def test_names_are_neither_lines_nor_formulas_and_nothing_readable_is_not_all_good(
    detector, parts, tmp_path, monkeypatch
):
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    for name in ("a\nANOMALY\t9\tb.png", "\x1b[31mred.png", "=1+1.png", "@SUM(A1).png", "-1.png"):
        Path(name).write_bytes((parts / "01.png").read_bytes())
    said = run("score", detector, ".").stdout
    assert len(said.splitlines()) == 5 and "\x1b" not in said
    assert run("score", detector, ".", "--csv", "../s.csv").exit_code == 0
    assert Path("../s.csv").read_bytes().startswith("\ufefffile,".encode())
    names = [row["file"] for row in rows("../s.csv")]
    assert all(Path(name).exists() and name[0] not in "=+-@" for name in names)
    for path in Path().iterdir():
        path.write_bytes(b"no picture")
    asked = ["score", detector, ".", "--on-error", "skip", "--fail-on-anomaly"]
    assert_one_line(run(*asked), "None of 5 images could be read")


def test_what_the_squares_do_not_show_is_said(detector, tmp_path):
    """The detector has learned from grey parts of 48x48 and 48x40 pixels."""
    grey = casting_images(["normal"], 0, 48)[0, ..., 0]
    red, wide = np.dstack([grey, grey // 2, grey]), np.pad(grey, ((0, 0), (10, 10)))
    large = np.kron(grey, np.ones((4, 4), "uint8"))
    new = save_images(tmp_path / "new", [grey, red, wide, large])
    pages = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    pages[0].save(new / "pages.tif", save_all=True, append_images=pages[1:])
    (new / "z.heic").write_bytes(b"")
    result = run("score", detector, new, "--csv", tmp_path / "s.csv")
    remarks = [(row["remarks"].split() or [""])[0] for row in rows(tmp_path / "s.csv")]
    assert remarks == ["", "colors,", "a", "a", "several"]
    assert "2 of 5 images have a shape or size unlike any" in result.stderr
    assert "image suffix were not read: 1 .heic" in result.stderr


def test_a_second_training_leaves_the_first_alone(parts, tmp_path):
    cache = tmp_path / ".x.keras.unfinished" / "cache"
    cache.mkdir(parents=True)
    command = [sys.executable, "-c", HOLD, cache.parent]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "held\n"
    assert_one_line(run("train", parts, "-o", tmp_path / "x.keras", *SMALL), "is in use: training")
    assert cache.exists()
    first.kill()
    first.communicate()


def test_another_console_and_another_keras_json_do_no_harm(detector, parts, tmp_path):
    settings = {"image_data_format": "channels_first", "floatx": "float16"}
    (tmp_path / "keras.json").write_text(json.dumps({**settings, "backend": "tensorflow"}))
    (tmp_path / ODD).write_bytes((parts / "01.png").read_bytes())
    asked = ["score", detector, tmp_path / ODD]
    others = {"KERAS_HOME": str(tmp_path), "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "ganlib", *asked]
    done = subprocess.run(command, env=os.environ | others, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(b"\t")[:2] == run(*asked).stdout.encode().split(b"\t")[:2]


def test_thresholds_and_exit_status_for_scripts(detector, parts, tmp_path):
    made, counts = load_model(detector), []
    images = {path: decode(path, 32, 1, "letterbox") for path in parts.iterdir()}
    scores = {path: made.detect(image[None]).scores[0] for path, image in images.items()}
    low, high = min(scores, key=scores.get), max(scores, key=scores.get)
    asked = ["score", detector, "--false-alarm-rate", "0.5"]
    assert run(*asked, low, "--fail-on-anomaly").exit_code == 0
    assert run(*asked, high).exit_code == 0
    assert run(*asked, low, high, "--fail-on-anomaly").exit_code == 1
    for rate in ("0.15", "0.6"):
        run("score", detector, parts, "--csv", tmp_path / "s.csv", "--false-alarm-rate", rate)
        counts.append(sum(row["is_anomaly"] == "True" for row in rows(tmp_path / "s.csv")))
    assert counts[0] < counts[1]
    assert_one_line(run("score", detector, parts, "--false-alarm-rate", "0.001"), "0.001")


def test_a_killed_scoring_ends_as_if_it_had_not_been(detector, parts, tmp_path, monkeypatch):
    table, report = tmp_path / "s.csv", tmp_path / "r.html"
    asked = ["score", detector, parts, "--csv", table, "--report", report]
    assert run(*asked).exit_code == 0
    expected = table.read_bytes()
    table.unlink()
    monkeypatch.setattr(scoring, "CHUNK", 4)
    # A process that is killed commits nothing more, and leaves what it was writing.
    monkeypatch.setattr(scoring._Journal, "close", lambda journal: journal.database.close())
    (tmp_path / ".99999999.unfinished-s.csv").write_text("half")
    plain = scoring.try_decode

    def decoded(*options, killed=False):
        files = []

        def decode(path, *shape, **options):
            if killed and Path(path).name == "17.png":
                raise KeyboardInterrupt
            files.append(Path(path).name)
            return plain(path, *shape, **options)

        monkeypatch.setattr(scoring, "try_decode", decode)
        assert run(*asked, *options).exit_code == (130 if killed else 0)
        assert table.exists() != killed
        return files

    decoded(killed=True)
    # A threshold of another rate is another detector: nothing of the first one is used.
    assert len(decoded("--false-alarm-rate", "0.5")) == 30
    table.unlink()
    decoded(killed=True)
    rest = decoded()
    assert 0 < len(rest) < 30 and "17.png" in rest and "00.png" not in rest
    assert table.read_bytes() == expected
    assert report.read_text().count('class="entry"') == 30
    assert not list(tmp_path.glob(".*"))


def test_what_has_changed_since_is_scored_again(detector, parts, tmp_path):
    images = draw(tmp_path / "images", ["normal"] * 6)
    bad = images / "9.png"
    bad.write_bytes(b"no picture")
    asked = ["score", detector, images, "--csv", tmp_path / "s.csv"]
    assert_one_line(run(*asked), "9.png")
    (images / "02.png").write_bytes((parts / "20.png").read_bytes())
    bad.write_bytes((parts / "21.png").read_bytes())
    assert run(*asked).exit_code == 0
    assert run("score", detector, images, "--csv", tmp_path / "fresh.csv").exit_code == 0
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()


def test_an_interrupted_training_makes_the_same_detector(parts, detector, tmp_path, monkeypatch):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    plain = training.fit

    def interrupted(*arguments, **options):
        *first, callbacks = arguments
        return plain(*first, [*callbacks, Interrupt()], **options)

    monkeypatch.setattr(training, "fit", interrupted)
    asked = ["train", parts, "-o", tmp_path / "parts.keras", *SMALL]
    assert run(*asked).exit_code == 130
    assert not (tmp_path / "parts.keras").exists()
    monkeypatch.setattr(training, "fit", plain)
    result = run(*asked)
    assert result.exit_code == 0 and "after epoch" in result.output
    once, twice = load_model(detector), load_model(tmp_path / "parts.keras")
    for mine, other in zip(once.get_weights(), twice.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert once.thresholds == twice.thresholds
    assert not list(tmp_path.glob(".*"))


def test_test_images_are_measured_with_masks_too(tmp_path):
    folder = draw(tmp_path / "set" / "train" / "good", ["normal"] * 24, 0, 32).parents[1]
    draw(folder / "test" / "good", ["normal"] * 4, 1, 32)
    burrs = draw(folder / "test" / "burr", ["burr"] * 4, 2, 32)
    masks = np.zeros((4, 32, 32), "uint8")
    masks[:, 2:9, 2:9] = 255
    save_images(folder / "ground_truth" / "burr", masks)
    result = run("train", folder, "-o", out := tmp_path / "set.keras", *SMALL)
    assert result.exit_code == 0, result.output
    made = load_model(out)
    metrics = made.card["test"]
    assert "masks" not in metrics
    assert {"auroc", "auroc_low", "pixel_auroc", "pro", "detection_rate"} <= set(metrics)
    assert (metrics["n_normal"], metrics["n_anomaly"]) == (4, 4)
    images = np.stack([decode(file, 32, 1, "letterbox") for file in sorted(burrs.iterdir())])
    assert metrics["detection_rate"] == made.is_anomaly(images).mean()
    assert f"AUROC on the test images {metrics['auroc']:.3f}" in result.stderr
    assert f"pixel AUROC {metrics['pixel_auroc']:.3f}, PRO {metrics['pro']:.3f}" in result.stderr
    assert ("Warning: " in result.stderr) == (
        metrics["detection_rate"] <= metrics["false_alarm_high"]
    )
    assert f"{metrics['detection_rate']:.1%} of 4 test anomalies" in run("inspect", out).stdout


@pytest.mark.parametrize(
    ("spoiled", "said"), [("black", "4 masks show no defect"), ("cut", "maps were not evaluated: ")]
)
def test_no_training_is_lost_to_a_mask_and_copies_are_named(spoiled, said, tmp_path):
    folder = draw(tmp_path / "set" / "train" / "good", ["normal"] * 24, 0, 32).parents[1]
    draw(folder / "test" / "good", ["normal"] * 24, 0, 32)
    draw(folder / "test" / "burr", ["burr"] * 4, 2, 32)
    masks = save_images(folder / "ground_truth" / "burr", np.zeros((4, 32, 32), "uint8"))
    if spoiled == "cut":
        path = masks / "02.png"
        path.write_bytes(path.read_bytes()[:60])
    result = run("train", folder, "-o", out := tmp_path / "set.keras", *SMALL)
    assert result.exit_code == 0 and said in result.stderr, result.output
    assert "24 of 28 test images are copies of training or held-out images" in result.stderr
    assert "pixel_auroc" not in load_model(out).card["test"]


def test_one_blank_frame_among_the_good_images_is_named(tmp_path):
    folder, path = tmp_path / "grain", tmp_path / "x.keras"
    save_images(folder, np.random.default_rng(0).integers(110, 130, (30, 32, 32), "uint8"))
    split, _ = held_out_split(open_dataset(f"{folder}/", data_dir=tmp_path, resize="letterbox"))
    name = f"{split.calibration[1]:02}.png"
    Image.new("L", (32, 32), 255).save(folder / name)
    said = run("train", folder, "-o", path, *SMALL).stderr
    assert f"{name} would set the threshold" in said
    assert f"brightness or texture, so worth a look: {name}.\n" in said
    assert f"{name} would set the threshold" in run("inspect", path).stdout


def test_bad_images_are_named_or_counted_and_leave_the_others_alone(detector, new, tmp_path):
    good = (new / "a.png").read_bytes()
    bad = {"cut.png": good[:200], "empty.jpg": b"", "half \udcff.png": b"text", "text.tif": b"text"}
    for name, content in bad.items():
        (new / name).write_bytes(content)
    (new / "gone.png").symlink_to("nowhere")
    asked = ["score", detector, new, "--csv", tmp_path / "s.csv"]
    assert_one_line(run(*asked), "cut.png cannot be read")
    assert not (tmp_path / "s.csv").exists()
    result = run(*asked, "--on-error", "skip", "--report", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    found = {Path(row["file"]).name: row for row in rows(tmp_path / "s.csv")}
    refused = {name for name, row in found.items() if row["error"]}
    assert refused == {*bad, "gone.png"} - {"half \udcff.png"} | {"half \\udcff.png"}
    assert all(found[name]["score"] == found[name]["is_anomaly"] == "" for name in refused)
    assert len(found) == 9 and "5 unreadable" in result.stdout


def test_what_is_no_detector_and_wrong_requests_are_told_before_any_work(detector, parts, tmp_path):
    GANomaly(32, 1, 6, 4).save(tmp_path / "ganomaly.keras")
    (tmp_path / "cut.keras").write_bytes(detector.read_bytes()[:5000])
    (tmp_path / "pickle.keras").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "folder.keras").mkdir()
    for name in [*sorted(path.name for path in tmp_path.iterdir()), "missing.keras"]:
        path = tmp_path / name
        for asked in (["score", path, parts], ["inspect", path], ["export", path, "m.onnx"]):
            assert_one_line(run(*asked), name)
    (tmp_path / "file").write_text("")
    empty, taken, few = tmp_path / "empty", tmp_path / "taken.csv", tmp_path / "few"
    empty.mkdir()
    taken.mkdir()
    draw(few, ["normal"] * 5)
    before = sorted(tmp_path.iterdir())
    for asked, words in (
        (["train", tmp_path / "nowhere"], ["nowhere"]),
        (["train", empty, "-o", tmp_path / "x.keras"], ["empty", "no image"]),
        (["train", few, "-o", tmp_path / "x.keras"], ["few", "5", "10"]),
        (["train", parts, "-o", tmp_path / "x.h5"], ["x.h5", ".keras"]),
        (["train", parts, "--minutes", "0"], ["--minutes"]),
        (["train", parts, "--false-alarm-rate", "1"], ["--false-alarm-rate"]),
        (["train", parts, "--image-size", "50", "-o", tmp_path / "x.keras"], ["50", "64"]),
        (["score", detector, tmp_path / "nowhere.png"], ["nowhere.png"]),
        (["score", detector, empty], ["empty", "no image"]),
        (["score", detector, parts, "--csv", tmp_path / "s.xls"], ["s.xls", ".csv"]),
        (["score", detector, parts, "--csv", taken], ["taken.csv"]),
        (["score", detector, parts, "--csv", tmp_path / "file" / "s.csv"], ["file"]),
        (["score", detector, parts, "--heatmaps", tmp_path / "file"], ["file"]),
        (["export", detector, tmp_path / "m.pt"], ["m.pt", ".onnx"]),
    ):
        assert_one_line(run(*asked), *words)
    assert sorted(tmp_path.iterdir()) == before
    assert "python -m ganlib train parts/" in run("--help").stdout
    assert run("score").exit_code == run("nonsense").exit_code == 2
