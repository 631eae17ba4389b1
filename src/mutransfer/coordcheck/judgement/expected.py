"""Expected exponents: how each quantity scales with width in a correct parametrization."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from mutransfer.coordcheck.runs.optimizers import update_of
from mutransfer.coordcheck.runs.probes import MODEL_OUTPUT, Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import PlanRow, Role, Update

# Shape legend: W widths.

MATRICES = (Role.INPUT, Role.HIDDEN, Role.OUTPUT, Role.BOTTLENECK)
CONSTANT = 0.1  # a multiplier with a smaller power of width counts as constant [assumed]


def expected_exponent(
    key: Key, readings: Mapping[Key, Floats], rows: Mapping[str, PlanRow]
) -> float | None:
    """Return the exponent in a correct parametrization, or None if there is nothing to test."""
    quantity, name = key
    row = rows.get(name)
    if quantity in ("gain", "change"):
        return _module_exponent(quantity, name, readings, rows)
    if quantity == "stream":
        return 0.0
    if quantity == "attention":
        return -0.5 if _grows(("head", name), readings) else 0.0
    if quantity == "pull":
        # Only for a readout without its own layer: a layer has a gain, which is less noisy.
        # Logits of a shared table contain a part that does not shrink (the token's own row), so
        # the gradient behind the readout is judged instead.
        grows = _grows(("outputs", MODEL_OUTPUT), readings)
        has_layer = any(r.role is Role.OUTPUT for r in rows.values())
        return -1.0 if ("shared", "") in readings and not grows and not has_layer else None
    if row is None:
        return None
    if row.role is Role.FIXED:
        tested = ("step", "update") if has_expected_update(row) else ()
        # The size of a random bias with a few entries is too noisy to test.
        is_sized = row.start_power is not None and not is_bias(name)
        tested = (*tested, "size") if is_sized else tested
        expected = 0.0 if quantity == "update" else float(row.start_power or 0)
        return expected if quantity in tested else None
    if quantity == "update":
        return _update_exponent(row) if row.role in MATRICES else None
    return _parameter_exponent(quantity, row, readings)


def has_expected_update(row: PlanRow) -> bool:
    """Return whether the scaling of a parameter's updates is known.

    The gradients of fixed parameters can have any size, and SGD's updates are proportional to them.
    """
    gradient_free = update_of(row) in (Update.ENTRYWISE, Update.RELATIVE)
    return gradient_free or row.role is not Role.FIXED


def _module_exponent(
    quantity: str, name: str, readings: Mapping[Key, Floats], rows: Mapping[str, PlanRow]
) -> float | None:
    """Return the expected exponent of a module's gain, or of the change of its output."""
    weight = rows.get(f"{name}.weight" if name else "weight")
    if _is_normalized(name, readings):
        return None
    external = 0.0 if weight is None else _external_power(weight, name, readings)
    if quantity == "gain":
        return None if weight is None else (-0.5 if weight.role is Role.OUTPUT else 0.0) - external
    owner = weight or rows.get(f"{name}.bias")
    # The model's output stands for what follows a readout or a shared table.
    is_inner = owner is not None and owner.role is not Role.OUTPUT
    return 0.0 - external if is_inner or name == MODEL_OUTPUT else None


def _parameter_exponent(
    quantity: str, row: PlanRow, readings: Mapping[Key, Floats]
) -> float | None:
    """Return the expected exponent of a parameter's size, of its steps, or of their effect."""
    role, module = row.role, row.name.rpartition(".")[0]
    is_raw = ("gain", module) not in readings
    external = float(row.own_power - (row.start_power or 0))
    # The output of a raw matrix cannot be observed. In a correct network routers, and queries and
    # keys of widening heads, change the loss at first by a random amount that fades as
    # width^-1/2. Their sizes are judged instead of their effects.
    in_widening_head = role is Role.HIDDEN and any(
        key[0] == "head" and _grows(key, readings) for key in readings
    )
    by_size = is_raw and (role is Role.BOTTLENECK or in_widening_head)
    if quantity == "effect":
        if _is_normalized(module, readings):
            return None
        external = external if is_raw else _external_power(row, module, readings)
        if update_of(row) is Update.SPECTRAL:
            return (-0.5 if role is Role.BOTTLENECK else 0.0) - external
        # A gain or a temperature of shape (n, 1, 1) is applied elsewhere than at the module's
        # output. A token, (1, 1, n), is not. Their updates are judged.
        is_gain = is_raw and row.shape[-1] == 1 and max(row.shape) == prod(row.shape)
        if role not in MATRICES or by_size or is_gain:
            return None
        return 0.0 if is_raw else 0.0 - external
    if quantity == "size":
        if by_size:
            return -0.5 - external
        return 0.0 - external if role is Role.VECTOR or (is_raw and role is Role.INPUT) else None
    return 0.0 - external if quantity == "step" and role is Role.VECTOR else None


def _is_normalized(module: str, readings: Mapping[Key, Floats]) -> bool:
    """Return whether a norm undoes a layer's width-dependent multiplier on one path only."""
    return abs(_power(("normed", module), readings)) > CONSTANT


def _external_power(weight: PlanRow, module: str, readings: Mapping[Key, Floats]) -> float:
    """Return the power of the author's multiplier that was not measured as part of the layer."""
    own = float(weight.own_power)
    return own - _power(("scale", module), readings) if own else 0.0


def _power(key: Key, readings: Mapping[Key, Floats]) -> float:
    """Return the power of width of a multiplier, which is 1 where it was not recorded."""
    if key not in readings:
        return 0.0
    widths_W = np.nanmax(readings["width", ""], axis=(1, 2))
    values_W = np.nan_to_num(readings[key], nan=0.0).max(axis=(1, 2))
    first, last = (values_W[k] or 1.0 for k in (0, -1))
    return float(np.log2(last / first) / np.log2(widths_W[-1] / widths_W[0]))


def _update_exponent(row: PlanRow) -> float:
    """Return the expected exponent of an update's norm over the weights' norm."""
    if update_of(row) is Update.SPECTRAL:  # spectral norms
        return 0.0 if row.role is Role.HIDDEN else -0.5
    return -0.5 if row.role in (Role.HIDDEN, Role.BOTTLENECK) else 0.0


def _grows(key: Key, readings: Mapping[Key, Floats]) -> bool:
    """Return whether a size differs between widths."""
    sizes = readings.get(key, np.ones(1))
    return bool(np.nanmax(sizes) > np.nanmin(sizes))


def is_bias(name: str) -> bool:
    """Return whether a parameter is a bias by its name, such as `bias_ih_l0`."""
    return "bias" in name.rpartition(".")[2]
