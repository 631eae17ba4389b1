"""This file is the named studies on the command line: list them, show one, run one."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mutransfer.cli.app import Json, Output, app, examples
from mutransfer.cli.output import DONE, UNDETERMINED, Answer
from mutransfer.cli.signals import stopping
from mutransfer.cli.sweep import Workers, summary, summary_status
from mutransfer.errors import UsageError

if TYPE_CHECKING:
    from mutransfer.records import LadderSpec

LIST = "mutransfer studies list"


@app.command(
    help_epilogue=examples(
        "mutransfer studies",
        "mutransfer studies show eleuther-ladder",
        "mutransfer studies run eleuther-ladder",
    )
)
def studies(
    action: Literal["list", "show", "run"] = "list",
    name: str | None = None,
    *,
    output: Output = None,
    workers: Workers = "auto",
    json: Json = False,
) -> Answer:
    """List the studies that come with mutransfer, show one's file, or run one.

    A ladder's verdicts are its answer: it exits with 0 also where they are fail, and with 3 if one
    cannot be told.

    Args:
        action: list, show or run.
        name: A study that `mutransfer studies list` names.
        output: The trial store, or a ladder's folder; runs/NAME by default.
        workers: Processes of a sweep, one thread each; 'auto' is one per core.
        json: Print one JSON document and nothing else.
    """
    if action != "run" and (output is not None or workers != "auto"):
        raise UsageError(
            f"--output and --workers go with run, not with {action}",
            why="they would be ignored: nothing is run",
            fix=f"mutransfer studies run {name or 'NAME'}, or leave them out",
        )
    if action == "list":
        return _listed(name, json)
    if name is None:
        raise UsageError(
            f"no study is named to {action}",
            why="several studies come with mutransfer",
            fix=f"mutransfer studies {action} NAME, with a name that `{LIST}` prints",
        )
    from mutransfer.workflows import named_studies, named_study, study_text

    if action == "show":
        text = study_text(name)
        return Answer(text.rstrip("\n"), {"schema": 1, "name": name, "text": text}, DONE, json)
    from mutransfer.records import LadderSpec

    study = named_study(name)
    if isinstance(study, LadderSpec):
        return _ladder(study, output, workers, json)
    question = next(one.title for one in named_studies() if one.name == name)
    return sweep_answer(name, store=output, workers=workers, json=json, intro=f"{question}\n")


def sweep_answer(
    name: str, *, store: Path | None, workers: Workers, json: bool, intro: str
) -> Answer:
    """Run a named sweep with its progress; answer with its verdicts, or with what failed."""
    from mutransfer.cli.progress import sweep_progress
    from mutransfer.report.text.analysis import verdict_text
    from mutransfer.workflows import run_named_study

    with stopping() as stop, sweep_progress(intro) as progress:
        ended = run_named_study(
            name,
            store=store,
            workers=workers,
            stop=stop,
            on_start=progress.on_start,
            on_outcome=progress.on_outcome,
        )
    text, data = summary(ended.run.summary, ended.run.store)
    if ended.report is not None and ended.page is not None:
        text = f"{verdict_text(ended.report)}\n\nreport: {ended.page}\nstore:  {ended.run.store}"
        data |= {"report": str(ended.page), "analysis": ended.report.to_json()}
    return Answer(text, data, summary_status(ended.run.summary), json)


def _listed(name: str | None, json: bool) -> Answer:
    """Write a line per study."""
    from mutransfer.workflows import named_studies

    if name is not None:
        raise UsageError(
            f"list takes no name (given '{name}')",
            why="it would be ignored: every study is listed",
            fix=f"mutransfer studies show {name}",
        )
    found = named_studies()
    size = max(len(one.name) for one in found)
    lines = [f"{one.name:<{size}}  {one.question}" for one in found]
    data = {"schema": 1, "studies": [asdict(one) for one in found]}
    return Answer("\n".join(lines), data, DONE, json)


def _ladder(spec: LadderSpec, output: Path | None, workers: Workers, json: bool) -> Answer:
    """Check a ladder's rungs, saying on stderr which one is at work."""
    if workers != "auto":
        raise UsageError(
            f"--workers is for sweeps, and {spec.study.name} is a ladder of coordinate checks",
            why="it would be ignored: one process checks rung after rung",
            fix=f"mutransfer studies run {spec.study.name}",
        )
    from mutransfer.report.text.ladder import format_ladder
    from mutransfer.workflows import run_ladder

    ended = run_ladder(
        spec,
        output=output,
        on_rung=lambda rung: print(f"checks {rung.name}", file=sys.stderr, flush=True),
    )
    data = ended.to_json()
    text = f"{format_ladder(data)}\n\npages and ladder.json: {ended.folder}"
    status = UNDETERMINED if ended.undetermined else DONE
    return Answer(text, data | {"folder": str(ended.folder)}, status, json)
