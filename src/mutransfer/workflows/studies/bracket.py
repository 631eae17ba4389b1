"""Bracket searches of studies: rounds of trials, decided by the losses and verdicts so far."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np

from mutransfer.analysis import GroupReport, Results, analyze
from mutransfer.records import AnalysisTable, StudySpec, TrialResult, TrialSpec
from mutransfer.records.tables.search import rate_step
from mutransfer.records.trial import AxisValue
from mutransfer.sweep import Outcome, SweepSummary, TrialStore
from mutransfer.sweep.driver import POLL_SECONDS
from mutransfer.sweep.search.bracket import Cell, Design, rounds
from mutransfer.sweep.search.grid import lattice

Value = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class SearchCost:
    """Cost of the trials of a bracket, beside that of the whole grid. The fields are JSON keys.

    Args:
        trials: Trials of the bracket so far.
        grid_trials: Trials of the study's axes.
        unit: 'FLOPs' where every trial recorded them, else 'seconds'.
        cost: What the trials of the bracket took.
        grid_cost: What those of the grid would take, each as long as the mean at its size; None
            until every size has a trial.
    """

    trials: int
    grid_trials: int
    unit: str
    cost: float
    grid_cost: float | None

    @property
    def share(self) -> float | None:
        """The cost as a share of the grid's."""
        return None if not self.grid_cost else self.cost / self.grid_cost


class BracketPlan:
    """The trials that a bracket search of a study has planned so far.

    Args:
        study: The study.
        candidates: All trials that it may choose from.
    """

    def __init__(self, study: StudySpec, candidates: Sequence[TrialSpec]) -> None:
        self.study = study
        self.trials: list[TrialSpec] = []
        self.results: dict[str, TrialResult] = {}
        self.is_finished = False
        self._curves = _curves(study, candidates)

    def advance(self, store: TrialStore | None) -> list[TrialSpec]:
        """Plan further rounds until a trial has no result in the store; return the new trials."""
        before = len(self.trials)
        while True:
            if store is not None:
                waiting = [trial for trial in self.trials if trial.id not in self.results]
                results = ((trial.id, result) for trial, result in store.lookup(waiting))
                self.results |= {key: result for key, result in results if result is not None}
            new = [trial for curve in self._curves for trial in curve.next_trials(self.results)]
            self.trials += new
            if not new or store is None:
                break
        self.is_finished = all(curve.is_finished for curve in self._curves)
        return self.trials[before:]

    @property
    def least_trials(self) -> int:
        """The trials that remain at least, beside those that are planned."""
        return sum(curve.least_trials for curve in self._curves)

    def cost(self) -> SearchCost:
        """Return the cost of the trials that have a result."""
        has_flops = all(result.flops is not None for result in self.results.values())
        cost, grid_cost, is_complete = 0.0, 0.0, True
        for curve in self._curves:
            costs = curve.costs(self.results, "flops" if has_flops else "seconds")
            cost += sum(map(sum, costs))
            is_complete &= all(costs)
            num = curve.design.num_rates * curve.design.available_seeds
            grid_cost += sum(num * sum(size) / len(size) for size in costs if size)
        return SearchCost(
            trials=len(self.results),
            grid_trials=math.prod(map(len, self.study.axes.values())),
            unit="FLOPs" if has_flops else "seconds",
            cost=cost,
            grid_cost=grid_cost if is_complete else None,
        )


@dataclass
class _Curve:
    """The search of one group: its trials by their place, and its current round."""

    analysis: AnalysisTable
    design: Design
    trials: Mapping[Cell, TrialSpec]
    losses: dict[Cell, float] = field(default_factory=dict)
    planned: dict[Cell, None] = field(default_factory=dict)  # in the order of the rounds
    results: dict[str, TrialResult] = field(default_factory=dict)
    is_finished: bool = False

    def next_trials(self, results: dict[str, TrialResult]) -> list[TrialSpec]:
        """Return the new trials of the next round; none until the current one is complete."""
        self.results = results
        for cell in self.planned:
            result = results.get(self.trials[cell].id)
            if result is None:
                return []
            is_usable = result.diverged_at is None and result.loss is not None
            self.losses[cell] = float(result.loss or 0.0) if is_usable else math.nan
        new: list[Cell] = []
        while not new and not self.is_finished:
            cells = next(self.rounds, None)
            self.is_finished = cells is None
            new = [cell for cell in cells or () if cell not in self.planned]
        self.planned |= dict.fromkeys(new)
        return [self.trials[cell] for cell in new]

    @cached_property
    def rounds(self) -> Iterator[list[Cell]]:
        """The rounds of the search."""
        return rounds(self.design, self.losses, self._is_decided)

    @property
    def least_trials(self) -> int:
        """The trials at the sizes that no round has reached."""
        started = {cell.size for cell in self.planned}
        seeds = self.design.num_seeds
        return sum(self.design.rates * seeds[size] for size in range(len(seeds))
                   if size not in started)  # fmt: skip

    def costs(self, results: Mapping[str, TrialResult], unit: str) -> list[list[float]]:
        """Return the cost of every trial with a result, by size."""
        costs: list[list[float]] = [[] for _ in self.design.sizes]
        for cell in self.planned:
            if (result := results.get(self.trials[cell].id)) is not None:
                costs[cell.size].append(float(getattr(result, unit)))
        return costs

    def _is_decided(self) -> bool:
        """Return whether the analysis of the trials so far has a verdict."""
        trials = [self.results[self.trials[cell].id] for cell in self.planned]
        names = [*self.analysis.scales, str(self.analysis.hyperparameter)]
        names += ["seed"] if "seed" in trials[0].spec.axes else []
        columns: dict[str, list[Value]] = {n: [t.spec.axes[n] for t in trials] for n in names}
        columns["loss"] = [math.nan if trial.loss is None else trial.loss for trial in trials]
        columns["diverged_at"] = [trial.diverged_at for trial in trials]
        untrained = [math.nan if t.untrained_loss is None else t.untrained_loss for t in trials]
        results = Results.from_columns(columns, untrained_loss=np.array(untrained))
        return is_decided(self.analysis, results)


