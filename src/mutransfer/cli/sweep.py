"""This file is `mutransfer sweep`: run a study, look at its store, say what became of it."""

from __future__ import annotations

import json as json_module
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mutransfer.cli.app import Json, Switch, app, examples, names
from mutransfer.cli.output import DONE, FAILED_TRIALS, INTERRUPTED, Answer, point_text
from mutransfer.cli.signals import stopping
from mutransfer.errors import UsageError

if TYPE_CHECKING:
    from mutransfer.records import TrialSpec
    from mutransfer.sweep import SweepSummary
    from mutransfer.sweep.status import StoreStatus
    from mutransfer.workflows import PreparedStudy

Workers = int | Literal["auto"]


@app.command(
    help_epilogue=examples(
        "mutransfer sweep study.toml --dry-run",
        "mutransfer sweep study.toml --only width=64,128 --workers 4",
        "mutransfer sweep --status runs/my-study",
    )
)
def sweep(
    study: Path | None = None,
    *,
    store: Path | None = None,
    workers: Workers = "auto",
    only: Annotated[list[str] | None, Parameter(negative="")] = None,
    retry_failed: Switch = False,
    dry_run: Switch = False,
    status: Path | None = None,
    json: Json = False,
) -> Answer:
    """Run a study file's trials on this machine; run it again and it resumes.

    Ctrl-C lets running trials end, a second one gives them up; nothing that was finished is lost.

    Args:
        study: A TOML file: axes, and [lab] settings or a [runner] command.
        store: Where results go; runs/NAME by default.
        workers: Processes, one thread each; 'auto' is one per GPU or else per core.
        only: Run these trials only: --only width=64,128 --only seed=0.
        retry_failed: Try failed trials again, however often they failed.
        dry_run: List the trials, show the first command, and run nothing.
        status: Look at this store instead, also while a sweep runs.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.cli.progress import sweep_progress
    from mutransfer.sweep.status import store_status
    from mutransfer.workflows import run_study

    if status is not None:
        _alone(study, store, only, retry_failed, dry_run)
        found = store_status(status)
        return Answer(_status_text(found), _status_data(found), DONE, json)
    if study is None:
        raise UsageError(
            "no study is named",
            why="a study file says which trials to run",
            fix="mutransfer sweep study.toml, or mutransfer sweep --status runs/NAME",
        )
    chosen = _chosen(only or [])
    if dry_run:
        return _listed(study, store, chosen, json)
    with stopping() as stop, sweep_progress() as progress:
        run = run_study(
            study,
            store=store,
            workers=workers,
            only=chosen,
            retry_failed=retry_failed,
            stop=stop,
            on_start=progress.on_start,
            on_outcome=progress.on_outcome,
        )
    text, data = summary(run.summary, run.store)
    return Answer(text, data, summary_status(run.summary), json)


def summary(found: SweepSummary, store: Path) -> tuple[str, dict[str, object]]:
    """Say what became of a sweep's trials, and what to do next."""
    lines = [f"{found.done} of {found.total} trials done, {found.diverged} of them diverged"]
    lines += _failures(found.failed, found.points)
    if found.failed:
        lines.append(f"logs:  {store}/*/attempts/*/ (error.txt, stdout.txt, stderr.txt)")
    if len(found.failed) > found.given_up:
        lines.append("next:  mend the cause and run the same command")
    if found.given_up:
        lines.append(f"{found.given_up} failed in two runs and were not tried: --retry-failed does")
    if found.aside:
        lines.append(f"{found.aside} trials of another command or other axes are kept aside")
    lines.append(f"store: {store}")
    if found.stopped:
        lines.append("stopped: what was finished is kept; the same command goes on")
    elif found.taken:
        lines.append(
            f"{found.taken} are still with another driver: mutransfer sweep --status {store}"
        )
    elif found.done and not found.failed:
        lines.append(f"next:  mutransfer analyze {store}")
    return "\n".join(lines), {"schema": 1, "store": str(store), **asdict(found)}


def summary_status(found: SweepSummary) -> int:
    """Say with the exit status whether the sweep was stopped, or trials failed."""
    if found.stopped:
        return INTERRUPTED
    return FAILED_TRIALS if found.failed else DONE


