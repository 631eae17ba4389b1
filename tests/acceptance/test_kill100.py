"""Sweeps that are killed at random: a short run of what `kill100.sh` does a hundred times."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are seen in /proc"),
]


def test_nothing_is_lost_and_nothing_repeated() -> None:
    """Ten rounds at random moments; the seed is in the output."""
    script = Path(__file__).with_name("kill100.py")
    ended = subprocess.run([sys.executable, script, "10"], capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1:] == ["0 lost, 0 repeated"], ended.stdout + ended.stderr
    assert ended.returncode == 0
