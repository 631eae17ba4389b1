"""`mutransfer studies`: the studies that ship with mutransfer."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mutransfer.cli.app import TRAINING, Output, Switch, Workers, app, examples
from mutransfer.cli.commands.sweep import sweep_result
from mutransfer.cli.exit_status import SUCCESS, UNDETERMINED
from mutransfer.cli.output import CommandResult, check_outputs, check_page
from mutransfer.cli.signals import stop_on_signals
from mutransfer.errors import UsageError

if TYPE_CHECKING:
    from mutransfer.records import LadderSpec
    from mutransfer.workflows.studies.catalog import NamedStudy
    from mutransfer.workflows.studies.scales import Scale

RUN_FLAGS = ("--scale", "--text", "--dry-run", "--output", "--workers")
FLAGS = {"list": (), "show": ("--scale",), "run": RUN_FLAGS, "compare": ("--report",)}


@app.command(
    group=TRAINING,
    help_epilogue=examples(
        "mutransfer studies",
        "mutransfer studies show norm-gains-vector --scale paper",
        "mutransfer studies run norm-gains-vector",
        "mutransfer studies run lingle2024 --scale paper --dry-run",
        "mutransfer studies run lingle2024 --text my-corpus/ -o runs/mine",
        "mutransfer studies compare runs/mine --report mine.html",
    ),
)
def studies(
    action: Literal["list", "show", "run", "compare"] = "list",
    name: str | None = None,
    *,
    scale: Literal["mini", "paper"] | None = None,
    text: Path | None = None,
    dry_run: Switch = False,
    output: Output = None,
    workers: Workers = "auto",
    report: Path | None = None,
    json: Switch = False,
) -> CommandResult:
    """List the studies that ship with mutransfer, print one, run one, or compare them.

    `compare` trains nothing: it puts the verdicts of the trials that ship with mutransfer, or of
    your own, beside those of the paper. A ladder compares implementations, so its exit status is 0
    even where one fails its check, and 3 if a check is undetermined.

    Args:
        action: list, show, run or compare.
        name: Name of a study, or of a source (to run all of its studies), from the list. For
            compare, a folder of trial stores; the shipped trials by default.
        scale: mini: minutes on two cores, the default; paper: the settings of the paper.
        text: File or folder of text to train on, in place of the study's own.
        dry_run: Print the trials, FLOPs and hours of a run, and train nothing.
        output: Directory of the trial store, or of a ladder's files; runs/NAME by default.
        workers: Number of processes of a sweep, one thread each; auto is one per core.
        report: HTML page of the comparison.
        json: Print one JSON document and nothing else.
    """
    options = {"--scale": scale, "--text": text, "--output": output, "--report": report}
    flags = [flag for flag, value in options.items() if value is not None]
    flags += ["--workers"] if workers != "auto" else []
    flags += ["--dry-run"] if dry_run else []
    _check_flags(action, name, flags)
    check_outputs(output=output)
    if action == "list":
        return _list_studies(name, json)
    if action == "compare":
        return _compare_studies(name, report, json)
    if name is None:
        raise UsageError(
            f"{action} needs the name of a study",
            why="several studies ship with mutransfer",
            fix=f"mutransfer studies {action} NAME, with a name from `mutransfer studies list`",
        )
    if action == "show":
        return _show_study(name, scale, json)
    from mutransfer.records import LadderSpec
    from mutransfer.workflows import describe, named_study, study_names

    names = study_names(name)
    if dry_run:
        return _print_cost(name, names, scale, json)
    if names != [name]:
        return _run_source(name, names, scale=scale, text=text, output=output, workers=workers,
                           json=json)  # fmt: skip
    spec = named_study(name, scale)
    if isinstance(spec, LadderSpec):
        return _run_ladder(spec, flags, output, json)
    intro = f"{describe(name).title}\n"
    return run_sweep_study(
        name, scale=scale, text=text, store=output, workers=workers, json=json, intro=intro
    )


def _check_flags(action: str, name: str | None, flags: list[str]) -> None:
    """Refuse options that the action would ignore."""
    if ignored := [flag for flag in flags if flag not in FLAGS[action]]:
        names, is_one = " and ".join(ignored), len(ignored) == 1
        user = "compare" if ignored[0] == "--report" else "run"
        why = "the page is that of a comparison" if user == "compare" else "nothing is run"
        place = "" if user == "compare" else f" {name or 'NAME'}"
        raise UsageError(
            f"{names} {'applies' if is_one else 'apply'} to {user}, not to {action}",
            why=f"{why}, so {'it' if is_one else 'they'} would be ignored",
            fix=f"mutransfer studies {user}{place}, or leave {names} out",
        )
    if "--dry-run" in flags and (others := [f for f in flags if f not in ("--dry-run", "--scale")]):
        raise UsageError(
            f"--dry-run trains nothing, so {' and '.join(others)} would be ignored",
            why="the cost depends on the study and its scale only",
            fix=f"leave {' and '.join(others)} out",
        )


def _show_study(name: str, scale: Scale | None, json: bool) -> CommandResult:
    """Print the file of a study, expanded if it has scales."""
    from mutransfer.workflows import study_text

    text = study_text(name, scale)
    data = {"schema": 1, "name": name, "text": text}
    return CommandResult(text.rstrip("\n"), data, SUCCESS, json)


def run_sweep_study(
    name: str,
    *,
    scale: Scale | None = None,
    text: Path | None = None,
    store: Path | None = None,
    share: bool = False,
    workers: Workers = "auto",
    json: bool = False,
    intro: str = "",
) -> CommandResult:
    """Run a named sweep with a progress display, and return its verdicts or its failures."""
    from mutransfer.cli.progress import sweep_progress
    from mutransfer.report.text.tuning import analysis_text
    from mutransfer.workflows import describe, run_named_study

    with stop_on_signals() as stop, sweep_progress(intro) as progress:
        named = run_named_study(
            name,
            scale=scale,
            text=text,
            store=store,
            share=share,
            workers=workers,
            stop=stop,
            on_start=progress.on_start,
            on_outcome=progress.on_outcome,
        )
    result = sweep_result(named.run.summary, named.run.store, json, "name another --output")
    if named.report is None or named.page is None:
        return result
    study = describe(name)
    data = result.data | {"report": str(named.page), "analysis": named.report.to_json()}
    paper = ""
    if study.has_scales:
        paper, rows = _beside_the_paper(study, named.run.store)
        data |= {"paper": study.expected, "experiment": study.experiment, **rows}
    printed = f"{analysis_text(named.report)}{paper}\n\nreport: {named.page}\n"
    return replace(result, text=f"{printed}store:  {named.run.store}", data=data)


def _beside_the_paper(study: NamedStudy, store: Path) -> tuple[str, dict[str, Any]]:
    """Return what our trials say beside the paper's verdict or claims, as text and JSON data."""
    from mutransfer.report.text.claims import format_judgement
    from mutransfer.report.text.studies import format_compared_study
    from mutransfer.workflows import compare_store, judge_store

    if judged := judge_store(store):
        claims = judged["claims"]
        return "".join(f"\n\n{format_judgement(row)}" for row in claims), {"claims": claims}
    rows = [row.to_json() for row in compare_store(store)]
    if study.experiment is None or not rows:
        return f"\n\nthe paper: {study.expected}", {"comparison": rows}
    return "".join(f"\n\n{format_compared_study(row)}" for row in rows), {"comparison": rows}