def _failures(errors: Mapping[str, str], points: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Group failures by their first line, say where, and show the most common one's last lines."""
    groups: dict[str, list[str]] = {}
    for trial, error in errors.items():
        groups.setdefault(error.splitlines()[0], []).append(trial)
    common = sorted(groups.items(), key=lambda group: -len(group[1]))[:5]
    lines = []
    for number, (first, trials) in enumerate(common):
        places = "; ".join(point_text(points.get(trial, {})) for trial in trials[:3])
        more = f"; and {len(trials) - 3} more" if len(trials) > 3 else ""
        lines += [f"failed, {len(trials)} times: {first}", f"    at {places}{more}"]
        if number == 0:
            lines += errors[trials[0]].splitlines()[1:]
    return lines


def _listed(study: Path, store: Path | None, chosen: Mapping[str, object], json: bool) -> Answer:
    """List a study's trials, and show the first command as it would be run."""
    from mutransfer.sweep import selected
    from mutransfer.workflows import prepare_study

    ready = prepare_study(study)
    trials = selected(ready.study, ready.trials, chosen)
    lines = [f"{t.id[:12]}  {point_text(t.axes)}" for t in trials]
    data: dict[str, Any] = {"trials": [{"id": t.id, "axes": t.axes} for t in trials]}
    done = _num_done(store or ready.default_store, trials)
    lines.append(f"{len(trials)} trials, {done} of them done")
    data["done"] = done
    first = _command_text(ready, trials[0])
    if first is not None:
        lines.append(f"the first command:\n{first}")
        data["first_command"] = first
    return Answer("\n".join(lines), {"schema": 1, **data}, DONE, json)


def _num_done(store: Path, trials: Sequence[TrialSpec]) -> int:
    """Count trials that need not run; a store that is not there yet has none."""
    from mutransfer.sweep import TrialStore

    if not os.path.exists(store):
        return 0
    return sum(result is not None for _, result in TrialStore(store).known(trials))


def _command_text(ready: PreparedStudy, trial: TrialSpec) -> str | None:
    """Write a trial's command so that it can be tried by hand; None where no command trains."""
    from mutransfer.sweep import CommandRun

    if not isinstance(ready.runner, CommandRun):
        return None
    ready.runner.check(trial)
    # Not in the store: what is tried by hand must not pass for a trial.
    folder = Path(tempfile.gettempdir(), f"mutransfer-{ready.study.study.name}")
    return f"mkdir -p {shlex.quote(str(folder))} && {ready.runner.shown(trial, folder)}"


def _chosen(only: Sequence[str]) -> dict[str, list[str]]:
    """Read ['width=64,128', 'seed=0']."""
    chosen: dict[str, list[str]] = {}
    for text in only:
        name, equals, points = text.partition("=")
        if not (equals and names(points)):
            raise UsageError(
                f"--only {text} names no points",
                why="a choice that means nothing would run every trial",
                fix="write --only width=64,128",
            )
        chosen.setdefault(name.strip(), []).extend(names(points))
    return chosen


def _alone(*others: object) -> None:
    """Refuse --status together with what it would ignore."""
    if any(others):
        raise UsageError(
            "--status stands alone: it looks at a store and runs nothing",
            why="the other arguments would be ignored",
            fix="mutransfer sweep --status runs/NAME",
        )


def _status_text(found: StoreStatus) -> str:
    """Say what a store holds now."""
    lines = [
        f"{found.done} of {found.total} trials done, {found.diverged} of them diverged; "
        f"{len(found.running)} running, {len(found.failed)} failed, {found.unstarted} to do"
    ]
    lines += [
        f"running: {point_text(found.points[trial])}  ({owner})"
        for trial, owner in list(found.running.items())[:20]
    ]
    if len(found.running) > 20:
        lines.append(f"… and {len(found.running) - 20} more")
    lines += [
        f"best loss at {size}: {loss:.4f}  ({point_text(point)})"
        for size, (loss, point) in found.best.items()
    ]
    return "\n".join([*lines, *_failures(found.failed, found.points)])


def _status_data(found: StoreStatus) -> dict[str, object]:
    """Give the same for programs."""
    best = {size: {"loss": loss, "axes": point} for size, (loss, point) in found.best.items()}
    data = asdict(found) | {"store": str(found.store), "best": best, "unstarted": found.unstarted}
    return {"schema": 1, **json_module.loads(json_module.dumps(data))}
