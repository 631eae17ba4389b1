"""This file is the comparison of groups, each at its own optimum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mutransfer.analysis.curves.fit import Located
from mutransfer.analysis.curves.group import Fitted, refused
from mutransfer.analysis.curves.noise import block, draw
from mutransfer.analysis.format import Words
from mutransfer.analysis.intervals import central
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.report import Comparison

# Shape legend: S seeds, D draws.


def compare(
    groups: Mapping[str, Fitted], *, words: Words, draws: int, seed: int
) -> tuple[Comparison, ...]:
    """Compare every group with the best one at the largest width that all of them have."""
    widths = [{one.cells.width for one in group.located} for group in groups.values()]
    common = set.intersection(*widths) if len(widths) > 1 else set()
    if not common:
        return ()
    width = max(common)
    found = {
        name: next(one for one in group.located if one.cells.width == width)
        for name, group in groups.items()
    }
    reference = min(found, key=lambda name: _best(found[name]))
    rng = np.random.default_rng([seed, 1])
    return tuple(
        _compare((name, reference), (groups[name], groups[reference]), width, words, draws, rng)
        for name in groups
        if name != reference
    )


def _best(one: Located) -> float:
    """Give the lowest known loss."""
    if one.fit is not None:
        return one.loss
    return np.inf if one.argmin is None else float(one.cells.mean[one.argmin])


def _compare(
    names: tuple[str, str],
    pair: tuple[Fitted, Fitted],
    width: float,
    words: Words,
    draws: int,
    rng: np.random.Generator,
) -> Comparison:
    """Estimate the difference between two groups' best losses."""
    one, other = (g.located[[x.cells.width for x in g.located].index(width)] for g in pair)
    for name, located in zip(names, (one, other), strict=True):
        if located.fit is None:
            lacking = Estimate(undetermined=f"{name}: {located.undetermined}")
            return Comparison(*names, width, lacking, paired=False)
    value = one.loss - other.loss
    if _same_trials(one, other):
        return Comparison(*names, width, Estimate(0.0, 0.0, 0.0), paired=True)
    if reason := pair[0].no_interval or pair[1].no_interval:
        return Comparison(*names, width, Estimate(value, undetermined=reason), paired=False)
    assert pair[0].noise is not None
    assert pair[1].noise is not None
    seeds = _paired_seeds(one, other)
    squares = _paired_squares(*pair) if seeds else (0.0, 0)
    paired = squares[1] > 0
    sides = [g.noise.draws(rng, draws) for g in pair if g.noise is not None]
    silent_D = np.zeros(draws)
    drawn = [
        draw(x, rng, within_D, silent_D if paired else seed_D)
        for x, (within_D, seed_D) in zip((one, other), sides, strict=True)
    ]
    for located, sample in zip((one, other), drawn, strict=True):
        if reason := refused(located, sample, words):
            return Comparison(*names, width, Estimate(value, undetermined=reason), paired=paired)
    assert drawn[0].loss is not None
    assert drawn[1].loss is not None
    difference_D = drawn[0].loss - drawn[1].loss
    if paired:
        rest_D = sum(
            (
                s[0] ** 2 * g.noise.inverse_rates
                for s, g in zip(sides, pair, strict=True)
                if g.noise
            ),
            start=silent_D,
        )
        scaled_D = squares[0] / rng.chisquare(squares[1], draws)
        spread_D = np.sqrt(np.maximum(scaled_D - rest_D, 0.0) / seeds)
        difference_D = difference_D + spread_D * rng.standard_normal(draws)
    return Comparison(*names, width, central(value, difference_D), paired=paired)


def _same_trials(one: Located, other: Located) -> bool:
    """Say whether both groups have the very same numbers, as they do at a shared base."""
    a, b = one.cells, other.cells
    return a.losses.shape == b.losses.shape and np.array_equal(a.losses, b.losses, equal_nan=True)


def _paired_seeds(one: Located, other: Located) -> int:
    """Count the seeds if both ran the same ones, and no others; else 0."""
    assert one.fit is not None
    assert other.fit is not None
    mine, theirs = block(one.cells, one.fit).seeds, block(other.cells, other.fit).seeds
    same = mine == theirs == one.cells.seeds == other.cells.seeds
    return len(mine) if same else 0


def _paired_squares(one: Fitted, other: Fitted) -> tuple[float, int]:
    """Give the sum of squares of the seeds' differences over widths, and its freedom."""
    total, freedom = 0.0, 0
    partners = {x.cells.width: x for x in other.located if x.fit is not None}
    for mine in one.located:
        theirs = partners.get(mine.cells.width)
        if mine.fit is None or theirs is None or theirs.fit is None:
            continue
        # Where the trials are shared the differences are zero and say nothing.
        if _paired_seeds(mine, theirs) < 2 or _same_trials(mine, theirs):
            continue
        mean_S: Floats = block(mine.cells, mine.fit).losses.mean(axis=0)
        difference_S = mean_S - block(theirs.cells, theirs.fit).losses.mean(axis=0)
        total += float(((difference_S - difference_S.mean()) ** 2).sum())
        freedom += len(difference_S) - 1
    return total, freedom
