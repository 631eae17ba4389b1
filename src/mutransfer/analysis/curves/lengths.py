"""How long runs trained: the steps, epochs or tokens at which they ended.

A loss that was reached early is not comparable with one that was reached late. Runs that were
stopped early are no random choice either: tuners stop those that look bad, and small rates look bad
early.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.format import format_power, format_value
from mutransfer.analysis.loading.names import name_parts
from mutransfer.analysis.results import Cell, Results, as_floats
from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: N trials, M trials of one width.

TOLERANCE = 0.02  # an interval of logging, or an incomplete last batch [assumed]
DATA_UNITS = frozenset(
    {"token", "tokens", "sample", "samples", "example", "examples", "sequences", "images"}
    | {"documents", "frames", "bytes"}
)
COUNTS = DATA_UNITS | frozenset(
    {"step", "steps", "iter", "iters", "iteration", "iterations", "update", "updates", "batches"}
    | {"timesteps", "rounds"}
)
SHARES = frozenset({"epoch", "epochs", "progress"})  # these may be fractions
MULTIPLES = frozenset({"k", "m", "b", "million", "millions", "billion", "billions"})
# A number, its factor, and what may follow: a percent sign, the total or the unit.
LENGTH = re.compile(
    r"(\d{1,3}(?:,\d{3})+|\d+\.?\d*(?:e[+]?\d+)?)\s*([kmbgt]?)\s*(?:%|/\s*\d+|[a-z]{4,})?"
)
FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
# Words around a unit in the name of a length. `warmup_steps`, `best_step` and `steps_per_epoch`
# have other words, and are no lengths of a run.
AROUND = MULTIPLES | frozenset(
    {"last", "final", "end", "ended", "at", "reached", "logged", "current", "cur", "so", "far"}
    | {"train", "trainer", "training", "total", "num", "n", "max", "global", "input", "number"}
    | {"consumed", "seen", "trained", "processed", "completed", "done", "taken", "run", "of"}
    | {"count", "optimizer", "opt", "env", "sampled", "summary", "metrics"}
)
# `time/step` is the time of a step, and `loss/epoch` a loss.
MEASURES = frozenset(
    {"time", "timing", "duration", "latency", "perf", "performance", "throughput", "speed"}
    | {"profile", "profiler", "loss", "losses", "ppl", "lr", "memory", "val", "valid", "eval"}
    | {"validation", "test"}
)


def is_length(name: str) -> bool:
    """Return whether a column of this name says how long a run trained.

    Example:
        >>> [is_length(name) for name in ("training_iteration", "trainer/global_step", "_step")]
        [True, True, True]
        >>> [is_length(name) for name in ("warmup_steps", "best_epoch", "time/step")]
        [False, False, False]
    """
    *parents, last = name_parts(name)
    words = last.split("_")
    num_units = sum(word in COUNTS | SHARES for word in words)
    others = {*words} - COUNTS - SHARES
    return num_units == 1 and others <= AROUND and not MEASURES & {*"_".join(parents).split("_")}


def trial_lengths(results: Results) -> Mapping[str, Floats]:
    """Return the lengths of all trials by column; NaN where a trial has none."""
    lengths = {}
    for name, values in results.axes.items():
        if not is_length(name):
            continue
        length_N = _parsed(values)
        length_N = np.where(np.isfinite(length_N) & (length_N > 0), length_N, np.nan)
        words = {*name_parts(name)[-1].split("_")}
        # A fraction of a step is no count, but perhaps a time. Large products miss integers by
        # rounding, as 0.4 * 1e9 does.
        is_count = bool(np.all(np.isnan(length_N) | (length_N % 1 == 0) | (length_N > 1e6)))
        if (is_count or words & (SHARES | MULTIPLES)) and not _numbers_rows(values):
            lengths[name] = length_N
    return lengths


def _parsed(values: Sequence[Cell]) -> Floats:
    """Return lengths as numbers, those in text too: `20k`, `3.2 B`, `57 %`, `4/10`."""
    return as_floats([_parsed_text(cell) if isinstance(cell, str) else cell for cell in values])


def _parsed_text(text: str) -> float | None:
    """Return the length in a text, or None."""
    match = LENGTH.fullmatch(text.strip().lower())
    return None if match is None else float(match[1].replace(",", "")) * FACTORS[match[2]]


def lengths_agree(values: Sequence[Cell], points: Sequence[int]) -> bool:
    """Return whether runs at the same point trained equally long, as far as they have a length."""
    lengths = _parsed(values)
    shortest: dict[int, float] = {}
    longest: dict[int, float] = {}
    for point, length in zip(points, lengths.tolist(), strict=True):
        if length == length:
            shortest[point] = min(length, shortest.get(point, length))
            longest[point] = max(length, longest.get(point, length))
    return all(shortest[point] >= (1 - TOLERANCE) * end for point, end in longest.items())


def _numbers_rows(values: Sequence[Cell]) -> bool:
    """Return whether a column counts the rows of the table, as `iteration` of a search may."""
    steps = np.diff(np.sort(as_floats(values)))
    return len(steps) > 2 and bool(np.all(steps == 1))


@dataclass(frozen=True, slots=True)
class ShortRuns:
    """Runs of one width that ended well before the longest.

    Args:
        column: The column of lengths.
        is_short: Which runs ended early.
        lengths: How long each run trained.
        longest: How long the longest run trained that did not diverge.
        log2_lr: log2 of the rate of each run.
    """

    column: str
    is_short: Bools
    lengths: Floats
    longest: float
    log2_lr: Floats

    def note(self, where: str) -> str:
        """Return a sentence with the width, the rates and the lengths."""
        num, total = int(self.is_short.sum()), len(self.is_short)
        ends = np.unique(self.lengths[self.is_short])
        reached = " to ".join(dict.fromkeys(format_value(float(end)) for end in ends[[0, -1]]))
        rates = [format_power(x) for x in np.unique(self.log2_lr[self.is_short]).tolist()]
        listed = ", ".join(rates) if len(rates) < 4 else f"{rates[0]} to {rates[-1]}"
        verb = "is" if num == 1 else "are"
        end = "or remove the longer runs" if 2 * num > total else "or remove that column"
        return (
            f"{num} of {total} runs ended early and {verb} left out {where}: {self.column} "
            f"{reached} instead of {format_value(self.longest)}, at {listed}: "
            f"finish them, {end} to compare all runs"
        )


def short_runs(
    lengths: Mapping[str, Floats], rows: NDArray[np.intp], log2_lr_N: Floats, diverged_N: Bools
) -> ShortRuns | None:
    """Find the runs of one width that ended early; None where all lengths agree.

    A run that diverged may end early. If several columns disagree, the runs of the one that
    excludes most are returned.
    """
    candidates = []
    for name, length_N in lengths.items():
        length_M, log2_lr_M = length_N[rows], log2_lr_N[rows]
        compared_M = ~diverged_N[rows] & np.isfinite(length_M)
        if not compared_M.any() or _is_proportional(length_M[compared_M], log2_lr_M[compared_M]):
            continue
        longest = float(length_M[compared_M].max())
        is_short_M = compared_M & (length_M < longest * (1 - TOLERANCE))
        if is_short_M.any():
            candidates.append(ShortRuns(name, is_short_M, length_M, longest, log2_lr_M))
    return max(candidates, key=lambda short: int(short.is_short.sum()), default=None)


def longest_runs(
    lengths: Mapping[str, Floats], rows: NDArray[np.intp], diverged_N: Bools
) -> Mapping[str, float]:
    """Return by column how long the longest of these runs trained that did not diverge."""
    compared = {name: length_N[rows][~diverged_N[rows]] for name, length_N in lengths.items()}
    return {
        name: float(np.nanmax(length_M))
        for name, length_M in compared.items()
        if np.isfinite(length_M).any()
    }


def differing_length(a: Mapping[str, float], b: Mapping[str, float]) -> str | None:
    """Return the column by which runs of two groups trained for different lengths, or None.

    Steps of different batch sizes may differ, if the tokens or samples agree.
    """
    shared = [name for name in a if name in b]
    agree = {n: min(a[n], b[n]) >= (1 - TOLERANCE) * max(a[n], b[n]) for n in shared}
    if any(agree[name] and DATA_UNITS & {*name_parts(name)[-1].split("_")} for name in shared):
        return None
    return next((name for name in shared if not agree[name]), None)


def _is_proportional(length_M: Floats, log2_value_M: Floats) -> bool:
    """Return whether lengths follow the tuned value, a size, by design.

    At equal compute the tokens are inverse to the model's size, and at equal tokens the steps to
    the batch size. Rates, which are below 1, have no such law.
    """
    if log2_value_M.min() < 0:
        return False
    log2_length_M = np.log2(length_M)
    # A tenth of the range leaves room for rounding and for how parameters are counted. [assumed]
    limit = 0.1 * np.ptp(log2_length_M)
    return any(np.ptp(log2_length_M + sign * log2_value_M) <= limit for sign in (-1, 1))
