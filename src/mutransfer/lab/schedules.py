"""Learning-rate schedules: the rate as a share of its peak, the same for all parameter groups."""

from __future__ import annotations

import math

FLOOR = 1e-4  # share left at the end of linear and cosine [derived: arXiv:2404.05728, code]
SCHEDULES = ("linear", "cosine", "constant", "wsd")


def share_of_peak(
    schedule: str, step: int, *, steps: int, warmup: int, cooldown: float = 0.2
) -> float:
    """Return the learning rate at a step as a share of its peak.

    The rate of each group is this share times its own peak, which keeps the ratios of the plan.

    Args:
        schedule: 'linear', 'cosine', 'constant', or 'wsd' (warmup, stable, decay to zero).
        step: From 1 to `steps`.
        steps: Steps of the whole run.
        warmup: Steps of linear warmup; the last of them is at the peak.
        cooldown: Share of all steps in which 'wsd' decays.

    Source:
        Linear and cosine to 1e-4 of the peak: arXiv:2404.05728.

    Example:
        >>> [share_of_peak("linear", step, steps=4, warmup=2) for step in (1, 2, 3, 4)]
        [0.5, 1.0, 0.50005, 0.0001]
    """
    if step <= warmup:
        return step / warmup
    progress = (step - warmup) / (steps - warmup)
    if schedule == "linear":
        return FLOOR + (1 - FLOOR) * (1 - progress)
    if schedule == "cosine":
        return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "constant":
        return 1.0
    assert schedule == "wsd", schedule
    decaying = min(max(1, round(cooldown * steps)), steps - warmup)
    return min(1.0, (steps - step) / decaying)
