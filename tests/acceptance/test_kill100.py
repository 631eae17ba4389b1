"""Sweeps killed at random moments: a short run of `kill100.sh`."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc to observe processes"),
]


def test_nothing_is_lost_and_nothing_repeated() -> None:
    """Ten rounds at random moments; the seed is in the output."""
    script = Path(__file__).with_name("kill100.py")
    process = subprocess.run([sys.executable, script, "10"], capture_output=True, text=True)
    output = process.stdout + process.stderr
    assert process.stdout.splitlines()[-1:] == ["0 lost, 0 repeated"], output
    assert process.returncode == 0
