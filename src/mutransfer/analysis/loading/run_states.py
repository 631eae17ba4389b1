"""How runs ended: columns that say so are recognized, and unfinished runs are left out.

A loss counts if its run finished. A run that diverged counts too, whether or not its program
crashed. A column is recognized by its cells and not by its name alone, because `state` may also be
a place, and `done` a number of steps.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mutransfer.analysis.loading.names import SETTINGS, name_parts
from mutransfer.analysis.loading.state_words import Outcome, is_empty, is_strong, outcome_of_text
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, Results, as_floats
from mutransfer.analysis.types.estimates import Bools

# Columns of yes and no, by the answer of a run that finished.
FLAGS: Mapping[str, bool] = {
    **dict.fromkeys(("finished", "done", "completed", "complete", "success", "succeeded"), True),
    **dict.fromkeys(("failed", "crashed", "running", "active", "killed", "aborted"), False),
    **dict.fromkeys(("pruned", "interrupted", "preempted", "early stopped"), False),
    **dict.fromkeys(("stopped early", "timed out", "cancelled", "canceled", "errored"), False),
    **dict.fromkeys(
        ("unfinished", "incomplete", "oom", "stopped", "timeout", "ended early"), False
    ),
}
DIVERGED_FLAGS = frozenset({"diverged", "nan loss", "loss is nan", "exploded"})
# A program that ended without an error has the exit code 0, in SLURM 0:0.
# The log of GNU parallel calls it Exitval.
EXIT_CODES = frozenset(
    {"exit code", "exitcode", "return code", "returncode", "exit status", "exit", "exitval"}
)
# Columns that hold a message where a run failed, and nothing where it did not.
MESSAGES = frozenset(
    {"error", "exception", "traceback", "error message", "fail reason", "failure reason"}
    | {"fail trace"}
)
FLAG_PREFIX = re.compile(r"^((is|has|was|run|trial|job|training) )+")
YES, NO = frozenset({"true", "yes", "y", "1"}), frozenset({"false", "no", "n", "0"})
MAX_STATES = 32  # a column with more distinct texts holds names or remarks [assumed]
UNDECIDED: frozenset[Outcome] = frozenset({"unknown", "empty"})
KEEP = "write finished there if the loss is final"


@dataclass(frozen=True, slots=True)
class RunStates:
    """A column that says how runs ended, and what each of its cells means."""

    name: str
    cells: Sequence[Cell]
    outcomes: Sequence[Outcome]

    @property
    def marks_finished(self) -> bool:
        """Whether finished runs say so; else a state is recorded for the other runs only."""
        # DVC, for example, writes Failed or Queued, and nothing for a success.
        counts = Counter(self.outcomes)
        num_unclear = counts["unknown"] + counts["empty"]
        return counts["finished"] > 0 and 2 * num_unclear <= len(self.outcomes)

    def where(self, *outcomes: Outcome) -> Bools:
        """Return which runs have one of these outcomes."""
        return np.array([outcome in outcomes for outcome in self.outcomes], dtype=np.bool_)

    def listed(self, rows: Bools) -> str:
        """Format the distinct cells of these runs, with their numbers if there are several."""
        cells = (str(self.cells[row]).strip() for row in np.flatnonzero(rows).tolist())
        counts = Counter(cells).most_common()
        shown = [f"'{text}'" if len(counts) == 1 else f"{num} '{text}'" for text, num in counts]
        return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def run_states(name: str, cells: Sequence[Cell]) -> RunStates | None:
    """Return what the cells of a column mean, or None where it does not say how runs ended.

    Example:
        >>> run_states("State", ["finished", "CANCELLED by 1000", "Finished (early)"]).outcomes
        ('finished', 'unfinished', 'unknown')
        >>> run_states("sys/failed", [False, True]).outcomes
        ('finished', 'unfinished')
        >>> run_states("state", ["OK", "TX"]), run_states("done", [3.0, 1.0])
        (None, None)
    """
    label = _label(name)
    keys = [(type(cell), cell) if cell == cell else (float, None) for cell in cells]
    distinct = dict.fromkeys(keys)
    is_text = any(kind is str for kind, _ in distinct)
    if label in MESSAGES:
        return _messages(name, cells)
    has_name = _holds_state(label) or label in FLAGS or label in EXIT_CODES
    if not label or (not has_name and (len(distinct) > MAX_STATES or not is_text)):
        return None
    meaning = {key: _outcome(label, key[1]) for key in distinct}
    decided = {key: outcome for key, outcome in meaning.items() if outcome not in UNDECIDED}
    strong = {outcome for key, outcome in decided.items() if is_strong(key[1])}
    # Under any other name, every cell must be a state, of finished and of other runs.
    is_clear = {"finished", "ended"} & strong and len({*decided.values()}) > 1
    if not strong or not (has_name or (is_clear and "unknown" not in meaning.values())):
        return None
    if label in FLAGS and not all(cell in (None, 0, 1) for _, cell in distinct if _is_number(cell)):
        return None  # a count or a step
    ended: Outcome = "unfinished" if "finished" in meaning.values() else "finished"
    meaning |= {key: ended for key, outcome in meaning.items() if outcome == "ended"}
    return RunStates(name, cells, tuple(meaning[key] for key in keys))


def _messages(name: str, cells: Sequence[Cell]) -> RunStates | None:
    """Return which runs failed, where some but not all of them have a message."""
    outcomes: list[Outcome] = ["finished" if is_empty(cell) else "unfinished" for cell in cells]
    texts = [cell for cell, outcome in zip(cells, outcomes, strict=True) if outcome != "finished"]
    # A column without empty cells, or with numbers, is a measured error or its kind.
    is_message = 0 < len(texts) < len(cells) and all(isinstance(cell, str) for cell in texts)
    return RunStates(name, cells, outcomes) if is_message else None


def _label(name: str) -> str:
    """Return the words of a column's name without its path; nothing for a setting."""
    *parents, last = name_parts(name)
    # `config.early_stopped` is a setting, not an outcome.
    return "" if SETTINGS & {*parents} else FLAG_PREFIX.sub("", last.replace("_", " "))


