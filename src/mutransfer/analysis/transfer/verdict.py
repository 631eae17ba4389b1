"""The verdict: 'transfers', 'does not transfer' or 'undetermined', with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.one_seed import ONE_SEED
from mutransfer.analysis.format import (
    AxisNames,
    format_loss,
    format_rate,
    format_share,
    format_value,
)
from mutransfer.analysis.types.estimates import LN2, Estimate, Verdict
from mutransfer.analysis.types.scaling import CarriedRegret


def decide(
    carried: CarriedRegret,
    curves: Sequence[CurveFit],
    threshold: float,
    axes: AxisNames,
    loss_unit: str | None,
    *,
    is_of_one_seed: bool = False,
) -> tuple[Verdict, str]:
    """Compare the bounds of the regret with the threshold; return the verdict and the reason."""
    quadratic = curves[0].quadratic
    if quadratic is None:
        return "undetermined", str(carried.share.undetermined)
    ends = f"{axes.scale} {format_value(carried.proxy)} to {format_value(carried.target)}"
    verdict, reason = compare_with_threshold(
        carried.regret,
        carried.share,
        threshold,
        claim=f"carrying {format_rate(quadratic.optimum / LN2)} from {ends} raises the loss by",
        advice=_advice(carried, threshold, axes, quadratic.optimum / LN2),
        loss_unit=loss_unit,
    )
    has_bounds = carried.share.undetermined is None or verdict != "undetermined"
    return verdict, f"{reason}; {ONE_SEED}" if is_of_one_seed and has_bounds else reason


def compare_with_threshold(
    regret: Estimate,
    share: Estimate,
    threshold: float,
    *,
    claim: str,
    advice: str,
    loss_unit: str | None,
) -> tuple[Verdict, str]:
    """Compare the bounds of a regret with the threshold; return the verdict and the reason.

    Args:
        regret: The regret.
        share: The regret as a share of the best loss.
        threshold: The share that still counts as transfer.
        claim: The beginning of the reason, which a cost follows.
        advice: What to add where the bounds lie on both sides of the threshold.
        loss_unit: Unit of the loss, or None.
    """
    limit = f"the threshold of {format_share(threshold)}"
    if share.low is not None and share.low > threshold:
        assert regret.low is not None
        cost = f"{format_loss(regret.low, loss_unit)} ({format_share(share.low)})"
        return "does not transfer", f"{claim} at least {cost}, more than {limit}"
    if share.high is not None and share.high <= threshold:
        assert regret.high is not None
        cost = f"at most {format_loss(regret.high, loss_unit)} ({format_share(share.high)})"
        if share.high < 1e-5:  # rounding error
            cost = "less than 0.001 %"
        return "transfers", f"{claim} {cost}, no more than {limit}"
    if share.low is None or share.high is None or share.undetermined is not None:
        return "undetermined", str(share.undetermined)
    bounds = f"{format_share(share.low)} to {format_share(share.high)}"
    return "undetermined", f"{claim} {bounds}, on both sides of {limit}: {advice}"


def _advice(carried: CarriedRegret, threshold: float, axes: AxisNames, log2_lr: float) -> str:
    """Return what would narrow bounds on both sides of the threshold: it depends on their cause."""
    target = axes.at(carried.target)
    if _decides(carried.of_spacing, threshold):
        return f"the curves are skewed, so add {axes.rates} in between, and use a smaller window"
    if _decides(carried.of_noise, threshold):
        return (
            f"the {axes.rates} are too far apart, so add some near {format_rate(log2_lr)} {target}"
        )
    return "add seeds"


def _decides(share: Estimate, threshold: float) -> bool:
    """Whether the bounds of a regret lie on one side of the threshold."""
    if share.low is None or share.high is None:
        return False
    return share.high <= threshold or share.low > threshold
