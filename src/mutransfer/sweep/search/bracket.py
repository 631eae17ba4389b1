"""Bracket search: few rates at each larger size, around the one that smaller sizes predict.

A search is a generator of rounds. It reads the losses of the rounds before from a mapping that its
caller fills, so that equal losses give equal rounds: a search that is resumed, or run by a second
driver, plans the same trials again and finds them done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, stdev
from typing import NamedTuple

import numpy as np

# Shape legend: N sizes, K scales.

# Rates up to this many octaves from the best one form a parabola with it: three an octave apart.
# It is the analysis' default window of 1.1 in ln(rate) [derived].
WINDOW = 1.6
# The curvature of the smaller sizes counts as this many times that of the size itself, since three
# rates an octave apart determine it badly [measured: benchmarks/search.md].
PRIOR_WEIGHT = 3.0
# Where the curvatures of smaller sizes scatter by this share, the weight is halved [assumed].
SCATTER = 0.3
# Octaves² of size that count as evidence against a drift: it halves the slope of the first two
# sizes, an octave apart, and takes a tenth off that of five [assumed].
DAMPING = 0.5
NEAR = 0.05  # octaves within which a rate is on the lattice, closer than any optimum is known

Size = tuple[float, ...]


class Cell(NamedTuple):
    """One trial of a search: a position of the size, a step of the lattice, and a seed."""

    size: int
    step: int
    seed: int


@dataclass(frozen=True, slots=True)
class Design:
    """What a bracket search may run.

    Args:
        sizes: The sizes, one number per scale, the cheapest first.
        num_rates: Rates of the axis, which the smallest size runs.
        extension: Further rates at the same steps on each side, which a search may add.
        step: Octaves between two rates of the lattice.
        num_seeds: Seeds at each size.
        available_seeds: Seeds of the axis.
        rates: Rates at each larger size.
        octaves: Octaves between these.
    """

    sizes: tuple[Size, ...]
    num_rates: int
    extension: int
    step: float
    num_seeds: tuple[int, ...]
    available_seeds: int
    rates: int = 3
    octaves: float = 1.0

    @property
    def stride(self) -> int:
        """Steps of the lattice between the rates at a larger size."""
        return max(round(self.octaves / self.step), 1)

    def has(self, step: int) -> bool:
        """Whether a step is on the lattice."""
        return -self.extension <= step < self.num_rates + self.extension


class Optimum(NamedTuple):
    """The best rate of a size, in octaves from the first rate of the axis."""

    octaves: float
    curvature: float | None


def rounds(
    design: Design, losses: Mapping[Cell, float], is_decided: Callable[[], bool]
) -> Iterator[list[Cell]]:
    """Yield the rounds of a search; the losses of each are expected before the next one.

    Args:
        design: Sizes, rates and seeds.
        losses: Loss of each trial that ended, NaN where it diverged; the caller fills it.
        is_decided: Whether the verdict of the trials so far is decided.

    Example:
        >>> design = Design(sizes=((32.0,), (64.0,)), num_rates=7, extension=7, step=1.0,
        ...                 num_seeds=(1, 1), available_seeds=1)
        >>> losses = {}
        >>> for cells in rounds(design, losses, lambda: True):
        ...     print([cell.step for cell in cells])
        ...     losses |= {cell: 2.0 + (cell.step - 3.2) ** 2 for cell in cells}
        [0, 1, 2, 3, 4, 5, 6]
        [2, 3, 4]
    """
    search = _Search(design, losses)
    for size in range(len(design.sizes)):
        yield from search.bracketed(size)
        if not search.optima:
            return  # every rate of the smallest size diverged
    largest, seeds = len(design.sizes) - 1, design.num_seeds[-1]
    while not is_decided():
        if missing := search.carried_rates(largest) or search.rates_between(largest):
            search.steps[largest] |= missing
        elif seeds < design.available_seeds:
            seeds += 1
        else:
            return
        yield search.cells(largest, search.steps[largest], seeds)


@dataclass(slots=True)
class _Search:
    """The rates that were tried, and the optima of the sizes so far."""

    design: Design
    losses: Mapping[Cell, float]
    steps: dict[int, set[int]] = field(default_factory=dict)
    optima: dict[int, Optimum] = field(default_factory=dict)

    def cells(self, size: int, steps: Iterable[int], num_seeds: int) -> list[Cell]:
        """Return the trials at some rates of a size."""
        return [Cell(size, step, seed) for step in sorted(steps) for seed in range(num_seeds)]

    def bracketed(self, size: int) -> Iterator[list[Cell]]:
        """Yield rounds until the best rate of a size has worse ones on both sides."""
        design, num_seeds = self.design, self.design.num_seeds[size]
        new = set(range(design.num_rates)) if size == 0 else self._predicted(size)
        tried = self.steps.setdefault(size, set())
        while new:
            tried |= new
            yield self.cells(size, new, num_seeds)
            new = self._wider(size)
        points = self._points(size)
        if points:
            curvatures = [o.curvature for o in self.optima.values() if o.curvature is not None]
            in_octaves = {step * design.step: loss for step, loss in points.items()}
            self.optima[size] = fit_optimum(in_octaves, curvatures)

    def carried_rates(self, size: int) -> set[int]:
        """Return the rates next to the smallest size's best one that were not tried at a size."""
        carried = self.optima[0].octaves / self.design.step
        nearest = round(carried)
        is_on_lattice = abs(carried - nearest) * self.design.step < NEAR
        steps = {nearest} if is_on_lattice else {math.floor(carried), math.ceil(carried)}
        return {step for step in steps if self.design.has(step)} - self.steps[size]

    def rates_between(self, size: int) -> set[int]:
        """Return the rates of the lattice next to a size's best one that were not tried.

        Three rates do not show whether a curve is skewed, which leaves a verdict open.
        """
        points = self._points(size)
        best = min(points, key=lambda step: (points[step], step), default=None)
        steps = set() if best is None else {best - 1, best + 1}
        return {step for step in steps if self.design.has(step)} - self.steps[size]

    def _predicted(self, size: int) -> set[int]:
        """Return the first rates of a larger size."""
        design, sizes = self.design, self.design.sizes
        optima = [(sizes[place], optimum.octaves) for place, optimum in self.optima.items()]
        center = predicted_octaves(optima, sizes[size]) / design.step
        first = round(center - (design.rates - 1) / 2 * design.stride)
        lowest = -design.extension
        highest = design.num_rates + design.extension - 1 - (design.rates - 1) * design.stride
        first = max(min(first, highest), lowest)
        steps = (first + number * design.stride for number in range(design.rates))
        return {step for step in steps if design.has(step)}

    def _wider(self, size: int) -> set[int]:
        """Return a rate beyond the best one if that is the last one tried, or the last usable one.

        Next to a rate that diverged, it halves the gap to the best rate.
        """
        points = self._points(size)
        stride = self.design.stride if size else 1
        if not points:  # all diverged: smaller rates may not
            return {s for s in (min(self.steps[size]) - stride,) if self.design.has(s)}
        tried, wider = self.steps[size], set()
        best = min(points, key=lambda step: (points[step], step))
        if best == min(points):
            below = [step for step in tried if step < best]
            wider.add((best + max(below)) // 2 if below else best - stride)
        if best == max(points):
            above = [step for step in tried if step > best]
            wider.add(-((best + min(above)) // -2) if above else best + stride)
        return {step for step in wider - tried if self.design.has(step)}

    def _points(self, size: int) -> dict[int, float]:
        """Return the mean loss of each rate at which no seed diverged."""
        design, points = self.design, {}
        for step in self.steps.get(size, ()):
            losses = [
                self.losses[cell] for cell in self.cells(size, [step], design.num_seeds[size])
            ]
            mean = sum(losses) / len(losses)
            if math.isfinite(mean):
                points[step] = mean
        return points


def fit_optimum(points: Mapping[float, float], curvatures: Sequence[float] = ()) -> Optimum:
    """Fit a parabola around the lowest loss, with the curvature of smaller sizes as a prior.

    Args:
        points: Octaves of a rate -> loss, one point or more.
        curvatures: Curvatures of smaller sizes, in nats per octave².

    Returns:
        The lowest point of the parabola, between the rates that it is fitted to; the lowest of the
        points where they determine none.

    Example:
        >>> fit_optimum({0.0: 2.04, 1.0: 2.01, 2.0: 2.16})
        Optimum(octaves=0.666..., curvature=0.18...)
        >>> fit_optimum({0.0: 2.01, 1.0: 2.04}, [0.18])
        Optimum(octaves=0.333..., curvature=None)
    """
    best = min(points, key=lambda octaves: (points[octaves], octaves))
    near = sorted(octaves for octaves in points if abs(octaves - best) <= WINDOW)
    u, loss = np.array(near) - best, np.array([points[octaves] for octaves in near])
    own = 2 * float(np.polyfit(u, loss, 2)[0]) if len(near) > 2 else None
    curvature = _with_prior(own, curvatures)
    if curvature is None or curvature <= 0 or len(near) < 2:
        return Optimum(best, None)
    slope = float(np.polyfit(u, loss - curvature / 2 * u**2, 1)[0])
    vertex = float(np.clip(-slope / curvature, u[0], u[-1]))
    return Optimum(best + vertex, own if own is not None and own > 0 else None)


def _with_prior(own: float | None, curvatures: Sequence[float]) -> float | None:
    """Return the mean of a size's own curvature and of the median of the smaller sizes'."""
    if not curvatures:
        return own
    prior = median(curvatures)
    if own is None:
        return prior
    scatter = stdev(curvatures) / prior if len(curvatures) > 1 else 0.0
    weight = PRIOR_WEIGHT / (1 + (scatter / SCATTER) ** 2)
    return (own + weight * prior) / (1 + weight)


def predicted_octaves(optima: Sequence[tuple[Size, float]], size: Size) -> float:
    """Predict the best rate of a size from those of smaller ones, by a damped line.

    The line (with several scales a plane) goes through the nearest smaller size. Its slope is
    damped, since two optima an octave of size apart say little about a third.

    Example:
        >>> predicted_octaves([((32.0,), 5.0)], (64.0,))
        5.0
        >>> predicted_octaves([((32.0,), 5.0), ((64.0,), 4.0)], (128.0,))
        3.5
    """
    log2_NK = np.log2([place for place, _ in optima])
    octaves_N = np.array([octaves for _, octaves in optima])
    x_NK, y_N = log2_NK - log2_NK.mean(axis=0), octaves_N - octaves_N.mean()
    slope_K = np.linalg.solve(x_NK.T @ x_NK + DAMPING * np.eye(x_NK.shape[1]), x_NK.T @ y_N)
    distance_NK = np.log2(size) - log2_NK
    nearest = int(np.argmin((distance_NK**2).sum(axis=1)))
    return float(octaves_N[nearest] + distance_NK[nearest] @ slope_K)
