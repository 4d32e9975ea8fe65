"""`make figures`: execute the notebooks that are not up to date, in order."""

import argparse
import ast
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

from ganlib import data
from ganlib import settings as profiles
from ganlib.data.dataset import RESIZES
from ganlib.data.folder import called, folder_of
from ganlib.errors import GanlibError
from ganlib.files import only_one, remove_unfinished, write_safely

PROJECT = Path(__file__).parent.parent
NOTEBOOKS = (
    "00_download",
    "01_dcgan_anogan",
    "02_ganomaly",
    "02b_baselines",
    "04_errata",
    "03_comparison",  # reads what all others wrote
)
# Instead of these for a folder without test images of both kinds, where nothing can be compared.
YOUR_IMAGES = "05_your_images"
PROTOCOLS = ("paper", "grouped")
# Minutes per notebook on two cores, to say how long the rest takes before one has been run. Those
# of "paper" are reckoned from the counted operations.
MINUTES = {
    profile: dict(zip((*NOTEBOOKS, YOUR_IMAGES), minutes, strict=True))
    for profile, minutes in {
        "smoke": (0.3, 0.25, 0.25, 0.2, 0.6, 0.4, 0.5),
        "quick": (0.3, 2.0, 1.2, 0.7, 3.8, 0.4, 10.0),
        "paper": (0.5, 400.0, 90.0, 40.0, 900.0, 0.6, 90.0),
    }.items()
}


@dataclass(frozen=True)
class Step:
    """One notebook with one set of parameters.

    Attributes:
        notebook: the source.
        output: the executed copy.
        parameters: what papermill injects.
        label: how to speak of it.
        after: the steps whose results it reads.
    """

    notebook: Path
    output: Path
    parameters: dict
    label: str
    after: tuple["Step", ...] = ()

    @property
    def note(self) -> Path:
        """The file that says that the step is done, and with what."""
        return self.output.with_suffix(".done.json")


def plan(
    profile: str,
    datasets: list[str],
    protocols: list[str],
    seeds: list[int],
    source: str,
    on_error: str = "raise",
    resize: str = "letterbox",
) -> list[Step]:
    """List the notebooks to execute.

    Args:
        profile: name of a profile.
        datasets: names of data sets; folders as absolute paths, which are called by their slugs in
            runs and figures. One without test images of both kinds gets a single notebook.
        protocols: names of protocols; each trains its own models.
        seeds: seeds; each trains its own models. The figures show the first seed; the errata are
            measured with it alone.
        source: where images come from, see `ganlib.data.open_dataset`.
        on_error: "raise" or "skip": what to do about images that cannot be read.
        resize: how a folder's images become square, see `ganlib.data.open_dataset`.

    Returns:
        Steps in the order of execution.

    Raises:
        GanlibError: two data sets have one name, or a folder holds no data set.
    """
    download, *train, errata, comparison = NOTEBOOKS
    runs, figures = PROJECT / "runs", PROJECT / "figures"
    common = {"profile": profile, "runs_dir": runs, "figures_dir": figures}
    names = {dataset: called(dataset) for dataset in datasets}
    compared = [name for dataset, name in names.items() if data.can_be_compared(dataset)]
    if len(set(names.values())) < len(datasets):
        raise GanlibError(
            f"{' and '.join(datasets)} are called {' and '.join(map(called, datasets))} in runs "
            "and figures: one would replace the other. Rename a folder, or name each of them once."
        )
    steps, results = [], []
    for dataset, name in names.items():
        folder = runs / profile / name
        if name not in compared:
            asked = {**common, "folder": dataset, "on_error": on_error, "resize": resize}
            steps.append(_step(YOUR_IMAGES, folder, name, {**asked, "seed": seeds[0]}))
            continue
        images = {**common, "dataset": dataset, "data": source}
        images |= {"on_error": on_error, "resize": resize}
        first = {**images, "seed": seeds[0]}
        steps.append(_step(download, folder, name, first))
        for protocol in protocols:
            for seed in seeds:
                place = folder / protocol / f"seed-{seed}"
                drawn = (
                    figures if (protocol, seed) == (protocols[0], seeds[0]) else place / "figures"
                )
                given = {**images, "protocol": protocol, "seed": seed, "figures_dir": drawn}
                label = f"{name}, {protocol}, seed {seed}"
                results += [_step(notebook, place, label, given) for notebook in train]
                steps += results[-len(train) :]
        results.append(_step(errata, folder, f"{name}, seed {seeds[0]}", first))
        steps.append(results[-1])
    if not compared:
        return steps
    asked = {
        "datasets": " ".join(compared),
        "protocols": " ".join(protocols),
        "seeds": " ".join(map(str, seeds)),
    }
    label = " and ".join(compared)
    steps.append(_step(comparison, runs / profile, label, common | asked, tuple(results)))
    return steps


