"""The command line as a user or a script meets it: what it writes, says and exits with."""

import csv
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import odd_images
import pytest
from PIL import Image
from typer.testing import CliRunner

from ganlib.__main__ import app
from ganlib.data.images import decode
from ganlib.data.synthetic import casting_images
from ganlib.detector import score as scoring
from ganlib.detector import train as training
from ganlib.detector.detector import Detector
from ganlib.detector.load import load_model
from ganlib.models.ganomaly import GANomaly

SMALL = ["--image-size", "32", "--filters", "4", "--steps", "8", "--false-alarm-rate", "0.2"]
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
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """30 good images, some of them not square."""
    folder = tmp_path_factory.mktemp("cli") / "parts"
    folder.mkdir()
    for number, pixels in enumerate(casting_images(["normal"] * 30, 0, 48)):
        pixels = pixels[4:44] if number % 3 == 0 else pixels
        Image.fromarray(pixels.squeeze()).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def detector(parts):
    """A detector as `train` writes it."""
    path = parts.parent / "parts.keras"
    result = run("train", parts, "-o", path, *SMALL)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}\n"
    return path


@pytest.fixture
def new(tmp_path):
    """Images to score, in folders, with names as people give them."""
    folder = tmp_path / "new ones"
    (folder / "more").mkdir(parents=True)
    pictures = casting_images(["normal", "blow_hole", "normal", "burr", "normal"], 5, 48)
    for name, pixels in zip(
        ("b.png", "a.png", ODD, "more/a.png", "more/c.jpg"), pictures, strict=True
    ):
        Image.fromarray(pixels.squeeze()).save(folder / name)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_a_detector_says_what_it_is_and_leaves_nothing_else(parts, detector):
    assert sorted(path.name for path in parts.parent.iterdir()) == ["parts", "parts.keras"]
    made = load_model(detector)
    assert (made.image_size, made.channels, made.card["resize"]) == (32, 1, "letterbox")
    assert made.card["trained_on"] + made.card["calibrated_on"] == 30
    assert len(made.normal_scores) == made.card["calibrated_on"]
    said = run("inspect", detector)
    assert said.exit_code == 0
    for name, value in (("images", "parts: 30 good images in a folder"), ("seed", "0")):
        assert any(line.split(maxsplit=1) == [name, value] for line in said.stdout.splitlines())
    assert '"false_alarm_rate": 0.2' in run("inspect", detector, "--json").stdout


def test_scores_are_those_of_the_detector_image_by_image(detector, new, tmp_path):
    result = run("score", detector, new, "--csv", tmp_path / "scores.csv")
    assert result.exit_code == 0, result.output
    found, made = rows(tmp_path / "scores.csv"), load_model(detector)
    names = ["a.png", "b.png", ODD, "more/a.png", "more/c.jpg"]
    assert [row["file"] for row in found] == [
        str(new / name) for name in sorted(names[:3]) + names[3:]
    ]
    for row in found:
        image = decode(row["file"], 32, 1, "letterbox")[np.newaxis]
        (score,) = made.detect(image).scores
        assert np.float32(row["score"]) == score
        assert row["is_anomaly"] == str(made.is_anomaly(image)[0])
        assert float(row["above_normals"]) == pytest.approx(made.above(score))
        assert row["error"] == ""
    called = sum(row["is_anomaly"] == "True" for row in found)
    assert f"{called} of 5 images are called anomalies." in result.stdout


def test_a_line_per_image_where_nothing_is_written(detector, new):
    result = run("score", detector, new / "a.png", new / "more")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[2] for line in lines] == [
        str(new / n) for n in ("a.png", "more/a.png", "more/c.jpg")
    ]
    assert {line[0] for line in lines} <= {"normal", "ANOMALY"}
    assert "of 3 images are called anomalies." in result.stderr


def test_exit_status_tells_a_script_of_anomalies(detector, parts):
    made = load_model(detector)
    images = {path: decode(path, 32, 1, "letterbox") for path in parts.iterdir()}
    scores = {path: made.detect(image[None]).scores[0] for path, image in images.items()}
    low, high = min(scores, key=scores.get), max(scores, key=scores.get)
    asked = ["score", detector, "--false-alarm-rate", "0.5"]
    assert run(*asked, low, "--fail-on-anomaly").exit_code == 0
    assert run(*asked, high).exit_code == 0
    assert run(*asked, low, high, "--fail-on-anomaly").exit_code == 1


