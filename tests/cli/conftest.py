"""A fixture that runs a command in a folder with a model and a CSV file."""

import sys

import pytest

from mutransfer.cli import main

MODEL = """
from torch import nn

def build(width):
    return nn.Sequential(nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 2))

number = 3
"""

LOSSES = """width,lr,seed,loss
32,0.125,0,2.52
32,0.25,0,2.50
32,0.5,0,2.53
64,0.125,0,2.42
64,0.25,0,2.40
64,0.5,0,2.44
32,0.125,1,2.525
32,0.25,1,2.504
32,0.5,1,2.534
64,0.125,1,2.426
64,0.25,1,2.404
64,0.5,1,2.446
"""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Return a function that runs a command line and returns its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy_model.py").write_text(MODEL)
    (tmp_path / "losses.csv").write_text(LOSSES)

    def call(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(line.split())
        return (exit_.value.code, *capsys.readouterr())

    yield call
    sys.modules.pop("toy_model", None)
