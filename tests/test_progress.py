"""Progress: a bar on a terminal, now and then a line elsewhere."""

import sys

import pytest

from ganlib import progress as module
from ganlib.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_in_a_pipe_there_is_a_line_every_ten_seconds_with_what_is_left(capsys, clock):
    with progress(100, "scoring", "image") as advance:
        for seconds in (4, 8, 12, 16, 24, 40):
            clock[0] = 100 + seconds
            advance(10, "quick")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "scoring: 30 of 100 images, about 28 s left, quick",
        "scoring: 50 of 100 images, about 24 s left, quick",
        "scoring: 60 of 100 images, about 27 s left, quick",
    ]


def test_what_was_done_before_does_not_make_the_rest_look_quick(capsys, clock):
    with progress(100, "scoring", "image", begun=80) as advance:
        clock[0] = 120.0
        advance(10)
    assert capsys.readouterr().err == "scoring: 90 of 100 images, about 20 s left\n"


def test_on_a_terminal_there_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(20, "training", "epoch") as advance:
        advance(20, "loss 0.1")
    bar = capsys.readouterr().err
    assert "training: 100%" in bar and "20/20" in bar and "\r" in bar