def test_another_false_alarm_rate_is_another_threshold(detector, new, parts, tmp_path):
    counts = []
    for rate in ("0.15", "0.6"):
        run("score", detector, parts, "--csv", tmp_path / "s.csv", "--false-alarm-rate", rate)
        counts.append(sum(row["is_anomaly"] == "True" for row in rows(tmp_path / "s.csv")))
    assert counts[0] < counts[1]
    assert_one_line(run("score", detector, parts, "--false-alarm-rate", "0.001"), "0.001")


def test_report_and_heat_maps(detector, new, tmp_path):
    report, heat = tmp_path / "out" / "report.html", tmp_path / "heat"
    result = run("score", detector, new, "--report", report, "--heatmaps", heat)
    assert result.exit_code == 0, result.output
    names = {path.name for path in heat.iterdir()}
    assert names == {"a.png.png", "a.png-2.png", "b.png.png", "c.jpg.png", "Stück_7_-_가.png.png"}
    with Image.open(heat / "b.png.png") as picture:
        # As large as the image, with the line below; never narrower than the words need.
        assert picture.width == 240 and picture.height > 48
    assert report.read_text().count('class="entry"') == 5
    assert report.read_text().count('data-picture="data:image/') == 5
    assert not list(report.parent.glob(".*"))


def test_the_line_below_a_heat_map_says_what_is_known():
    entry = scoring.Entry("a.png", score=1.5, above=0.95, is_anomaly=True)
    assert scoring.caption_of(entry, 1.25, 40) == (
        "score 1.5 · above 95% of 40 held-out good images · threshold 1.25: ANOMALY"
    )
    assert scoring.caption_of(scoring.Entry("a.png", score=1.5), None, 0) == "score 1.5"


def test_names_of_heat_maps_keep_the_end_of_a_long_name():
    name = "x" * 150 + ".png"
    assert scoring._picture_names([name]) == {name: "x" * 96 + ".png.png"}


def test_answers_are_on_disk_whenever_a_chunk_is_done(detector, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "CHUNK", 4)
    files, lines = scoring.find_images([parts])[:9], []

    def look(_):
        journal = tmp_path / ".s.csv.unfinished" / "journal"
        lines.append(journal.read_bytes().count(b"\n"))

    outputs = scoring.Outputs(csv=tmp_path / "s.csv")
    scoring.score_files(load_model(detector), files, outputs, "d", "s", on_scored=look)
    assert (lines[3], lines[7]) == (1 + 4, 1 + 8)  # the first line says of what they are


def test_an_interrupted_scoring_goes_on_and_ends_as_if_it_had_not_been(
    detector, parts, tmp_path, monkeypatch
):
    table, report = tmp_path / "s.csv", tmp_path / "r.html"
    asked = ["score", detector, parts, "--csv", table, "--report", report]
    assert run(*asked).exit_code == 0
    expected = table.read_bytes()
    table.unlink()
    monkeypatch.setattr(scoring, "CHUNK", 4)
    decoded, plain = [], scoring.try_decode

    def counting(path, *shape):
        decoded.append(path.name)
        return plain(path, *shape)

    def interrupted(path, *shape):
        if path.name == "17.png":
            raise KeyboardInterrupt
        return counting(path, *shape)

    monkeypatch.setattr(scoring, "try_decode", interrupted)
    broken = run(*asked)
    assert broken.exit_code == 130
    assert not table.exists()
    assert "goes on" in broken.stderr
    journal = next(tmp_path.glob(".s.csv.unfinished/journal"))
    with journal.open("ab") as file:
        file.write(b'{"file": "torn')  # as if it had been killed in the midst of a line
    decoded.clear()
    monkeypatch.setattr(scoring, "try_decode", counting)
    assert run(*asked).exit_code == 0
    assert table.read_bytes() == expected
    assert 0 < len(decoded) < 30 and "17.png" in decoded and "00.png" not in decoded
    assert report.read_text().count('class="entry"') == 30
    assert not list(tmp_path.glob(".*"))


def test_what_has_changed_since_is_scored_anew(detector, parts, tmp_path, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(6):
        (images / f"{number}.png").write_bytes((parts / f"{number:02}.png").read_bytes())
    bad = images / "9.png"
    bad.write_bytes(b"no picture")
    asked = ["score", detector, images, "--csv", tmp_path / "s.csv"]
    assert_one_line(run(*asked), "9.png")
    (images / "2.png").write_bytes((parts / "20.png").read_bytes())
    bad.write_bytes((parts / "21.png").read_bytes())
    assert run(*asked).exit_code == 0
    fresh = run("score", detector, images, "--csv", tmp_path / "fresh.csv")
    assert fresh.exit_code == 0
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "fresh.csv").read_bytes()


