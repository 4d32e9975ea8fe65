"""Keys to Kaggle stay where the user keeps them, and only one notebook knows of the network."""

import ast
import base64
import io
import json
import shutil
import zipfile
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest
from kaggle_server import serving
from PIL import Image

from ganlib import data, pipeline
from ganlib.errors import GanlibError

PROJECT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
SECRETS = {
    "KAGGLE_KEY": "11aa22bb33cc44dd55ee66ff77aa88bb",
    "KAGGLE_API_TOKEN": "KGAT_99ff88ee77dd66cc55bb44aa33ff22ee",
    "kaggle.json": "00998877665544332211ffeeddccbbaa",
    "access_token": "KGAT_0123456789abcdef0123456789abcdef",
    "credentials.json": "CfDJ8refresh0123456789abcdef",
    "proxy": "pr0xy-passw0rd",
}
PLANTED = [
    *SECRETS.values(),
    *(base64.b64encode(f"me:{SECRETS[name]}".encode()).decode() for name in SECRETS),
]


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """Kaggle's endpoint, for a user who keeps keys at every place that the client looks at."""
    with serving(monkeypatch, tmp_path / "home") as server:
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
        for name in ("KAGGLE_KEY", "KAGGLE_API_TOKEN"):
            monkeypatch.setenv(name, SECRETS[name])
        folder = Path.home() / ".kaggle"
        key, refresh = SECRETS["kaggle.json"], SECRETS["credentials.json"]
        (folder / "kaggle.json").write_text(json.dumps({"username": "me", "key": key}))
        (folder / "credentials.json").write_text(json.dumps({"refresh_token": refresh}))
        (folder / "access_token").write_text(SECRETS["access_token"])
        # Verbose, the client prints the headers of its requests.
        monkeypatch.setenv("VERBOSE", "1")
        yield server


def leaks(*texts):
    return [secret for secret in PLANTED for text in texts if secret in text]


def written_below(*folders):
    """All that files hold, but for those that the keys were planted in."""
    files = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
    return [p.read_bytes().decode("latin-1") for p in files if p.parent.name != ".kaggle"]


ALL = " ".join(PLANTED)
ECHOES = {
    "message": {"status": 403, "message": f"Forbidden for {ALL}"},
    "unknown message": {"status": 418, "message": ALL},
    "several lines": {"status": 400, "message": ALL.replace(" ", "\n")},
    "reason": {"status": 404, "reason": ALL},
    "redirect": {"status": 403, "fails_at": "archive.zip", "signature": ALL.replace(" ", "&k=")},
    "token check": {"status": 401, "fails_at": "IntrospectToken", "message": ALL},
    "not a zip file": {"archive": ALL.encode()},
}


@pytest.mark.parametrize("echo", ECHOES)
def test_a_server_that_repeats_keys_is_not_repeated(kaggle, tmp_path, capfd, echo):
    for name, value in ECHOES[echo].items():
        setattr(kaggle, name, value)
    with pytest.raises(GanlibError) as error:
        data.open_dataset("casting", "kaggle", tmp_path / "data")
    shown = capfd.readouterr()
    chain = repr(error.value.__cause__)
    assert leaks(str(error.value), chain, shown.out, shown.err, *written_below(tmp_path)) == []


def test_a_password_in_the_address_of_a_proxy_is_not_repeated(kaggle, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("http_proxy", f"http://me:{SECRETS['proxy']}@127.0.0.1:9")
    with pytest.raises(GanlibError, match="out of reach") as error:
        data.open_dataset("casting", "kaggle", tmp_path / "data")
    assert leaks(str(error.value), *capfd.readouterr()) == []


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the notebooks with nothing else beside them; returns its folder."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT / "notebooks", folder / "notebooks")
    monkeypatch.setattr(pipeline, "PROJECT", folder)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    # The list of fonts takes long to make, and the home is new.
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())
    return folder


def clouds():
    """Zip a small archive of cloud images: 110 clear and 6 clouded ones."""
    file, rng = io.BytesIO(), np.random.default_rng(0)
    with zipfile.ZipFile(file, "w") as archive:
        for folder, count in (("noncloud/noncloud", 110), ("cloud/cloud", 6)):
            for i in range(count):
                image = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(image, "PNG")
                archive.writestr(f"{folder}/{i}.png", image.getvalue())
    return file.getvalue()


