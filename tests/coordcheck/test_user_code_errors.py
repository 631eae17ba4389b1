"""Failures of the user's code are reported as such, by Python and by the command line."""

import sys
from functools import partial

import pytest
import torch
from check_models import cross_entropy, mlp, points, run_check
from torch import nn

import mutransfer as mt
from mutransfer.cli import main

OWN = {"parametrization": None}


class Bare(torch.optim.SGD):
    """A class that insists on a rate."""

    def __init__(self, params, lr):
        super().__init__(params, lr=lr)


class Unwilling(torch.autograd.Function):
    """An operation whose gradient cannot be computed."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("not\nthis way")


def backward_inside(model, batch):
    loss = cross_entropy(model, batch)
    loss.backward(retain_graph=True)
    return loss


def sparse_model(width):
    table = nn.EmbeddingBag(16, width, sparse=True)
    return nn.Sequential(table, nn.Linear(width, width), nn.Linear(width, 4))


SPARSE = {"build": sparse_model, "batch": (torch.arange(64).view(16, 4) % 16, torch.arange(16) % 4)}
SPARSE_ADVICE = (
    "  why: of torch's optimizers SparseAdam, SGD and Adagrad take sparse ones, without weight "
    "decay, and SparseAdam takes no others\n"
    "  fix: write sparse=False in the layer; or optimizer='sgd'; or a factory that passes "
    "'0.weight' to torch.optim.SparseAdam and the rest to another, in a list"
)

FAILURES = {
    "optimizer, sparse gradients": (
        SPARSE,
        "ModelError: AdamW does not take the sparse gradients of '0.weight'\n" + SPARSE_ADVICE,
    ),
    "optimizer, sparse gradients only": (
        {**SPARSE, "optimizer": torch.optim.SparseAdam},
        "ModelError: SparseAdam does not take the dense gradients of all parameters but '0.weight'"
        f"\n{SPARSE_ADVICE}",
    ),
    "loss, a count": (
        {"loss": lambda model, batch: (model(batch[0]).argmax(1) == batch[1]).sum()},
        "ModelError: loss(model, batch) returned a number of type int64\n"
        "  why: only real floating-point numbers have gradients\n"
        "  fix: return the loss itself, as from cross_entropy or mse_loss, not a count or a label",
    ),
    "loss, backward inside": (
        {"loss": backward_inside},
        "ModelError: loss(model, batch) calls backward() itself\n"
        "  why: the check calls it, too: gradients would double, or could not be computed\n"
        "  fix: return the loss only",
    ),
    "loss, no way back": (
        {"loss": lambda model, batch: Unwilling.apply(cross_entropy(model, batch))},
        "ModelError: the loss's backward() raised ValueError at width 32: not this way\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: make loss(build(width), batch).backward() work by itself",
    ),
    "optimizer, a factory of LBFGS": (
        {"optimizer": partial(torch.optim.LBFGS, lr=0.1)},
        "ModelError: optimizer.step() raised TypeError at width 32: LBFGS.step() missing 1 "
        "required positional argument: 'closure'\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: optimizer='adamw', or another whose step() needs no argument and takes dense "
        "gradients",
    ),
    "optimizer, of a model": (
        {"optimizer": lambda model: torch.optim.SGD(model.parameters())},
        "ModelError: optimizer= raised AttributeError when called with parameter groups: "
        "'list' object has no attribute 'parameters'\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer=lambda groups: torch.optim.AdamW(groups); the factory is called "
        "with the model only with parametrization=None",
    ),
    "optimizer, of groups": (
        {"optimizer": lambda groups: torch.optim.SGD(groups), **OWN},
        "ModelError: optimizer= raised TypeError when called with the model: optimizer can "
        "only optimize Tensors, but one of the params is torch.nn.modules.linear.Linear\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=2**-8)",
    ),
    "optimizer, a name that fails": (
        {"optimizer": "muon", **OWN},
        "ModelError: optimizer= raised ValueError when called with parameters: Muon only "
        "supports 2D parameters whereas we found a parameter with size: torch.Size([32])\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=2**-8)",
    ),
    "build, a model": (
        {"build": mlp(32)},
        "ModelError: build is a model, not a function that builds one\n"
        "  why: the plan compares the shapes of your model at several widths\n"
        "  fix: pass a function: make_plan(lambda width: MyModel(width), ...)",
    ),
    "build, no parameters": (
        {"build": lambda width: nn.ReLU()},
        "ModelError: the models that build returns have no parameters\n"
        "  why: the check takes a few steps with them\n"
        "  fix: keep layers in attributes, nn.ModuleList or nn.Sequential; a list hides them",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_of_the_users_code_is_reported_in_three_lines(case):
    options, text = FAILURES[case]
    with pytest.raises(mt.MutransferError) as caught:
        run_check(**options)
    assert f"{type(caught.value).__name__}: {caught.value}" == text


def test_a_class_that_insists_on_a_rate_is_like_one_that_does_not():
    """Its groups have the plan's rates either way: SGD's own updates, to the last bit."""
    few = {"lr": 0.1, "seeds": [0, 1], "widths": [32, 64, 128]}
    bare, sgd = (run_check(optimizer=kind, **few) for kind in (Bare, torch.optim.SGD))
    assert bare.to_json() == sgd.to_json()


MODEL = """
import torch
from check_models import cross_entropy as loss, mlp as build, points as batch

