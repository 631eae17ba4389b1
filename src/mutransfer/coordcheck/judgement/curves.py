"""This file is the sizes themselves, by width and step: what a coordinate check is drawn from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mutransfer.coordcheck.judgement.expected import expected
from mutransfer.coordcheck.judgement.exponents import exponents
from mutransfer.coordcheck.result import Curve
from mutransfer.coordcheck.runs.probes import WHOLE, Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import PlanRow, Role

# Shape legend: W widths, S seeds, T steps.

OUTPUT = "output"  # drawn for the eye; gain and change are judged in its place


def curves_of(
    readings: Mapping[Key, Floats], widths: tuple[int, ...], rows: Mapping[str, PlanRow]
) -> tuple[Curve, ...]:
    """Average log sizes over seeds and over like layers: one curve per quantity and role.

    Args:
        readings: What was measured.
        widths: Where.
        rows: What each parameter is.
    """
    groups: dict[tuple[str, str, float | None], list[Floats]] = {}
    for key, values_WST in readings.items():
        quantity, name = key
        row = rows.get(name) or rows.get(f"{name}.weight") or rows.get(f"{name}.bias")
        is_readout = row is not None and row.role is Role.OUTPUT
        aim = expected(key, readings, rows)
        if quantity == OUTPUT and not is_readout:  # what a readout gives is the model's
            aim = None if row is None else 0.0
        elif aim is None:
            continue
        role = "" if row is None or name == WHOLE or quantity == "pull" else str(row.role)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs_WT = np.where(values_WST > 0, np.log2(values_WST), np.nan).mean(axis=1)
        groups.setdefault((quantity, role, aim), []).append(logs_WT)
    return tuple(_curve(*kind, members, widths) for kind, members in groups.items())


def _curve(
    quantity: str, role: str, aim: float | None, members: list[Floats], widths: tuple[int, ...]
) -> Curve:
    """Average the layers that have a size at every width, step by step."""
    logs_MWT = np.stack(members)
    whole_MT = np.asarray(np.isfinite(logs_MWT).all(axis=1))
    kept_MWT = np.where(whole_MT[:, None], logs_MWT, 0.0)
    with np.errstate(invalid="ignore"):
        sizes_WT = 2.0 ** (kept_MWT.sum(axis=0) / whole_MT.sum(axis=0))
    fitted_T = exponents(sizes_WT[:, None], widths)[0]
    return Curve(
        quantity=quantity,
        role=role,
        expected=aim,
        sizes=tuple(tuple(_plain(x) for x in sizes_W) for sizes_W in sizes_WT.T),
        fitted=tuple(_plain(x) for x in fitted_T),
    )


def _plain(value: float) -> float | None:
    """Write what is not there as None."""
    return float(value) if np.isfinite(value) else None
