"""A coordinate check of user code that the command line refers to by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from mutransfer.coordcheck import CoordCheck, coord_check
from mutransfer.errors import UsageError
from mutransfer.rules import OPTIMIZERS, Role
from mutransfer.workflows.user_code import (
    call_without_arguments,
    load_build,
    load_inputs,
    load_object,
)

WHY = "the check trains your model for a few steps"


def run_check(
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
    probe: int | None,
    device: str,
    dtype: Literal["float32", "bfloat16"],
    page: Path | None,
    figures: Path | None,
    on_progress: Callable[[str], None] | None = None,
) -> CoordCheck:
    """Check PKG.MOD:BUILD; batch and loss default to those of the same module.

    Raises:
        UsageError: A reference cannot be imported, or widths or rates cannot be parsed.
    """
    module = build.partition(":")[0]
    check = coord_check(
        load_build(build),
        base=base,
        widths=_widths(widths, base),
        batch=_batch(batch, module),
        loss=_load_default(module, "loss", loss),
        parametrization=parametrization,
        optimizer=_optimizer(optimizer, module, is_own=parametrization is None),
        lr=_rate(lr),
        steps=steps,
        seeds=seeds,
        form=form,
        roles=roles,
        example_inputs=None if example_inputs is None else load_inputs(example_inputs),
        probe=probe,
        device=device,
        dtype=torch.bfloat16 if dtype == "bfloat16" else torch.float32,
        on_progress=on_progress,
    )
    if page is not None or figures is not None:
        from mutransfer.report import write_figures, write_report

        if page is not None:
            write_report(page, check=check, title=f"Coordinate check of {build}")
        if figures is not None:
            write_figures(figures, check=check)
    return check


def _load_default(module: str, flag: str, reference: str | None, name: str = "") -> Any:  # noqa: ANN401 - the user's own
    """Import the reference, or else the default name from the module of the model."""
    if reference is not None:
        return load_object(reference, WHY)
    fix = f"define '{name or flag}' in {module}, or name it: --{flag} MODULE:NAME"
    return load_object(f"{module}:{name or flag}", WHY, fix)


def _batch(reference: str | None, module: str) -> Any:  # noqa: ANN401 - the user's own
    """Import a batch, or call the function that makes one."""
    batch = _load_default(module, "batch", reference)
    if not callable(batch):
        return batch
    fix = "make it callable without arguments; it returns the batch of loss(model, batch)"
    return call_without_arguments(batch, reference or f"{module}:batch", WHY, fix)


def _optimizer(name: str | None, module: str, *, is_own: bool) -> Any:  # noqa: ANN401 - or a factory
    """Return a known name as it is, and import a factory.

    The user's own parametrization sets its rates in a factory, so it needs one.
    """
    if name is None:
        return _load_default(module, "optimizer", None, "make_optimizer") if is_own else "adamw"
    return name if name in OPTIMIZERS or ":" not in name else load_object(name, WHY)


def _widths(text: str, base: int) -> list[int]:
    """Parse '64,128,256'."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--widths {text} is not a list of whole numbers",
            why="an exponent of width is fitted over several widths",
            fix=f"--widths {base},{2 * base},{4 * base},{8 * base}",
        ) from None


def _rate(text: str) -> float | dict[str, float]:
    """Parse '0.01', '2^-6', or 'muon=0.02,adamw=0.003'.

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
            f"--lr {text} is not a positive learning rate",
            why=WHY,
            fix="--lr 2^-6, --lr 0.01, or --lr muon=0.02,adamw=0.003",
        ) from None


def _positive(text: str) -> float:
    """Parse a positive number, or a power such as 2^-6."""
    base, power, exponent = text.strip().partition("^")
    value = float(base) ** float(exponent) if power else float(base)
    if not (isinstance(value, float) and 0 < value < math.inf):
        raise ValueError(text)
    return value
