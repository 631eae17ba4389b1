"""Duplicate trials: several runs at the same point, and the columns that distinguish them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.curves.lengths import is_length, lengths_agree
from mutransfer.analysis.format import AxisNames, format_group_by
from mutransfer.analysis.loading.columns import format_mapping, seed_column
from mutransfer.analysis.loading.names import ALIASES, SIZES
from mutransfer.analysis.results import Results
from mutransfer.analysis.rounding import cells_without_rounding
from mutransfer.analysis.types.estimates import Floats
from mutransfer.errors import ResultsError

# Shape legend: N trials.

SEED = "seed"
# Columns that may differ between repetitions of a run, since they are not settings: those of a
# store, those of W&B, and numbers of repetitions.
INCIDENTAL = frozenset(
    {"id", "seconds", "shared_from", "flops", "tokens", "state", "notes", "user", "created"}
    | {"updated", "status", "runtime", "end time", "hostname", "host", "sweep", "run id", "run_id"}
    | {"trial", "repeat", "rep", "replicate", "random_seed", "sem", "std", "count", "±"}
)
MEASURED = re.compile(r"loss|acc(uracy)?\b|ppl|perplexity|_norm|time|date", re.IGNORECASE)

Key = Sequence[NDArray[np.str_] | Floats]


def point_ids(key: Key) -> NDArray[np.intp]:
    """Return the number of each trial's point; trials with equal keys have equal numbers."""
    codes = [np.unique(column, return_inverse=True) for column in key]
    flat = np.ravel_multi_index([code for _, code in codes], [len(values) for values, _ in codes])
    return np.asarray(np.unique(flat, return_inverse=True)[1], np.intp)


def distinguishing_columns(
    results: Results, point_N: NDArray[np.intp], used: Sequence[str]
) -> list[str]:
    """Return the settings that differ between runs at the same point."""
    rows = np.flatnonzero(np.bincount(point_N)[point_N] > 1).tolist()
    if not rows:
        return []
    points = point_N[rows].tolist()
    num_points = len(set(points))
    columns = []
    for name, values in results.axes.items():
        if name in used or name.lower() in INCIDENTAL or MEASURED.search(name):
            continue
        if is_length(name) and lengths_agree([values[row] for row in rows], points):
            continue
        # Two NaN are never equal, so they would seem to distinguish runs.
        cells = cells_without_rounding(
            [values[k] if values[k] == values[k] else None for k in rows]
        )
        if len(set(zip(points, cells, strict=True))) > num_points and (
            is_length(name) or not _is_unique_per_run(values)
        ):
            columns.append(name)
    return columns


def _is_unique_per_run(values: Sequence[object]) -> bool:
    """Whether nearly every run has a value of its own, as measurements and names of runs are."""
    num_values = len(set(values))
    if all(isinstance(value, str) for value in values):
        return num_values == len(values)
    return len(values) > 10 and num_values > len(values) / 2


def check_duplicates(results: Results, key: Key, axes: AxisNames, group_by: Sequence[str]) -> None:
    """Raise if several trials share group, width, rate and seed, the columns of `key`."""
    point_N = point_ids(key)
    _, first, count = np.unique(point_N, return_index=True, return_counts=True)
    duplicated = np.flatnonzero(count > 1)
    if not len(duplicated):
        return
    has_seeds = any(seed is not None for seed in results.axes.get(SEED, ()))
    names_N, *size_KN, _, seed_N = key
    points = [
        f"{names_N[row]}: {axes.cell(*(float(size_N[row]) for size_N in size_KN))}, "
        f"{axes.hyperparameter} {results.axes[axes.hyperparameter][row]:g}"
        + (f", seed {seed_N[row]}" if has_seeds else "")
        for row in first[duplicated[:3]].tolist()
    ]
    more = f" and {len(duplicated) - 3} more" if len(duplicated) > 3 else ""
    used = (*axes.scales, axes.hyperparameter, SEED, *group_by)
    columns = distinguishing_columns(results, point_N, used)
    steps = [name for name in columns if is_length(name)]
    seed = None if has_seeds else seed_column(columns)
    why = "runs that differ in another setting would be averaged as if they were repetitions"
    if steps:
        why = "losses of unfinished training would be averaged with final ones"
        fix = f"keep the last row of each run, the one with the largest '{steps[0]}'"
        if steps[0].endswith("s"):  # `epochs` may be a setting, `epoch` is what was logged
            fix += f"; if each row is a run: {format_group_by([*group_by, steps[0]])}"
    elif seed:
        mapping = format_mapping({SEED: seed})
        fix = f"name the column that holds the seeds of repeated runs: {mapping}"
    elif columns:
        fix = f"distinguish the runs: {format_group_by([*group_by, *columns])}"
        if sizes := [name for name in columns if name in (*SIZES, *ALIASES["width"])]:
            scales = ",".join([*axes.scales, *sizes])
            fix += f"; or compare along {' and '.join(sizes)} too: --scale {scales}"
    else:
        fix = "keep one row per run, or give repeated runs different values of 'seed'"
    what = f"has several trials at the same point: {'; '.join(points)}{more}"
    raise ResultsError(f"{results.provenance.source} {what}", why=why, fix=fix)
