"""Run the paper's profile on a machine with a graphics card, within a time limit.

    KERAS_BACKEND=jax python -m benchmarks.paper --minutes 10

It runs the notebooks' code cells as plain Python, without their checks: first the paper's GANs on
all data sets, then a measurement of how well the card is used (`benchmarks.card`), newer models and
baselines, and the other seeds. It needs no TensorFlow, IPython, papermill or network. After every
notebook it packs the results, figures and speed so far into one file. Unpack it in the project, and

    make figures PROFILE=paper NOTEBOOKS=03_comparison

draws the figures that compare methods, without training. Another call runs what is left.
"""

import argparse
import contextlib
import gc
import itertools
import json
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import pandas as pd

from benchmarks import card
from ganlib import evaluation
from ganlib.data.folder import called
from ganlib.data.splits import PROTOCOLS
from ganlib.errors import GanlibError
from ganlib.files import write_json, write_safely
from ganlib.models.environment import device
from ganlib.settings import PROFILES, figures_folder

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
# The paper's notebooks run first, on all data sets; the others run as time allows.
TRAIN = ("01_dcgan_anogan", "02_ganomaly"), ("06_recent_models", "02b_baselines")
DRAWN = ("anogan", "ganomaly")  # 03_comparison shows images of these methods, of the first seed


def main(arguments: list[str] | None = None) -> int:
    """Run the remaining tasks that fit the time; return 1 if any failed, else 0."""
    given = options(arguments)
    plt.switch_backend("Agg")
    if keras.backend.backend() == "jax":  # later seeds reuse what the first one compiled
        import jax

        jax.config.update("jax_compilation_cache_dir", str(given.runs.resolve() / "compiled"))
    print(f"Profile {given.profile}: {device()} with {keras.backend.backend()}.", flush=True)
    ends, took, failed = time.monotonic() + 60 * given.minutes, {}, 0
    for note, kind, run in tasks(given):
        name = note.with_suffix("")
        if note.is_file():
            took[kind] = json.loads(note.read_text())["seconds"]
            print(f"{name}: already done")
            continue
        if (left := ends - time.monotonic()) < took.get(kind, 0):
            print(f"{name}: not started, {max(0, left):.0f} s left")
            continue
        began = time.monotonic()
        note.parent.mkdir(parents=True, exist_ok=True)
        try:
            with name.with_suffix(".log").open("w") as log, contextlib.redirect_stdout(log):
                run()
        except Exception as error:  # later tasks may succeed
            failed = 1
            print(f"{name}: {error if isinstance(error, GanlibError) else traceback.format_exc()}")
        else:
            took[kind] = round(time.monotonic() - began, 1)
            write_json(note, {"seconds": took[kind]})
            print(f"{name}: {took[kind]} s", flush=True)
        plt.close("all")
        gc.collect()  # models contain reference cycles
        pack(given)
    print(f"\n{aurocs(given.runs / given.profile)}\n\nResults and figures are in {given.output}.")
    return failed


def options(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    option = parser.add_argument
    option("--profile", choices=PROFILES, default="paper")
    option("--datasets", nargs="+", default=["casting", "cloud"], help="names or folders")
    option("--protocols", nargs="+", choices=PROTOCOLS, default=["paper"])
    option("--seeds", nargs="+", type=int, default=[0, 1, 2])
    option("--minutes", type=float, default=10.0, help="skip tasks that would take longer")
    option("--data", default="auto", help="auto, kaggle, generated or a folder")
    option("--runs", type=Path, default=Path("runs"))
    option("--figures", type=Path, default=Path("figures"))
    option("--output", type=Path, default=Path("paper-results.tar.gz"))
    return parser.parse_args(arguments)


def tasks(given: argparse.Namespace) -> Iterator[tuple[Path, object, Callable]]:
    """Yield all tasks: the file that marks one as done, its kind (for its duration), the call."""
    splits = [split for protocol in given.protocols for split in PROTOCOLS[protocol]]
    root = given.runs / given.profile
    places = {"source": given.data, "data_dir": "data", "runs_dir": given.runs}
    for seed, names in itertools.product(given.seeds, TRAIN):
        for split, dataset in itertools.product(splits, given.datasets):
            folder = root / called(dataset) / split / f"seed-{seed}"
            first = (seed, split) == (given.seeds[0], splits[0])
            figures = given.figures if first else folder / "figures"
            about = {"dataset": dataset, "profile": given.profile, "protocol": split, "seed": seed}
            parameters = {**about, **places, "figures_dir": figures}
            for name in names:
                run = partial(execute, name, parameters)
                yield folder / f"{name}.job.json", (name, dataset), run
        if (seed, names) == (given.seeds[0], TRAIN[0]):
            table = figures_folder(given.figures, given.profile, ()) / "speed.csv"
            yield root / "speed.job.json", "speed", partial(card.measure, given.profile, table)


def execute(name: str, parameters: dict) -> None:
    """Run the code cells of a notebook in this process, with these parameters."""
    keras.backend.clear_session()
    names = {"__name__": name}
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    for number, cell in enumerate(cells):
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "check" not in tags and "\n%" not in source:
            exec(compile(source, f"{name}.ipynb, cell {number}", "exec"), names)
        if "parameters" in tags:
            names |= parameters


def pack(given: argparse.Namespace) -> None:
    """Pack what `03_comparison` reads, the figures and the speed into one file of a few MiB."""
    runs, figures = given.runs / given.profile, f"{given.profile}*/*"
    kinds = "result.json", "scores.csv", "*.job.json"
    found = [path for kind in kinds for path in runs.rglob(kind)]
    found += [p for n in DRAWN for p in runs.rglob(f"seed-{given.seeds[0]}/{n}/examples.npz")]
    drawn = [p for kind in ("png", "csv") for p in given.figures.glob(f"{figures}.{kind}")]
    names = {path: Path("runs", path.relative_to(given.runs)) for path in found}
    names |= {path: Path("figures", path.relative_to(given.figures)) for path in drawn}

    def write(file: Path) -> None:
        with tarfile.open(file, "w:gz") as archive:
            for path, name in sorted(names.items()):
                archive.add(path, name)

    write_safely(given.output, write)


def aurocs(runs: Path) -> str:
    """Tabulate the AUROC of every method, one column per seed."""
    rows = []
    for path in runs.rglob("seed-*/*/result.json"):
        scores = pd.read_csv(path.with_name("scores.csv")).query("role == 'test'")
        auroc = evaluation.evaluate(scores["label"], scores["score"])["auroc"]
        rows.append(json.loads(path.read_text()) | {"auroc": auroc})
    if not rows:
        return "No results yet."
    table = pd.DataFrame(rows).sort_values(["dataset", "protocol", "family"])
    index = ["dataset", "protocol", "method"]
    return table.pivot_table("auroc", index, "seed", sort=False).round(3).to_string()


if __name__ == "__main__":
    sys.exit(main())
