"""`make figures`: execute the notebooks that are not up to date, in order."""

import argparse
import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

from ganlib import data, profiles
from ganlib.errors import GanlibError
from ganlib.results import write_json

PROJECT = Path(__file__).parent.parent
# Minutes of a notebook on two cores, to say how long the rest takes before one has been run.
MINUTES = {
    "smoke": {"00": 0.2, "01": 0.4, "02": 0.4, "03": 0.2},
    "quick": {"00": 0.3, "01": 5.0, "02": 3.5, "03": 0.3},
    "paper": {"00": 0.5, "01": 300.0, "02": 90.0, "03": 0.3},
}


@dataclass(frozen=True)
class Step:
    """One notebook with one set of parameters.

    Attributes:
        notebook: the source.
        output: the executed copy.
        parameters: what papermill injects.
        label: how to speak of it.
        data_root: folder of the images it reads, None if it reads none.
        after: the steps whose results it reads.
    """

    notebook: Path
    output: Path
    parameters: dict
    label: str
    dataset: str | None = None
    after: tuple["Step", ...] = field(default=())

    @property
    def state(self) -> Path:
        """Where it is written that the step is done."""
        return self.output.with_suffix(".done.json")


def plan(profile: str, datasets: list[str], seeds: list[int], source: str) -> list[Step]:
    """List the notebooks to execute.

    Args:
        profile: name of a profile.
        datasets: names of data sets.
        seeds: seeds; each trains its own models. The figures show the first.
        source: where images come from, see `ganlib.data.open_dataset`.

    Returns:
        Steps in the order of execution.
    """
    runs, figures = PROJECT / "runs" / profile, PROJECT / "figures" / profile
    steps, results = [], []
    for dataset in datasets:
        common = {"dataset": dataset, "profile": profile, "data": source}
        steps.append(
            _step("00_download", runs / dataset, f"{dataset}", common | {"figures_dir": figures}, dataset)
        )
        for seed in seeds:
            folder = runs / dataset / f"seed-{seed}"
            drawn = figures if seed == seeds[0] else folder / "figures"
            for name in ("01_dcgan_anogan", "02_ganomaly"):
                parameters = common | {"seed": seed, "runs_dir": runs, "figures_dir": drawn}
                results.append(_step(name, folder, f"{dataset}, seed {seed}", parameters, dataset))
        steps += results[-2 * len(seeds) :]
    parameters = {
        "profile": profile,
        "datasets": " ".join(datasets),
        "seeds": " ".join(map(str, seeds)),
        "runs_dir": runs,
        "figures_dir": figures,
    }
    steps.append(_step("03_comparison", runs, " and ".join(datasets), parameters, after=tuple(results)))
    return steps


def _step(name, folder, label, parameters, dataset=None, after=()):
    notebook = PROJECT / "notebooks" / f"{name}.ipynb"
    relative = {
        key: os.path.relpath(value, notebook.parent) if isinstance(value, Path) else value
        for key, value in parameters.items()
    }
    return Step(notebook, folder / notebook.name, relative, f"{name}: {label}", dataset, after)


def is_done(step: Step) -> bool:
    """Tell whether a step has been executed with all that it depends on as it is now.

    Args:
        step: the step.

    Returns:
        False if the notebook, a library file it imports, a parameter, the images or a result it
        reads has changed, or if a file that it made is gone.
    """
    try:
        done = json.loads(step.state.read_text())
    except (OSError, ValueError):
        return False
    return done["key"] == key(step) and all((PROJECT / made).exists() for made in done["made"])


