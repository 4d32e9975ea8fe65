"""Used by test_benchmarks: run a tiny job for a graphics card where notebooks cannot run."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

absent = {"IPython", "papermill", "tensorflow"} - {os.environ["KERAS_BACKEND"]}
sys.modules.update(dict.fromkeys(absent))  # importing one of them fails

from benchmarks import card, paper  # noqa: E402
from ganlib.figures import style  # noqa: E402
from ganlib.models import METHODS  # noqa: E402
from ganlib.settings import PROFILES  # noqa: E402

paper.TRAIN = paper.TRAIN[0], ("02b_baselines",)  # without models that compile slowly
del METHODS["segmentator"]
style.DPI, card.SIDE, card.TURNS, card.SEARCHES = 20, 512, 2, ((2, "float32"),)
few = {"steps": 2, "dcgan_steps": 2, "search_steps": 2, "limit": 12, "batch_size": 8}
few |= {"channels": 1, "latent_dim": 6, "filters": 4, "search_batch_size": 4}
PROFILES["smoke"] = {name: replace(row, **few) for name, row in PROFILES["smoke"].items()}

command = ["--profile", "smoke", "--seeds", "0", "--datasets", "parts"]
os.chdir(sys.argv[1])
answer = {"too late": paper.main([*command, "--minutes", "0"]), "begun": Path("runs").exists()}
answer["first"] = paper.main(command)


def fails(*given):
    raise RuntimeError("trained again")


paper.execute = card.measure = fails
answer["again"] = paper.main(command)
print(json.dumps(answer))
