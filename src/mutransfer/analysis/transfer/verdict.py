"""This file is the verdict: transfers, does not transfer, or undetermined, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from mutransfer.analysis.curves.fit import Located
from mutransfer.analysis.format import Words, label, nats, rate, share
from mutransfer.analysis.types.estimates import LN2, Verdict
from mutransfer.analysis.types.scaling import CarriedRegret


def decide(
    regret: CarriedRegret, located: Sequence[Located], threshold: float, words: Words
) -> tuple[Verdict, str]:
    """Compare the bounds of the regret with the threshold; the reason is one sentence."""
    shares, cost = regret.share, regret.regret
    source, target = located[0], located[-1]
    carry = f"from {words.scale} {label(source.cells.width)} to {label(target.cells.width)}"
    if source.fit is not None:
        carry = f"carrying {rate(source.x / LN2)} {carry}"
    if shares.low is not None and shares.low > threshold:
        assert cost.low is not None
        return (
            "does not transfer",
            (
                f"{carry} costs at least {nats(cost.low)}, {share(shares.low)} of the loss, "
                f"more than the threshold of {share(threshold)}"
            ),
        )
    if shares.high is not None and shares.high <= threshold:
        assert cost.high is not None
        return (
            "transfers",
            (
                f"{carry} costs at most {nats(cost.high)}, {share(shares.high)} of the loss, "
                f"no more than the threshold of {share(threshold)}"
            ),
        )
    if shares.undetermined is not None:
        return "undetermined", shares.undetermined
    assert shares.low is not None
    assert shares.high is not None
    return (
        "undetermined",
        (
            f"{carry} costs between {share(shares.low)} and {share(shares.high)} of the loss, "
            f"on both sides of the threshold of {share(threshold)}: add seeds"
        ),
    )
