"""`mutransfer studies`: the studies that ship with mutransfer."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mutransfer.cli.app import TRAINING, Output, Switch, Workers, app, examples
from mutransfer.cli.commands.sweep import sweep_result
from mutransfer.cli.exit_status import SUCCESS, UNDETERMINED
from mutransfer.cli.output import CommandResult, check_outputs
from mutransfer.cli.signals import stop_on_signals
from mutransfer.errors import UsageError

if TYPE_CHECKING:
    from mutransfer.records import LadderSpec


@app.command(
    group=TRAINING,
    help_epilogue=examples(
        "mutransfer studies",
        "mutransfer studies show eleuther-ladder",
        "mutransfer studies run eleuther-ladder",
    ),
)
def studies(
    action: Literal["list", "show", "run"] = "list",
    name: str | None = None,
    *,
    output: Output = None,
    workers: Workers = "auto",
    json: Switch = False,
) -> CommandResult:
    """List the studies that ship with mutransfer, print the file of one, or run one.

    A ladder compares implementations, so its exit status is 0 even where one fails its check, and
    3 if a check is undetermined.

    Args:
        action: list, show or run.
        name: Name of a study, from `mutransfer studies list`.
        output: Directory of the trial store, or of a ladder's files; runs/NAME by default.
        workers: Number of processes of a sweep, one thread each; auto is one per core.
        json: Print one JSON document and nothing else.
    """
    if action != "run" and (output is not None or workers != "auto"):
        raise UsageError(
            f"--output and --workers apply to run, not to {action}",
            why="they would be ignored, because nothing is run",
            fix=f"mutransfer studies run {name or 'NAME'}, or leave them out",
        )
    check_outputs(output=output)
    if action == "list":
        return _list_studies(name, json)
    if name is None:
        raise UsageError(
            f"{action} needs the name of a study",
            why="several studies ship with mutransfer",
            fix=f"mutransfer studies {action} NAME, with a name from `mutransfer studies list`",
        )
    from mutransfer.workflows import named_studies, named_study, study_text

    if action == "show":
        text = study_text(name)
        data = {"schema": 1, "name": name, "text": text}
        return CommandResult(text.rstrip("\n"), data, SUCCESS, json)
    from mutransfer.records import LadderSpec

    spec = named_study(name)
    if isinstance(spec, LadderSpec):
        return _run_ladder(spec, output, workers, json)
    title = next(study.title for study in named_studies() if study.name == name)
    return run_sweep_study(name, store=output, workers=workers, json=json, intro=f"{title}\n")


def run_sweep_study(
    name: str, *, store: Path | None, workers: Workers, json: bool, intro: str
) -> CommandResult:
    """Run a named sweep with a progress display, and return its verdicts or its failures."""
    from mutransfer.cli.progress import sweep_progress
    from mutransfer.report.text.analysis import verdict_text
    from mutransfer.workflows import run_named_study

    with stop_on_signals() as stop, sweep_progress(intro) as progress:
        named = run_named_study(
            name,
            store=store,
            workers=workers,
            stop=stop,
            on_start=progress.on_start,
            on_outcome=progress.on_outcome,
        )
    result = sweep_result(named.run.summary, named.run.store, json, "name another --output")
    if named.report is None or named.page is None:
        return result
    text = f"{verdict_text(named.report)}\n\nreport: {named.page}\nstore:  {named.run.store}"
    data = result.data | {"report": str(named.page), "analysis": named.report.to_json()}
    return replace(result, text=text, data=data)


def _list_studies(name: str | None, json: bool) -> CommandResult:
    """List every study with its question."""
    from mutransfer.workflows import named_studies

    if name is not None:
        raise UsageError(
            f"list takes no name, but got '{name}'",
            why="it would be ignored, because every study is listed",
            fix=f"mutransfer studies show {name}",
        )
    rows = named_studies()
    size = max(len(row.name) for row in rows)
    lines = [f"{row.name:<{size}}  {row.question}" for row in rows]
    data = {"schema": 1, "studies": [asdict(row) for row in rows]}
    return CommandResult("\n".join(lines), data, SUCCESS, json)


def _run_ladder(
    spec: LadderSpec, output: Path | None, workers: Workers, json: bool
) -> CommandResult:
    """Check every rung of a ladder, with a line of progress for each on stderr."""
    if workers != "auto":
        raise UsageError(
            f"--workers applies to sweeps, and {spec.study.name} is a ladder of coordinate checks",
            why="it would be ignored, because one process checks one rung after another",
            fix=f"mutransfer studies run {spec.study.name}",
        )
    from mutransfer.report.text.ladder import format_ladder
    from mutransfer.workflows import run_ladder

    ladder = run_ladder(
        spec,
        output=output,
        on_rung=lambda rung: print(f"checking {rung.name}", file=sys.stderr, flush=True),
    )
    data = ladder.to_json()
    text = f"{format_ladder(data)}\n\npages and ladder.json: {ladder.folder}"
    status = UNDETERMINED if ladder.undetermined else SUCCESS
    return CommandResult(text, data | {"folder": str(ladder.folder)}, status, json)
