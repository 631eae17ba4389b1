"""Rows of a plan: the scaling factors of one parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from mutransfer.rules.roles import Role


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One parameter: its role, and the factors on its settings.

    Args:
        name: Name of the parameter, as in `named_parameters`.
        shape: Unsharded shape at the target.
        role: Role of the parameter in the rule table.
        r_in: Fan-in over base fan-in.
        r_out: Fan-out over base fan-out.
        init_factor: Factor on the author's fresh weights: the part of the rule that they lack.
        lr_factor: Peak learning rate of the parameter group over the base rate.
        eps_factor: Epsilon of the group over the base epsilon.
        decay_factor: Weight decay of the group over the base decay, under `constant-product`.
        multiplier: Factor on the layer's input in the forward pass.
        reason: Why the parameter has this role, in words.
        init_exponent: Exponent of the author's own init in the ratio that it depends on.
        fresh_rms: RMS that `apply` expects of the author's fresh weights; None accepts any.
        fresh_error: Relative standard error of that RMS.
        optimizer: Optimizer of the parameter: under Muon, AdamW trains all but the matrices.
        eps2_factor: Factor on Adafactor's second epsilon, the lower bound of a weight's RMS.
        multiplier_at: Layers whose input is multiplied: the readouts of a tied table; empty
            where it is the parameter's own layer.
        own_power: Exponent of the author's own forward multiplier in the ratio of fan-in, or of
            fan-out where fan-in does not grow; relative to the attention scale of the rule.
        base_shape: Unsharded shape at the base; None in plans of earlier versions.
        start_power: For a learned scale whose start depends on width: the exponent of that start
            in the same ratio as `own_power`. None for its logarithm, which no power describes.
        notes: What a user should know about this parameter beyond its factors.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    r_in: Fraction
    r_out: Fraction
    init_factor: float
    lr_factor: float
    eps_factor: float
    decay_factor: float
    multiplier: float
    reason: str
    init_exponent: Fraction
    fresh_rms: float | None
    fresh_error: float
    optimizer: str
    eps2_factor: float = 1.0
    multiplier_at: tuple[str, ...] = ()
    own_power: Fraction = Fraction(0)
    base_shape: tuple[int, ...] | None = None
    start_power: Fraction | None = Fraction(0)
    notes: tuple[str, ...] = ()


def row_to_data(row: PlanRow) -> dict[str, Any]:
    """Convert a row to JSON data; fractions become text, so that ratios stay exact."""
    return {
        key: str(value) if isinstance(value, Fraction) else value
        for key, value in asdict(row).items()
        if value or key != "notes"  # most rows have none
    }


def row_from_data(data: Mapping[str, Any], optimizer: str) -> PlanRow:
    """Read a row from JSON data.

    Args:
        data: As `row_to_data` returns it, or as an earlier version wrote it.
        optimizer: The plan's optimizer, which rows of earlier versions do not repeat.
    """
    exact = {key: Fraction(data[key]) for key in ("r_in", "r_out", "init_exponent")}
    exact["own_power"] = Fraction(data.get("own_power", 0))
    base_shape, start_power = data.get("base_shape"), data.get("start_power", 0)
    typed: dict[str, Any] = {
        "role": Role(data["role"]),
        "shape": tuple(data["shape"]),
        "multiplier_at": tuple(data.get("multiplier_at", ())),
        "base_shape": None if base_shape is None else tuple(base_shape),
        "start_power": None if start_power is None else Fraction(start_power),
        "notes": tuple(data.get("notes", ())),
    }
    return PlanRow(**{"optimizer": optimizer, **data, **exact, **typed})
