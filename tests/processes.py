"""Programs that tests run in a process of their own."""

import json
import os
import subprocess
import sys


def answer_of(*command, **environment):
    """Run Python; return what it prints last, read as JSON."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
