import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Several threads add up in an order that depends on the machine's load: then two equal trainings
# differ in their last digits, and tests of equality fail now and then.
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
# The same of NumPy, whose threads on small matrices also wait for each other longer than they work.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# Programs and notebooks that tests start use this checkout, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [*map(str, Path(__file__).parents[:2]), *filter(None, [os.environ.get("PYTHONPATH")])]
)

import matplotlib

matplotlib.use("Agg")

from browser import browser  # noqa: F401  (a fixture)
from untuned import untune


def pytest_collection_finish(session):
    untune()
