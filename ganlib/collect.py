"""`python -m ganlib.collect runs/paper results.csv`: a table of the runs there are.

`03_comparison` wants every method; this takes what has been run, for instance one notebook of a
profile that takes hours.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from ganlib import comparison, results
from ganlib.errors import GanlibError


def collect(folder: str | Path) -> pd.DataFrame:
    """Judge every run below a folder.

    Args:
        folder: for instance `runs/paper`.

    Returns:
        A line per run and kind of anomaly, as in the `results.csv` of `03_comparison`.

    Raises:
        GanlibError: there is no run.
    """
    folders = [path.parent for path in sorted(Path(folder).rglob("result.json"))]
    if not folders:
        raise GanlibError(f"{folder} holds no run (no result.json): run a notebook first.")
    runs = results.read_rows(folders)
    judged = [
        comparison.merits(pd.read_csv(each / "scores.csv")).assign(folder=str(each))
        for each in folders
    ]
    return runs.merge(pd.concat(judged), on="folder").drop(columns="folder")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.collect", description=__doc__)
    parser.add_argument("folder", help="of runs")
    parser.add_argument("table", help="the CSV file to write")
    given = parser.parse_args(arguments)
    try:
        results.write_csv(given.table, collect(given.folder))
    except GanlibError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