model = build(32)
text = "loss"
adam = torch.optim.Adam(model.parameters())
loader = iter([batch()])


def sized(rows):
    return batch()


def of_model(model):
    return torch.optim.Adam(model.parameters())


def backward_inside(model, batch):
    value = loss(model, batch)
    value.backward(retain_graph=True)
    return value
"""
LINES = {
    "check wrong:build --base 32 --widths 32,64,128 --batch wrong:loader": (
        "ModelError: --batch is a list_iterator, which yields one batch after another\n"
        "  why: sizes can be compared only if every step of every model uses the same batch\n"
        "  fix: --batch MODULE:NAME, with NAME = next(iter(loader))\n"
    ),
    "check wrong:build --base 32 --widths 32,64,128 --batch wrong:sized": (
        "UsageError: wrong:sized() raised TypeError: sized() missing 1 required positional "
        "argument: 'rows'\n"
        "  why: the check trains your model for a few steps\n"
        "  fix: make it callable without arguments; it returns the batch of loss(model, batch)\n"
    ),
    "check wrong:build --base 32 --widths 32,64,128 --loss wrong:text": (
        "ModelError: --loss loss is not callable\n"
        "  why: the check calls loss(model, batch) at every step\n"
        "  fix: pass a function: --loss MODULE:NAME, with NAME = lambda model, batch: "
        "torch.nn.functional.cross_entropy(model(batch[0]), batch[1])\n"
    ),
    "check wrong:build --base 32 --widths 32,64,128 --loss wrong:backward_inside": (
        "ModelError: loss(model, batch) calls backward() itself\n"
        "  why: the check calls it, too: gradients would double, or could not be computed\n"
        "  fix: return the loss only\n"
    ),
    "check wrong:build --base 32 --widths 32,64,128 --optimizer wrong:adam": (
        "ModelError: --optimizer is an instance of Adam, which holds one model's parameters\n"
        "  why: every width and seed trains its own model\n"
        "  fix: pass a factory: --optimizer MODULE:NAME, with NAME = lambda groups: "
        "torch.optim.Adam(groups)\n"
    ),
    "check wrong:build --base 32 --widths 32,64,128 --optimizer wrong:of_model": (
        "ModelError: --optimizer raised AttributeError when called with parameter groups: "
        "'list' object has no attribute 'parameters'\n"
        "  why: the check takes a few steps with it\n"
        "  fix: --optimizer MODULE:NAME, with NAME = lambda groups: torch.optim.AdamW(groups); "
        "the factory is called with the model only with parametrization=None\n"
    ),
    "check wrong:build --base 32 --widths 32,64,128 --optimizer torch.optim:LBFGS": (
        "RuleError: LBFGS cannot be checked: its step() needs a closure that computes the loss\n"
        "  why: the check computes one gradient per step\n"
        "  fix: --optimizer adamw, or another whose step() needs no argument\n"
    ),
    "check wrong:build --base 32 --widths 0,64,128": (
        "ModelError: --widths 0,64,128 is not a list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: --widths 32,64,128,256\n"
    ),
    "check wrong:build --widths 32,64,128 --base 0": (
        "ModelError: --base 0 is not a width\n"
        "  why: only the width scales so far: a whole number of channels\n"
        "  fix: write --base 256\n"
    ),
    "check wrong:build --base 32 --widths 32,64,128 --steps 4.5": (
        "UsageError: invalid value for --steps: '4.5' is not a whole number\n"
        "  why: --steps means: Number of updates\n"
        "  fix: see `mutransfer check --help`\n"
    ),
    "check wrong:build --base 32 --widths 32,64,128 --lr adamw=0.1 --parametrization none "
    "--optimizer adamw": (
        "RuleError: --lr adamw=0.1 has rates by optimizer, but one optimizer holds all parameters\n"
        "  why: with --parametrization none no plan assigns parameters to several optimizers\n"
        "  fix: --lr 2^-6, or --optimizer a factory that makes several optimizers of a model\n"
    ),
}


@pytest.fixture
def _wrong(tmp_path, monkeypatch):
    (tmp_path / "wrong.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("wrong", None)


@pytest.mark.usefixtures("_wrong")
@pytest.mark.parametrize("line", LINES)
def test_the_command_line_reports_the_same_with_its_flags(line, capsys):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert (ended.value.code, *capsys.readouterr()) == (2, "", LINES[line])


def test_a_default_device_without_numbers_does_not_reach_the_runs():
    """Models of large-scale code are built under torch.set_default_device("meta")."""
    batch = points()
    expected = run_check(steps=3, seeds=[0, 1], batch=batch)
    torch.set_default_device("meta")
    try:
        check = run_check(steps=3, seeds=[0, 1], batch=batch)
    finally:
        torch.set_default_device(None)
    assert check.findings == expected.findings
