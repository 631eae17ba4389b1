"""`mutransfer sweep`: run the trials of a study, list them, or show the status of a store."""

from __future__ import annotations

import json as json_module
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mutransfer.cli.app import TRAINING, Switch, Workers, app, examples, split_list
from mutransfer.cli.exit_status import (
    FAILED_TRIALS,
    INTERRUPTED,
    NOTHING_LEFT,
    OTHERS_RUNNING,
    SUCCESS,
)
from mutransfer.cli.output import CommandResult, format_point
from mutransfer.cli.signals import stop_on_signals
from mutransfer.errors import UsageError, counted

if TYPE_CHECKING:
    from mutransfer.records import TrialSpec
    from mutransfer.sweep import SweepSummary
    from mutransfer.sweep.status import StoreStatus
    from mutransfer.workflows import PreparedStudy
    from mutransfer.workflows.studies.bracket import SearchCost

RETRY = "add --retry-failed"


@app.command(
    group=TRAINING,
    help_epilogue=examples(
        "mutransfer sweep study.toml --dry-run",
        "mutransfer sweep study.toml --only width=64,128 --workers 4",
        "mutransfer sweep study.toml --workers 1 --count 1",
        "mutransfer sweep --status runs/my-study",
    ),
)
def sweep(
    study: Path | None = None,
    *,
    store: Path | None = None,
    executor: Annotated[str, Parameter(show_choices=False)] = "local",
    workers: Workers = "auto",
    count: int | None = None,
    only: Annotated[list[str] | None, Parameter(negative="")] = None,
    retry_failed: Switch = False,
    dry_run: Switch = False,
    status: Path | None = None,
    json: Switch = False,
) -> CommandResult:
    """Run the trials of a study file, or resume them.

    Press Ctrl-C once to let running trials finish, twice to abandon them. Finished trials are
    never lost, and the same command resumes the sweep.

    Args:
        study: A TOML file with axes, and [lab] settings or a [runner] command.
        store: Directory for the results; runs/NAME by default.
        executor: Where trials run: local for this machine, or slurm for tasks of a cluster.
        workers: Number of processes, one thread each; auto is one per GPU, or else one per core.
        count: Run at most so many trials; other drivers of this store run the others.
        only: Run only these trials: --only width=64,128 --only seed=0.
        retry_failed: Run failed trials again, however often they failed.
        dry_run: List the trials, print the first command, and run nothing.
        status: Print the status of this store instead, also while a sweep is running.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.cli.progress import sweep_progress
    from mutransfer.sweep.status import store_status
    from mutransfer.workflows import run_study

    if status is not None:
        if study or store or only or count or retry_failed or dry_run:
            raise UsageError(
                "--status takes no other arguments",
                why="they would be ignored, because nothing is run",
                fix="mutransfer sweep --status runs/NAME",
            )
        state = store_status(status)
        return CommandResult(_format_status(state), _status_data(state), SUCCESS, json)
    if study is None:
        raise UsageError(
            "no study file is given",
            why="a study file defines which trials to run",
            fix="mutransfer sweep study.toml, or mutransfer sweep --status runs/NAME",
        )
    selection = _parse_only(only or [])
    if dry_run:
        return _list_trials(study, store, selection, json)
    with stop_on_signals(executor) as stop, sweep_progress(shows_others=count is None) as progress:
        run = run_study(
            study,
            store=store,
            executor=executor,
            workers=workers,
            only=selection,
            count=count,
            retry_failed=retry_failed,
            stop=stop,
            on_start=progress.on_start,
            on_outcome=progress.on_outcome,
            on_message=progress.on_message,
        )
    result = sweep_result(run.summary, run.store, json)
    if count is not None:
        result = replace(result, status=_status_of_count(run.summary))
    return result if run.search is None else _with_cost(result, run.search)


def _status_of_count(summary: SweepSummary) -> int:
    """Return the status of a run with a count, by which a loop knows whether to go on.

    Failures of earlier runs do not count: a loop would never see that nothing is left.
    """
    if summary.stopped:
        return INTERRUPTED
    if len(summary.failed) > summary.given_up:
        return FAILED_TRIALS
    if summary.ran:
        return SUCCESS
    return OTHERS_RUNNING if summary.taken else NOTHING_LEFT


def format_summary(summary: SweepSummary, store: Path, retry: str = RETRY) -> str:
    """Format the counts of a sweep's trials, its failures, and the next step."""
    lines = [_format_done(summary)]
    lines += _format_failures(summary.failed, summary.points)
    if summary.failed:
        lines.append(f"logs:  {store}/*/attempts/*/ (error.txt, stdout.txt, stderr.txt)")
    if len(summary.failed) > summary.given_up:
        again = f", then {retry}" if summary.exhausted else " and run the same command again"
        lines.append(f"next:  fix the cause{again}")
    if summary.given_up:
        lines.append(
            f"skipped {counted(summary.given_up, 'trial')}, after failures in two earlier runs: "
            f"{retry} to try again"
        )
    if summary.aside:
        lines.append(
            f"the store has {counted(summary.aside, 'other trial')}, of another command, other "
            "data or other axes"
        )
    lines.append(f"store: {store}")
    if summary.stopped:
        lines.append("stopped: finished trials are kept; run the same command again to resume")
    elif summary.left:
        lines.append(
            f"{counted(summary.left, 'trial')} to do: run the same command again, "
            f"or mutransfer sweep --status {store}"
        )
    elif summary.taken:
        lines.append(
            f"{counted(summary.taken, 'trial')} still running in another driver: "
            f"mutransfer sweep --status {store}"
        )
    elif summary.done and not summary.failed:
        lines.append(f"next:  mutransfer analyze {store}")
    return "\n".join(lines)


