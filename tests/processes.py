"""Run programs of tests in separate processes."""

import json
import os
import subprocess
import sys

HOLD = """
import sys, time
from ganlib.files import only_one
with only_one(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(60)
"""

# For JAX programs of few steps: full optimization takes longer than the steps themselves.
LITTLE_OPTIMIZED = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
}


def answer_of(*command, **environment):
    """Run Python and return its last line of output, parsed as JSON."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
