"""Intervals of best points cover the truth as often as they promise; few verdicts are false."""

import math
from collections import Counter

import numpy as np
import pytest
from planted_points import NAMES, grid_points, planted, random_hessian, random_points, tuned

SURFACES = 50  # of two widths each


@pytest.mark.parametrize(
    ("count", "num", "kind"), [(2, 30, "random"), (3, 60, "random"), (2, 6, "grid")]
)
def test_intervals_cover_the_planted_point(count: int, num: int, kind: str) -> None:
    """Rotated valleys with noise, nominal 90 %; the bound of the regret is one of 95 %."""
    hits, bounds, verdicts = [], [], Counter[str]()
    for seed in range(SURFACES):
        rng = np.random.default_rng([count, num, seed])
        points = [
            random_points(rng, num, count) if kind == "random" else grid_points(num, count)
            for _ in range(2)
        ]
        center, hessian = rng.uniform(-1.5, 1.5, count), random_hessian(rng, count)
        best = [center, center + rng.normal(0, 0.3, count)]
        table = planted(points, best, hessian, noise=0.02, shift=0.01, rng=rng)
        group = tuned(table, NAMES[:count], seed=seed)["all"]
        for width, own in zip(group.widths, best, strict=True):
            for value, true in zip(width.values, own, strict=True):
                low, high = value.best.low, value.best.high
                if value.best.value is not None and low is not None and high is not None:
                    hits.append(math.log2(low) <= true <= math.log2(high))
        step = best[0] - best[1]
        regret = 0.5 * step @ hessian @ step
        if group.regret.high is not None and group.regret.low is not None:
            bounds += [group.regret.low <= regret, regret <= group.regret.high]
        says = {"transfers": regret <= 0.01 * 2.5, "does not transfer": regret > 0.01 * 2.5}
        verdicts["false"] += not says.get(group.verdict, True)
        verdicts[group.verdict] += 1
    assert len(hits) > 0.8 * 2 * count * SURFACES
    assert 0.85 <= np.mean(hits) <= 0.985
    assert np.mean(bounds) >= 0.93
    assert verdicts["false"] <= 0.05 * SURFACES
    assert verdicts["undetermined"] < 0.4 * SURFACES
