"""What the benchmark counts and writes; how fast anything is, no test asks."""

import importlib.util
import re
import tarfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tracked
from processes import LITTLE_OPTIMIZED, answer_of
from tiny import save_images

from benchmarks import ceiling, draw
from ganlib.models import BASELINES, METHODS
from ganlib.models.ganomaly import GANomaly
from ganlib.run import read_runs


def test_operations_of_a_network_and_of_a_step_of_ganomaly_are_those_counted_by_hand():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 4, strides=2, padding="same")(image)  # to 4x4
    x = keras.layers.Conv2DTranspose(2, 4, strides=2, padding="same")(x)  # from 4x4
    x = keras.layers.Dense(7)(keras.layers.Flatten()(x))
    first = 2 * 4 * 4 * (4 * 4 * 3) * 5
    rest = 2 * 4 * 4 * (4 * 4 * 5) * 2 + 2 * (8 * 8 * 2) * 7
    assert ceiling.operations(keras.Model(image, x)) == (first + rest, first)
    model = GANomaly(32, 1, latent_dim=6, filters=4)
    networks = (model.encoder, model.decoder, model.encoder2, model.discriminator)
    (e, e_image), (d, _), (e2, _), (judge, judge_image) = map(ceiling.operations, networks)
    # forward once each, D twice; kernels as often; inputs: not those of real images and of D's own
    passes = 3 * e - e_image + 3 * d + 3 * e2 + 7 * judge - 2 * judge_image
    assert ceiling.ganomaly_step(model, 5) == 5 * passes


