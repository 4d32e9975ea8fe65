"""Make `import ganlib` work where a notebook is opened by itself, as in Jupyter or Colab.

Keras is imported here, so that nothing of TensorFlow's log stands below a notebook's first cells.
"""

import subprocess
import sys
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path

if find_spec("ganlib") is None:
    project = str(Path(__file__).resolve().parent.parent)
    extras = "notebooks,kaggle"
    if not any(map(find_spec, ("tensorflow", "jax", "torch"))):
        extras += ",tensorflow"  # never in place of the TensorFlow that is there
    project += f"[{extras}]"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", project], check=True)
    invalidate_caches()

import ganlib

ganlib.import_keras()
