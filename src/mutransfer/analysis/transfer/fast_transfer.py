"""Fast transfer: whether the best rate converges faster than the loss requires."""

from __future__ import annotations

from mutransfer.analysis.intervals import estimate
from mutransfer.analysis.laws.power_law import fit_floor_law
from mutransfer.analysis.transfer.optima import Optima
from mutransfer.analysis.types.estimates import Estimate
from mutransfer.analysis.types.scaling import FastTransfer, Speed

# Shape legend: S samples (the data first, then the draws).


def fast_transfer(optima: Optima) -> FastTransfer:
    """Compare how fast the best rate and the loss converge (arXiv:2512.22768)."""
    if optima.no_value or optima.loss_law is None or optima.rate_law is None:
        missing = Estimate(undetermined=optima.no_value)
        return FastTransfer("undetermined", missing, missing)
    drift = estimate(optima.rate_law.slope, optima.no_interval)
    if drift.low is not None and drift.high is not None and drift.low <= 0 <= drift.high:
        text = "the best rate moves no more than noise, so it has no exponent: add seeds, or widths"
        missing = Estimate(undetermined=text)
        return FastTransfer("undetermined", missing, missing)
    law = fit_floor_law(optima.n, optima.x, is_loss=False)
    delta = estimate(law.exponent, optima.no_interval, law.is_bound)
    margin_S, loss_bound_S = law.exponent - optima.loss_law.exponent / 2, optima.loss_law.is_bound
    margin = estimate(margin_S, optima.no_interval, law.is_bound | loss_bound_S)
    # A delta on the lower bound of the search may be smaller still: "not fast" holds all the more.
    upper = estimate(margin_S, optima.no_interval, loss_bound_S).high
    speed: Speed = "undetermined"
    if margin.low is not None and margin.low > 0:
        speed = "fast"
    elif upper is not None and upper < 0:
        speed = "not fast"
    return FastTransfer(speed, delta, margin)
