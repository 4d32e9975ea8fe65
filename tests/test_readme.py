"""README and docs: their commands run, their numbers are those of results files, links lead on."""

import contextlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from unittest import mock

import pandas as pd
import pytest
from tiny import save_images
from tracked import PROJECT, published

from ganlib import pipeline
from ganlib.data.synthetic import casting_images

DOCS = [PROJECT / "README.md", PROJECT / "README.ko.md", *sorted((PROJECT / "docs").glob("*.md"))]
PAGES = [*DOCS, *sorted(PROJECT.glob("*/README.md")), PROJECT / "CHANGELOG.md"]
README, KOREAN = (page.read_text() for page in DOCS[:2])
PAGE = (PROJECT / "docs/results.md").read_text()
RESULTS = pd.read_csv(published("figures/quick/results.csv"))
SUMMARY = pd.read_csv(published("figures/quick/summary.csv"))
SHOWN = {  # in the small table of both READMEs, in its order
    "casting": ["GANomaly", "AnoGAN", "nearest neighbour"],
    "cloud": ["GANomaly", "AnoGAN", "mean brightness"],
}


def marked(name, text=PAGE):
    return re.search(rf"<!--{name}-->(.*?)<!--/{name}-->", text, re.S)[1]


def cells(table):
    lines = [line.strip("|").split("|") for line in table.strip().splitlines()[2:]]
    return [[cell.strip(" *") for cell in line] for line in lines]


def summary(dataset, method, protocol):
    of_both = (SUMMARY["dataset"] == dataset) & (SUMMARY["method"] == method)
    return SUMMARY[of_both & (SUMMARY["protocol"] == protocol)].iloc[0]


def was_published(row):
    return "\N{EN DASH}" if pd.isna(row["published"]) else f"{row['published']:.3f}"


def test_readme_is_read_in_minutes_and_opens_with_a_picture_and_three_doors():
    assert len(README.splitlines()) <= 150 and len(README.split()) <= 900
    assert len(KOREAN.splitlines()) <= 80
    for text in (README, KOREAN):
        first = text[: text.index("```")]
        assert first.index("![") < first.index("](#")
        assert len(re.findall(r"\]\(#", first)) == 3
        assert {"make figures", "make test"} <= set(re.findall(r"^make \w+", text, re.M))


def test_the_tables_are_the_summary_of_the_results():
    expected = []
    for dataset, method in SUMMARY[["dataset", "method"]].drop_duplicates().to_numpy():
        rows = [summary(dataset, method, protocol) for protocol in ("grouped", "paper")]
        paper = rows[1]
        stand_in = " (stand-in)" if paper["source"] == "unverified" else ""
        ours = ["{auroc:.3f} ± {sd:.3f} [{low:.3f}, {high:.3f}]".format(**row) for row in rows]
        tested = f"{paper['n_test_normal']} + {paper['n_test_anomaly']}"
        expected.append([dataset + stand_in, method, *ours, was_published(paper), tested])
    assert cells(marked("table")) == expected
    main = RESULTS[(RESULTS["kind"] == "all") & (RESULTS["preset"] == "corrected")]
    means = main.groupby(["dataset", "protocol", "method"])["auroc"].agg(["mean", "std", "size"])
    for line in SUMMARY.itertuples():
        mean, deviation, seeds = means.loc[line.dataset, line.protocol, line.method]
        assert (line.auroc, line.sd) == pytest.approx((mean, deviation))
        assert line.n_seeds == seeds == int(marked("seeds"))
    expected = []
    for dataset, methods in SHOWN.items():
        for method in methods:
            rows = [summary(dataset, method, protocol) for protocol in ("grouped", "paper")]
            ours = ["{auroc:.3f} ± {sd:.3f}".format(**row) for row in rows]
            expected.append([method, *ours, was_published(rows[1])])
    assert [line[1:] for line in cells(marked("small", README))] == expected
    assert [line[2:] for line in cells(marked("small", KOREAN))] == [e[1:] for e in expected]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_auroc_in_the_text_is_in_a_results_file(page):
    files = [*PROJECT.glob("figures/[qp]*/*.csv"), PROJECT / "benchmarks/steps.csv"]
    tables = [pd.read_csv(published(path.relative_to(PROJECT))) for path in files]
    told = {"auroc", "sd", "low", "high", "difference", "published"}
    numbers = [table[sorted(told.intersection(table))].to_numpy().ravel() for table in tables]
    known = {f"{abs(number):.3f}" for each in numbers for number in each if abs(number) <= 1}
    assert set(re.findall(r"\b0\.\d{3}\b", page.read_text())) <= known


def test_the_sentences_with_numbers_say_what_the_files_say():
    rates = pd.read_csv(published("figures/quick/thresholds.csv"))
    rates = rates.query("dataset == 'casting' and protocol == 'grouped' and rule == 'quantile'")
    rates = rates[rates["method"] == "GANomaly"].sort_values("seed")
    false, found = (
        ", ".join(f"{100 * rate:.0f}" for rate in rates[name])
        for name in ("false_alarm_rate", "detection_rate")
    )
    assert f"gave {false} % on other pictures, and found {found} % of the defects" in PAGE
    speed = pd.read_csv(published("benchmarks/results.csv"))["ratio"].iloc[0]
    assert f"{speed:.0f} times as fast" in README and f"{speed:.0f}배" in KOREAN
    copies = pd.read_csv(published("figures/quick/copies_casting_paper.csv"))
    copies = copies.set_index(["of", "within"]).loc[("test normal", "train")].astype(int)
    assert f"all {copies['near']} normal test images are copies" in PAGE
    assert f"{copies['same_file']} of them byte for byte" in PAGE


