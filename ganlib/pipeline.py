"""Execute the notebooks that are not up to date, in order (`make figures`)."""

import argparse
import ast
import functools
import hashlib
import itertools
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import papermill
from papermill.exceptions import PapermillExecutionError

from ganlib import data
from ganlib.data.archives import ARCHIVES
from ganlib.data.dataset import RESIZES
from ganlib.data.folder import called, folder_of
from ganlib.data.splits import PROTOCOLS
from ganlib.errors import GanlibError
from ganlib.files import only_one, remove_unfinished, standard_error_in, write_json
from ganlib.settings import PROFILES

PROJECT = Path(__file__).parent.parent
# In order, with the minutes each takes on two cores in smoke, quick and (estimated) paper.
MINUTES = {
    "00_download": (0.3, 0.3, 0.5),
    "01_dcgan_anogan": (0.25, 2.0, 400.0),
    "02_ganomaly": (0.25, 1.2, 90.0),
    "02b_baselines": (0.2, 0.7, 40.0),
    "06_recent_models": (0.5, 3.0, 120.0),
    "04_errata": (0.6, 3.8, 900.0),
    "03_comparison": (0.4, 0.4, 0.6),  # reads the results of all others
    "05_your_images": (0.5, 10.0, 90.0),
}
*NOTEBOOKS, YOUR_IMAGES = MINUTES


class Step(NamedTuple):
    """One notebook with its parameters, and the steps whose results it reads."""

    notebook: Path
    output: Path
    parameters: dict
    label: str
    after: tuple["Step", ...] = ()

    @property
    def note(self) -> Path:
        """The file that records that the step is done, its inputs and its outputs."""
        return self.output.with_suffix(".done.json")


def plan(profile: str, datasets: list, protocols: list, seeds: list, **options) -> list[Step]:
    """List the steps in order, with a set of training steps per protocol (or fold) and seed.

    Figures and errata are for the first one. A folder (an absolute path) without test images of
    both labels gets only `05_your_images`. Options are parameters: source, on_error, resize.
    """
    download, *train, errata, comparison = NOTEBOOKS
    runs, names = PROJECT / "runs" / profile, list(map(called, datasets))
    if len(set(names)) < len(names):
        found = f"{' and '.join(datasets)} are named {' and '.join(names)} in runs and figures"
        raise GanlibError(f"{found}: rename a folder, or list each one only once.")
    common = {"profile": profile, "runs_dir": runs.parent, "figures_dir": PROJECT / "figures"}
    splits = [split for protocol in protocols for split in PROTOCOLS[protocol]]
    steps, compared = [], []
    for dataset, name in zip(datasets, names, strict=True):
        first = {**common, **options, "seed": seeds[0]}
        if not data.can_be_compared(dataset):
            first.pop("source", None)
            steps.append(_step(YOUR_IMAGES, runs / name, name, {**first, "folder": dataset}))
            continue
        compared.append(name)
        first["dataset"] = dataset
        steps.append(_step(download, runs / name, name, first))
        for i, (protocol, seed) in enumerate(itertools.product(splits, seeds)):
            folder = runs / name / protocol / f"seed-{seed}"
            own = {**first, "protocol": protocol, "seed": seed}
            own |= {"figures_dir": folder / "figures"} if i else {}
            label = f"{name}, {protocol}, seed {seed}"
            steps += [_step(each, folder, label, own) for each in train]
        steps.append(_step(errata, runs / name, f"{name}, seed {seeds[0]}", first))
    if compared:
        lists = {"datasets": compared, "protocols": protocols, "seeds": map(str, seeds)}
        parameters = common | {name: " ".join(values) for name, values in lists.items()}
        results = tuple(s for s in steps if s.notebook.stem not in (download, YOUR_IMAGES))
        steps.append(_step(comparison, runs, " and ".join(compared), parameters, results))
    return steps


def _step(name: str, folder: Path, label: str, parameters: dict, after: tuple = ()) -> Step:
    notebook, parameters = PROJECT / "notebooks" / f"{name}.ipynb", parameters.copy()
    for key in ("runs_dir", "figures_dir"):
        parameters[key] = os.path.relpath(parameters[key], notebook.parent)
    return Step(notebook, folder / notebook.name, parameters, f"{name}: {label}", after)


def is_done(step: Step) -> bool:
    """Return whether everything a step depends on is unchanged and all its outputs exist."""
    try:
        note = json.loads(step.note.read_text())
    except (OSError, ValueError):
        return False
    return note["key"] == key(step) and all((PROJECT / made).exists() for made in note["made"])


