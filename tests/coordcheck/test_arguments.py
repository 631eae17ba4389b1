"""Invalid arguments are refused in three lines; equivalent values are accepted alike."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from check_models import cross_entropy, mlp, points
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mutransfer as mt
from mutransfer.coordcheck import arguments

LOADER = DataLoader(TensorDataset(*points()), batch_size=64)
OWN = {"parametrization": None}


def must_not_build(width):
    raise AssertionError("an invalid argument is refused before any model is built")


VALID = {
    "build": must_not_build,
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
        "ModelError: widths=64 is not a list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, a text": (
        {"widths": "64,128"},
        "ModelError: widths='64,128' is not a list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, floats": (
        {"widths": [32.0, 64.0, 128.0]},
        "ModelError: widths=[32.0, 64.0, 128.0] is not a list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, a zero": (
        {"widths": [0, 64, 128]},
        "ModelError: widths=[0, 64, 128] is not a list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, a truth value": (
        {"widths": [True, 64, 128]},
        "ModelError: widths=[True, 64, 128] is not a list of positive whole numbers\n"
        "  why: a model is built at each of several widths\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths, two alike": (
        {"widths": [32, 32, 128]},
        "ModelError: widths=[32, 32, 128] are too few, or too close together\n"
        "  why: an exponent is fitted over widths, precisely enough to show half a power\n"
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
        "  why: seeds is the number of models per width, or the seeds of torch's generator\n"
        "  fix: seeds=3",
    ),
    "seeds, a float": (
        {"seeds": 2.0},
        "ModelError: seeds=2.0 is neither a whole number nor a list of them\n"
        "  why: seeds is the number of models per width, or the seeds of torch's generator\n"
        "  fix: seeds=3",
    ),
    "seeds, texts": (
        {"seeds": ["a", "b"]},
        "ModelError: seeds=['a', 'b'] is neither a whole number nor a list of them\n"
        "  why: seeds is the number of models per width, or the seeds of torch's generator\n"
        "  fix: seeds=3",
    ),
    "seeds, two alike": (
        {"seeds": [1, 1]},
        "ModelError: seeds=1: the noise of an exponent cannot be estimated\n"
        "  why: without its noise an exponent cannot be compared with the "
        "expected one\n"
        "  fix: seeds=3",
    ),
    "seeds, negative": (
        {"seeds": -5},
        "ModelError: seeds=-5: the noise of an exponent cannot be estimated\n"
        "  why: without its noise an exponent cannot be compared with the "
        "expected one\n"
        "  fix: seeds=3",
    ),
    "seeds, too large": (
        {"seeds": [0, 2**64]},
        "ModelError: seeds=[0, 18446744073709551616] are too large\n"
        "  why: torch's generator accepts seeds of 64 bits\n"
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
        "ModelError: lr=0 is not a positive learning rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=2**-6",
    ),
    "lr, negative": (
        {"lr": -1.0},
        "ModelError: lr=-1.0 is not a positive learning rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=2**-6",
    ),
    "lr, nan": (
        {"lr": float("nan")},
        "ModelError: lr=nan is not a positive learning rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=2**-6",
    ),
    "lr, a text": (
        {"lr": "1e-3"},
        "ModelError: lr='1e-3' is not a positive learning rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=0.001",
    ),
    "lr, beyond floats": (
        {"lr": 10**400},
        "ModelError: lr=100000000000000000000000000000000000000000000000000000000... is not "
        "a positive learning rate\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr=2**-6",
    ),
    "lr, texts by name": (
        {"lr": {"muon": 0.02, "adamw": "3e-3"}},
        "ModelError: lr={'muon': 0.02, 'adamw': '3e-3'} is not a positive learning rate for each "
        "optimizer by name\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr={'muon': 0.02, 'adamw': 0.003}",
    ),
    "lr, none by name": (
        {"lr": {}},
        "ModelError: lr={} is not a positive learning rate for each optimizer by name\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: lr={'muon': 0.02, 'adamw': 0.003}",
    ),
    "lr, by name without a plan": (
        {"lr": {"adamw": 0.01}, **OWN},
        "RuleError: lr={'adamw': 0.01} has rates by optimizer, but one optimizer holds all "
        "parameters\n"
        "  why: with parametrization=None no plan assigns parameters to several optimizers\n"
        "  fix: lr=2**-6, or optimizer= a factory that makes several optimizers of a model",
    ),
    "dtype, a text": (
        {"dtype": "bfloat16"},
        "ModelError: dtype='bfloat16' is not torch.float32, torch.bfloat16 or torch.float16\n"
        "  why: lower precision uses torch's autocast, which accepts no other; weights keep "
        "their type\n"
        "  fix: dtype=torch.bfloat16",
    ),
    "dtype, double": (
        {"dtype": torch.float64},
        "ModelError: dtype=torch.float64 is not torch.float32, torch.bfloat16 or torch.float16\n"
        "  why: lower precision uses torch's autocast, which accepts no other; weights keep "
        "their type\n"
        "  fix: dtype=torch.float32",
    ),
    "loss, a text": (
        {"loss": "cross_entropy"},
        "ModelError: loss='cross_entropy' is not callable\n"
        "  why: the check calls loss(model, batch) at every step\n"
        "  fix: pass a function: loss=lambda model, batch: "
        "torch.nn.functional.cross_entropy(model(batch[0]), batch[1])",
    ),
    "batch, a generator": (
        {"batch": (points() for _ in range(2))},
        "ModelError: batch= is a generator, which yields one batch after another\n"
        "  why: sizes can be compared only if every step of every model uses the same batch\n"
        "  fix: batch=next(iter(loader))",
    ),
    "batch, a DataLoader": (
        {"batch": LOADER},
        "ModelError: batch= is a DataLoader, which yields one batch after another\n"
        "  why: sizes can be compared only if every step of every model uses the same batch\n"
        "  fix: batch=next(iter(loader))",
    ),
    "batch, a function": (
        {"batch": points},
        "ModelError: batch= is a function, not a batch\n"
        "  why: the batch is passed to loss(model, batch) as it is\n"
        "  fix: call it: batch=make_batch()",
    ),
    "batch, a partial function": (
        {"batch": partial(points)},
        "ModelError: batch= is a function, not a batch\n"
        "  why: the batch is passed to loss(model, batch) as it is\n"
        "  fix: call it: batch=make_batch()",
    ),
    "optimizer, an instance": (
        {"optimizer": torch.optim.Adam(mlp(32).parameters())},
        "ModelError: optimizer= is an instance of Adam, which holds one model's parameters\n"
        "  why: every width and seed trains its own model\n"
        "  fix: pass a factory: optimizer=lambda groups: torch.optim.Adam(groups)",
    ),
    "optimizer, my own instance": (
        {"optimizer": torch.optim.SGD(mlp(32).parameters()), **OWN},
        "ModelError: optimizer= is an instance of SGD, which holds one model's parameters\n"
        "  why: every width and seed trains its own model\n"
        "  fix: pass a factory: optimizer=lambda model: torch.optim.SGD(model.parameters(), "
        "lr=2**-8)",
    ),
    "optimizer, a number": (
        {"optimizer": 3},
        "ModelError: optimizer=3 is not the name, class or factory of an optimizer\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer='adamw', a class, or a factory that returns an optimizer or a list of "
        "them",
    ),
    "optimizer, another class": (
        {"optimizer": nn.Linear},
        "ModelError: optimizer=Linear is not the name, class or factory of an optimizer\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer='adamw', a class, or a factory that returns an optimizer or a list of "
        "them",
    ),
    "optimizer, LBFGS": (
        {"optimizer": torch.optim.LBFGS},
        "RuleError: LBFGS cannot be checked: its step() needs a closure that computes the loss\n"
        "  why: the check computes one gradient per step\n"
        "  fix: optimizer='adamw', or another whose step() needs no argument",
    ),
    "build, a text": (
        {"build": "mlp"},
        "ModelError: build='mlp' is not callable\n"
        "  why: models are built at several widths\n"
        "  fix: pass a function: coord_check(lambda width: MyModel(width), ...)",
    ),
    "roles, a text": (
        {"roles": "output"},
        "RoleError: roles='output' is not a mapping from names to roles\n"
        "  why: a role applies to all parameters whose names match a pattern\n"
        "  fix: roles={'head.weight': Role.OUTPUT}",
    ),
    "roles, an empty list": (
        {"roles": []},
        "RoleError: roles=[] is not a mapping from names to roles\n"
        "  why: a role applies to all parameters whose names match a pattern\n"
        "  fix: roles={'head.weight': Role.OUTPUT}",
    ),
    "roles, by number": (
        {"roles": {6: mt.Role.OUTPUT}},
        "RoleError: roles={6: <Role.OUTPUT: 'output'>} is not a mapping from names to roles\n"
        "  why: a role applies to all parameters whose names match a pattern\n"
        "  fix: roles={'head.weight': Role.OUTPUT}",
    ),
    "parametrization, a number": (
        {"parametrization": 3},
        "RuleError: parametrization=3 is not a name\n"
        "  why: every parametrization has its own learning rates\n"
        "  fix: parametrization='mup', or None to check your own implementation",
    ),
    "form, none": (
        {"form": None},
        "RuleError: form=None is not a name\n"
        "  why: a plan names its form, because clipping and logged weights depend on it\n"
        "  fix: form='table-3' (no multipliers) or form='table-8'",
    ),
    "probe, without a plan": (
        {"probe": 64, **OWN},
        "ModelError: probe=64 has no effect with parametrization=None\n"
        "  why: a plan compares inits at the base and at the probe, and your own implementation "
        "has none\n"
        "  fix: leave probe= out",
    ),
    "device, none": (
        {"device": None},
        "ModelError: device=None is not the name of a device\n"
        "  why: the models are trained on it\n"
        "  fix: device='cpu', or 'cuda:0'",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_an_invalid_argument_is_refused_in_three_lines(case):
    options, text = REFUSALS[case]
    with pytest.raises(mt.MutransferError) as caught:
        mt.coord_check(**VALID | options)
    assert f"{type(caught.value).__name__}: {caught.value}" == text


def parsed(**options) -> dict[str, object]:
    """Return the arguments as `coord_check` uses them."""
    values = VALID | options
    assert not arguments.check_types(
        *(values[name] for name in ("build", "batch", "loss", "parametrization")),
        *(values[name] for name in ("optimizer", "form", "roles", "dtype")),
    )
    base = arguments.parse_base(values["base"])
    return {
        "base": base,
        "widths": arguments.parse_widths(values["widths"], base),
        "seeds": arguments.parse_seeds(values["seeds"]),
        "is_count": arguments.is_count(values["seeds"]),
        "steps": arguments.parse_steps(values["steps"]),
        "lr": arguments.parse_rate(values["lr"], is_single=False),
        "device": arguments.parse_device(values["device"]),
    }


@pytest.mark.parametrize(
    "options",
    [
        {"base": np.int64(32), "steps": np.int32(3), "seeds": np.int64(2), "lr": np.float32(0.5)},
        {"widths": np.array([64, 32, 128]), "lr": torch.tensor(0.5)},
        {"widths": {128, 64, 32}, "device": torch.device("cpu")},
        {"widths": (32, np.int64(64), 128, 128), "batch": {"x": points()[0]}},
    ],
)
def test_equivalent_arguments_are_parsed_alike(options):
    """They become plain Python numbers, because others cannot be written as JSON."""
    values = parsed(**options)
    assert values == parsed()
    assert json.dumps(values)


def test_a_list_of_seeds_is_used_as_it_is():
    values = parsed(seeds=np.array([7, 3, 7]))
    assert (values["seeds"], values["is_count"]) == ((7, 3), False)
    assert parsed()["is_count"]
