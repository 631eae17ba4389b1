"""`mutransfer demo`: a small sweep that shows µTransfer at work."""

from __future__ import annotations

from typing import Literal

from mutransfer.cli.app import START, Output, Switch, Workers, app, examples
from mutransfer.cli.commands.studies import run_sweep_study
from mutransfer.cli.output import CommandResult, check_outputs

STUDIES = {"small": "demo", "large": "demo-large"}


@app.command(
    group=START,
    help_epilogue=examples("mutransfer demo", "mutransfer demo --scale large -o runs/big"),
)
def demo(
    *,
    scale: Literal["small", "large"] = "small",
    output: Output = None,
    workers: Workers = "auto",
    json: Switch = False,
) -> CommandResult:
    """Show µTransfer at work: the best learning rate under SP and under µP as width grows.

    Args:
        scale: small: widths 32 to 128, takes minutes; large: widths to 256 on a finer grid, takes
            about two hours.
        output: Directory of the trial store; runs/demo by default.
        workers: Number of processes, one thread each; auto is one per core.
        json: Print one JSON document and nothing else.
    """
    check_outputs(output=output)
    from mutransfer.records import StudySpec
    from mutransfer.workflows import named_study

    name = STUDIES[scale]
    study = named_study(name)
    assert isinstance(study, StudySpec)
    widths = ", ".join(map(str, study.axes["width"]))
    intro = (
        f"The demo trains a small transformer on State of the Union addresses, at widths {widths},"
        "\nwith many learning rates, under SP and under µP. Does the best rate of the smallest "
        "width stay the best?\n"
    )
    return run_sweep_study(name, store=output, workers=workers, json=json, intro=intro)
