"""The wheel, as it is installed elsewhere with nothing but what it declares; the Dockerfile."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image
from processes import LITTLE_OPTIMIZED

PROJECT = Path(__file__).parent.parent
FOR_EXTRAS_ONLY = {"kaggle", "papermill", "ipykernel", "seaborn", "ipython", "tensorflow"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without a network, of a copy, so that nothing is written to the checkout."""
    copy = tmp_path_factory.mktemp("source")
    shutil.copytree(PROJECT / "ganlib", copy / "ganlib")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", copy / "dist", copy]
    subprocess.run(command, check=True)
    return next((copy / "dist").glob("*.whl"))


def needs(requirements, extra=""):
    """The names of what is required, and of what that requires, as it is installed here."""
    found, waiting = set(), list(requirements)
    while waiting:
        each = Requirement(waiting.pop())
        wanted = [""] if each.name == "ganlib" else ["", *each.extras]
        if each.marker and not any(each.marker.evaluate({"extra": e}) for e in [extra, *wanted]):
            continue
        name = each.name.lower().replace("_", "-")
        if name not in found:
            found.add(name)
            waiting += metadata.requires(name) or []
    return found


@pytest.fixture(scope="module")
def ganlib(wheel, tmp_path_factory):
    """Runs a program of a bare environment: the wheel, what it needs, and JAX."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    # -I: a checkout on PYTHONPATH counts as installed.
    install = [python, "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    (folder / "needs").mkdir()
    for name in needs(metadata_of(wheel).get_all("Requires-Dist"), "jax"):
        package = metadata.distribution(name)
        for top in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            link = folder / "needs" / top
            link.exists() or link.symlink_to(package.locate_file(top))
    site = next(folder.glob("venv/lib/python*/site-packages"))
    (site / "needs.pth").write_text(str(folder / "needs"))
    others = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GANLIB_"))}
    environment = {**others, **LITTLE_OPTIMIZED, "KERAS_BACKEND": "jax", "HOME": str(folder)}

    def run(program, *arguments):
        command = [folder / "venv" / "bin" / program, *arguments]
        options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
        return subprocess.run(command, **options)

    return run


def metadata_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        return metadata.PathDistribution(zipfile.Path(archive, name).parent).metadata


def test_extras_alone_need_what_the_library_does_not(wheel):
    about = metadata_of(wheel)
    assert {"notebooks", "kaggle", "export", "spread"} <= set(about.get_all("Provides-Extra"))
    lines = list(map(Requirement, about.get_all("Requires-Dist")))
    own = {each.name for each in lines if not (each.marker and "extra" in str(each.marker))}
    assert {"keras", "numpy", "pandas", "scipy", "scikit-learn", "pillow", "matplotlib"} < own
    assert needs(about.get_all("Requires-Dist")) & FOR_EXTRAS_ONLY == set()
    assert {"Author", "Project-URL", "Classifier", "Keywords"} <= set(about)


def test_the_wheel_works_in_another_folder_with_nothing_but_what_it_declares(ganlib, tmp_path):
    assert "score" in ganlib("ganlib", "--help").stdout
    where = ganlib("python", "-c", "import ganlib; print(ganlib.__file__)").stdout
    assert "site-packages" in where
    for name in FOR_EXTRAS_ONLY - {"ipython"}:
        assert ganlib("python", "-c", f"import {name}").returncode == 1

    for i in range(10):
        image = np.random.default_rng(i).integers(0, 256, (32, 32), np.uint8)
        (tmp_path / "good").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "good" / f"{i}.png")
    made, report = tmp_path / "d.keras", tmp_path / "r.html"
    options = ["--method", "GANomaly", "--steps", "1", "--filters", "2", "--image-size", "32"]
    trained = ganlib("ganlib", "train", tmp_path / "good", "-o", made, *options)
    assert trained.returncode == 0, trained.stderr
    scored = ganlib("ganlib", "score", made, tmp_path / "good", "--report", report)
    assert scored.returncode == 0, scored.stderr
    assert report.read_text().count(".png") >= 10

    code = "from ganlib.data import open_dataset; open_dataset('casting', 'kaggle', 'data')"
    assert "pip install 'ganlib[kaggle]'" in ganlib("python", "-c", code).stderr


def test_the_dockerfile_pins_its_base_copies_what_is_there_and_needs_no_root():
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    steps = [line.split() for line in lines if line and not line.startswith("#")]
    words = {name: [rest for first, *rest in steps if first == name] for name, *_ in steps}
    assert set(words) <= {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert steps[0][0] == "FROM"
    assert re.search(r":\d+\.\d+\.\d+-|@sha256:", words["FROM"][0][0])
    assert int(words["USER"][-1][0]) > 0
    sent = (PROJECT / ".dockerignore").read_text().splitlines()
    for *sources, _ in words["COPY"]:
        for source in sources:
            assert (PROJECT / source).exists() and f"!{source}" in sent
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    assert words["ENTRYPOINT"] == [[f'["{next(iter(scripts))}"]']]
