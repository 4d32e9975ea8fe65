"""Every notebook in JupyterLab, in a browser: all cells run, and the figures are on the page.

Each finds what those before it wrote, so they run in the order of `NOTEBOOKS` and not alone.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import papermill
import pytest
from browser import set_width
from noise import noise

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).parent.parent
DRAWN = {"profile": "smoke", "source": "generated", "limit": 24}
# What a user would write into the parameters' cell, and how many figures the notebook then shows.
NOTEBOOKS = {
    "00_download": (DRAWN, 3),
    "01_dcgan_anogan": (DRAWN, 7),
    "02_ganomaly": (DRAWN, 5),
    "02b_baselines": (DRAWN, 1),
    "06_recent_models": (DRAWN, 3),
    "04_errata": (DRAWN, 1),
    "07_experiments": ({**DRAWN, "questions": "latent", "datasets": "casting", "steps": 1}, 1),
    "03_comparison": ({"profile": "smoke", "datasets": "casting", "protocols": "paper"}, 8),
    "05_your_images": ({"profile": "smoke", "minutes": 1.0, "image_size": 64}, 4),
}

PANEL = "const panel = window.jupyterapp?.shell.currentWidget, kernel = panel?.sessionContext;"
RUN_ALL = """
    window.ran = null;
    panel.context.ready.then(() => kernel.ready)
        .then(() => jupyterapp.commands.execute('notebook:run-all-cells'))
        .then(done => { window.ran = done }, error => { window.ran = String(error) });
"""
IMAGES = "[...panel.node.querySelectorAll('.jp-OutputArea-output img')]"
FORMULAS = "panel.node.querySelectorAll('.jp-MarkdownOutput mjx-container').length"
BROKEN = "panel.node.querySelectorAll('mjx-merror, mjx-container [data-mjx-error]').length"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of library and notebooks, which takes whatever they write."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("ganlib", "notebooks"):
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(PROJECT / name, copy / name, ignore=ignored)
    return copy


@pytest.fixture(scope="module")
def lab(project, tmp_path_factory):
    """The address of a JupyterLab that knows no settings but its own, and asks for no news."""
    home = tmp_path_factory.mktemp("home")
    places = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME"]
    places += ["JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"]
    own = {name: str(home / name.lower()) for name in places}
    own["PYTHONPATH"] = str(project)
    ours = ("JUPY", "GANLIB_", "MPL", "TF_CPP_")
    others = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    news = Path(own["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab/apputils-extension")
    news.mkdir(parents=True)
    Path(own["HOME"]).mkdir()
    quiet = json.dumps({"fetchNews": "false", "checkForUpdates": False})
    (news / "notification.jupyterlab-settings").write_text(quiet)
    token = secrets.token_hex(16)
    asked = ["--no-browser", "--expose-app-in-browser", "--allow-root", "--ServerApp.port=0"]
    asked += [f"--IdentityProvider.token={token}", "--LabApp.extension_manager=readonly"]
    with (home / "lab.log").open("w") as log:
        command = [sys.executable, "-m", "jupyter", "lab", *asked]
        out = {"stdout": log, "stderr": log}
        server = subprocess.Popen(command, cwd=project, env=others | own, **out)
    try:
        until, runtime = time.monotonic() + 120, Path(own["JUPYTER_RUNTIME_DIR"])
        while not (notes := list(runtime.glob("jpserver-*.json"))):
            said = (home / "lab.log").read_text()
            assert server.poll() is None, f"JupyterLab did not start:\n{said}"
            assert time.monotonic() < until, f"JupyterLab takes more than two minutes:\n{said}"
            time.sleep(0.2)
        address = json.loads(notes[0].read_text())["url"]
        yield f"{address}lab/tree/notebooks/{{}}.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(60)


def ask(browser, expression):
    return browser.execute_script(f"{PANEL} return {expression}")


def wait_until(browser, expression, seconds):
    until = time.monotonic() + seconds
    while not ask(browser, expression):
        assert time.monotonic() < until, f"not within {seconds} s: {expression}"
        time.sleep(0.3)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_all_cells_run_and_all_figures_are_on_the_page(name, browser, lab, project):
    parameters, figures = NOTEBOOKS[name]
    copy = project / "notebooks" / f"{name}.ipynb"
    papermill.execute_notebook(copy, copy, parameters, prepare_only=True)

    set_width(browser, 1400)
    browser.get(lab.format(name))
    wait_until(browser, f"panel?.context?.path.endsWith('{name}.ipynb') && kernel.isReady", 60)
    browser.execute_script(PANEL + RUN_ALL)
    wait_until(browser, "window.ran !== null && kernel.session.kernel.status === 'idle'", 400)
    wait_until(browser, f"{IMAGES}.every(image => image.complete)", 10)

    cells = ask(browser, "panel.model.toJSON().cells")
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert [each for each in outputs if each["output_type"] == "error"] == []
    assert ask(browser, "window.ran") is True
    assert all(cell["execution_count"] for cell in code)
    assert noise({"cells": code}) == []
    widths = ask(browser, f"{IMAGES}.map(image => image.naturalWidth)")
    assert len(widths) == figures
    assert min(widths) > 0
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    assert ask(browser, FORMULAS) == sum(map(count_formulas, texts))
    assert ask(browser, BROKEN) == 0

    # Unsaved, the browser would ask before it leaves the page.
    browser.execute_async_script(
        f"{PANEL} panel.context.save().then(() => kernel.shutdown()).then(arguments[0])"
    )


def count_formulas(markdown):
    displayed = markdown.count("$$") // 2
    return displayed + (markdown.count("$") - 4 * displayed) // 2
