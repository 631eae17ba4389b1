"""This file is `coord_check`: run, judge, demonstrate the power to see faults, diagnose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mutransfer.coordcheck.diagnosis import diagnose, notes
from mutransfer.coordcheck.own import own_plan
from mutransfer.coordcheck.probes import Key
from mutransfer.coordcheck.result import CoordCheck, Finding, Outcome
from mutransfer.coordcheck.runs import (
    Floats,
    Loss,
    MakeOptimizer,
    Setting,
    Tilt,
    fresh_readings,
    moved,
    optimizer_name,
    readings,
    uncompiled,
)
from mutransfer.coordcheck.verdict import (
    MATRICES,
    Slopes,
    findings,
    pooled_noise,
    slopes_of,
    steps_of,
)
from mutransfer.errors import ModelError, listed
from mutransfer.models.device import checked_device
from mutransfer.parametrize import make_plan
from mutransfer.rules import Plan, Role

CONTROL_STEPS = 5  # of a planted fault: its first three updates, two later behind zero inits
FEWEST_STEPS = 3
FRESH = 12  # fresh models per width [assumed]
AT_START = ("gain", "size", "attention", "head")
POWERS = (0.5, -0.5)


def coord_check(
    build: Callable[[int], nn.Module],
    *,
    base: int,
    widths: Sequence[int],
    batch: Any,  # noqa: ANN401 - whatever the user's loss takes
    loss: Loss,
    parametrization: str | None = "mup",
    optimizer: str | type[torch.optim.Optimizer] | MakeOptimizer = "adamw",
    lr: float = 2**-6,
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
            parametrization, of the model where it is your own.
        lr: Rate at the base width.
        steps: Updates.
        seeds: Fresh models per width, two or more; or the seeds themselves.
        form: The table's form; with your own implementation, the one that it claims to be.
        roles: Roles that cannot be told from shapes: {regular expression: Role}.
        example_inputs: As for `make_plan`.
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
    drawn = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    checked_device(device, fix="device='cpu'")
    rising = _checked(base, widths, steps, drawn)
    named = optimizer_name(optimizer)

    def plans_of(table: str) -> dict[int, Plan]:
        return {
            width: make_plan(
                build,
                base=base,
                target=width,
                parametrization=table,
                optimizer=named,
                roles=roles,
                example_inputs=example_inputs,
                form=form,
            )
            for width in rising
        }

    plans = None if parametrization is None else plans_of(parametrization)
    if plans is None:
        plan = own_plan(build, rising, roles or {}, example_inputs, named, form)
    else:
        plan = plans[rising[-1]]
    readouts = [row.name for row in plan.rows if row.role is Role.OUTPUT]
    setting = Setting(
        build=build,
        widths=rising,
        batch=moved(batch, device),
        loss=loss,
        plans=plans,
        optimizer=optimizer,
        lr=lr,
        steps=steps,
        seeds=drawn,
        device=device,
        dtype=dtype,
        readouts=frozenset(name.removesuffix(".weight") for name in readouts if "." in name),
    )
    with uncompiled():
        check = _check(setting, plan, parametrization, form, named)
        if parametrization in (None, "sp"):
            return check
        return _beside(check, replace(setting, plans=plans_of("sp"), seeds=drawn[:1]))


def _check(
    setting: Setting, plan: Plan, parametrization: str | None, form: str, optimizer: str
) -> CoordCheck:
    """Run and judge."""
    roles = {row.name: row.role for row in plan.rows}
    read = readings(setting)
    # What is measured on fresh models is cheap, and of a small readout noisy.
    more = range(max(setting.seeds) + 1, max(setting.seeds) + 1 + FRESH - len(setting.seeds))
    fresh = fresh_readings(replace(setting, seeds=(*setting.seeds, *more)))
    at_start = {key: values for key, values in fresh.items() if key[0] in AT_START}
    slopes = slopes_of(read | at_start, setting.widths, roles)
    noise = pooled_noise(slopes)
    found = findings(slopes, noise)
    power = _power(setting, slopes, roles, noise)
    fails = any(one.outcome == "fail" for one in found)
    reasons = [] if fails else _reasons(found, power)
    outcome: Outcome = "fail" if fails else "undetermined" if reasons else "pass"
    return CoordCheck(
        outcome=outcome,
        findings=found,
        diagnoses=diagnose(found, read, setting.widths, plan, form, optimizer),
        power=power,
        reasons=tuple(reasons),
        notes=notes(read, setting.widths, plan),
        settings={
            "widths": list(setting.widths),
            "seeds": len(setting.seeds),
            "steps": setting.steps,
            "lr": setting.lr,
            "optimizer": optimizer,
            "parametrization": parametrization,
            "form": form,
            "dtype": str(setting.dtype).removeprefix("torch."),
            "device": setting.device,
        },
    )


def _beside(check: CoordCheck, sp: Setting) -> CoordCheck:
    """Add the exponents that one seed has under SP: what a wrong parametrization looks like."""
    try:
        read = readings(sp)
    except ModelError:  # it diverges where µP does not
        return check
    keys = {(one.quantity, one.name): one.role for one in check.findings}
    roles = {name: Role(role) for (_, name), role in keys.items() if role}
    slopes = {one.key: one for one in slopes_of(read, sp.widths, roles)}
    found = tuple(
        replace(one, under_sp=steps_of(slopes[key]) if key in slopes else ())
        for one in check.findings
        for key in [(one.quantity, one.name)]
    )
    return replace(check, findings=found)


def _checked(base: int, widths: Sequence[int], steps: int, seeds: Sequence[int]) -> tuple[int, ...]:
    """Refuse what cannot decide."""
    rising = tuple(sorted(set(widths)))
    if len(rising) < 3 or rising[-1] < 4 * rising[0]:
        raise ModelError(
            f"widths={list(widths)} are too few, or too near each other",
            why="an exponent is fitted over widths, and half a power must show",
            fix=f"widths={[base, 2 * base, 4 * base, 8 * base]}",
        )
    if len(set(seeds)) < 2:
        raise ModelError(
            f"seeds={len(set(seeds))}: the noise of an exponent cannot be seen",
            why="without its noise an exponent is neither equal to what is expected nor different",
            fix="seeds=3",
        )
    if steps < FEWEST_STEPS:
        raise ModelError(
            f"steps={steps} is fewer than {FEWEST_STEPS}",
            why="behind a zero init the first update changes nothing",
            fix="steps=10",
        )
    return rising


def _power(
    setting: Setting,
    slopes: Sequence[Slopes],
    roles: Mapping[str, Role],
    noise: Mapping[tuple[str, str], float],
) -> dict[str, bool]:
    """Plant a fault of half a power in every role's rate, up and down; say which are caught."""
    short = replace(setting, steps=min(CONTROL_STEPS, setting.steps), seeds=setting.seeds[:1])
    caught = {}
    for role in dict.fromkeys(roles.values()):
        if role is Role.FIXED:  # nothing scales: no rule can be wrong
            continue
        names = frozenset(name for name, each in roles.items() if each is role)
        own = [one for one in slopes if one.key[1] in names and one.key[0] == _deciding(role)]
        caught[str(role)] = all(
            _caught(readings(short, Tilt(role, power, names)), own, short, noise)
            for power in POWERS
        )
    return caught


