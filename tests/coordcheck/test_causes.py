"""Causes of one parameter: init, multiplier and rate, read from weights and settings."""

import numpy as np
import pytest
from check_models import BASE, mlp

import mutransfer as mt
from mutransfer.coordcheck.diagnosis.causes import Suspect, causes
from mutransfer.coordcheck.diagnosis.settings import ObservedSettings

NAME, WIDTHS = "6.weight", (32, 64)


def causes_of_readout(optimizer: str, init: float, multiplier: float, rate: float):
    """Return the causes for a readout whose settings are off by powers of width."""
    row = mt.make_plan(mlp, base=BASE, target=64, optimizer=optimizer)[NAME]
    settings = {"size": row.init_factor * 2**init, "set lr": row.lr_factor * 2**rate}
    readings = {
        (quantity, NAME): np.array([1.0, factor]).reshape(2, 1, 1)
        for quantity, factor in settings.items()
    }
    suspect = Suspect(NAME, "output", {"gain": init + multiplier, "effect": 0.0})
    suspect.has_layer_gain = True
    found = causes(suspect, row, ObservedSettings(readings, WIDTHS, {NAME: row}))
    return [(cause.fault, pytest.approx(cause.power)) for cause in found]


@pytest.mark.parametrize(("optimizer", "square"), [("adamw", 1), ("sgd", 2)])
@pytest.mark.parametrize("multiplier", [-1.0, 1.0])
def test_another_form_than_the_declared_one_is_not_a_fault(optimizer, square, multiplier) -> None:
    """A multiplier times θ is made up for by init and rate over θ, under SGD by rate over θ²."""
    form = {"init": -multiplier, "multiplier": multiplier, "rate": -square * multiplier}
    assert causes_of_readout(optimizer, **form) == []
    wrong = form | {"rate": form["rate"] + 0.5}
    assert causes_of_readout(optimizer, **wrong) == [("rate", 0.5)]
    wrong = form | {"init": form["init"] - 0.5}
    assert causes_of_readout(optimizer, **wrong) == [("init", -0.5)]


def test_a_multiplier_that_nothing_makes_up_for_is_named_in_the_declared_form() -> None:
    assert causes_of_readout("adamw", init=0.0, multiplier=0.5, rate=0.0) == [("multiplier", 0.5)]
    both = causes_of_readout("adamw", init=0.5, multiplier=0.0, rate=0.5)
    assert both == [("init", 0.5), ("rate", 0.5)]