def test_another_detector_forgets_what_the_first_one_said(detector, parts, tmp_path):
    keras.utils.set_random_seed(3)
    other = Detector(GANomaly(32, 1, 6, 4), {"resize": "letterbox"})
    images = np.stack([decode(path, 32, 1, "letterbox") for path in sorted(parts.iterdir())])
    other.calibrate_on(other.ganomaly.detect(images), 0.2)
    other.save(tmp_path / "other.keras")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    asked = [parts / "01.png", bad, "--csv", tmp_path / "s.csv"]
    assert_one_line(run("score", detector, *asked), "bad.png")
    bad.write_bytes((parts / "02.png").read_bytes())
    assert run("score", tmp_path / "other.keras", *asked).exit_code == 0
    scores = [np.float32(row["score"]) for row in rows(tmp_path / "s.csv")]
    np.testing.assert_array_equal(scores, other.detect(images[1:3]).scores)


def test_an_interrupted_training_goes_on_and_ends_with_the_same_detector(
    parts, detector, tmp_path, monkeypatch
):
    progressed = training._Progress.on_epoch_end

    def interrupted(self, epoch, logs=None):
        progressed(self, epoch, logs)
        if epoch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Progress, "on_epoch_end", interrupted)
    asked = ["train", parts, "-o", tmp_path / "parts.keras", *SMALL]
    assert run(*asked).exit_code == 130
    assert not (tmp_path / "parts.keras").exists()
    monkeypatch.setattr(training._Progress, "on_epoch_end", progressed)
    again = run(*asked)
    assert again.exit_code == 0
    assert "Going on after epoch" in again.output
    once, twice = load_model(detector), load_model(tmp_path / "parts.keras")
    for mine, other in zip(once.get_weights(), twice.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert once.thresholds == twice.thresholds
    assert not list(tmp_path.glob(".*"))


def test_training_ends_when_its_time_is_over(parts, tmp_path):
    result = run("train", parts, "-o", tmp_path / "p.keras", *SMALL, "--minutes", "0.0001")
    assert result.exit_code == 0, result.output
    assert load_model(tmp_path / "p.keras").card["epochs"] == 1


def test_test_images_are_judged_with_masks_too(tmp_path):
    places = {"train/good": "normal", "test/good": "normal", "test/burr": "burr"}
    for seed, (place, kind) in enumerate(places.items()):
        folder = tmp_path / "set" / place
        folder.mkdir(parents=True)
        for number, pixels in enumerate(
            casting_images([kind] * (24 if "train" in place else 4), seed, 32)
        ):
            Image.fromarray(pixels.squeeze()).save(folder / f"{number}.png")
    masks = tmp_path / "set" / "ground_truth" / "burr"
    masks.mkdir(parents=True)
    mask = np.zeros((32, 32), "uint8")
    mask[2:9, 2:9] = 255
    for number in range(4):
        Image.fromarray(mask).save(masks / f"{number}_mask.png")
    result = run("train", tmp_path / "set", "-o", tmp_path / "set.keras", *SMALL)
    assert result.exit_code == 0, result.output
    made = load_model(tmp_path / "set.keras")
    judged = made.card["test"]
    assert {"auroc", "auroc_low", "pixel_auroc", "pro", "detection_rate"} <= set(judged)
    assert (judged["n_normal"], judged["n_anomaly"]) == (4, 4)
    files = sorted((tmp_path / "set" / "test" / "burr").iterdir())
    images = np.stack([decode(file, 32, 1, "letterbox") for file in files])
    assert judged["detection_rate"] == made.is_anomaly(images).mean()
    assert f"AUROC on the test images {judged['auroc']:.3f}" in result.stderr


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    return folder, odd_images.write(folder)


def test_every_bad_image_is_refused_in_one_line(detector, odd, tmp_path):
    """The whole corpus, each file by itself; the detector is loaded once."""
    folder, there = odd
    model = load_model(detector)
    for name in sorted(set(odd_images.REFUSED) & set(there)):
        with pytest.raises(Exception) as error:
            list(scoring.score_images(model, [str(folder / name)]))
        assert type(error.value).__name__ == "GanlibError", name
        assert str(error.value).isprintable()


def test_bad_images_among_good_ones_are_counted_and_leave_the_others_alone(detector, odd, tmp_path):
    folder, there = odd
    asked = ["score", detector, folder, "--csv", tmp_path / "s.csv"]
    assert_one_line(run(*asked), "cannot be read")
    assert not (tmp_path / "s.csv").exists()
    result = run(*asked, "--on-error", "skip")
    assert result.exit_code == 0, result.output
    found = {Path(row["file"]).name: row for row in rows(tmp_path / "s.csv")}
    assert len(found) == len(there)
    refused = {name for name, row in found.items() if row["error"]}
    printable = {name for name in there if name.isprintable() and name.isascii()}
    assert refused & printable == set(odd_images.REFUSED) & printable
    for name in refused:
        assert found[name]["score"] == found[name]["is_anomaly"] == ""
    assert f"{len(refused)} could not be read." in result.stdout


def no_detectors(folder, detector):
    GANomaly(32, 1, 6, 4).save(folder / "ganomaly.keras")
    content = detector.read_bytes()
    (folder / "cut.keras").write_bytes(content[: len(content) // 2])
    (folder / "flipped.keras").write_bytes(content[:5000] + b"\xff" + content[5001:])
    (folder / "text.keras").write_text("hello")
    (folder / "empty.keras").write_bytes(b"")
    (folder / "pickle.keras").write_bytes(pickle.dumps({"a": 1}))
    (folder / "folder.keras").mkdir()
    layers = [keras.Input((2,)), keras.layers.Lambda(lambda x: x)]
    keras.Sequential(layers).save(folder / "lambda.keras")
    return [*sorted(path.name for path in folder.iterdir()), "missing.keras"]


def test_what_is_no_detector_is_refused_by_every_command(detector, parts, tmp_path):
    for name in no_detectors(tmp_path, detector):
        path = tmp_path / name
        for asked in (
            ["score", path, parts],
            ["inspect", path],
            ["export", path, tmp_path / "model.onnx"],
        ):
            assert_one_line(run(*asked), name)
    assert not (tmp_path / "model.onnx").exists()


def test_wrong_requests_are_told_before_any_work(detector, parts, tmp_path):
    (tmp_path / "file").write_text("")
    empty = tmp_path / "empty"
    empty.mkdir()
    taken = tmp_path / "taken.csv"
    taken.mkdir()
    few = tmp_path / "few"
    few.mkdir()
    for number in range(5):
        (few / f"{number}.png").write_bytes((parts / f"{number:02}.png").read_bytes())
    for asked, words in (
        (["train", tmp_path / "nowhere"], ["nowhere"]),
        (["train", empty, "-o", tmp_path / "x.keras"], ["empty", "no image"]),
        (["train", few, "-o", tmp_path / "x.keras"], ["few", "5", "10"]),
        (["train", parts, "-o", tmp_path / "x.h5"], ["x.h5", ".keras"]),
        (["train", parts, "--minutes", "0"], ["--minutes"]),
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
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["empty", "few", "file", "taken.csv"]


def test_help_shows_examples_and_usage_errors_are_errors():
    assert "python -m ganlib score" in run("--help").stdout
    for command in ("train", "score", "export", "inspect"):
        assert f"python -m ganlib {command}" in run(command, "--help").stdout
    assert run("score").exit_code == 2
    assert run("frobnicate").exit_code == 2


def test_a_killed_scoring_loses_nothing(detector, tmp_path):
    """A real process, killed with SIGKILL while it scores, and called again."""
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (400, 40, 40), dtype="uint8")
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(images / f"{number:03}.png")
    table = tmp_path / "s.csv"
    command = [sys.executable, "-m", "ganlib", "score", detector, images, "--csv", table]
    command += ["--heatmaps", tmp_path / "heat"]  # which makes it slow enough to be caught
    project = str(Path(__file__).parent.parent.parent)
    said = {"env": {**os.environ, "PYTHONPATH": project}, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **said)
    journal, until = tmp_path / ".s.csv.unfinished" / "journal", time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 20):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for begun in (table.parent, tmp_path / "heat"):  # as if it had been in the midst of writing
        (begun / f".{process.pid}.unfinished-s.csv").write_text("half")
    done = journal.read_bytes().count(b"\n") - 1
    assert not table.exists() and done < 400
    again = subprocess.run(command, stdout=subprocess.PIPE, **said)
    assert again.returncode == 0, again.stderr
    assert b"\r" not in again.stderr  # plain lines in a pipe
    found = rows(table)
    assert [Path(row["file"]).name for row in found] == [f"{n:03}.png" for n in range(400)]
    expected = load_model(detector).detect(
        np.stack([decode(path, 32, 1) for path in sorted(images.iterdir())])
    )
    scores = np.array([np.float32(row["score"]) for row in found])
    np.testing.assert_array_equal(scores, expected.scores)
    assert len(list((tmp_path / "heat").iterdir())) == 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heat", "images", "s.csv"]