def key(step: Step) -> str:
    """Digest all that the result of a step depends on.

    Contents count, not times: switching a git branch forth and back repeats nothing.

    Args:
        step: the step.

    Returns:
        SHA-256 in hexadecimal.
    """
    cells = json.loads(step.notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    text = json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in cells])
    depends_on = {
        "notebook": hashlib.sha256(text.encode()).hexdigest(),
        "library": {
            str(path.relative_to(PROJECT)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(imported_files(code))
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
    sources = ["\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))]
    while sources:
        for module in _imports(sources.pop()):
            base = PROJECT.joinpath(*module.split("."))
            for path in (base.with_suffix(".py"), base / "__init__.py"):
                if path.is_file() and path not in found:
                    found.add(path)
                    sources.append(path.read_text())
    return found


def _imports(code: str) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = {module for module in modules if module.split(".")[0] == "ganlib"}
    return ours | {module.rsplit(".", depth)[0] for module in ours for depth in range(module.count(".") + 1)}


def _images(step: Step) -> str | None:
    """Digest names, sizes and times of a step's image files: reading them all would take too long."""
    if step.dataset is None:
        return None
    root = data.locate(step.dataset, step.parameters["data"], PROJECT / "data")
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
        GanlibError: the notebook failed; its copy shows where.
    """
    step.output.parent.mkdir(parents=True, exist_ok=True)
    step.state.unlink(missing_ok=True)
    started = time.time()
    try:
        papermill.execute_notebook(
            step.notebook,
            step.output,
            step.parameters,
            cwd=step.notebook.parent,
            kernel_name="python3",
            progress_bar={"desc": "  cells", "leave": False} if sys.stderr.isatty() else False,
        )
    except PapermillExecutionError as error:
        shown = os.path.relpath(step.output)
        if error.ename == GanlibError.__name__:
            raise GanlibError(f"{error.evalue}\n(in {shown})") from error
        raise GanlibError(
            f"{step.notebook.name} failed: {error.ename}: {error.evalue}\n"
            f"The copy with the whole error is {shown}."
        ) from error
    folders = {step.output.parent, (step.notebook.parent / step.parameters["figures_dir"]).resolve()}
    made = [
        os.path.relpath(path, PROJECT)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_mtime >= started
    ]
    write_json(step.state, {"key": key(step), "seconds": time.time() - started, "made": made})


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
    expected = [60 * MINUTES[profile][step.notebook.name[:2]] for step in waiting]
    began = time.time()
    for number, step in enumerate(waiting):
        elapsed = time.time() - began
        pace = elapsed / sum(expected[:number]) if number else 1.0
        left = _duration(pace * sum(expected[number:]))
        print(f"[{number + 1}/{len(waiting)}] {step.label} ... (about {left} left)", flush=True)
        execute(step)
    print(f"Done in {_duration(time.time() - began)}.")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def default_profile() -> str:
    """Choose "paper" where a graphics card is visible, else "quick"."""
    if shutil.which("nvidia-smi") is None:
        return "quick"
    seen = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    return "paper" if "GPU" in seen.stdout else "quick"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.pipeline", description=__doc__)
    parser.add_argument("--profile", default="", help="smoke, quick or paper (default: paper with a GPU)")
    parser.add_argument("--datasets", default="casting cloud", help="names, separated by blanks")
    parser.add_argument("--seeds", default="0", help="whole numbers, separated by blanks")
    parser.add_argument("--data", default="auto", help="auto, kaggle, generated or a folder")
    given = parser.parse_args(arguments)
    try:
        profile = given.profile or default_profile()
        datasets = given.datasets.split()
        for dataset in datasets:
            profiles.settings(profile, dataset)
        if not datasets or not all(seed.isdecimal() for seed in given.seeds.split() or ["none"]):
            raise GanlibError(
                f"DATASETS is {given.datasets!r} and SEED is {given.seeds!r}: give at least one name "
                "and one whole number, several separated by blanks."
            )
        seeds = [int(seed) for seed in given.seeds.split()]
        print(f"Profile {profile}, data sets {' '.join(datasets)}, seeds {given.seeds}, data {given.data}.")
        run(plan(profile, datasets, seeds, given.data), profile)
    except GanlibError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Call it again to go on with this notebook.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
