"""A wrong argument is refused in three lines; what means the same is read alike."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from check_models import cross_entropy, mlp, points
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mutransfer as mt
from mutransfer.coordcheck.arguments import checked_arguments

LOADER = DataLoader(TensorDataset(*points()), batch_size=64)
OWN = {"parametrization": None}


def never(width):
    raise AssertionError("a wrong argument is refused before anything is built")


USUAL = {
    "build": never,
    "base": 32,
    "widths": [32, 64, 128],
    "batch": points(),
    "loss": cross_entropy,
    "parametrization": "mup",
    "optimizer": "adamw",
    "lr": 0.5,
    "steps": 3,
    "seeds": 2,
    "form": "table-3",
    "roles": None,
    "device": "cpu",
    "dtype": torch.float32,
}

REFUSALS = {
    "widths, a number": (
        {"widths": 64},
        "ModelError: widths=64 is no list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, a text": (
        {"widths": "64,128"},
        "ModelError: widths='64,128' is no list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, floats": (
        {"widths": [32.0, 64.0, 128.0]},
        "ModelError: widths=[32.0, 64.0, 128.0] is no list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, a zero": (
        {"widths": [0, 64, 128]},
        "ModelError: widths=[0, 64, 128] is no list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, a truth value": (
        {"widths": [True, 64, 128]},
        "ModelError: widths=[True, 64, 128] is no list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, two alike": (
        {"widths": [32, 32, 128]},
        "ModelError: widths=[32, 32, 128] are too few, or too near each other\n"
        "  why: an exponent is fitted over widths, and half a power must show\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "base, zero": (
        {"base": 0, **OWN},
        "ModelError: base=0 is not a width\n"
        "  why: only the width scales so far: a whole number of channels\n"
        "  fix: write base=256",
    ),
    "base, a text": (
        {"base": "32", **OWN},
        "ModelError: base='32' is not a width\n"
        "  why: only the width scales so far: a whole number of channels\n"
        "  fix: write base=256",
    ),
    "base, a truth value": (
        {"base": True},
        "ModelError: base=True is not a width\n"
        "  why: only the width scales so far: a whole number of channels\n"
        "  fix: write base=256",
    ),
    "seeds, a text": (
        {"seeds": "3"},
        "ModelError: seeds='3' is neither a whole number nor a list of them\n"
        "  why: they are fresh models per width, or what torch's generator starts from\n"
        "  fix: seeds=3",
    ),
    "seeds, a float": (
        {"seeds": 2.0},
        "ModelError: seeds=2.0 is neither a whole number nor a list of them\n"
        "  why: they are fresh models per width, or what torch's generator starts from\n"
        "  fix: seeds=3",
    ),
    "seeds, texts": (
        {"seeds": ["a", "b"]},
        "ModelError: seeds=['a', 'b'] is neither a whole number nor a list of them\n"
        "  why: they are fresh models per width, or what torch's generator starts from\n"
        "  fix: seeds=3",
    ),
    "seeds, two alike": (
        {"seeds": [1, 1]},
        "ModelError: seeds=1: the noise of an exponent cannot be seen\n"
        "  why: without its noise an exponent is neither equal to what is expected nor "
        "different\n"
        "  fix: seeds=3",
    ),
    "seeds, negative": (
        {"seeds": -5},
        "ModelError: seeds=-5: the noise of an exponent cannot be seen\n"
        "  why: without its noise an exponent is neither equal to what is expected nor "
        "different\n"
        "  fix: seeds=3",
    ),
    "seeds, too large": (
        {"seeds": [0, 2**64]},
        "ModelError: seeds=[0, 18446744073709551616] are too large\n"
        "  why: torch's generator takes seeds of 64 bits\n"
        "  fix: seeds=[0, 1, 2]",
    ),
    "steps, a float": (
        {"steps": 4.5},
        "ModelError: steps=4.5 is not a whole number\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: steps=10",
    ),
    "steps, none": (
        {"steps": 0},
        "ModelError: steps=0 is fewer than 3\n"
        "  why: behind a zero init the first update changes nothing\n"
        "  fix: steps=10",
    ),
    "lr, zero": (
        {"lr": 0},
        "ModelError: lr=0 is no positive rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=2**-6",
    ),
    "lr, negative": (
        {"lr": -1.0},
        "ModelError: lr=-1.0 is no positive rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=2**-6",
    ),
    "lr, nan": (
        {"lr": float("nan")},
        "ModelError: lr=nan is no positive rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=2**-6",
    ),
    "lr, a text": (
        {"lr": "1e-3"},
        "ModelError: lr='1e-3' is no positive rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=0.001",
    ),
    "lr, beyond floats": (
        {"lr": 10**400},
        "ModelError: lr=100000000000000000000000000000000000000000000000000000000... is no "
        "positive rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=2**-6",
    ),
    "lr, texts by name": (
        {"lr": {"muon": 0.02, "adamw": "3e-3"}},
        "ModelError: lr={'muon': 0.02, 'adamw': '3e-3'} is no positive rate for each optimizer "
        "by name\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr={'muon': 0.02, 'adamw': 0.003}",
    ),
    "lr, none by name": (
        {"lr": {}},
        "ModelError: lr={} is no positive rate for each optimizer by name\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr={'muon': 0.02, 'adamw': 0.003}",
    ),
    "lr, by name without a plan": (
        {"lr": {"adamw": 0.01}, **OWN},
        "RuleError: lr={'adamw': 0.01} gives rates by optimizer, where one optimizer holds "
        "everything\n"
        "  why: with parametrization=None no plan says which parameters each of them would "
        "hold\n"
        "  fix: lr=2**-6, or optimizer= a factory that makes several optimizers of a model",
    ),
    "dtype, a text": (
        {"dtype": "bfloat16"},
        "ModelError: dtype='bfloat16' is not torch.float32, torch.bfloat16 or torch.float16\n"
        "  why: lower precision is torch's autocast, which takes no other; weights stay as "
        "built\n"
        "  fix: dtype=torch.bfloat16",
    ),
    "dtype, double": (
        {"dtype": torch.float64},
        "ModelError: dtype=torch.float64 is not torch.float32, torch.bfloat16 or torch.float16\n"
        "  why: lower precision is torch's autocast, which takes no other; weights stay as "
        "built\n"
        "  fix: dtype=torch.float32",
    ),
    "loss, a text": (
        {"loss": "cross_entropy"},
        "ModelError: loss='cross_entropy' cannot be called\n"
        "  why: the check calls loss(model, batch) at every step\n"
        "  fix: pass a function: loss=lambda model, batch: "
        "torch.nn.functional.cross_entropy(model(batch[0]), batch[1])",
    ),
    "batch, a generator": (
        {"batch": (points() for _ in range(2))},
        "ModelError: batch= is a generator, which gives one batch after another\n"
        "  why: every model takes every step on the same batch, so that sizes can be compared\n"
        "  fix: batch=next(iter(loader))",
    ),
    "batch, a DataLoader": (
        {"batch": LOADER},
        "ModelError: batch= is a DataLoader, which gives one batch after another\n"
        "  why: every model takes every step on the same batch, so that sizes can be compared\n"
        "  fix: batch=next(iter(loader))",
    ),
    "batch, a function": (
        {"batch": points},
        "ModelError: batch= is a function, not a batch\n"
        "  why: loss(model, batch) is called with what is given\n"
        "  fix: call it: batch=make_batch()",
    ),
    "batch, a partial function": (
        {"batch": partial(points)},
        "ModelError: batch= is a function, not a batch\n"
        "  why: loss(model, batch) is called with what is given\n"
        "  fix: call it: batch=make_batch()",
    ),
    "optimizer, an instance": (
        {"optimizer": torch.optim.Adam(mlp(32).parameters())},
        "ModelError: optimizer= is an instance of Adam, which holds one model's parameters\n"
        "  why: every width and seed trains a fresh model of its own\n"
        "  fix: pass a factory: optimizer=lambda groups: torch.optim.Adam(groups)",
    ),
    "optimizer, my own instance": (
        {"optimizer": torch.optim.SGD(mlp(32).parameters()), **OWN},
        "ModelError: optimizer= is an instance of SGD, which holds one model's parameters\n"
        "  why: every width and seed trains a fresh model of its own\n"
        "  fix: pass a factory: optimizer=lambda model: torch.optim.SGD(model.parameters(), "
        "lr=2**-8)",
    ),
    "optimizer, a number": (
        {"optimizer": 3},
        "ModelError: optimizer=3 is no name, class or factory of an optimizer\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer='adamw', a class, or a factory that returns an optimizer, or several "
        "in a list",
    ),
    "optimizer, another class": (
        {"optimizer": nn.Linear},
        "ModelError: optimizer=Linear is no name, class or factory of an optimizer\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer='adamw', a class, or a factory that returns an optimizer, or several "
        "in a list",
    ),
    "optimizer, LBFGS": (
        {"optimizer": torch.optim.LBFGS},
        "RuleError: optimizer=LBFGS needs a closure that computes the loss again\n"
        "  why: the check takes one gradient for each step\n"
        "  fix: optimizer='adamw', or another whose step() needs no argument",
    ),
    "build, a text": (
        {"build": "mlp"},
        "ModelError: build='mlp' cannot be called\n"
        "  why: models are built at several widths\n"
        "  fix: pass a function: coord_check(lambda width: MyModel(width), ...)",
    ),
    "roles, a text": (
        {"roles": "output"},
        "RoleError: roles='output' is no mapping from names to roles\n"
        "  why: a role is told of the parameters whose names a pattern matches\n"
        "  fix: roles={'head.weight': Role.OUTPUT}",
    ),
    "roles, an empty list": (
        {"roles": []},
        "RoleError: roles=[] is no mapping from names to roles\n"
        "  why: a role is told of the parameters whose names a pattern matches\n"
        "  fix: roles={'head.weight': Role.OUTPUT}",
    ),
    "roles, by number": (
        {"roles": {6: mt.Role.OUTPUT}},
        "RoleError: roles={6: <Role.OUTPUT: 'output'>} is no mapping from names to roles\n"
        "  why: a role is told of the parameters whose names a pattern matches\n"
        "  fix: roles={'head.weight': Role.OUTPUT}",
    ),
    "parametrization, a number": (
        {"parametrization": 3},
        "RuleError: parametrization=3 is not a name\n"
        "  why: a wrong name would train with the wrong rates\n"
        "  fix: parametrization='mup', or None to check your own implementation",
    ),
    "form, none": (
        {"form": None},
        "RuleError: form=None is not a name\n"
        "  why: a plan names its form, because clipping and logged weights depend on it\n"
        "  fix: form='table-3' (no multipliers) or form='table-8'",
    ),
    "device, none": (
        {"device": None},
        "ModelError: device=None is not the name of a device\n"
        "  why: models are to be trained there\n"
        "  fix: device='cpu', or 'cuda:0'",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_wrong_argument_is_refused_in_three_lines(case):
    options, text = REFUSALS[case]
    with pytest.raises(mt.MutransferError) as caught:
        mt.coord_check(**USUAL | options)
    assert f"{type(caught.value).__name__}: {caught.value}" == text


@pytest.mark.parametrize(
    "options",
    [
        {"base": np.int64(32), "steps": np.int32(3), "seeds": np.int64(2), "lr": np.float32(0.5)},
        {"widths": np.array([64, 32, 128]), "lr": torch.tensor(0.5)},
        {"widths": {128, 64, 32}, "device": torch.device("cpu")},
        {"widths": (32, np.int64(64), 128, 128), "batch": {"x": points()[0]}},
    ],
)
def test_what_means_the_same_is_read_alike(options):
    """As Python's own numbers: others cannot be written as JSON."""
    read = checked_arguments(**USUAL | options)
    assert read == checked_arguments(**USUAL)
    assert json.dumps([read.base, read.widths, read.seeds, read.steps, read.lr, read.device])


def test_seeds_of_my_own_are_kept_and_none_is_added():
    read = checked_arguments(**USUAL | {"seeds": np.array([7, 3, 7])})
    assert (read.seeds, read.may_add) == ((7, 3), False)
    assert checked_arguments(**USUAL).may_add
