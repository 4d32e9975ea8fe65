"""DCGAN, AnoGAN, f-AnoGAN, GANomaly, detectors with pretrained features, and baselines.

`METHODS` maps the name of a method to its `AnomalyModel`. Python files listed in the environment
variable `GANLIB_MODELS` (separated as in PATH) are imported too. This makes your own models
available everywhere: in training, on the command line and in the comparison.
"""

import importlib.util
import os
from pathlib import Path

from ganlib.errors import GanlibError
from ganlib.models.anogan import AnoGAN
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.base import METHODS, AnomalyModel
from ganlib.models.baselines import BASELINES
from ganlib.models.dcgan import DCGAN
from ganlib.models.detection import Detection
from ganlib.models.experts import Experts
from ganlib.models.fanogan import FAnoGAN
from ganlib.models.ganomaly import GANomaly
from ganlib.models.gaussian import Gaussian
from ganlib.models.grdnet import GRDNet
from ganlib.models.patchcore import PatchCore
from ganlib.models.segmentator import Segmentator

for _path in map(Path, filter(None, os.environ.get("GANLIB_MODELS", "").split(os.pathsep))):
    if not _path.is_file():
        raise GanlibError(f"GANLIB_MODELS lists {_path}, which is not a file. List Python files.")
    _spec = importlib.util.spec_from_file_location(_path.stem, _path)
    _spec.loader.exec_module(importlib.util.module_from_spec(_spec))
