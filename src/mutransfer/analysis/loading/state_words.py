"""Words for how a run ended, as trackers, tuners and schedulers write them in a cell.

Sources: the documented states of W&B, MLflow, Optuna, Ray Tune, ClearML, Comet, Neptune, DVC,
Katib, Guild AI, Sacred, Keras Tuner, Ax, Determined, Polyaxon, SLURM, LSF, Kubernetes, SageMaker,
Azure ML and Vertex AI.
"""

from __future__ import annotations

import re
from typing import Literal

from mutransfer.analysis.loading.numbers import is_missing
from mutransfer.analysis.results import Cell

# `ended` means finished in some programs and stopped in others.
Outcome = Literal["finished", "ended", "unfinished", "not started", "diverged", "unknown", "empty"]

FINISHED = frozenset(
    {"finished", "complete", "completed", "success", "succeeded", "successful", "successfully"}
    | {"done", "published", "closed", "ok", "passed"}
)
# Ray Tune calls a finished trial TERMINATED, Guild AI an interrupted one.
ENDED = frozenset({"terminated", "inactive", "idle", "ended", "exited"})
# A cell may continue behind these, as `CANCELLED by 1000` does.
UNFINISHED = frozenset(
    {"running", "active", "in progress", "processing", "training", "started", "starting"}
    | {"crashed", "crash", "failed", "fail", "failure", "error", "errored", "exception", "broken"}
    | {"killed", "aborted", "canceled", "cancelled", "canceling", "cancelling", "interrupted"}
    | {"cancel requested", "stopped", "stopping", "terminating", "removed", "deleted", "expired"}
    | {"preempted", "preempting", "evicted", "suspended", "paused", "held", "requeued", "revoked"}
    | {"pruned", "early stopped", "stopped early", "earlystopped", "abandoned", "infeasible"}
    | {"timeout", "timed out", "time out", "deadline", "out of memory", "oom", "node fail"}
    | {"out of me"}  # sacct prints OUT_OF_ME+
    | {"boot fail", "launch failed", "upstream failed", "internal error", "crash loop back off"}
    | {"user canceled", "sys canceled", "probably dead", "died", "dead", "lost", "special exit"}
    | {"not responding", "metrics unavailable", "invalid", "skipped", "partially succeeded"}
    | {"incomplete", "unfinished", "not finished", "not completed", "partial", "partially", "exit"}
    | {"completing", "finalizing", "publishing", "recovering", "retrying", "resizing"}
)
NOT_STARTED = frozenset(
    {"pending", "queued", "scheduled", "waiting", "created", "draft", "submitted", "reserved"}
    | {"not started", "not executed", "staged", "candidate", "requested", "runnable", "new"}
    | {"provisioning", "preparing", "configuring", "initializing", "unschedulable", "blocked"}
)
DIVERGED = frozenset({"diverged", "divergence", "exploded", "nan"})
# Words around the state, as in `TrialState.COMPLETE`, `JOB_STATE_FAILED` and `loss is NaN`.
FILLERS = frozenset(
    {"trial", "job", "run", "task", "experiment", "pipeline", "state", "status", "loss", "is"}
    | {"was", "has", "with", "the", "normally"}
)
# Everyday words, which do not show by themselves that a column is about runs.
WEAK = frozenset(
    {"ok", "passed", "closed", "active", "removed", "held", "invalid", "lost", "partial"}
)


def split_words(text: str) -> list[str]:
    """Split a name or a cell into lower-case words.

    Example:
        >>> split_words("OOMKilled"), split_words("sys/Time-Out"), split_words("JOB_STATE_FAILED")
        (['oom', 'killed'], ['sys', 'time', 'out'], ['job', 'state', 'failed'])
    """
    text = text.replace("NaN", "nan")
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return re.findall(r"[^\W_]+", parts.lower())


def outcome_of_text(cell: Cell) -> Outcome:
    """Return what a cell says about a run.

    Example:
        >>> [outcome_of_text(cell) for cell in ("TrialState.COMPLETE", "NODE_FAIL", "Error: NaN")]
        ['finished', 'unfinished', 'diverged']
        >>> [outcome_of_text(cell) for cell in ("Finished (early)", "TX", " - ", 3.0)]
        ['unknown', 'unknown', 'empty', 'unknown']
    """
    if is_empty(cell):
        return "empty"
    words = split_words(str(cell)) if isinstance(cell, str) else []
    core = [word for word in words if word not in FILLERS] or words
    if not core:
        return "unknown"
    # A finished run must say nothing else: 'completed with errors' is not known to be one.
    if FINISHED.issuperset(core[core[0] == "training" and len(core) > 1 :]):
        return "finished"
    begins = {" ".join(core[:length]) for length in (1, 2, 3, 5)}
    if core[0] in DIVERGED or (begins & UNFINISHED and DIVERGED & {*core}):
        return "diverged"
    if begins & UNFINISHED:
        return "unfinished"
    if begins & NOT_STARTED:
        return "not started"
    return "ended" if len(core) == 1 and core[0] in ENDED else "unknown"


def is_empty(cell: Cell) -> bool:
    """Return whether a cell holds no state; pandas writes a missing one as NaN."""
    return cell is None or cell != cell or is_missing(str(cell)) or str(cell).lower() == "nan"


def is_strong(cell: Cell) -> bool:
    """Return whether a state shows by itself that its column is about runs."""
    return " ".join(split_words(str(cell))) not in WEAK