def is_decided(analysis: AnalysisTable, results: Results) -> bool:
    """Return whether the results of one group decide every verdict of their analysis."""
    report = analyze(
        results,
        scale=analysis.scale,
        hyperparameter=str(analysis.hyperparameter),
        group_by=(),
        threshold=analysis.threshold,
    )
    (group,) = report.values()
    verdicts = [group] if isinstance(group, GroupReport) else group.verdicts
    return all(verdict.verdict != "undetermined" for verdict in verdicts)


def _curves(study: StudySpec, candidates: Sequence[TrialSpec]) -> list[_Curve]:
    """Return the searches of the groups of a study."""
    analysis, search = study.analysis, study.search
    name = str(analysis.hyperparameter)
    rates, seeds = study.axes[name], study.axes.get("seed", (0,))
    numbers = {r: n - len(rates) for n, r in enumerate(lattice([float(rate) for rate in rates]))}
    values = product(*(study.axes[scale] for scale in analysis.scales))
    sizes = sorted((tuple(map(float, v)) for v in values), key=lambda v: (math.prod(v), v))
    design = Design(
        sizes=tuple(sizes),
        num_rates=len(rates),
        extension=len(rates),
        step=rate_step(rates) or math.nan,  # a study is even
        num_seeds=tuple(search.num_seeds(place, len(seeds)) for place in range(len(sizes))),
        available_seeds=len(seeds),
        rates=search.rates,
        octaves=search.octaves,
    )
    places = {*analysis.scales, name, "seed"}
    groups: dict[tuple[AxisValue, ...], dict[Cell, TrialSpec]] = {}
    for trial in candidates:
        axes = trial.axes
        size = sizes.index(tuple(float(axes[scale]) for scale in analysis.scales))
        cell = Cell(size, numbers[float(axes[name])], seeds.index(axes.get("seed", 0)))
        group = tuple(axes[other] for other in study.axes if other not in places)
        groups.setdefault(group, {})[cell] = trial
    return [_Curve(analysis, design, trials) for trials in groups.values()]


def run_bracket(
    plan: BracketPlan,
    store: TrialStore,
    sweep: Callable[[list[TrialSpec], Callable[[Outcome], None], int | None], SweepSummary],
    *,
    select: Callable[[list[TrialSpec]], list[TrialSpec]],
    count: int | None,
    stop: threading.Event,
    on_start: Callable[[list[TrialSpec]], None],
    on_outcome: Callable[[Outcome], None],
) -> SweepSummary:
    """Run the rounds of a search until it is finished, stopped, or lacks a result.

    Args:
        plan: The search.
        store: Store of the results.
        sweep: Runs trials, at most a number of them, and reports their outcomes.
        select: Leaves out trials that the user did not select.
        count: Number of trials to run at most, which leaves the others to other drivers.
        stop: Once it is set no trial is started.
        on_start: Called with the new trials of every round.
        on_outcome: Called with the outcome of each trial.
    """
    new = plan.advance(store)
    ran = shared = 0
    reported: set[str] = set()

    def report(outcome: Outcome) -> None:
        """Report outcomes of this round's trials; those that others run are waited for."""
        is_end = outcome.status not in ("running", "waiting")
        if outcome.spec.id not in reported and (outcome.status != "taken" or stop.is_set()):
            on_outcome(outcome)
            if is_end:
                reported.add(outcome.spec.id)

    while True:
        store.write_study(plan.study, plan.trials)
        on_start(select(new))
        while True:
            # All rounds together: trials of two groups may be the same training.
            summary = sweep(select(plan.trials), report, None if count is None else count - ran)
            ran, shared = ran + summary.ran, shared + summary.shared
            if not summary.taken or count is not None or stop.is_set():
                break
            time.sleep(POLL_SECONDS)  # another driver runs the rest of this round
        new = plan.advance(store)
        if stop.is_set() or not new or ran == count:
            break
    summary.ran, summary.shared = ran, shared
    if ran == count:
        summary.left += len(select(new))
    summary.stopped |= stop.is_set() and not plan.is_finished
    return summary
