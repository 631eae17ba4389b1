"""This file is the commands: each parses its arguments, calls the API, and answers."""

from __future__ import annotations

import json as json_module
import shutil
from pathlib import Path
from typing import Literal

from mutransfer.cli.app import Json, Output, app, examples, roles_of
from mutransfer.cli.output import DONE, Answer
from mutransfer.cli.studies import sweep_answer
from mutransfer.cli.sweep import Workers
from mutransfer.errors import UsageError

DEMOS = {"small": "demo", "large": "demo-large"}


@app.command(help_epilogue=examples("mutransfer demo", "mutransfer demo --scale large -o runs/big"))
def demo(
    *,
    scale: Literal["small", "large"] = "small",
    output: Output = None,
    workers: Workers = "auto",
    json: Json = False,
) -> Answer:
    """See µ-Transfer happen: the best learning rate under SP and under µP as width grows.

    Args:
        scale: small: widths 32 to 128, minutes; large: to 256, finer and longer, about two hours.
        output: The trial store; runs/demo by default.
        workers: Processes, one thread each; 'auto' is one per core.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.records import StudySpec
    from mutransfer.workflows import named_study

    name = DEMOS[scale]
    study = named_study(name)
    assert isinstance(study, StudySpec)
    widths = ", ".join(map(str, study.axes["width"]))
    intro = (
        f"This trains a small transformer on State of the Union addresses, at widths {widths},\n"
        "with many learning rates, under SP and under µP: does the best rate of the smallest "
        "width stay the best?\n"
    )
    return sweep_answer(name, store=output, workers=workers, json=json, intro=intro)


@app.command(help_epilogue=examples("mutransfer rules mup", "mutransfer rules mup --optimizer sgd"))
def rules(name: str | None = None, *, optimizer: str | None = None, json: Json = False) -> Answer:
    """Print a parametrization's table with its source.

    Args:
        name: mup, sp, mfp, sp+embd, say; every published table by default.
        optimizer: Show the columns of this optimizer only: adamw, sgd, ...
        json: Print one JSON document and nothing else.
    """
    from mutransfer.rules import HYBRIDS, TABLES, explain, rule_data

    names = list(TABLES) if name is None else [name]
    shown = [explain(each, optimizer=optimizer) for each in names]
    data: dict[str, object] = {
        "schema": 1,
        "rules": {each: rule_data(each, optimizer=optimizer) for each in names},
    }
    if name is None:
        between = [each for each in HYBRIDS if each not in TABLES]
        data["hybrids"] = between
        shown.append(f"between sp and mup (`mutransfer rules sp+embd`): {', '.join(between)}")
    return Answer("\n\n\n".join(shown), data, DONE, json)


@app.command(
    help_epilogue=examples(
        "mutransfer plan my_model:build --base 256 --target 4096",
        "mutransfer plan my_model:build --base 256 --target 4096 --parameter head.weight",
    )
)
def plan(
    build: str,
    *,
    base: int,
    target: int,
    probe: int | None = None,
    parametrization: str = "mup",
    optimizer: str = "adamw",
    form: str = "table-3",
    roles: str | None = None,
    example_inputs: str | None = None,
    parameter: str | None = None,
    output: Output = None,
    json: Json = False,
) -> Answer:
    """Work out every factor of your model, from how its shapes and its init grow with width.

    Args:
        build: PKG.MOD:BUILD, a function from a width to a torch.nn.Module.
        base: The width you tune at.
        target: The width you want to train.
        probe: Another small width to compare with; twice the base by default.
        parametrization: A name that `mutransfer rules` lists: mup, sp, none, ...
        optimizer: adamw, adam, nadam, rmsprop, lion, sgd, adafactor, muon or muon-match-rms.
        form: table-3 (no forward multipliers) or table-8.
        roles: Roles that shapes cannot tell, as 'REGEX=ROLE,REGEX=ROLE'.
        example_inputs: PKG.MOD:NAME, what the model is called with, or a function that gives it:
            a forward pass then shows what shapes cannot tell.
        parameter: Derive one parameter's factors instead.
        output: Save the plan as JSON.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.parametrize import make_plan
    from mutransfer.rules import derivation, explain
    from mutransfer.workflows import load_build, load_inputs

    made = make_plan(
        load_build(build),
        base=base,
        target=target,
        probe=probe,
        parametrization=parametrization,
        optimizer=optimizer,
        form=form,
        roles=roles_of(roles or ""),
        example_inputs=None if example_inputs is None else load_inputs(example_inputs),
    )
    if output is not None:
        _write(output, made.to_json())
    text = explain(made, parameter, width=shutil.get_terminal_size((100, 24)).columns)
    if parameter is None:
        return Answer(text, json_module.loads(made.to_json()), DONE, json)
    return Answer(text, derivation(made, parameter).to_data(), DONE, json)


def _write(path: Path, text: str) -> None:
    """Write a small file, or say why not."""
    try:
        path.write_text(text + "\n")
    except OSError as problem:
        raise UsageError(
            f"cannot write {path}: {problem.strerror}",
            why="the plan is to travel with your checkpoint",
            fix="name a file in a folder that exists: -o plan.json",
        ) from None
