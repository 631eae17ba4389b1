"""Sizes against width at every step: the curves of the usual coordinate-check plot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mutransfer.coordcheck.findings import Curve
from mutransfer.coordcheck.judgement.expected import expected_exponent
from mutransfer.coordcheck.judgement.exponents import exponents
from mutransfer.coordcheck.runs.probes import MODEL_OUTPUT, Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import PlanRow, Role

# Shape legend: W widths, S seeds, T steps, L layers.

OUTPUT = "output"  # plotted only; gain and change are judged instead


def size_curves(
    readings: Mapping[Key, Floats], widths: tuple[int, ...], rows: Mapping[str, PlanRow]
) -> tuple[Curve, ...]:
    """Average log sizes over seeds and layers: one curve per quantity, role and exponent."""
    groups: dict[tuple[str, str, float | None], list[Floats]] = {}
    for key, values_WST in readings.items():
        quantity, name = key
        row = rows.get(name) or rows.get(f"{name}.weight") or rows.get(f"{name}.bias")
        is_readout = row is not None and row.role is Role.OUTPUT
        expected = expected_exponent(key, readings, rows)
        if quantity == OUTPUT and not is_readout:  # the model's output stands for a readout's
            expected = None if row is None else 0.0
        elif expected is None:
            continue
        is_module = row is None or name == MODEL_OUTPUT or quantity in ("pull", "stream")
        role = "" if is_module or row is None else str(row.role)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs_WT = np.where(values_WST > 0, np.log2(values_WST), np.nan).mean(axis=1)
        groups.setdefault((quantity, role, expected), []).append(logs_WT)
    return tuple(_curve(*group, members, widths) for group, members in groups.items())


def _curve(
    quantity: str, role: str, expected: float | None, members: list[Floats], widths: tuple[int, ...]
) -> Curve:
    """Average the layers that have a size at every width, step by step."""
    logs_LWT = np.stack(members)
    is_complete_LT = np.asarray(np.isfinite(logs_LWT).all(axis=1))
    complete_LWT = np.where(is_complete_LT[:, None], logs_LWT, 0.0)
    with np.errstate(invalid="ignore"):
        sizes_WT = 2.0 ** (complete_LWT.sum(axis=0) / is_complete_LT.sum(axis=0))
    return Curve(
        quantity=quantity,
        role=role,
        expected=expected,
        sizes=tuple(_without_nan(sizes_W) for sizes_W in sizes_WT.T),
        fitted=_without_nan(exponents(sizes_WT[:, None], widths)[0]),
    )


def _without_nan(values: Floats) -> tuple[float | None, ...]:
    """Replace NaN by None, which JSON can hold."""
    return tuple(float(x) if np.isfinite(x) else None for x in values)
