"""Used by test_benchmarks: the job for a graphics card, tiny, where notebooks could not be run."""

import json
import os
import sys
from dataclasses import replace

ABSENT = {"IPython", "papermill"} | {"tensorflow"} - {os.environ["KERAS_BACKEND"]}
sys.modules.update(dict.fromkeys(ABSENT))  # importing one is an error

from benchmarks import card, paper  # noqa: E402
from ganlib.settings import PROFILES  # noqa: E402

tiny = {"latent_dim": 6, "filters": 4, "batch_size": 8, "limit": 12, "search_batch_size": 4}
tiny |= {"steps": 2, "dcgan_steps": 2, "search_steps": 2, "channels": 1}
PROFILES["smoke"] = {name: replace(row, **tiny) for name, row in PROFILES["smoke"].items()}
card.SIDE, card.TURNS = 512, 2
command = ["--profile", "smoke", "--seeds", "0", "--datasets", *sys.argv[1:]]
answer = {"too late": paper.main([*command, "--minutes", "0"])}
answer["begun"] = os.path.exists("runs/smoke")
answer["first"] = paper.main(command)
paper.execute = paper.card.measure = None  # whoever calls one of them fails
answer["again"] = paper.main(command)
print(json.dumps(answer))
