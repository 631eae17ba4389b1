"""This file is `coord_check`: run, judge, demonstrate the power to see faults, diagnose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from mutransfer.coordcheck.arguments import checked_arguments
from mutransfer.coordcheck.diagnosis.diagnose import diagnose, product_notes
from mutransfer.coordcheck.diagnosis.late_steps import doubted, is_doubted, open_late, risen_loss
from mutransfer.coordcheck.diagnosis.settings import decay_notes
from mutransfer.coordcheck.judgement.curves import curves_of
from mutransfer.coordcheck.judgement.expected import has_known_steps
from mutransfer.coordcheck.judgement.exponents import findings, pooled_noise, slopes_of, steps_of
from mutransfer.coordcheck.judgement.power import caught, planted
from mutransfer.coordcheck.result import CoordCheck, Finding, Outcome
from mutransfer.coordcheck.runs.optimizers import Kind, Rate, update_of
from mutransfer.coordcheck.runs.plans import Plans, plans_of
from mutransfer.coordcheck.runs.probes import Key, Kinds
from mutransfer.coordcheck.runs.train import (
    Floats,
    Loss,
    Setting,
    fresh_readings,
    joined,
    moved,
    readings,
    uncompiled,
)
from mutransfer.errors import ModelError, listed
from mutransfer.rules import Plan, PlanRow, Role, Update

NOISY = 0.05  # half of an interval: what is less is not mended by seeds
ADDED = 4  # times as many seeds where noise leaves it open
MOST_SEEDS = 50  # that are worth proposing
FRESH = 12  # fresh models per width [assumed]
AT_START = (
    "gain", "size", "attention", "head", "product", "summed", "scale", "normed", "shared",
)  # fmt: skip


def coord_check(
    build: Callable[[int], nn.Module],
    *,
    base: int,
    widths: Sequence[int],
    batch: Any,  # noqa: ANN401 - whatever the user's loss takes
    loss: Loss,
    parametrization: str | None = "mup",
    optimizer: Kind = "adamw",
    lr: Rate = 2**-7,
    steps: int = 10,
    seeds: int | Sequence[int] = 3,
    form: str = "table-3",
    roles: Mapping[str, Role] | None = None,
    example_inputs: object = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> CoordCheck:
    """Check that a model's coordinates keep their size as width grows, and name what does not.

    Every width is trained for a few steps from the same seeds on the same batch. Layer by layer
    an exponent of width is fitted to what the fresh weights make of their input ('gain'), what
    an update does to the output along the loss's gradient ('effect'), the size of an update
    against the weights ('update') and the change of outputs ('change'). Each must be equivalent
    to that of a correct parametrization, within a quarter. Then a fault of half a power is
    planted in every role's rate: what is not caught is not called correct.

    Args:
        build: A function from a width to a model.
        base: Width at which every factor is 1.
        widths: Three or more, over 4x or more.
        batch: What `loss` is called with; the same at every step.
        loss: From a model and the batch to a scalar.
        parametrization: A table's name; None to check your own implementation: `build` then
            gives models that are ready to train.
        optimizer: A name, a class, or a factory: of parameter groups where there is a
            parametrization, of the model where it is your own. A factory may give several, as
            for Muon and AdamW.
        lr: Rate at the base width; {'muon': 0.02, 'adamw': 0.003} for 'muon'.
        steps: Updates.
        seeds: Fresh models per width, two or more; four times as many where noise leaves it
            open. Or the seeds themselves, and no others.
        form: The table's form; with your own implementation, the one that it claims to be.
        roles: Roles that cannot be told from shapes: {regular expression: Role}.
        example_inputs: As for `make_plan`; in your own implementation it is taken from the loss
            where it is needed.
        device: Where to run.
        dtype: torch.bfloat16 to compute in lower precision, by autocast.

    Returns:
        Outcome, findings, diagnoses; print it, or `.table()`.

    Raises:
        ModelError: Widths, seeds or steps that decide nothing; a loss that is no finite scalar.
        RuleError: As `make_plan`.

    Source:
        Tensor Programs V, arXiv:2203.03466, appendix D; what is measured: docs/verify.md.

    Example:
        >>> def build(width):
        ...     body = [nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        ...     return nn.Sequential(*body, nn.Linear(width, 4))
        >>> x, y = torch.randn(64, 16), torch.randint(0, 4, (64,))
        >>> def loss(model, batch):
        ...     return nn.functional.cross_entropy(model(batch[0]), batch[1])
        >>> check = coord_check(
        ...     build, base=64, widths=[64, 128, 256], batch=(x, y), loss=loss, steps=4
        ... )
        >>> check.outcome
        'pass'
    """
    given = checked_arguments(
        build,
        base=base,
        widths=widths,
        batch=batch,
        loss=loss,
        parametrization=parametrization,
        optimizer=optimizer,
        lr=lr,
        steps=steps,
        seeds=seeds,
        form=form,
        roles=roles,
        device=device,
        dtype=dtype,
    )
    planned = partial(
        plans_of,
        build,
        given.widths,
        optimizer,
        given.lr,
        base=given.base,
        roles=roles or {},
        example_inputs=example_inputs,
        form=form,
        run=lambda model: loss(model, batch),
    )
    plans = planned(parametrization=parametrization)
    setting = Setting(
        build=build,
        widths=given.widths,
        batch=moved(batch, given.device),
        loss=loss,
        plans=plans.applied,
        optimizer=optimizer,
        lr=given.lr,
        steps=given.steps,
        seeds=given.seeds,
        device=given.device,
        dtype=dtype,
        kinds=_kinds(plans.judged, keeps_tables=parametrization is None or example_inputs is None),
    )
    told = {"parametrization": parametrization, "form": form, "optimizer": plans.rules}
    with uncompiled():
        check = _check(setting, plans, told, may_add=given.may_add)
        if parametrization in (None, "sp"):
            return check
        sp = planned(parametrization="sp")
        rows = {row.name: row for row in plans.judged.rows}
        return _beside(check, replace(setting, plans=sp.applied, seeds=given.seeds[:1]), rows)


def _kinds(plan: Plan, *, keeps_tables: bool) -> Kinds:
    """Say what layers and parameters are, by name."""
    names = [row.name for row in plan.rows if row.role is Role.OUTPUT]
    shared = [layer for row in plan.rows for layer in row.multiplier_at]
    return Kinds(
        readouts=frozenset(
            [*shared, *(name.removesuffix(".weight") for name in names if "." in name)]
        ),
        orthogonalised=frozenset(
            row.name for row in plan.rows if update_of(row) is Update.SPECTRAL
        ),
        vectors=frozenset(row.name for row in plan.rows if row.role is Role.VECTOR),
        keeps_tables=keeps_tables,
    )


def _check(
    setting: Setting,
    plans: Plans,
    told: Mapping[str, Any],
    *,
    may_add: bool,
) -> CoordCheck:
    """Run and judge; where noise alone leaves it open, run more seeds and judge again."""
    rows = {row.name: row for row in plans.judged.rows}
    read = readings(setting)
    # What is measured on fresh models is cheap, and of a small readout noisy.
    fresh = fresh_readings(replace(setting, seeds=_more(setting.seeds, FRESH)))
    at_start = {key: values for key, values in fresh.items() if key[0] in AT_START}
    # What is frozen cannot be trained too fast.
    trained = {
        name: row.role
        for name, row in rows.items()
        if ("gradient", name) in read and has_known_steps(row)
    }
    faults = planted(setting, trained)

    def judged() -> tuple[tuple[Finding, ...], dict[str, bool], float]:
        slopes = slopes_of(read | at_start, setting.widths, rows)
        noise = pooled_noise(slopes)
        power = caught(faults, slopes, noise, setting.widths, trained)
        return doubted(findings(slopes, noise), read), power, max(noise.values(), default=0.0)

    found, power, half = judged()
    fails = any(one.outcome == "fail" for one in found)
    if may_add and half > NOISY and not fails and _is_noisy(found, power):
        wanted = _more(setting.seeds, ADDED * len(setting.seeds))
        rest = replace(setting, seeds=wanted[len(setting.seeds) :])
        read, setting = joined(read, readings(rest)), replace(setting, seeds=wanted)
        found, power, half = judged()
        fails = any(one.outcome == "fail" for one in found)
    risen = risen_loss(read, setting.widths)
    reasons = [] if fails else [*_untrained(read), *_reasons(found, power, len(setting.seeds))]
    advice = (
        [f"{risen}: lower the rate, and see what is left"] if risen and (fails or reasons) else []
    )
    outcome: Outcome = "fail" if fails else "undetermined" if reasons else "pass"
    return CoordCheck(
        outcome=outcome,
        findings=found,
        diagnoses=diagnose(
            found, read, setting.widths, rows, plans.comparable, own=setting.plans is None
        ),
        power=power,
        reasons=(*reasons, *advice),
        notes=(
            *decay_notes(read, setting.widths, plans.judged),
            *product_notes(read | at_start, setting.widths),
        ),
        curves=curves_of(read | at_start, setting.widths, rows),
        settings={
            "widths": list(setting.widths),
            "seeds": len(setting.seeds),
            "steps": setting.steps,
            "lr": _told_rate(setting),
            **told,
            "dtype": str(setting.dtype).removeprefix("torch."),
            "device": setting.device,
        },
    )


def _beside(check: CoordCheck, sp: Setting, rows: Mapping[str, PlanRow]) -> CoordCheck:
    """Add the exponents that one seed has under SP: what a wrong parametrization looks like."""
    try:
        read = readings(sp)
    except ModelError:  # it diverges where µP does not
        return check
    slopes = {one.key: one for one in slopes_of(read, sp.widths, rows)}
    found = tuple(
        replace(one, under_sp=steps_of(slopes[key]) if key in slopes else ())
        for one in check.findings
        for key in [(one.quantity, one.name)]
    )
    return replace(check, findings=found)


def _more(seeds: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Add the seeds that follow, up to so many."""
    following = range(max(seeds) + 1, max(seeds) + 1 + count - len(seeds))
    return (*seeds, *following)


def _told_rate(setting: Setting) -> float | dict[str, float] | None:
    """Say the rate; none where an optimizer of the user's own sets its rates itself."""
    if setting.plans is None and not isinstance(setting.optimizer, str | type):
        return None
    return dict(setting.lr) if isinstance(setting.lr, Mapping) else setting.lr


def _is_noisy(found: Sequence[Finding], power: Mapping[str, bool]) -> bool:
    """Tell whether more seeds may settle what is open."""
    open_ = (one.outcome == "undetermined" and not is_doubted(one) for one in found)
    return any(open_) or not all(power.values())


def _untrained(read: Mapping[Key, Floats]) -> list[str]:
    """Say what should be trained and is not: nothing about it was checked."""
    reached = {key[1]: values for key, values in read.items() if key[0] == "reached"}
    cut_off = [name for name, values in reached.items() if not np.nanmax(values)]
    unheld = [n for n in reached if n not in cut_off and ("set lr", n) not in read]
    told = ((cut_off, "no gradient reaches"), (unheld, "no optimizer holds"))
    return [
        f"{why} {listed(names)}: mend that, or say that it is meant with requires_grad_(False)"
        for names, why in told
        if names
    ]


def _reasons(found: Sequence[Finding], power: Mapping[str, bool], seeds: int) -> list[str]:
    """Say what is not decided, and what would settle it."""
    reasons = []
    if late := open_late(found):
        told = listed(dict.fromkeys(f"{one.name} ({one.quantity})" for one in late))
        reasons.append(
            "off at the last steps only, or nearly, though no rate was changed: "
            f"{told}: lower the rate, or take fewer steps"
        )
    if open_ := [one for one in found if one.outcome == "undetermined" and one not in late]:
        told = listed(dict.fromkeys(f"{one.name} ({one.quantity})" for one in open_))
        needed = seeds * max(_times_more(one) for one in open_)
        settles = f"seeds={math.ceil(needed)}" if needed <= MOST_SEEDS else "larger widths"
        reasons.append(
            f"too noisy or too near the tolerance: {told}: {settles} may settle it, or a lower rate"
        )
    if blind := [role for role, seen in power.items() if not seen]:
        reasons.append(
            f"a planted fault of half a power in the rate of {listed(blind)} is not seen: "
            "raise lr=, or add widths"
        )
    return reasons


def _times_more(one: Finding) -> float:
    """Say how many times as many seeds would put the interval to one side of the tolerance."""
    tolerance = one.tolerance[0 if one.off < 0 else 1]
    gap = abs(tolerance - abs(one.off))
    half = (one.high - one.low) / 2
    return (half / gap) ** 2 if gap else math.inf