def _holds_state(label: str) -> bool:
    """Return whether a column of this name may hold states in words."""
    return label.split(" ")[-1] in ("state", "status")


def _is_number(cell: Cell) -> bool:
    """Return whether a cell is a number."""
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _flag(cell: Cell) -> bool | None:
    """Return whether a cell says yes or no; an empty one says no, and None is anything else."""
    text = f"{cell:g}" if _is_number(cell) else str(cell).strip().lower()
    return True if text in YES else False if is_empty(cell) or text in NO else None


def _outcome(label: str, cell: Cell) -> Outcome:
    """Return what one cell means in a column of this name."""
    if is_empty(cell):
        return "empty"
    text = f"{cell:g}" if _is_number(cell) else str(cell).strip().lower()
    if label in EXIT_CODES and re.fullmatch(r"-?\d+(:\d+)?", text):
        return "finished" if {*text.split(":")} == {"0"} else "unfinished"
    if label in FLAGS and text in YES | NO:
        return "finished" if FLAGS[label] == (text in YES) else "unfinished"
    if _holds_state(label) and isinstance(cell, bool):
        return "finished" if cell else "unfinished"
    return outcome_of_text(cell)


def mark_diverged(table: Table) -> Table:
    """Return a table in which a run has the loss NaN if a column says that it diverged."""
    losses = table.columns["loss"]
    # A loss that is not finite says so itself.
    is_open = np.array([loss is None for loss in losses]) | np.isfinite(as_floats(losses))
    flags, notes = [], []
    for name, cells in table.columns.items():
        answers = [_flag(cell) for cell in cells] if _label(name) in DIVERGED_FLAGS else [None]
        if None not in answers:
            flags.append(name)
            rows = is_open & np.array(answers, dtype=np.bool_)
        else:
            states = run_states(name, cells)
            rows = is_open & (states.where("diverged") if states else False)
        if count := int(rows.sum()):
            verb = "1 run counts" if count == 1 else f"{count} runs count"
            notes.append(f"{verb} as diverged, by the column '{name}'")
            losses = [math.nan if row else loss for row, loss in zip(rows, losses, strict=True)]
            is_open &= ~rows
    columns = {name: cells for name, cells in table.columns.items() if name not in flags}
    return replace(table, columns={**columns, "loss": losses}, notes=(*table.notes, *notes))


def without_unfinished(results: Results) -> Results:
    """Return the runs that finished or diverged, with notes that count the others by their state.

    Where finished runs say so, those with an unknown state or none are left out too, since their
    loss may not be final. The columns are no settings of the runs, so they are not kept as axes.

    Raises:
        ResultsError: No run remains.

    Example:
        >>> table = {"width": [64, 64], "lr": [0.5, 0.25], "loss": [3.1, 7.2]}
        >>> results = Results.from_columns({**table, "State": ["finished", "crashed"]})
        >>> without_unfinished(results).notes
        ("1 run has not finished and is left out, by the column 'State' ('crashed')",)
    """
    for name in results.axes:
        cells = results.axes[name]  # those of the runs that earlier columns have left
        if states := run_states(name, cells):
            results = _without(results, states)
            axes = {other: values for other, values in results.axes.items() if other != name}
            results = replace(results, axes=axes)
        elif _label(name) in ("state", "status") and len({*cells} - {None}) > 1:
            note = f"the column '{name}' holds no known state of a run, so no run is left out by it"
            results = replace(results, notes=(*results.notes, note))
    return results


def _without(results: Results, states: RunStates) -> Results:
    """Leave out the runs that have not finished by one column, with notes."""
    column = f"in the column '{states.name}'"
    not_started = states.where("not started")
    unfinished = not_started | (states.where("unfinished") & ~results.diverged)
    unknown = states.where("unknown") & ~results.diverged
    empty = states.where("empty") & ~results.diverged
    by = f", by the column '{states.name}' ({states.listed(unfinished)})"
    reasons = [(unfinished, "not finished", by)]
    unclear = [
        (unknown, f"an unknown state {column} ({states.listed(unknown)})"),
        (empty, f"no state {column}"),
    ]
    if states.marks_finished:
        reasons += [(rows, lack, f": {KEEP}") for rows, lack in unclear]
    remaining = np.ones(len(results), dtype=np.bool_)
    for rows, lack, advice in reasons:
        results = results.without(rows[remaining], lack, advice, fix=_fix(states.name))
        remaining &= ~rows
    if states.marks_finished or not unfinished.any():
        return results
    kept = [
        f"1 run has {lack} and is kept" if num == 1 else f"{num} runs have {lack} and are kept"
        for rows, lack in unclear
        if (num := int(rows.sum()))
    ]
    return replace(results, notes=(*results.notes, *kept))


def _fix(name: str) -> str:
    """Return what to do if no run finished."""
    return f"let the runs finish, or remove the column '{name}' if their losses are final"