def _format_done(counts: SweepSummary | StoreStatus) -> str:
    """Format how many trials are done, and how many of them diverged."""
    diverged = f", {counts.diverged} of them diverged" if counts.diverged else ""
    return f"{counts.done} of {counted(counts.total, 'trial')} done{diverged}"


def sweep_result(
    summary: SweepSummary, store: Path, json: bool, retry: str = RETRY
) -> CommandResult:
    """Return the result of a command that runs a sweep; `retry` runs failed trials again."""
    status = INTERRUPTED if summary.stopped else FAILED_TRIALS if summary.failed else SUCCESS
    data = {"schema": 1, "store": str(store), **asdict(summary)}
    del data["exhausted"]
    return CommandResult(format_summary(summary, store, retry), data, status, json)


def _with_cost(result: CommandResult, search: SearchCost) -> CommandResult:
    """Add the cost of a bracket, beside that of its grid, to the result of a sweep."""
    line = f"search: {search.trials} trials in place of {search.grid_trials} of the grid"
    if search.share is not None:
        line += f", and {100 * search.share:.0f} % of its {search.unit} of training"
    data = {**result.data, "search": asdict(search) | {"share": search.share}}
    return replace(result, text=f"{line}\n{result.text}", data=data)


def _format_failures(
    errors: Mapping[str, str], points: Mapping[str, Mapping[str, object]]
) -> list[str]:
    """Group failures by their first line, and print the whole error of the most common one."""
    groups: dict[str, list[str]] = {}
    for trial, error in errors.items():
        groups.setdefault(error.splitlines()[0], []).append(trial)
    most_common = sorted(groups.items(), key=lambda group: -len(group[1]))[:5]
    lines = []
    for number, (message, trials) in enumerate(most_common):
        places = "; ".join(format_point(points.get(trial, {})) for trial in trials[:3])
        more = f"; and {len(trials) - 3} more" if len(trials) > 3 else ""
        lines += [f"{counted(len(trials), 'trial')} failed: {message}", f"    at {places}{more}"]
        if number == 0:
            lines += errors[trials[0]].splitlines()[1:]
    return lines


def _list_trials(
    study: Path, store: Path | None, selection: Mapping[str, object], json: bool
) -> CommandResult:
    """List the trials of a study, and print the first command as it would be run."""
    from mutransfer.sweep import select_trials
    from mutransfer.workflows import prepare_study
    from mutransfer.workflows.studies.run import next_trials

    prepared = prepare_study(study)
    place = store or prepared.default_store
    planned, num_later = next_trials(prepared, place)
    trials = select_trials(prepared.study, planned, selection)
    lines = [f"{trial.id[:12]}  {format_point(trial.axes)}" for trial in trials]
    data: dict[str, Any] = {"trials": [{"id": trial.id, "axes": trial.axes} for trial in trials]}
    data["done"] = _num_done(place, trials)
    lines.append(f"{counted(len(trials), 'trial')}, {data['done']} done")
    if num_later:
        lines.append(f"later rounds of the bracket: {num_later} trials or more")
        data["later"] = num_later
    command = _format_command(prepared, trials[0])
    if command is not None:
        lines.append(f"the first command:\n{command}")
        data["first_command"] = command
    return CommandResult("\n".join(lines), {"schema": 1, **data}, SUCCESS, json)


def _num_done(store: Path, trials: Sequence[TrialSpec]) -> int:
    """Count the trials that have a result in a store, which need not exist."""
    from mutransfer.sweep import TrialStore

    if not os.path.exists(store):
        return 0
    return sum(result is not None for _, result in TrialStore(store).lookup(trials))


def _format_command(prepared: PreparedStudy, trial: TrialSpec) -> str | None:
    """Format a trial's command for a shell; None if the study runs no command."""
    from mutransfer.sweep import CommandRun

    if not isinstance(prepared.runner, CommandRun):
        return None
    prepared.runner.check(trial)
    return prepared.runner.line_by_hand(trial, f"mutransfer-{prepared.study.study.name}")


def _parse_only(only: Sequence[str]) -> dict[str, list[str]]:
    """Parse ['width=64,128', 'seed=0']."""
    selection: dict[str, list[str]] = {}
    for text in only:
        name, equals, points = text.partition("=")
        if not (equals and split_list(points)):
            raise UsageError(
                f"--only {text} selects no points of an axis",
                why="an empty selection would run every trial",
                fix="write --only width=64,128",
            )
        selection.setdefault(name.strip(), []).extend(split_list(points))
    return selection


def _format_status(status: StoreStatus) -> str:
    """Format the status of a store."""
    lines = [
        f"{_format_done(status)}; "
        f"{len(status.running)} running, {len(status.failed)} failed, {status.unstarted} to do"
    ]
    lines += [
        f"running: {format_point(status.points[trial])}  ({owner})"
        for trial, owner in list(status.running.items())[:20]
    ]
    if len(status.running) > 20:
        lines.append(f"… and {len(status.running) - 20} more")
    lines += [
        f"best loss at {size}: {loss:.4f}  ({format_point(point)})"
        for size, (loss, point) in status.best.items()
    ]
    return "\n".join([*lines, *_format_failures(status.failed, status.points)])


def _status_data(status: StoreStatus) -> dict[str, object]:
    """Return the status of a store as plain data."""
    best = {size: {"loss": loss, "axes": point} for size, (loss, point) in status.best.items()}
    data = asdict(status) | {"store": str(status.store), "best": best}
    data["unstarted"] = status.unstarted
    return {"schema": 1, **json_module.loads(json_module.dumps(data))}