def _compare_studies(folder: str | None, report: Path | None, json: bool) -> CommandResult:
    """Compare the shipped trials, or those of a folder, with the paper."""
    from mutransfer.report.text.studies import format_comparison
    from mutransfer.workflows import compare_with_paper

    check_outputs(report=report)
    check_page("report", report, figures=False)
    comparison = compare_with_paper(folder)
    data = comparison.to_json()
    text = format_comparison(data)
    if report is not None:
        from mutransfer.report import write_comparison

        page = write_comparison(report, data, comparison.reports)
        text, data = f"{text}\n\nreport: {page}", data | {"report": str(page)}
    return CommandResult(text, data, SUCCESS, json)


def _run_source(
    source: str,
    names: list[str],
    *,
    scale: Scale | None,
    text: Path | None,
    output: Path | None,
    workers: Workers,
    json: bool,
) -> CommandResult:
    """Run the sweeps of a source one after the other; trials that coincide are trained once."""
    from mutransfer.records import LadderSpec
    from mutransfer.workflows import named_study

    folder = output or Path("runs") / (source if scale != "paper" else f"{source}-paper")
    results: dict[str, CommandResult] = {}
    for name in names:
        if isinstance(named_study(name), LadderSpec):
            continue
        results[name] = run_sweep_study(
            name, scale=scale, text=text, store=folder / name, share=True, workers=workers,
            json=json, intro=f"\n{name}\n",
        )  # fmt: skip
        if results[name].data["stopped"]:
            break
    status = max(result.status for result in results.values())
    blocks = [f"{name}\n{result.text}" for name, result in results.items()]
    data: dict[str, Any] = {name: result.data for name, result in results.items()}
    return CommandResult(
        "\n\n".join(blocks), {"schema": 1, "source": source, "studies": data}, status, json
    )


