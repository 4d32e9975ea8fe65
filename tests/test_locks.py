"""Two runs at once: one goes on, the other says why it does not."""

import signal
import subprocess
import sys

import pytest
from processes import HOLD

from ganlib.errors import GanlibError
from ganlib.files import only_one


def test_the_second_is_told_who_the_first_is_and_goes_on_when_it_was_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path / "runs"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(GanlibError, match=f"in use: training .process {process.pid}"),
        only_one(tmp_path / "runs", "make figures", wait=0.2),
    ):
        raise AssertionError("two at once")
    process.send_signal(signal.SIGKILL)
    with only_one(tmp_path / "runs", "make figures", wait=20), only_one(tmp_path / "b", "one"):
        pass
    process.wait()
    with only_one(tmp_path / "runs", "make figures", wait=0):
        pass
