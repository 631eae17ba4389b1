"""Best values of hyperparameters at one width, with their intervals, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mutransfer.analysis.format import format_value
from mutransfer.analysis.intervals import LOWER, UPPER
from mutransfer.analysis.tuning.noise import SurfaceDraws
from mutransfer.analysis.tuning.surface import Surface
from mutransfer.analysis.types.estimates import Estimate, Floats

# Shape legend: D draws, H hyperparameters, P points, G grid of a section.

NO_NOISE = "too few samples for an interval: add samples"
ON_LIMIT = 1e-6  # in units of the range: a minimum that was clipped
FLAT = 0.8  # of the range that an interval covers where it says nothing [assumed]
NUM_SECTION = 33  # values at which a section is drawn


@dataclass(frozen=True, slots=True)
class BestValue:
    """The best value of one hyperparameter.

    Args:
        estimate: The value with its interval.
        edge: 'low' or 'high' where it lies at the end of the range tried.
        cost: How much the loss varies with it alone, over the range of the fit.
    """

    estimate: Estimate
    edge: Literal["low", "high"] | None
    cost: float


def best_value(fit: Surface, draws: SurfaceDraws | None, h: int, scale: str) -> BestValue:
    """Estimate the best value of hyperparameter `h` at one width."""
    low, high = (float(limit[h]) for limit in fit.limits)
    z = float(fit.minimum[h])
    on_low, on_high = z <= low + ON_LIMIT, z >= high - ON_LIMIT
    cost = float(np.ptp(section_losses(fit, h)[1]))
    if draws is not None:
        moved_D = draws.moved[:, h]
        touches_low = bool((moved_D <= low + ON_LIMIT).mean() > LOWER)
        touches_high = bool((moved_D >= high - ON_LIMIT).mean() > LOWER)
        length = float(np.subtract(*np.quantile(moved_D, [UPPER, LOWER])))
        is_flat = length > FLAT * (high - low)
        if is_flat or ((on_low or touches_low) and (on_high or touches_high)):
            return BestValue(Estimate(undetermined=_flat_reason(fit, h, cost, scale)), None, cost)
    edge: Literal["low", "high"] | None = "low" if on_low else "high" if on_high else None
    low_end, high_end = _interval(fit, draws, h)
    if edge is not None:
        reason: str | None = _edge_reason(fit, h, edge, scale)
        low_end, high_end = (None, high_end) if edge == "low" else (low_end, None)
        return BestValue(Estimate(None, low_end, high_end, reason), edge, cost)
    value = _value(fit, h, z)
    if draws is None:
        return BestValue(Estimate(value, undetermined=NO_NOISE), None, cost)
    reason = None
    for touches, side in ((touches_low, "low"), (touches_high, "high")):
        if touches:
            reason = _open_reason(fit, h, side, scale)
    return BestValue(
        Estimate(
            value,
            None if touches_low else low_end,
            None if touches_high else high_end,
            reason,
        ),
        None,
        cost,
    )


def _value(fit: Surface, h: int, z: float) -> float:
    """Return the value at a position in units of the range."""
    return fit.table.coordinates[h].value(float(fit.center[h] + fit.half[h] * z))


def _interval(
    fit: Surface, draws: SurfaceDraws | None, h: int
) -> tuple[float | None, float | None]:
    """Return the ends of the 90 % interval, which contains the value."""
    if draws is None:
        return None, None
    low, high = np.quantile(draws.moved[:, h], [LOWER, UPPER])
    z = float(fit.minimum[h])
    return _value(fit, h, min(float(low), z)), _value(fit, h, max(float(high), z))


def _edge_reason(fit: Surface, h: int, edge: str, scale: str) -> str:
    """Return that a minimum lies at the end of what was tried, and what to add."""
    coordinate, table = fit.table.coordinates[h], fit.table
    limit = float(fit.limits[0 if edge == "low" else 1][h])
    side = "below" if edge == "low" else "above"
    at = f"at {scale} {format_value(table.width)}"
    shown = coordinate.format(float(fit.center[h] + fit.half[h] * limit))
    if abs(limit) < 1 - ON_LIMIT:
        return (
            f"the fitted minimum lies outside the samples near the best {at}: add samples with "
            f"{coordinate.name} {side} {shown}"
        )
    beyond = table.points[table.diverged, h]
    end = float(fit.center[h] + fit.half[h] * limit)
    beyond = beyond[beyond < end] if edge == "low" else beyond[beyond > end]
    where = f"the minimum lies at the edge of the range of {coordinate.name} {at}"
    if len(beyond):
        nearest = float(beyond[np.argmin(np.abs(beyond - end))])
        return (
            f"{where} that did not diverge: add samples between {shown} and the diverged "
            f"{coordinate.format(nearest)}"
        )
    return f"{where}: {side} {shown}; add samples there"


def _open_reason(fit: Surface, h: int, edge: str, scale: str) -> str:
    """Return that an interval reaches the end of what was tried, and what to add."""
    coordinate, table = fit.table.coordinates[h], fit.table
    limit = float(fit.limits[0 if edge == "low" else 1][h])
    side, end = ("below", "lower") if edge == "low" else ("above", "upper")
    return (
        f"the {end} end of the interval of {coordinate.name} lies beyond the samples "
        f"at {scale} {format_value(table.width)}: add samples {side} "
        f"{coordinate.format(float(fit.center[h] + fit.half[h] * limit))}"
    )


def _flat_reason(fit: Surface, h: int, cost: float, scale: str) -> str:
    """Return that the loss hardly depends on a hyperparameter."""
    coordinate = fit.table.coordinates[h]
    low, high = (coordinate.format(float(fit.center[h] + fit.half[h] * x[h])) for x in fit.limits)
    return (
        f"the noise hides where between {low} and {high} the best {coordinate.name} lies at "
        f"{scale} {format_value(fit.table.width)}, where the fit varies by {cost:.2g}: any value "
        "will do, or add samples"
    )


def section_points(fit: Surface, h: int) -> Floats:
    """Return points along one hyperparameter through the best point, in units of the range."""
    z_GH = np.repeat(fit.minimum[None], NUM_SECTION, axis=0)
    z_GH[:, h] = np.linspace(fit.limits[0][h], fit.limits[1][h], NUM_SECTION)
    return z_GH


def section_losses(fit: Surface, h: int) -> tuple[Floats, Floats]:
    """Return positions along one hyperparameter through the best point, and the losses there."""
    z_GH = section_points(fit, h)
    return fit.center[h] + fit.half[h] * z_GH[:, h], fit.polynomials.at_points(z_GH)[0]
