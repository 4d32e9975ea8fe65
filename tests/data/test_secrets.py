"""Keys to Kaggle stay where the user keeps them, and only one notebook knows of the network."""

import ast
import base64
import json
from pathlib import Path

import nbformat
import pytest
from kaggle_server import serving

from ganlib import data
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
    "accepted login, no archive": {"login": SECRETS["KAGGLE_API_TOKEN"]},
    "message": {"status": 403, "message": f"Forbidden for {ALL}"},
    "unknown message": {"status": 418, "message": ALL},
    "redirect": {"status": 403, "fails_at": "archive.zip", "signature": ALL.replace(" ", "&k=")},
    "token check": {"status": 401, "fails_at": "IntrospectToken", "message": ALL},
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
    with pytest.raises(GanlibError, match="unreachable") as error:
        data.open_dataset("casting", "kaggle", tmp_path / "data")
    assert leaks(str(error.value), *capfd.readouterr()) == []


NETWORK = {"ftplib", "http", "httpx", "kaggle", "requests", "smtplib", "socket", "aiohttp"}
NETWORK |= {"asyncio", "kagglehub", "kagglesdk", "urllib", "urllib3", "xmlrpc"}


def modules(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def code_of(path):
    """Join the cells after the first, which only makes ganlib importable where it is not."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return "\n".join(cell.source for cell in cells[1:])


def test_notebooks_reach_no_network_but_by_ganlib_where_only_download_knows_kaggles_client():
    for path in NOTEBOOKS:
        code = code_of(path)
        assert not set(modules(code)) & (NETWORK | {"subprocess"}), path
        assert not any(line.lstrip().startswith(("!", "%")) for line in code.splitlines()), path
        for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
            assert "get_file" not in ast.unparse(call.func), path  # Keras fetches so
    for path in (PROJECT / "ganlib").rglob("*.py"):
        code = path.read_text()
        assert not set(modules(code)) & NETWORK, path
        assert ('"-m", "kaggle"' in code) == (path.name == "download.py"), path
