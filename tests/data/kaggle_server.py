"""A local server that answers Kaggle's client as Kaggle does, or fails on request.

The client is Kaggle's real one. `KAGGLE_API_ENVIRONMENT=LOCALHOST` makes it call http://localhost,
on a fixed port. `http_proxy` redirects these calls to the port of this server. `https_proxy` is set
to the same address, and the server rejects those calls: no test reaches the network.
"""

import base64
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

# Kaggle redirects downloads to a signed URL of a storage service.
STORAGE = "http://storage.localhost/kaggle-data-sets/archive.zip"
TOKEN_CHECK = "IntrospectToken"


class KaggleServer(ThreadingHTTPServer):
    """The server. Tests set its attributes to choose what is served and what fails."""

    daemon_threads = True
    archive = b""  # the zip file
    login = None  # required from the client: "user:key" or a token
    status, fails_at = 200, "GetDatasetMetadata"  # end of the path that gets this status
    message = None  # of the failing answer, as Kaggle's JSON; None: an HTML page
    signature = "X-Goog-Signature=5167ed0c0ffee"  # in the URL of the download
    hangs = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []
        self.logins: list[str] = []

    def heal(self) -> None:
        self.login, self.status, self.hangs = None, 200, False

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return super().__enter__()

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)

    def handle_error(self, request, client_address):
        """Ignore clients that disconnect."""


@contextlib.contextmanager
def serving(monkeypatch, home: Path) -> Iterator[KaggleServer]:
    """Run the server for Kaggle's client, for a user with a new home and no login."""
    for name in list(os.environ):
        if name.startswith(("KAGGLE_", "VERBOSE")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("GANLIB_DATA", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (home / ".kaggle").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    with KaggleServer() as server:
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
        yield server
        server.hangs = False


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        self.server.asked.append(f"CONNECT {self.path}")
        self._send(502)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        call = self._called()
        if self._fails(call):
            return
        if call == TOKEN_CHECK:
            self._send_json(200, {"active": True, "username": "someone"})
        elif call == "GetDatasetMetadata":
            info = {"title": "Images", "licenses": [{"name": "CC BY-NC-ND 4.0"}]}
            self._send_json(200, {"info": info, "errorMessage": ""})
        elif call == "DownloadDataset":
            self._send(302, headers={"Location": f"{STORAGE}?{self.server.signature}"})
        else:
            self._send_json(404, {"code": 404, "message": f"Not found: {call}"})

    def do_GET(self):
        if self._fails(self._called()):
            return
        modified = {"Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT"}
        self._send(200, "application/zip", self.server.archive, modified)

    def _called(self) -> str:
        """Record a request; return the end of its path."""
        self.server.asked.append(f"{self.command} {self.path}")
        if login := self.headers.get("Authorization"):
            self.server.logins.append(login)
        while self.server.hangs:
            time.sleep(0.05)
        return urlsplit(self.path).path.rpartition("/")[2]

    def _fails(self, call: str) -> bool:
        """Send the failing answer if this call is to fail; return whether it was sent."""
        wanted, given = self.server.login, self.headers.get("Authorization", "")
        if wanted and self.command == "POST" and call != TOKEN_CHECK:
            known = {f"Bearer {wanted}", "Basic " + base64.b64encode(wanted.encode()).decode()}
            if given not in known:
                self._send_json(401, {"code": 401, "message": "Unauthenticated"})
                return True
        if self.server.status == 200 or call != self.server.fails_at:
            return False
        status, message = self.server.status, self.server.message
        if message is None:
            self._send(status, "text/html", b"<!DOCTYPE html><title>Kaggle</title>")
        else:
            self._send_json(status, {"code": status, "message": message})
        return True

    def _send_json(self, status: int, body: dict) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind="text/plain", content=b"", headers=None) -> None:
        self.send_response(status)
        length = {"Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in (length | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