def _step(name: str, folder: Path, label: str, parameters: dict, after: tuple = ()) -> Step:
    notebook = PROJECT / "notebooks" / f"{name}.ipynb"
    relative = {
        key: os.path.relpath(value, notebook.parent) if isinstance(value, Path) else value
        for key, value in parameters.items()
    }
    return Step(notebook, folder / notebook.name, relative, f"{name}: {label}", after)


def is_done(step: Step) -> bool:
    """Tell whether a step has been executed with all that it depends on as it is now.

    Args:
        step: the step.

    Returns:
        False if the notebook, a library file it imports, a parameter, the images or a result it
        reads has changed, or if a file that it made is gone.
    """
    try:
        note = json.loads(step.note.read_text())
    except (OSError, ValueError):
        return False
    return note["key"] == key(step) and all((PROJECT / made).exists() for made in note["made"])


def key(step: Step) -> str:
    """Digest all that the result of a step depends on.

    Contents count, not times: switching a git branch forth and back repeats nothing.

    Args:
        step: the step.

    Returns:
        SHA-256 in hexadecimal.
    """
    cells = [
        (cell["cell_type"], "".join(cell["source"]))
        for cell in json.loads(step.notebook.read_text())["cells"]
    ]
    code = "\n".join(source for kind, source in cells if kind == "code")
    depends_on = {
        "notebook": cells,
        "library": {
            str(path.relative_to(PROJECT)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in imported_files(code)
        },
        "parameters": step.parameters,
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "images": _images(step),
        "after": [key(before) for before in step.after],
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()


def imported_files(code: str) -> set[Path]:
    """Find the files of ganlib that code imports, directly or through one another.

    Args:
        code: Python source; lines of notebook magic are passed over.

    Returns:
        Paths of the files.
    """
    found: set[Path] = set()
    lines = [line for line in code.splitlines() if not line.lstrip().startswith(("%", "!"))]
    sources = ["\n".join(lines)]
    while sources:
        for module in _imports(sources.pop()):
            base = PROJECT.joinpath(*module.split("."))
            for path in (base.with_suffix(".py"), base / "__init__.py"):
                if path.is_file() and path not in found:
                    found.add(path)
                    sources.append(path.read_text())
    return found


def _imports(code: str) -> set[str]:
    """List the modules of ganlib that code names, with the packages around them."""
    modules = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [module.split(".") for module in modules if module.split(".")[0] == "ganlib"]
    return {".".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1)}


def _images(step: Step) -> str | None:
    """Digest names, sizes and times of a step's image files: reading them all takes too long."""
    asked = step.parameters.get("dataset", step.parameters.get("folder"))
    if asked is None:
        return None
    root = data.locate(asked, step.parameters.get("data", "auto"), PROJECT / "data")
    if root is None:
        return None
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        about = path.stat()
        digest.update(f"{path.relative_to(root)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def execute(step: Step) -> None:
    """Run a notebook in a process of its own and note that it is done.

    Args:
        step: the step.

    Raises:
        GanlibError: the notebook failed, its copy shows where; or its process was killed.
    """
    step.output.parent.mkdir(parents=True, exist_ok=True)
    step.note.unlink(missing_ok=True)
    started = time.time()
    log = step.output.with_suffix(".log")
    bar = {"desc": "  cells", "leave": False, "file": sys.stdout}
    try:
        with _standard_error_in(log):
            _execute_notebook(step, bar if sys.stdout.isatty() else False)
    except PapermillExecutionError as error:
        copy = os.path.relpath(step.output)
        if error.ename == GanlibError.__name__:
            raise GanlibError(f"{error.evalue}\n(in {copy})") from error
        raise GanlibError(
            f"{step.notebook.name} failed: {error.ename}: {error.evalue}\n"
            f"The copy with the whole error is {copy}."
        ) from error
    except RuntimeError as error:
        if "Kernel died" not in str(error):
            raise
        raise GanlibError(
            f"{step.notebook.name} was stopped from outside: its process is gone, which is what "
            "happens when memory runs out. Call make figures again: it goes on from the last "
            f"checkpoint. What it said last is in {os.path.relpath(log)}."
        ) from error
    figures = step.notebook.parent / step.parameters["figures_dir"] / step.parameters["profile"]
    made = [
        os.path.relpath(path, PROJECT)
        for folder in sorted({step.output.parent, figures.resolve()})
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_mtime >= started
    ]
    note = {"key": key(step), "seconds": round(time.time() - started, 1), "made": made}
    write_safely(step.note, lambda path: path.write_text(json.dumps(note, indent=1)))


def _execute_notebook(step: Step, progress_bar: dict | bool) -> None:
    """Run papermill; once more if the kernel did not start, which is before anything was done.

    Two kernels that start at the same moment may choose the same port: one of them then dies.
    """
    for last in (False, True):
        try:
            papermill.execute_notebook(
                step.notebook,
                step.output,
                step.parameters,
                cwd=step.notebook.parent,
                kernel_name="python3",
                progress_bar=progress_bar,
            )
            return
        except RuntimeError as error:
            if last or "Kernel died before replying" not in str(error):
                raise


@contextlib.contextmanager
def _standard_error_in(path: Path) -> Iterator[None]:
    """Send standard error, that of child processes too, to a file: kernels are talkative."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with path.open("wb") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def run(steps: list[Step], profile: str) -> None:
    """Execute what is not done, saying how far it is and how long the rest takes.

    Args:
        steps: what `plan` lists.
        profile: its profile, for the first estimate of the time.

    Raises:
        GanlibError: a notebook failed; what was done before it stays done.
    """
    waiting = [step for step in steps if not is_done(step)]
    if not waiting:
        print(f"Nothing to do: all {len(steps)} notebooks are up to date.")
        return
    if len(waiting) < len(steps):
        print(f"{len(steps) - len(waiting)} of {len(steps)} notebooks are up to date.")
    expected = [60 * MINUTES[profile][step.notebook.stem] for step in waiting]
    began = time.time()
    for number, step in enumerate(waiting):
        # A minute at the expected pace is added, so that one short notebook does not decide.
        pace = (time.time() - began + 60) / (sum(expected[:number]) + 60)
        left = _duration(pace * sum(expected[number:]))
        print(f"[{number + 1}/{len(waiting)}] {step.label} (about {left} left)", flush=True)
        execute(step)
    print(f"Done in {_duration(time.time() - began)}.")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def default_profile() -> str:
    """Choose "paper" where an NVIDIA card is visible, else "quick"."""
    if shutil.which("nvidia-smi") is None:
        return "quick"
    seen = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    return "paper" if "GPU" in seen.stdout else "quick"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line.

    Args:
        arguments: instead of the command line's.

    Returns:
        The exit status: 0, 1 for an error of the user's, 130 if interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m ganlib.pipeline", description=__doc__)
    parser.add_argument("--profile", default="", help="smoke, quick or paper; empty: by the device")
    parser.add_argument(
        "--datasets",
        default="casting cloud",
        help="names or folders, separated by blanks; put one with blanks in it in quotes",
    )
    parser.add_argument("--protocols", default=" ".join(PROTOCOLS), help="paper, grouped or both")
    parser.add_argument("--seeds", default="0", help="whole numbers, separated by blanks")
    parser.add_argument("--data", default="auto", help="auto, kaggle, generated or a folder")
    parser.add_argument("--on-error", default="raise", help="raise or skip images not readable")
    parser.add_argument(
        "--resize",
        default="letterbox",
        help="how a folder's images become square: letterbox, crop or squeeze",
    )
    try:
        _run_as_asked(parser.parse_args(arguments))
    except GanlibError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Call it again to go on with this notebook.", file=sys.stderr)
        return 130
    return 0


def _run_as_asked(given: argparse.Namespace) -> None:
    profile = given.profile or default_profile()
    datasets, seeds = _split(given.datasets), given.seeds.split()
    protocols = given.protocols.split()
    for dataset in datasets:
        profiles.settings(profile, dataset)
    # The notebooks run in a folder of their own.
    datasets = [str(folder_of(each)) if data.is_folder(each) else each for each in datasets]
    if not datasets or not seeds or not all(seed.isdecimal() for seed in seeds):
        raise GanlibError(
            f"DATASETS is {given.datasets!r} and SEED is {given.seeds!r}: give at least one name "
            "and one whole number, several separated by blanks."
        )
    if not protocols or not set(protocols) <= set(PROTOCOLS):
        raise GanlibError(
            f"PROTOCOL is {given.protocols!r}: choose {' or '.join(PROTOCOLS)}, or both separated "
            "by a blank."
        )
    if given.on_error not in ("raise", "skip"):
        raise GanlibError(f"ON_ERROR is {given.on_error!r}: choose raise or skip.")
    if given.resize not in RESIZES:
        raise GanlibError(f"RESIZE is {given.resize!r}: choose {', '.join(RESIZES)}.")
    source = given.data
    if source not in ("auto", "kaggle", "generated"):
        source = str(Path(source).resolve())
    if os.environ.get("GANLIB_DATA"):
        os.environ["GANLIB_DATA"] = str(Path(os.environ["GANLIB_DATA"]).resolve())
    print(
        f"Profile {profile}; {given.datasets}; protocol {given.protocols}; seed {given.seeds}; "
        f"data: {source}."
    )
    with only_one(PROJECT / "runs", "make figures", wait=0):
        for folder in ("runs", "figures", "data"):
            remove_unfinished(PROJECT / folder)
        numbers = [int(seed) for seed in seeds]
        steps = plan(profile, datasets, protocols, numbers, source, given.on_error, given.resize)
        run(steps, profile)


def _split(names: str) -> list[str]:
    """Split at blanks, but for those in quotes."""
    try:
        return shlex.split(names)
    except ValueError as error:
        raise GanlibError(
            f"DATASETS is {names!r}: {error}. Put a folder with blanks or quotes in its name into "
            "quotes of the other sort."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
