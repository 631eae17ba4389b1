"""`mutransfer plan`: the factors of every parameter of the user's model."""

from __future__ import annotations

import json as json_module
import shutil
from pathlib import Path

from mutransfer.cli.app import MODEL, Output, Switch, app, examples, parse_roles
from mutransfer.cli.exit_status import SUCCESS
from mutransfer.cli.output import CommandResult, check_outputs
from mutransfer.errors import UsageError


@app.command(
    group=MODEL,
    help_epilogue=examples(
        "mutransfer plan my_model:build --base 256 --target 4096",
        "mutransfer plan my_model:build --base 256 --target 4096 --parameter head.weight",
    ),
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
    json: Switch = False,
) -> CommandResult:
    """Derive the factors of every parameter from how its shape and its init scale with width.

    Args:
        build: MODULE:FUNCTION, a function from a width to a torch.nn.Module.
        base: Width at which hyperparameters are tuned.
        target: Width to train at.
        probe: Another small width to compare with the base; twice the base by default.
        parametrization: A name listed by `mutransfer rules`: mup, sp, none, ...
        optimizer: adamw, adam, nadam, rmsprop, lion, sgd, adafactor, muon or muon-match-rms.
        form: table-3 (no forward multipliers) or table-8.
        roles: Roles that shapes do not determine, as REGEX=ROLE,REGEX=ROLE.
        example_inputs: MODULE:NAME, the inputs of the model, or a function that returns them. Roles
            that shapes do not determine are then inferred from a forward pass.
        parameter: Print the derivation of one parameter's factors instead.
        output: File to save the plan to, as JSON.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.parametrize import make_plan
    from mutransfer.rules import derivation, explain
    from mutransfer.workflows import load_build, load_inputs

    check_outputs(output=output)
    result = make_plan(
        load_build(build),
        base=base,
        target=target,
        probe=probe,
        parametrization=parametrization,
        optimizer=optimizer,
        form=form,
        roles=parse_roles(roles),
        example_inputs=None if example_inputs is None else load_inputs(example_inputs),
    )
    if output is not None:
        _write(output, result.to_json())
    text = explain(result, parameter, width=shutil.get_terminal_size((100, 24)).columns)
    if parameter is None:
        return CommandResult(text, json_module.loads(result.to_json()), SUCCESS, json)
    return CommandResult(text, derivation(result, parameter).to_data(), SUCCESS, json)


def _write(path: Path, text: str) -> None:
    """Write the plan to a file."""
    try:
        path.write_text(text + "\n")
    except OSError as problem:
        raise UsageError(
            f"cannot write {path}: {problem.strerror}",
            why="the plan should be stored next to your checkpoints",
            fix="name a file: -o plan.json",
        ) from None