def _deciding(role: Role) -> str:
    """Name the quantity that a wrong rate shows in."""
    return "effect" if role in MATRICES else "step"


def _caught(
    read: Mapping[Key, Floats],
    slopes: Sequence[Slopes],
    short: Setting,
    noise: Mapping[tuple[str, str], float],
) -> bool:
    """Say whether most of a role's parameters would be found at fault.

    The same seed was run without the fault: what the fault adds is known without noise, and is
    added to what was measured.
    """
    early = [one for one in slopes if one.window[1] < short.steps]
    tilted = slopes_of(
        {one.key: read[one.key] for one in early if one.key in read},
        short.widths,
        {one.key[1]: one.role for one in early if one.role is not None},
    )
    planted = {one.key: one.by_seed[0, : short.steps] for one in tilted}
    moved = [
        replace(
            one,
            by_seed=one.by_seed[:, : short.steps]
            + planted[one.key]
            - one.by_seed[:1, : short.steps],
        )
        for one in early
        if one.key in planted
    ]
    hits = [one.outcome == "fail" for one in findings(moved, noise)]
    return bool(hits) and sum(hits) > 0.5 * len(hits)


def _reasons(found: Sequence[Finding], power: Mapping[str, bool]) -> list[str]:
    """Say what is not decided, and what would settle it."""
    reasons = []
    if open_ := [one for one in found if one.outcome == "undetermined"]:
        told = listed(dict.fromkeys(f"{one.name} ({one.quantity})" for one in open_))
        reasons.append(f"too noisy or too near the tolerance: {told}: add seeds, or larger widths")
    if blind := [role for role, caught in power.items() if not caught]:
        reasons.append(
            f"a planted fault of half a power in the rate of {listed(blind)} is not seen: "
            "raise lr=, or add widths"
        )
    return reasons