def test_results_tell_what_they_are_of_and_the_run_at_the_published_size_is_told_as_it_went():
    assert set(RESULTS["protocol"]) >= {"paper", "grouped"}
    assert set(RESULTS["family"]) == {"GAN", "baseline"}
    assert {"corrected", "published"} < set(RESULTS["preset"])
    assert {"all", "haze", "cloudy", "partly_cloudy"} <= set(RESULTS["kind"])
    assert RESULTS[["auroc", "auroc_low", "auroc_high"]].notna().all(axis=None)
    assert marked("device") == RESULTS["device"].unique().item()
    assert set(RESULTS["source"]) == {"kaggle", "unverified"}
    assert "stand-in" in RESULTS[RESULTS["dataset"] == "cloud"]["caption"].iloc[0]
    assert "**stand-in**" in PAGE
    run = pd.read_csv(published("figures/paper/results.csv")).iloc[0]
    text = PAGE.split("At the published size,")[1].split("\n")[0]
    assert f"{run['image_size']}x{run['image_size']}, {run['filters']} filters" in text
    assert f"{run['ganomaly_steps']:,} steps at {run['ganomaly_learning_rate']}" in text
    assert f"seed {run['seed']}" in text
    assert f"AUROC is {run['auroc']:.3f}" in text
    assert f"in {run['train_seconds'] / 60:.0f} minutes" in text
    assert run["device"].endswith(" 2 cores") and "on two cores: its" in text


def test_the_stand_in_for_clouds_is_listed_as_it_was_tested():
    listed = pd.read_csv(PROJECT / "data/cloud_stand_in.csv")
    assert listed["file"].is_unique
    kinds = listed["kind"].value_counts()
    tested = RESULTS[(RESULTS["dataset"] == "cloud") & (RESULTS["preset"] == "corrected")]
    tested = tested.groupby("kind")["n_test_anomaly"].first().drop("all")
    assert kinds.drop("clear").to_dict() == tested.to_dict()
    caption = RESULTS[RESULTS["dataset"] == "cloud"]["caption"].iloc[0]
    assert f"{kinds['clear']} + {tested.sum()} images" in caption


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_a_page_links_to_and_the_make_targets_it_names_exist(page):
    text = page.read_text()
    for link in re.findall(r"\]\(((?!http)[^)]+)\)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M)) <= set(targets)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder like a checkout after `make setup`, with a few small drawn images."""
    folder = tmp_path_factory.mktemp("checkout")
    good = casting_images(["normal"] * 64, 0, 32)  # a fifth of fewer cannot promise 5 %
    save_images(folder / "parts", good)
    save_images(folder / "new", casting_images(["normal", "blow_hole"], 1, 32))
    program = folder / ".venv/bin/ganlib"  # which the environment need not have
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ganlib "$@"\n')
    program.chmod(0o755)
    return folder


def test_every_command_of_readme_runs(checkout):
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.S)).splitlines()
    lines = [line for line in lines if not line.startswith("make ")]
    for line in lines:
        if " export " in line and importlib.util.find_spec("tf2onnx") is None:
            continue
        if "ganlib train" in line:
            line += " --method autoencoder --image-size 32 --filters 4 --steps 2"
        done = subprocess.run(["bash", "-ec", line], cwd=checkout, capture_output=True, text=True)
        assert done.returncode == 0, line + done.stderr[-3000:]
        assert "Traceback" not in done.stderr
    for path in re.findall(r"[\w./]+\.(?:keras|csv|html|onnx)\b|\bheat/", "\n".join(lines)):
        exempt = path.endswith(".onnx") and importlib.util.find_spec("tf2onnx") is None
        assert exempt or (checkout / path).exists(), path
    assert {"train", "score", "export"} <= set(re.findall(r"ganlib (\w+)", "\n".join(lines)))


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_figures_of_readme_executes_the_notebook_it_names(monkeypatch):
    (line,) = re.findall(r"^make figures .*NOTEBOOKS.*$", README, re.M)
    # Run by make test, make would say in which folder it is.
    make = [*shlex.split(line), "-n", "--no-print-directory"]
    called = subprocess.run(make, cwd=PROJECT, capture_output=True, text=True).stdout
    call = called.splitlines()[-1].replace("$DATASETS", re.search(r"DATASETS=(\S+)", line)[1])
    for name in ("GANLIB_PUBLISH", "GANLIB_MODELS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(pipeline, "only_one", lambda *_, **options: contextlib.nullcontext())
    monkeypatch.setattr(pipeline, "run", ran := mock.Mock())
    assert pipeline.main(shlex.split(call)[3:]) == 0
    (step,), profile = ran.call_args.args
    folder = re.search(r"executed notebook is then in `(.*?)`", README)[1]
    assert (step.notebook.stem, profile) == ("02_ganomaly", "smoke")
    assert step.output.parent == PROJECT / folder


def test_every_python_block_of_readme_runs(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    small = {"epochs": 1, "filters": 4, "image_size": 32}
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        block = re.sub(r"(epochs|filters|image_size)=\d+", lambda m: f"{m[1]}={small[m[1]]}", block)
        exec(compile(block, "README.md", "exec"), {})
    assert (checkout / "ganomaly.keras").is_file()