def test_no_key_is_in_what_a_run_writes(kaggle, project, tmp_path, capfd):
    """First Kaggle refuses and repeats every key, then it lets in with one."""
    kaggle.archive, kaggle.login = clouds(), SECRETS["KAGGLE_API_TOKEN"]
    kaggle.status, kaggle.message = 403, f"Forbidden for {ALL}"
    steps = pipeline.plan("smoke", ["cloud"], ["paper"], [0], "kaggle")[:1]
    with pytest.raises(GanlibError, match="Kaggle answers 403: sign in") as error:
        pipeline.run(steps, "smoke")
    assert "could not be downloaded" in steps[0].output.read_text()  # the error is in the copy
    shown = capfd.readouterr()
    assert leaks(str(error.value), shown.out, shown.err, *written_below(tmp_path)) == []

    kaggle.heal()
    kaggle.login = SECRETS["KAGGLE_API_TOKEN"]
    pipeline.run(steps, "smoke")
    assert f"Bearer {kaggle.login}" in kaggle.logins
    results = json.loads((project / "runs/smoke/cloud/data.json").read_text())
    assert results["source"] == "unverified"
    shown = capfd.readouterr()
    assert leaks(shown.out, shown.err, *written_below(tmp_path)) == []
    # What was searched is what was written.
    assert any("downloaded from Kaggle" in text for text in written_below(tmp_path))


# The network


def modules(code):
    """List the modules that code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def code_of(path):
    """Join the cells after the first, which only makes ganlib importable where it is not."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return "\n".join(cell.source for cell in cells[1:])


NETWORK = {"ftplib", "http", "httpx", "kaggle", "requests", "smtplib", "socket", "subprocess"}
NETWORK |= {"aiohttp", "asyncio", "kagglehub", "kagglesdk", "urllib", "urllib3", "xmlrpc"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_the_first_notebook_may_fetch_images(path):
    code = code_of(path)
    assert not {name.partition(".")[0] for name in modules(code)} & NETWORK
    assert not any(line.lstrip().startswith(("!", "%")) for line in code.splitlines())
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    opening = [c for c in calls if ast.unparse(c.func).endswith("open_dataset")]
    forbidden = [
        any(k.arg == "fetch" and getattr(k.value, "value", True) is False for k in call.keywords)
        for call in opening
    ]
    expected = {"00_download": [False], "03_comparison": [], "05_your_images": [True, False]}
    assert forbidden == expected.get(path.stem, [True])
    if path.stem == "05_your_images":  # it may draw images, which takes no network
        assert "data='generated'" in ast.unparse(opening[1])
    assert not any("get_file" in ast.unparse(call.func) for call in calls)  # Keras fetches so


def test_only_the_download_starts_a_program_that_knows_the_network():
    """What notebooks import of ganlib, by the name of the library that could be used."""
    knowing = {
        (str(path.relative_to(PROJECT)), name)
        for notebook in NOTEBOOKS
        for path in pipeline.imported_files(code_of(notebook))
        for name in modules(path.read_text())
        if name.partition(".")[0] in NETWORK
    }
    assert {path for path, _ in knowing - {("ganlib/environment.py", "subprocess")}} == {
        "ganlib/data/download.py"
    }


@pytest.mark.torture
def test_a_notebook_without_images_asks_for_the_first(kaggle, project):
    """As an example, the cells of one notebook up to the one that opens the images."""
    path = project / "notebooks" / "02b_baselines.ipynb"
    notebook = nbformat.read(path, 4)
    opens = next(i for i, cell in enumerate(notebook.cells) if "open_dataset(" in cell.source)
    notebook.cells = notebook.cells[: opens + 1]
    nbformat.write(notebook, path)
    steps = pipeline.plan("smoke", ["casting"], ["paper"], [0], "auto")
    step = next(step for step in steps if step.notebook == path)
    with pytest.raises(GanlibError, match=r"no casting images .* run the notebook 00_download"):
        pipeline.run([step], "smoke")
    assert kaggle.asked == []
    assert not (project / "data").exists()
