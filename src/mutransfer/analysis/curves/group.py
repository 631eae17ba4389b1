"""This file is one group: its curves, their optima, and noisy copies of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.fit import Located, locate
from mutransfer.analysis.curves.grid import Cells, cells_by_group
from mutransfer.analysis.curves.noise import Drawn, Noise, components, draw
from mutransfer.analysis.format import Words, share
from mutransfer.analysis.intervals import MOST_BAD
from mutransfer.analysis.results import Results
from mutransfer.analysis.types.estimates import Floats


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of results.

    Args:
        words: Names of the scale and of the hyperparameter.
        group_by: The columns that make groups.
        window: Half-width of the parabolas' windows, in ln(rate).
        draws: Draws behind each interval.
        seed: Seed of these draws.
    """

    words: Words
    group_by: tuple[str, ...]
    window: float
    draws: int
    seed: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """One group with its optima and their draws.

    Args:
        name: The group.
        located: One optimum per width, rising.
        noise: The noise, or None.
        drawn: One set of draws per width; empty without noise.
        no_interval: Why there is no noise to draw from, or None.
    """

    name: str
    located: tuple[Located, ...]
    noise: Noise | None
    drawn: tuple[Drawn, ...]
    no_interval: str | None


def fitted_groups(results: Results, question: Question) -> Mapping[str, Fitted]:
    """Sort results into groups and fit every one of them."""
    words = question.words
    tables = cells_by_group(
        results,
        scale=words.scale,
        hyperparameter=words.hyperparameter,
        group_by=question.group_by,
    )
    return {name: fit_group(name, cells, question) for name, cells in tables.items()}


def fit_group(name: str, tables: Sequence[Cells], question: Question) -> Fitted:
    """Locate every width's optimum and draw from the noise around it."""
    located = tuple(locate(cells, question.words, question.window) for cells in tables)
    noise = components(located)
    if noise is None:
        one_seed = max(cells.run.sum(axis=1).max() for cells in tables) < 2
        reason = "one seed" if one_seed else "no two seeds ran the same rates near an optimum"
        missing = next((one.undetermined for one in located if one.fit is None), None)
        told = f"{reason}: add seeds to get an interval"
        nowhere = all(one.fit is None for one in located)
        return Fitted(name, located, None, (), missing if nowhere and missing else told)
    # From its name: no draw depends on which other groups there are, or is shared with them.
    rng = np.random.default_rng([question.seed, *name.encode(errors="replace")])
    within_D, seed_D = noise.draws(rng, question.draws)
    drawn = tuple(draw(one, rng, within_D, seed_D) for one in located)
    return Fitted(name, located, noise, drawn, None)


def refused(one: Located, drawn: Drawn, words: Words) -> str | None:
    """Say why the draws of a width give no interval, if they do not."""
    if drawn.bad <= MOST_BAD:
        return None
    return (
        f"the noise hides the minimum {words.at(one.cells.width)} in {share(drawn.bad)} of the "
        f"draws: add seeds, or {words.values} further from the best"
    )


def refusals(group: Fitted, indices: Sequence[int], words: Words) -> str | None:
    """Give the first reason against an interval that these widths have."""
    if group.no_interval:
        return group.no_interval
    reasons = (refused(group.located[k], group.drawn[k], words) for k in indices)
    return next((reason for reason in reasons if reason), None)


@dataclass(frozen=True, slots=True)
class Samples:
    """One width's optimum: that of the data first, then that of every draw.

    Args:
        x: ln of the best rate.
        loss: Loss there.
        curvature: Second derivative of the loss in ln(rate); not positive without a minimum.
    """

    x: Floats
    loss: Floats
    curvature: Floats


def samples(group: Fitted, index: int) -> Samples:
    """Stack the optimum of one width, which has a fit, on those of its draws."""
    one = group.located[index]
    assert one.fit is not None
    own = [[one.x], [one.loss], [2 * float(one.fit.coefficients[2])]]
    if not group.drawn:
        return Samples(*map(np.array, own))
    drawn = group.drawn[index]
    assert drawn.x is not None
    assert drawn.loss is not None
    assert drawn.coefficients is not None
    draws = (drawn.x, drawn.loss, 2 * drawn.coefficients[:, 2])
    return Samples(*(np.concatenate(pair) for pair in zip(own, draws, strict=True)))
