import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Several threads sum in an order that depends on the machine's load: identical trainings then
# differ in their last digits, and tests of equality occasionally fail.
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
# The same for NumPy, whose threads also wait longer than they work on small matrices.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# Programs and notebooks started by tests use this checkout, not an installed ganlib.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [*map(str, Path(__file__).parents[:2]), *filter(None, [os.environ.get("PYTHONPATH")])]
)

import matplotlib

matplotlib.use("Agg")

from browser import browser  # noqa: F401  (a fixture)
from untuned import untune


def pytest_collection_finish(session):
    untune()
