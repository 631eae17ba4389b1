"""This file is the exponents of width that a correct parametrization has, quantity by quantity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mutransfer.coordcheck.runs.optimizers import update_of
from mutransfer.coordcheck.runs.probes import WHOLE, Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import PlanRow, Role, Update

# Shape legend: W widths.

MATRICES = (Role.INPUT, Role.HIDDEN, Role.OUTPUT, Role.BOTTLENECK)
SEEN = 0.1  # power of width of a multiplier that is not a constant


def expected(key: Key, readings: Mapping[Key, Floats], rows: Mapping[str, PlanRow]) -> float | None:
    """Give the exponent that a correct parametrization has; None where there is none to test."""
    quantity, name = key
    row = rows.get(name)
    if quantity in ("gain", "change"):
        return _of_modules(quantity, name, readings, rows)
    if quantity == "attention":
        return -0.5 if _grows(("head", name), readings) else 0.0
    if quantity == "pull":
        # A readout that is a layer of its own has a gain.
        grows = _grows(("outputs", WHOLE), readings)
        layered = any(each.role is Role.OUTPUT for each in rows.values())
        return -1.0 if ("shared", "") in readings and not grows and not layered else None
    if row is None:
        return None
    if row.role is Role.FIXED:
        tested = ("step", "update") if has_known_steps(row) else ()
        # A random bias of a few entries has no size to speak of.
        tested = tested if is_bias(name) else (*tested, "size")
        return 0.0 if quantity in tested else None
    if quantity == "update":
        return _of_updates(row) if row.role in MATRICES else None
    return _of_parameters(quantity, row, readings)


def has_known_steps(row: PlanRow) -> bool:
    """Tell whether it is known how updates scale.

    What does not grow meets gradients of any size, and under SGD its updates follow them.
    """
    constant = update_of(row) in (Update.ENTRYWISE, Update.RELATIVE)
    return constant or row.role is not Role.FIXED


def _of_modules(
    quantity: str, name: str, readings: Mapping[Key, Floats], rows: Mapping[str, PlanRow]
) -> float | None:
    """Give the exponent of what a module makes of its input, or of how its output changes."""
    weight = rows.get(f"{name}.weight" if name else "weight")
    if _is_normed(name, readings):
        return None
    # What the author multiplies by, as far as it was watched: the layer itself is smaller by it.
    lent = 0.0 if weight is None else _lent(weight, name, readings)
    if quantity == "gain":
        return None if weight is None else (-0.5 if weight.role is Role.OUTPUT else 0.0) - lent
    owner = weight or rows.get(f"{name}.bias")
    # What follows a readout, or a table that two layers share, stands in the model's output.
    within = owner is not None and owner.role is not Role.OUTPUT
    return 0.0 - lent if within or name == WHOLE else None


def _of_parameters(quantity: str, row: PlanRow, readings: Mapping[Key, Floats]) -> float | None:
    """Give the exponent of a parameter's size, of its steps, or of what they do."""
    role, module = row.role, row.name.rpartition(".")[0]
    raw = ("gain", module) not in readings
    lent = float(row.own_power)
    # Of a raw matrix we see no output: routers, and queries and keys of heads that grow, pull at
    # the loss by a random amount at first, so that sizes are judged in place of effects.
    widening = role is Role.HIDDEN and any(
        key[0] == "head" and _grows(key, readings) for key in readings
    )
    by_size = raw and (role is Role.BOTTLENECK or widening)
    if quantity == "effect":
        if _is_normed(module, readings):
            return None
        lent = lent if raw else _lent(row, module, readings)
        if update_of(row) is Update.SPECTRAL:
            return (-0.5 if role is Role.BOTTLENECK else 0.0) - lent
        if role not in MATRICES or by_size:
            return None
        return 0.0 if raw else 0.0 - lent
    if quantity == "size":
        if by_size:
            return -0.5 - lent
        return 0.0 - lent if role is Role.VECTOR or (raw and role is Role.INPUT) else None
    return 0.0 - lent if quantity == "step" and role is Role.VECTOR else None


def _is_normed(module: str, readings: Mapping[Key, Floats]) -> bool:
    """Tell a layer with a multiplier that a norm undoes, and what goes around the norm does not."""
    return abs(_power(("normed", module), readings)) > SEEN


def _lent(weight: PlanRow, module: str, readings: Mapping[Key, Floats]) -> float:
    """Give the author's own multiplier, as far as it was not measured with the layer."""
    own = float(weight.own_power)
    return own - _power(("scale", module), readings) if own else 0.0


def _power(key: Key, readings: Mapping[Key, Floats]) -> float:
    """Give the power of width of a multiplier; where it is not noted it is 1."""
    if key not in readings:
        return 0.0
    widths_W = np.nanmax(readings["width", ""], axis=(1, 2))
    values_W = np.nan_to_num(readings[key], nan=0.0).max(axis=(1, 2))
    first, last = (values_W[k] or 1.0 for k in (0, -1))
    return float(np.log2(last / first) / np.log2(widths_W[-1] / widths_W[0]))


def _of_updates(row: PlanRow) -> float:
    """Give the power of an update's norm against the weights' norm: of spectral norms, 0."""
    if update_of(row) is Update.SPECTRAL:
        return 0.0 if row.role is Role.HIDDEN else -0.5
    return -0.5 if row.role in (Role.HIDDEN, Role.BOTTLENECK) else 0.0


def _grows(key: Key, readings: Mapping[Key, Floats]) -> bool:
    """Tell a size that is not the same at every width."""
    sizes = readings.get(key, np.ones(1))
    return bool(np.nanmax(sizes) > np.nanmin(sizes))


def is_bias(name: str) -> bool:
    """Tell a bias by its name: `bias_ih_l0`, too."""
    return "bias" in name.rpartition(".")[2]