def test_the_table_replaces_what_was_between_the_marks(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!--table-->\nold\n<!--/table-->\nafter\n")
    table = pd.DataFrame(
        [
            {"what": "search", "published": 9.0, "ours": 0.05, "ratio": 180.0, "bound": 35},
            {"what": "memory", "ours": 2024.0},
        ]
    ).assign(unit="s", note="", images="casting", device="CPU", versions="keras 3")
    for _ in range(2):
        draw.fill(page, table, 600)
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "| search | 9 | 0.05 | s | 180 | 35 |  |" in lines
    assert "| memory |  | 2,024 | s |  |  |  |" in lines
    assert lines.count("<!--table-->") == 1
    assert "casting; CPU; keras 3; 10 minutes." in lines


BENCHMARKS = tracked.PROJECT / "benchmarks"
PAGE = (BENCHMARKS / "README.md").read_text()
RESULTS = pd.read_csv(tracked.published("benchmarks/results.csv"))
SLOWER = pd.read_csv(BENCHMARKS / "results-slower.csv")
# What docs/speed.md tells of the slower machine, in its order.
TOLD = [
    "AnoGAN 64x64, networks of quick: 200 steps from the prior, rate 0.3",
    "AnoGAN 128x128, published networks: 200 steps from the prior, rate 0.3",
    "AnoGAN 64x64, networks of quick: 88 steps from the encoder, rate 0.1",
    "AnoGAN 128x128, published networks: 50 steps from the encoder, rate 0.3, bfloat16",
    "GANomaly 128x128x1, batch 32: training step",
    "GANomaly 128x128x1: scoring",
    "GANomaly 128x128x1: scoring, mixed_bfloat16",
]


def numbers_in(text):
    prose = re.sub(r"`[^`]*`|\([^)]*\)|!\[.*", "", text)
    return re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", prose)


def test_the_page_on_speed_says_what_the_benchmark_measured():
    section = (tracked.PROJECT / "docs/speed.md").read_text()
    steps = pd.read_csv(tracked.published("benchmarks/steps.csv"))
    known = {f"{auroc:.3f}" for auroc in steps.loc[steps["steps"].isin([0, 200]), "auroc"]}
    known |= {"200", "64", "128", "100,000", "3,000", "256", "3", "2", "1", "16", "32"}
    known |= {each for what in RESULTS["what"] for each in re.findall(r"(\d+) steps", what)}
    formats = "{:.2g} {:.3g} {:,.0f} {:.2f}"
    for value in RESULTS[["published", "ours", "ratio"]].melt()["value"].dropna():
        known |= {*formats.format(*[value] * 4).split(), f"{100 * value:.0f}"}
    (slower,) = (line for line in section.splitlines() if "results-slower.csv" in line)
    numbers = numbers_in(section.replace(slower, ""))
    assert len(numbers) > 15
    assert set(numbers) <= known
    assert numbers_in(slower) == list(SLOWER.set_index("what")["ratio"][TOLD].map(draw._number))


def test_the_tables_and_numbers_of_the_page_are_those_of_the_results():
    for row in RESULTS.itertuples():
        assert f"| {row.what} |" in PAGE
        assert pd.isna(row.ratio) or f" | {row.unit} | {draw._number(row.ratio)} | " in PAGE
    (said,) = re.findall(r"\| what, on the slower machine .*?\n\n", PAGE, re.S)
    rows = [line.strip("| ").split(" | ") for line in said.strip().splitlines()[2:]]
    expected = SLOWER.dropna(subset=["bound", "ratio"])
    assert [row[0] for row in rows] == expected["what"].tolist()
    numbers = expected[["ratio", "bound"]].map(draw._number).to_numpy().tolist()
    assert [row[1:] for row in rows] == numbers
    said = dict(re.findall(r"<!--(\w+)-->([\w.,-]+)<!--/", PAGE))
    values = pd.read_csv(BENCHMARKS / "scoring.csv").set_index("what")["value"]
    assert said["rate"] == f"{values[said['files'] + ' files to a table']:.0f}"
    assert said["share"] == f"{100 * values.filter(like='share').item():.0f}"
    assert said["grown"] == f"{values['memory of all relative to the fewer']:.2f}"
    differences = pd.read_csv(BENCHMARKS / "exports.csv")[["score_difference", "heat_difference"]]
    assert f"{differences['score_difference'].max():.0e}" == said["parity"]
    assert (differences.max() < 1e-3).all()


def test_the_figure_has_a_bar_for_each_pair_that_was_asked_for():
    (axes,) = draw.ratios(RESULTS, "one machine").axes
    told = RESULTS.set_index("what")["ratio"]
    widths = [bar.get_width() for bar in axes.patches]
    assert sorted(widths) == sorted(told[name] for name in TOLD[:6])


def test_the_job_for_a_card_needs_no_notebook_and_packs_what_the_comparison_reads(tmp_path):
    """With generated images and JAX, where there is one; little is optimized: steps are few."""
    random = np.random.default_rng(0)
    for name, count in {"train/good": 24, "test/good": 8, "test/hole": 8}.items():
        images = random.integers(0, 256, (count, 32, 32), "uint8")
        save_images(tmp_path / "parts" / name, images)
    backend = "jax" if importlib.util.find_spec("jax") else keras.backend.backend()
    given = {"KERAS_BACKEND": backend, "GANLIB_PUBLISH": "", **LITTLE_OPTIMIZED}
    answer = answer_of(Path(__file__).with_name("paper_job.py"), tmp_path, **given)
    assert answer == {"too late": 0, "begun": False, "first": 0, "again": 0}
    with tarfile.open(tmp_path / "paper-results.tar.gz") as archive:
        archive.extractall(tmp_path / "here", filter="data")
    seed = tmp_path / "here/runs/smoke/parts/paper/seed-0"
    rows = read_runs([seed], [*METHODS, *BASELINES], ["AnoGAN", "GANomaly", *BASELINES])
    learnt = {"AnoGAN", "GANomaly", "autoencoder", "untrained GANomaly"}
    assert set(rows["method"]) == learnt | set(BASELINES)
    assert set(rows["keras_backend"]) == {backend}
    for folder in map(Path, rows["folder"]):
        scores = pd.read_csv(folder / "scores.csv").query("role == 'test'")
        assert scores["label"].value_counts().tolist() == [8, 8] and scores["score"].nunique() > 8
    for name in ("anogan", "ganomaly"):
        examples = np.load(seed / name / "examples.npz")
        assert {"images", "reconstructions", "residuals", "scores", "spots"} <= set(examples)
    figures = tmp_path / "here/figures/smoke-local"
    drawn = {path.name for path in figures.glob("*.png")}
    assert {"dcgan_samples_parts.png", "figure_2_ganomaly_architecture_parts.png"} <= drawn
    speed = pd.read_csv(figures / "speed.csv")
    assert (speed["value"] > 0).all() and speed["device"].notna().all()
    ratio = speed.set_index("compared")["ratio"]
    assert (ratio[["matrix product, float32", "matrix product, bfloat16"]] > 0).all()
    assert ratio["published loop, CPU"].isna().all()  # its networks are larger
    assert backend != "jax" or ratio["jitted by hand"] > 0
