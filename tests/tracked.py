"""Read published results, ignoring what `make figures` and `make bench` wrote since."""

import io
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def published(path, project=PROJECT):
    """Open git's version of a file (staged, else committed); without one, the file on disk."""
    try:
        found = subprocess.run(
            ["git", "show", f":./{path}"], cwd=project, capture_output=True, text=True
        )
    except FileNotFoundError:
        return (project / path).open()
    return io.StringIO(found.stdout) if found.returncode == 0 else (project / path).open()
