"""`make torture`: kill runs at random moments, then read every damaged file; print what survived.

Runs of `make figures` in the smoke profile, on castings (generated, unless told otherwise), are
killed with SIGKILL again and again and restarted, until each has ended. Its scores must be, to
the last bit, those of a run that was left alone, and a key to Kaggle that is in its environment
must be in nothing that it wrote. Then the tests marked `torture` run. The exit status is 1 if
anything was lost.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pandas as pd

PROJECT = Path(__file__).resolve().parent.parent
ASKED = ["--profile", "smoke", "--datasets", "casting", "--protocols", "paper"]
COMMAND = [sys.executable, "-m", "ganlib.pipeline", *ASKED]
# Of the project's top level alone: ganlib has a `data` and a `figures` too.
NOT_COPIED = {".venv", ".git", "runs", "data", "figures"}
OURS = "runs/smoke/casting/paper/"
KEY = "KGAT_7f6e5d4c3b2a19087f6e5d4c3b2a1908"  # of nobody
NAME = Path(__file__).name  # the one file that holds it
MEASURED = re.compile("seconds|_ms_|commit")  # columns that no two runs have in common


def main() -> int:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    option = parser.add_argument
    option("--kills", type=int, default=20)
    option("--seed", type=int, default=0, help="of the moments")
    option("--data", default="generated", help="as of make figures")
    option("--kills-only", action="store_true", help="leave the marked tests out")
    option("--repeat", default="", help="a notebook: killed runs have all but the comparison done")
    given = parser.parse_args()
    moments = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="ganlib-torture-") as folder:
        table = killed_runs(Path(folder), given.kills, moments, given.data, given.repeat)
        if not given.kills_only:
            table += marked_tests(Path(folder) / "tests.xml")
    table = pd.DataFrame(table, columns=["what", "cases", "lost"])
    table.insert(2, "survived", table["cases"] - table["lost"])
    print("\n" + table.to_string(index=False))
    return int(table["lost"].sum() > 0)


def killed_runs(folder: Path, kills: int, moments: random.Random, data: str, repeat: str) -> list:
    """Kill runs so many times in all; a run that has ended is compared, and the next one begins."""
    began = time.monotonic()
    reference = copy_of_project(folder / "reference")
    status, _, said = attempt(reference, data)
    assert status == 0, f"the run that was left alone failed:\n{said}"
    expected = scores(reference)
    assert len(expected) > 8, f"{reference} has no scores of a smoke run on castings"
    length = time.monotonic() - began
    if repeat:
        length = undo(reference, repeat) + undo(reference, "03_comparison")
    counted, lost, rounds, leaks = Counter(), Counter(), 0, 0
    while counted.total() < kills:
        rounds += 1
        project = copy_of_project(folder / f"run-{rounds}")
        if repeat:
            for done in ("runs", "data", "figures"):
                shutil.copytree(reference / done, project / done)
        places, status = [], None
        while status != 0:
            if counted.total() == kills:
                status, _, said = attempt(project, data)
                if status != 0:
                    print(said)
                    break
                continue
            whom = moments.choice(["all", "make figures", "notebook"])
            seconds = moments.uniform(2, max(30.0, length) / 2)
            status, where, said = attempt(project, data, seconds, whom)
            if status != 0:
                places.append(where)
                counted[where] += 1
                print(f"kill {counted.total()} of {kills}: {whom}, in {where}", flush=True)
                if "Traceback" in said:
                    print(said)
                    lost[where] += 1
        found = scores(project)
        wrong = [name for name in expected if found.get(name) != expected[name]]
        left = [str(path) for path in project.rglob(".*.unfinished-*")]
        if wrong or left:
            print(f"run {rounds}: other than the run left alone: {wrong}; left behind: {left}")
            lost.update(places or ["nothing"])
        written = [path for path in project.rglob("*") if path.is_file() and path.name != NAME]
        leaking = [str(path) for path in written if KEY.encode() in path.read_bytes()]
        if leaking:
            print(f"run {rounds}: the key to Kaggle is in {leaking}")
            leaks += 1
        shutil.rmtree(project)
    cases = {where: max(1, counted[where]) for where in sorted({*counted, *lost})}
    table = [[f"killed in {where}", n, min(n, lost[where])] for where, n in cases.items()]
    return [*table, ["runs with a key", rounds, leaks]]


def copy_of_project(folder: Path) -> Path:
    caches = shutil.ignore_patterns("__pycache__", ".*cache")

    def left_out(path: str, names: list[str]) -> set[str]:
        return caches(path, names) | (NOT_COPIED if Path(path) == PROJECT else set())

    shutil.copytree(PROJECT, folder, ignore=left_out)
    return folder


def undo(project: Path, notebook: str) -> float:
    """Remove all that a notebook made; returns how many seconds it had taken."""
    (note,) = project.glob(f"runs/**/{notebook}.done.json")
    done = json.loads(note.read_text())
    for made in done["made"]:
        (project / made).unlink()
    note.unlink()
    return done["seconds"]


def attempt(
    project: Path, data: str, seconds: float | None = None, whom: str = ""
) -> tuple[int, str, str]:
    """Run until the end or for some seconds; returns the status, the notebook and what was said."""
    environment = {**os.environ, "PYTHONPATH": str(project)}
    environment |= dict.fromkeys(["KAGGLE_KEY", "KAGGLE_API_TOKEN"], KEY)
    with (project / "said.txt").open("w") as out:
        options = {"stdout": out, "stderr": out, "start_new_session": True}
        command = [*COMMAND, "--data", data]
        process = subprocess.Popen(command, cwd=project, env=environment, **options)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            kill(process, whom)
            # A notebook killed before its first cell is started once more, and may end well.
            process.wait(1800)
    said = (project / "said.txt").read_text()
    notebooks = re.findall(r"^\[\d+/\d+\] (\w+):", said, re.M)
    return process.returncode, notebooks[-1] if notebooks else "the beginning", said


def kill(process: subprocess.Popen, whom: str) -> None:
    children = descendants(process.pid)
    targets = {"all": [process.pid, *children], "make figures": [process.pid], "notebook": children}
    for target in targets[whom] or [process.pid]:
        try:
            os.kill(target, signal.SIGKILL)
        except ProcessLookupError:
            continue


def descendants(process: int) -> list[int]:
    command = ["ps", "-o", "pid=", "--ppid", str(process)]
    found = subprocess.run(command, capture_output=True, text=True)
    children = [int(each) for each in found.stdout.split()]
    return [*children, *(below for child in children for below in descendants(child))]


def scores(project: Path) -> dict[str, str]:
    """Read the tables of all methods, without what no two runs have in common."""
    tables = {}
    for path in sorted(project.glob(f"{OURS}**/*.csv")):
        table = pd.read_csv(path, dtype=str)
        kept = [name for name in table.columns if not MEASURED.search(name)]
        tables[str(path.relative_to(project))] = table[kept].to_csv()
    return tables


def marked_tests(report: Path) -> list:
    command = [sys.executable, "-m", "pytest", "-m", "torture", "-n", "2", f"--junitxml={report}"]
    subprocess.run(command, cwd=PROJECT)
    counted, lost = Counter(), Counter()
    for case in ET.parse(report).iter("testcase"):
        name = case.get("classname")
        counted[name] += 1
        lost[name] += any(child.tag in ("failure", "error") for child in case)
    return [[name, n, lost[name]] for name, n in sorted(counted.items())]


if __name__ == "__main__":
    sys.exit(main())
