"""Two runs at once: one goes on, the other says why it does not."""

import signal
import subprocess
import sys
import time

import pytest

from ganlib.errors import GanlibError
from ganlib.files import only_one

HOLD = """
import sys, time
from ganlib.files import only_one
with only_one(sys.argv[1], "training"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holding(folder, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_the_first_is_and_goes_on_when_it_was_killed(tmp_path):
    process = holding(tmp_path / "runs", 60)
    with (
        pytest.raises(GanlibError, match=f"in use: training .process {process.pid}"),
        only_one(tmp_path / "runs", "make figures", wait=0.2),
    ):
        raise AssertionError("two at once")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with only_one(tmp_path / "runs", "make figures", wait=0):
        assert "make figures" in (tmp_path / "runs" / ".lock").read_text()


def test_a_short_wait_is_waited_for(tmp_path):
    process = holding(tmp_path, 1)
    started = time.monotonic()
    with only_one(tmp_path, "make figures", wait=30):
        assert 0.1 < time.monotonic() - started < 20
    process.wait()


def test_the_lock_is_given_back_and_other_folders_are_free(tmp_path):
    for _ in range(2):
        with only_one(tmp_path / "a", "one", wait=0), only_one(tmp_path / "b", "one", wait=0):
            pass
