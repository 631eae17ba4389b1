"""`mutransfer check`: a coordinate check of the user's model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, Token

from mutransfer.cli.app import MODEL, Switch, app, examples, parse_roles
from mutransfer.cli.output import CommandResult, check_outputs, check_page


def _parse_integer(type_: type[int], tokens: Sequence[Token]) -> int:
    """Parse an integer; cyclopts alone would round 4.5."""
    try:
        return type_(tokens[0].value)
    except ValueError:
        raise ValueError(f"'{tokens[0].value}' is not a whole number") from None


Integer = Annotated[int, Parameter(converter=_parse_integer)]


@app.command(
    group=MODEL,
    help_epilogue=examples(
        "mutransfer check my_model:build --base 64 --widths 64,128,256,512",
        "mutransfer check my_model:build --base 64 --widths 64,128,256,512 --parametrization none",
    ),
)
def check(
    build: str,
    *,
    base: Integer,
    widths: str,
    batch: str | None = None,
    loss: str | None = None,
    parametrization: str = "mup",
    optimizer: str | None = None,
    lr: str = "2^-7",
    steps: Integer = 10,
    seeds: Integer = 3,
    form: str = "table-3",
    roles: str | None = None,
    example_inputs: str | None = None,
    probe: Integer | None = None,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
    report: Path | None = None,
    figures: Path | None = None,
    json: Switch = False,
) -> CommandResult:
    """Run a coordinate check: do activations keep their size as width grows, and if not, why?

    The exit status is 0 if the check passes, 1 if it fails, and 3 if it is undetermined.

    Args:
        build: MODULE:FUNCTION, a function from a width to a torch.nn.Module.
        base: Width at which hyperparameters are tuned.
        widths: Comma-separated widths, at least three.
        batch: MODULE:NAME, a batch or a function that returns one; `batch` in the module of BUILD
            by default.
        loss: MODULE:FUNCTION, from (model, batch) to a scalar; `loss` in the module of BUILD by
            default.
        parametrization: Name of a parametrization, or none to check your own implementation as it
            is.
        optimizer: adamw (the default), adam, nadam, rmsprop, lion, sgd, adafactor, muon,
            muon-match-rms, or MODULE:FACTORY. With --parametrization none, the default is
            `make_optimizer` in the module of BUILD.
        lr: Learning rate at the base width: 0.01, 2^-6, or muon=0.02,adamw=0.003.
        steps: Number of updates.
        seeds: Number of freshly initialized models per width.
        form: table-3 (no forward multipliers) or table-8.
        roles: Roles that shapes do not determine, as REGEX=ROLE,REGEX=ROLE.
        example_inputs: MODULE:NAME, the inputs of the model, or a function that returns them. By
            default they are those that the loss passes to the model, where shapes do not determine
            every role.
        probe: Another small width, to measure how the init scales; twice the base by default.
        device: Device to train on: cpu, cuda or cuda:1.
        dtype: bfloat16 trains with autocast in lower precision.
        report: Write a page with the result to this file.
        figures: Write the figures into this folder, as PNG, SVG and PDF.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.cli.progress import status_line
    from mutransfer.workflows import run_check

    check_outputs(report=report, figures=figures)
    check_page("report", report)
    with status_line() as on_progress:
        result = run_check(
            build,
            batch,
            loss,
            base=base,
            widths=widths,
            parametrization=None if parametrization == "none" else parametrization,
            optimizer=optimizer,
            lr=lr,
            steps=steps,
            seeds=seeds,
            form=form,
            roles=parse_roles(roles),
            example_inputs=example_inputs,
            probe=probe,
            device=device,
            dtype=dtype,
            page=report,
            figures=figures,
            on_progress=on_progress,
        )
    paths = {"report": report, "figures": figures}
    written = [f"{name}: {path}" for name, path in paths.items() if path is not None]
    text = "\n\n".join([result.table(), *(["\n".join(written)] if written else [])])
    return CommandResult(text, result.to_json(), result.status, json)