def _print_cost(name: str, names: list[str], scale: Scale | None, json: bool) -> CommandResult:
    """Print what a study, or all sweeps of a source, would train."""
    from mutransfer.records import StudySpec
    from mutransfer.report.text.study_costs import format_cost, format_source_cost
    from mutransfer.workflows import named_cost, named_study, study_cost, sweep_study
    from mutransfer.workflows.studies.cost import GPU

    printed_scale = scale or "mini"
    data: dict[str, Any] = {"schema": 1, "name": name, "scale": printed_scale}
    if names == [name]:
        cost = named_cost(name, scale).to_json()
        text = format_cost(name, cost, printed_scale, str(GPU))
        return CommandResult(text, data | {"cost": cost}, SUCCESS, json)
    sweeps = [n for n in names if isinstance(named_study(n), StudySpec)]
    costs = {n: named_cost(n, scale).to_json() for n in sweeps}
    total = study_cost(*(sweep_study(n, scale) for n in sweeps)).to_json()
    text = format_source_cost(costs, total, printed_scale, str(GPU))
    return CommandResult(text, data | {"studies": costs, "cost": total}, SUCCESS, json)


def _list_studies(name: str | None, json: bool) -> CommandResult:
    """List every study with its costs and its question."""
    from mutransfer.report.text.study_costs import format_studies
    from mutransfer.workflows import named_studies
    from mutransfer.workflows.studies.catalog import SOURCES
    from mutransfer.workflows.studies.cost import GPU, costs_by_scale

    if name is not None:
        raise UsageError(
            f"list takes no name, but got '{name}'",
            why="it would be ignored, because every study is listed",
            fix=f"mutransfer studies show {name}",
        )
    rows = [asdict(row) | {"cost": costs_by_scale(row)} for row in named_studies()]
    data = {"schema": 1, "studies": rows}
    return CommandResult(format_studies(rows, SOURCES, str(GPU)), data, SUCCESS, json)


def _run_ladder(
    spec: LadderSpec, flags: list[str], output: Path | None, json: bool
) -> CommandResult:
    """Check every rung of a ladder, with a line of progress for each on stderr."""
    if ignored := [flag for flag in flags if flag != "--output"]:
        raise UsageError(
            f"{ignored[0]} applies to sweeps, and {spec.study.name} is a ladder of coordinate "
            "checks",
            why="a ladder trains no trials: one process checks one rung after another",
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
