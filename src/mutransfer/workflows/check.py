"""This file is a coordinate check of what the user names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from mutransfer.coordcheck import CoordCheck, coord_check
from mutransfer.errors import MutransferError, UsageError
from mutransfer.rules import OPTIMIZERS, Role
from mutransfer.workflows.user_code import build_named, inputs_named, object_named

WHY = "the check trains your model for a few steps"


def check_named(
    build: str,
    batch: str | None,
    loss: str | None,
    *,
    base: int,
    widths: str,
    parametrization: str | None,
    optimizer: str | None,
    lr: str,
    steps: int,
    seeds: int,
    form: str,
    roles: Mapping[str, Role],
    example_inputs: str | None,
    device: str,
    dtype: Literal["float32", "bfloat16"],
    page: Path | None,
    figures: Path | None,
) -> CoordCheck:
    """Check PKG.MOD:BUILD with the batch and the loss that stand beside it, or are named.

    Raises:
        UsageError: A reference cannot be imported, or widths or rates cannot be read.
    """
    beside = build.partition(":")[0]
    check = coord_check(
        build_named(build),
        base=base,
        widths=_widths(widths, base),
        batch=_batch(batch or f"{beside}:batch", _beside(beside, "batch", batch)),
        loss=_beside(beside, "loss", loss),
        parametrization=parametrization,
        optimizer=_optimizer(optimizer, beside, own=parametrization is None),
        lr=_rate(lr),
        steps=steps,
        seeds=seeds,
        form=form,
        roles=roles,
        example_inputs=None if example_inputs is None else inputs_named(example_inputs),
        device=device,
        dtype=torch.bfloat16 if dtype == "bfloat16" else torch.float32,
    )
    if page is not None or figures is not None:
        from mutransfer.report import write_figures, write_report

        if page is not None:
            write_report(page, check=check, title=f"Coordinate check of {build}")
        if figures is not None:
            write_figures(figures, check=check)
    return check


def _beside(module: str, flag: str, given: str | None, name: str = "") -> Any:  # noqa: ANN401 - the user's own
    """Import what is named, or what stands beside the model under its usual name."""
    if given is not None:
        return object_named(given, WHY)
    fix = f"define '{name or flag}' in {module}, or name it: --{flag} MODULE:NAME"
    return object_named(f"{module}:{name or flag}", WHY, fix)


def _batch(reference: str, found: Any) -> Any:  # noqa: ANN401 - the user's own
    """Take a batch, or call what makes one."""
    if not callable(found):
        return found
    try:
        return found()
    except MutransferError:
        raise
    except Exception as problem:
        raise UsageError(
            f"{reference}() raised {type(problem).__name__}: {problem}",
            why=WHY,
            fix="let it give, without an argument, what loss(model, batch) is called with",
        ) from problem


def _optimizer(name: str | None, module: str, *, own: bool) -> Any:  # noqa: ANN401 - or a factory
    """Take a known name as it is, and import anything else; own rates are in an own factory."""
    if name is None:
        return _beside(module, "optimizer", None, "make_optimizer") if own else "adamw"
    return name if name in OPTIMIZERS or ":" not in name else object_named(name, WHY)


def _widths(text: str, base: int) -> list[int]:
    """Read '64,128,256'."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--widths {text} is no list of whole numbers",
            why="an exponent of width is fitted over several widths",
            fix=f"--widths {base},{2 * base},{4 * base},{8 * base}",
        ) from None


def _rate(text: str) -> float | dict[str, float]:
    """Read '0.01', '2^-6', or 'muon=0.02,adamw=0.003'.

    Example:
        >>> _rate("2^-6"), _rate("muon=0.02, adamw=2^-8")
        (0.015625, {'muon': 0.02, 'adamw': 0.00390625})
    """
    try:
        if "=" not in text:
            return _positive(text)
        pairs = [part.partition("=") for part in text.split(",")]
        return {name.strip(): _positive(value) for name, _, value in pairs}
    except (ValueError, OverflowError):
        raise UsageError(
            f"--lr {text} is no positive rate",
            why=WHY,
            fix="--lr 2^-6, --lr 0.01, or --lr muon=0.02,adamw=0.003",
        ) from None


def _positive(text: str) -> float:
    """Read a number, or a power of two."""
    base, power, exponent = text.strip().partition("^")
    value = float(base) ** float(exponent) if power else float(base)
    if not (isinstance(value, float) and 0 < value < math.inf):
        raise ValueError(text)
    return value