def key(step: Step) -> str:
    """Digest everything a step's result depends on. Of files, contents count and times do not."""
    cells = json.loads(step.notebook.read_text())["cells"]
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    code = "\n".join(source for kind, source in cells if kind == "code")
    files = {os.path.relpath(path, PROJECT): path for path in imported_files(code)}
    if "METHODS" in code:
        models = os.environ.get("GANLIB_MODELS", "").split(os.pathsep)
        files |= {name: Path(name) for name in models if Path(name).is_file()}
    depends_on = {
        "notebook": cells,
        "files": {name: _digest(path.read_bytes()) for name, path in files.items()},
        "parameters": step.parameters,
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "images": _images(step),
        "publish": os.environ.get("GANLIB_PUBLISH", ""),
        "after": [key(before) for before in step.after],
    }
    return _digest(json.dumps(depends_on, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def imported_files(code: str) -> set[Path]:
    """Return the files of ganlib that a notebook's code imports, directly or indirectly."""
    modules, found = {}, set()
    for path in PROJECT.glob("ganlib/**/*.py"):
        name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        modules[name.removesuffix(".__init__")] = path
    sources = ["\n".join(line for line in code.splitlines() if not line.startswith(("%", "!")))]
    while sources:
        paths = set()
        for node in ast.walk(ast.parse(sources.pop())):
            if isinstance(node, ast.Import):
                paths |= {modules.get(alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                paths |= {modules.get(name, modules.get(node.module)) for name in names}
        new = paths - found - {None}
        found |= new
        sources += [path.read_text() for path in new]
    return found


def _images(step: Step) -> str | None:
    """Digest names and contents of a step's image files; a copy has the same digest."""
    dataset = step.parameters.get("dataset", step.parameters.get("folder"))
    source = step.parameters.get("source", "auto")
    root = dataset and data.locate(dataset, source, PROJECT / "data")
    if root is None:
        return None
    files = [(path, path.stat()) for path in sorted(root.rglob("*")) if path.is_file()]
    lines = [f"{f.relative_to(root)} {_content(f, s.st_size, s.st_mtime_ns)}\n" for f, s in files]
    return _digest("".join(lines).encode(errors="surrogateescape"))


@functools.cache
def _content(path: Path, size: int, time: int) -> str:
    """Digest a file, again only if its size or time has changed."""
    try:
        return _digest(path.read_bytes())
    except OSError as error:  # the notebook reports it
        return str(error)


def execute(step: Step) -> None:
    """Run a notebook in its own process and record that it is done."""
    step.output.parent.mkdir(parents=True, exist_ok=True)
    step.note.unlink(missing_ok=True)
    started = time.time()
    name, log = step.notebook.name, step.output.with_suffix(".log")
    try:
        with standard_error_in(log):  # kernels print a lot
            _execute_notebook(step)
    except PapermillExecutionError as error:
        own = error.ename == GanlibError.__name__
        message = error.evalue if own else f"{name} failed: {error.ename}: {error.evalue}"
        raise GanlibError(f"{message}\n(in {os.path.relpath(step.output)})") from error
    except RuntimeError as error:
        if "Kernel died" not in str(error):
            raise
        found = f"{name} was killed, perhaps because memory ran out: see {os.path.relpath(log)}"
        again = "Run make figures again: it continues from the last checkpoint."
        raise GanlibError(f"{found}. {again}") from error
    figures = (step.notebook.parent / step.parameters["figures_dir"]).resolve()
    made = [
        os.path.relpath(path, PROJECT)
        for folder in sorted({step.output.parent, *figures.glob(step.parameters["profile"] + "*")})
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_mtime >= started
    ]
    note = {"key": key(step), "seconds": round(time.time() - started, 1), "made": made}
    write_json(step.note, note)


def _execute_notebook(step: Step, again: bool = True) -> None:
    """Run papermill; retry once if a kernel did not start because two chose the same port."""
    bar = sys.stdout.isatty() and {"desc": "  cells", "leave": False, "file": sys.stdout}
    place = {"cwd": step.notebook.parent, "kernel_name": "python3", "progress_bar": bar}
    try:
        papermill.execute_notebook(step.notebook, step.output, step.parameters, **place)
    except RuntimeError as error:
        if not again or "Kernel died before replying" not in str(error):
            raise
        _execute_notebook(step, again=False)


def run(steps: list[Step], profile: str) -> None:
    """Execute the steps that are not done; print the progress and the time left."""
    waiting = [step for step in steps if not is_done(step)]
    print(f"{len(steps) - len(waiting)} of {len(steps)} notebooks are up to date.")
    began, expected = time.time(), [60 * minutes(step, profile) for step in waiting]
    for number, step in enumerate(waiting):
        # Add a minute at the expected pace, so that one short notebook does not dominate.
        pace = (time.time() - began + 60) / (sum(expected[:number]) + 60)
        left = _duration(pace * sum(expected[number:]))
        print(f"[{number + 1}/{len(waiting)}] {step.label} (about {left} left)", flush=True)
        execute(step)
    notes = [json.loads(step.note.read_text())["made"] for step in steps]
    folders = {str(Path(made).parent) for made in itertools.chain(*notes) if made[:8] == "figures/"}
    print(f"Done in {_duration(time.time() - began)}. Figures: {', '.join(sorted(folders))}.")


def minutes(step: Step, profile: str) -> float:
    """Estimate a step's minutes on two cores; `published` counts as `paper`."""
    return MINUTES[step.notebook.stem][min(list(PROFILES).index(profile), 2)]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise GanlibError(f"{message}.")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; return the exit status: 0, 1 (an error) or 130 (interrupted)."""
    parser = _Parser(prog="python -m ganlib.pipeline", description=__doc__)
    option = parser.add_argument
    option("--profile", choices=["", *PROFILES], default="", help="empty: chosen by the device")
    option("--datasets", type=shlex.split, default="casting cloud", help="names or quoted folders")
    option("--protocols", nargs="+", choices=PROTOCOLS, default=["paper", "grouped"])
    option("--seeds", nargs="+", type=int, default=[0])
    option("--data", default="auto", help="auto, kaggle, generated or a folder")
    option("--on-error", choices=["raise", "skip"], default="raise", help="for unreadable images")
    option("--publish", default="", help="if not empty, show real images in figures/<profile>")
    option("--resize", choices=RESIZES, default="letterbox", help="for images of a folder")
    option("--notebooks", nargs="*", choices=MINUTES, default=[], help="only these; none: all")
    try:
        _make_figures(**vars(parser.parse_args(arguments)))
    except GanlibError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run it again to continue with this notebook.", file=sys.stderr)
        return 130
    return 0


def _make_figures(profile, datasets, protocols, seeds, data, publish, notebooks, **options) -> None:
    if not datasets:
        raise GanlibError("argument --datasets: give at least one name or folder.")
    has_gpu = "GPU 0" in subprocess.getoutput("nvidia-smi -L")
    profile = profile or ("paper" if has_gpu else "quick")
    words = [" ".join(map(str, each)) for each in (datasets, protocols, seeds)]
    # The notebooks run in another folder, so paths are made absolute.
    datasets = [name if name in ARCHIVES else str(folder_of(name)) for name in datasets]
    if data not in ("auto", "kaggle", "generated"):
        data = str(Path(data).resolve())
    if folder := os.environ.get("GANLIB_DATA"):
        os.environ["GANLIB_DATA"] = str(Path(folder).resolve())
    os.environ["GANLIB_PUBLISH"] = publish
    models = filter(None, os.environ.get("GANLIB_MODELS", "").split(os.pathsep))
    os.environ["GANLIB_MODELS"] = os.pathsep.join(map(os.path.abspath, models))
    print("Profile {}; {}; protocol {}; seed {}; data: {}.".format(profile, *words, data))
    with only_one(PROJECT / "runs", "make figures", wait=0):
        for name in ("runs", "figures", "data"):
            remove_unfinished(PROJECT / name)
        steps = plan(profile, datasets, protocols, seeds, source=data, **options)
        steps = [step for step in steps if step.notebook.stem in (notebooks or MINUTES)]
        hours = sum(minutes(step, profile) for step in steps if not is_done(step)) / 60
        if hours > 12 and not has_gpu:  # the paper's sizes
            print(f"Without a GPU this takes about {hours:.0f} hours.", flush=True)
            if sys.stdin.isatty() and input('Type "yes" to start: ').strip() != "yes":
                raise GanlibError("Nothing was started. On a CPU, use PROFILE=quick.")
        run(steps, profile)


if __name__ == "__main__":
    sys.exit(main())
