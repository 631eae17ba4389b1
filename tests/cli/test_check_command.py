"""`check`: exit statuses for CI, and errors about its arguments."""

import json
import os
import subprocess
import sys

import pytest

MODEL = """
import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(64, 16), torch.randint(0, 8, (64,))


def build(width):
    body = [nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*body, nn.Linear(width, 8))


def batch():
    return x, y


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def failing_loss(model, batch):
    return 1 / 0


def unscaled(model):
    return torch.optim.AdamW(model.parameters(), lr=2**-7)
"""
LINE = "check mlp:build --base 32 --widths 32,64,128,256 --steps 4"


@pytest.fixture
def model(tmp_path):
    (tmp_path / "mlp.py").write_text(MODEL)
    yield
    sys.modules.pop("mlp", None)


def test_a_correct_plan_exits_with_0(run, model) -> None:
    status, out, _ = run(LINE)
    assert out.startswith("coordinate check: pass\n")
    assert status == 0


def test_an_implementation_that_scales_nothing_exits_with_1_and_is_diagnosed(run, model) -> None:
    status, out, _ = run(f"{LINE} --parametrization none --optimizer mlp:unscaled --json")
    data = json.loads(out)
    assert (status, data["outcome"]) == (1, "fail")
    powers = {(fault["fault"], fault["role"]): fault["power"] for fault in data["diagnoses"]}
    assert powers["rate", "hidden"] == 1
    assert powers["init", "output"] == 0.5


def test_the_page_and_the_figures_are_written(run, model, tmp_path) -> None:
    status, out, _ = run(f"{LINE} --report page.html --figures figures")
    assert status == 0
    assert out.endswith("\n\nreport: page.html\nfigures: figures\n")
    assert "Sizes against width" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "figures" / "coordinate-sizes.pdf").exists()


def test_a_rate_is_a_power_of_two_or_one_per_optimizer(run, model) -> None:
    rates = "--lr muon=2^-4,adamw=0.015625 --optimizer muon"
    status, out, _ = run(f"{LINE} {rates} --json")
    data = json.loads(out)
    assert (status, data["settings"]["lr"]) == (0, {"muon": 0.0625, "adamw": 0.015625})


ERRORS = {
    "check mlp:build --base 32 --widths a,b": (
        "UsageError: --widths a,b is not a list of whole numbers\n"
        "  why: an exponent of width is fitted over several widths\n"
        "  fix: --widths 32,64,128,256\n"
    ),
    "check mlp:build --base 32 --widths 32,64": (
        "ModelError: --widths 32,64 are too few, or too close together\n"
        "  why: an exponent is fitted over widths, precisely enough to show half a power\n"
        "  fix: --widths 32,64,128,256\n"
    ),
    "check mlp:build --base 32 --widths 32,64,128 --seeds 1": (
        "ModelError: --seeds 1: the noise of an exponent cannot be estimated\n"
        "  why: without its noise an exponent cannot be compared with the expected one\n"
        "  fix: --seeds 3\n"
    ),
    "check mlp:build --base 32 --widths 32,64,128 --lr 2^": (
        "UsageError: --lr 2^ is not a positive learning rate\n"
        "  why: the check trains your model for a few steps\n"
        "  fix: --lr 2^-6, --lr 0.01, or --lr muon=0.02,adamw=0.003\n"
    ),
    "check mlp:build --base 32 --widths 32,64,128 --parametrization none": (
        "UsageError: 'mlp' has no 'make_optimizer'\n"
        "  why: the check trains your model for a few steps\n"
        "  fix: define 'make_optimizer' in mlp, or name it: --optimizer MODULE:NAME\n"
    ),
    "check mlp:build --base 32 --widths 32,64,128 --loss mlp:failing_loss": (
        "ModelError: loss(model, batch) raised ZeroDivisionError at width 32: division by zero\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: make loss(build(32), batch) work by itself; batch is tuple\n"
    ),
    "check mlp:build --base 32 --widths 32,64,128 --loss mlp:los": (
        "UsageError: 'mlp' has no 'los'\n"
        "  why: the check trains your model for a few steps\n"
        "  fix: did you mean 'loss'?\n"
    ),
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_is_printed_in_three_lines(line, run, model) -> None:
    status, out, err = run(line)
    assert (status, out, err) == (2, "", ERRORS[line])


def test_the_exit_status_survives_a_closed_pipe(model, tmp_path) -> None:
    """`mutransfer check ... | head -0` in CI: the pipe is closed before the verdict is printed."""
    command = f"{LINE} --parametrization none --optimizer mlp:unscaled"
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "mutransfer.cli", *command.split()],
        cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert (process.returncode, process.stderr) == (1, "")
