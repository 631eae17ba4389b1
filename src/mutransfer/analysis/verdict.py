"""This file is the verdict: transfers, does not transfer, or undetermined, in one sentence."""

from __future__ import annotations

from mutransfer.analysis.fit import Located
from mutransfer.analysis.types import LN2, Estimate, Verdict
from mutransfer.analysis.wording import Words, label, nats, rate, share


def decide(
    regret: Estimate, source: Located, target: Located, threshold: float, words: Words
) -> tuple[Verdict, Estimate, str]:
    """Compare the bounds of the regret with the threshold.

    Returns:
        The verdict, the regret as a share of the best loss, and one sentence.
    """
    if source.cells.width == target.cells.width:
        reason = f"one {words.scale}: add a larger one"
        return "undetermined", Estimate(undetermined=reason), reason
    best = _best_loss(target)
    if best is None or best <= 0:
        reason = regret.undetermined or (
            f"the loss is not positive {words.at(target.cells.width)}, so a share of it has no "
            "meaning: analyze a positive loss"
        )
        return "undetermined", Estimate(undetermined=reason), reason
    shares = regret.times(1 / best)
    carry = f"from {words.scale} {label(source.cells.width)} to {label(target.cells.width)}"
    if source.fit is not None:
        carry = f"carrying {rate(source.x / LN2)} {carry}"
    if shares.low is not None and shares.low > threshold:
        assert regret.low is not None
        return (
            "does not transfer",
            shares,
            (
                f"{carry} costs at least {nats(regret.low)}, {share(shares.low)} of the loss, "
                f"more than the threshold of {share(threshold)}"
            ),
        )
    if shares.high is not None and shares.high <= threshold:
        assert regret.high is not None
        return (
            "transfers",
            shares,
            (
                f"{carry} costs at most {nats(regret.high)}, {share(shares.high)} of the loss, "
                f"no more than the threshold of {share(threshold)}"
            ),
        )
    if regret.undetermined is not None:
        return "undetermined", shares, regret.undetermined
    assert shares.low is not None
    assert shares.high is not None
    return (
        "undetermined",
        shares,
        (
            f"{carry} costs between {share(shares.low)} and {share(shares.high)} of the loss, "
            f"on both sides of the threshold of {share(threshold)}: add seeds"
        ),
    )


def _best_loss(target: Located) -> float | None:
    """Give the best loss at the largest width; on the edge, the grid's is an upper bound."""
    if target.fit is not None:
        return target.loss
    if target.argmin is None:
        return None
    return float(target.cells.mean[target.argmin])
