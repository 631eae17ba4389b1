"""This file is the command that checks coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, Token

from mutransfer.cli.app import Json, app, examples, roles_of
from mutransfer.cli.output import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutransfer.coordcheck import CoordCheck


def _whole(type_: type[int], tokens: Sequence[Token]) -> int:
    """Read a whole number; the parser alone would round 4.5."""
    try:
        return type_(tokens[0].value)
    except ValueError:
        raise ValueError(f"'{tokens[0].value}' is not a whole number") from None


Whole = Annotated[int, Parameter(converter=_whole)]


@app.command(
    help_epilogue=examples(
        "mutransfer check my_model:build --base 64 --widths 64,128,256,512",
        "mutransfer check my_model:build --base 64 --widths 64,128,256,512 --parametrization none",
    )
)
def check(
    build: str,
    *,
    base: Whole,
    widths: str,
    batch: str | None = None,
    loss: str | None = None,
    parametrization: str = "mup",
    optimizer: str | None = None,
    lr: str = "2^-7",
    steps: Whole = 10,
    seeds: Whole = 3,
    form: str = "table-3",
    roles: str | None = None,
    example_inputs: str | None = None,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
    report: Path | None = None,
    figures: Path | None = None,
    json: Json = False,
) -> Answer:
    """Check that a model's coordinates keep their size as width grows; name the broken rule.

    The exit status is 0 if it passes, 1 if it fails, 3 if that cannot be told.

    Args:
        build: PKG.MOD:BUILD, a function from a width to a torch.nn.Module.
        base: The width you tune at.
        widths: Three or more widths, with commas.
        batch: PKG.MOD:NAME, a batch or a function that makes one; `batch` beside build by default.
        loss: PKG.MOD:NAME, from (model, batch) to a scalar; `loss` beside build by default.
        parametrization: mup; none checks your own implementation as it is.
        optimizer: adamw (the default), adam, nadam, rmsprop, lion, sgd, adafactor, muon,
            muon-match-rms, or PKG.MOD:FACTORY; with --parametrization none `make_optimizer` beside
            build by default.
        lr: Learning rate at the base width: 0.01, 2^-6, or muon=0.02,adamw=0.003.
        steps: Updates.
        seeds: Fresh models per width.
        form: table-3 (no forward multipliers) or table-8.
        roles: Roles that shapes cannot tell, as 'REGEX=ROLE,REGEX=ROLE'.
        example_inputs: PKG.MOD:NAME, what the model is called with, or a function that gives it:
            a forward pass then shows what shapes cannot tell.
        device: Where to train: cpu, cuda or cuda:1.
        dtype: bfloat16 computes in lower precision, by autocast.
        report: Write a page about it.
        figures: Write its figures into this folder, as PNG, SVG and PDF.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.workflows import run_check

    found: CoordCheck = run_check(
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
        roles=roles_of(roles or ""),
        example_inputs=example_inputs,
        device=device,
        dtype=dtype,
        page=report,
        figures=figures,
    )
    written = [
        f"{name}: {place}"
        for name, place in (("report", report), ("figures", figures))
        if place is not None
    ]
    text = "\n\n".join([found.table(), *(["\n".join(written)] if written else [])])
    return Answer(text, found.to_json(), found.status, json)
