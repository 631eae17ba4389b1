"""`coord_check`: train at several widths, judge the exponents, and diagnose what deviates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from mutransfer.coordcheck import arguments
from mutransfer.coordcheck.diagnosis.diagnose import diagnose, product_notes
from mutransfer.coordcheck.diagnosis.late_steps import (
    is_inconclusive,
    loss_increase,
    mark_late_inconclusive,
)
from mutransfer.coordcheck.diagnosis.reasons import reason_to_lower_rate, reasons_undetermined
from mutransfer.coordcheck.diagnosis.settings import decay_notes
from mutransfer.coordcheck.findings import Finding, Outcome
from mutransfer.coordcheck.judgement.curves import size_curves
from mutransfer.coordcheck.judgement.expected import has_expected_update
from mutransfer.coordcheck.judgement.exponents import fit_slopes, judge, pooled_noise
from mutransfer.coordcheck.judgement.power import detection_power, planted_readings
from mutransfer.coordcheck.result import CoordCheck
from mutransfer.coordcheck.runs.optimizers import Kind, Rate, update_of
from mutransfer.coordcheck.runs.plans import Plans, plans_of
from mutransfer.coordcheck.runs.probes import Kinds
from mutransfer.coordcheck.runs.train import (
    Loss,
    Setting,
    concatenated,
    fresh_readings,
    move_batch,
    readings,
    real_device,
    run_eagerly,
)
from mutransfer.errors import ModelError
from mutransfer.rules import Plan, PlanRow, Role, Update

SEEDS_FACTOR = 4  # times as many seeds where noise leaves the outcome open [assumed]
NOISE_FLOOR = 0.05  # half-width of an interval below which more seeds do not help [assumed]
LR_FACTOR = 0.25  # of the rates, where only a high rate leaves the outcome open [assumed]
NUM_FRESH = 12  # seeds of fresh models: cheap, and a small readout is noisy [assumed]
# Quantities that the first forward pass determines.
FRESH_QUANTITIES = (
    "gain", "size", "attention", "head", "product", "summed", "scale", "normed", "shared",
    "stream",
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
    probe: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    on_progress: Callable[[str], None] | None = None,
) -> CoordCheck:
    """Check that activations and updates scale with width as they should, and name broken rules.

    Every width is trained for a few steps from the same seeds on the same batch. For each layer an
    exponent of width is fitted to the gain of the fresh layer, to the effect of an update on its
    output, to the size of the update, and to the change of its output. Each must equal that of a
    correct parametrization within a quarter. Then a fault of half a power is planted in the
    learning rate of every role; a check that does not detect it does not pass.

    Args:
        build: A function from a width to a model.
        base: Width at which every factor is 1.
        widths: Three or more, over a factor of 4 or more.
        batch: The second argument of `loss`, the same at every step.
        loss: A function from a model and the batch to a scalar.
        parametrization: A table's name, or None to check your own implementation: `build` then
            returns models that are ready to train.
        optimizer: A name, a class, or a factory, which receives parameter groups, or with
            `parametrization=None` the model. A factory may return several optimizers, such as Muon
            and AdamW.
        lr: Learning rate at the base width; {'muon': 0.02, 'adamw': 0.003} for 'muon'.
        steps: Number of optimizer steps.
        seeds: Number of fresh models per width, two or more; multiplied by 4 where noise leaves the
            outcome open. A list of seeds is used as it is.
        form: The table's form; for your own implementation, the form that it follows.
        roles: Roles that shapes do not determine: {regular expression: Role}.
        example_inputs: As for `make_plan`; where roles are undetermined without them, the inputs
            that the loss passes to the model.
        probe: As for `make_plan`.
        device: Device of the runs.
        dtype: torch.bfloat16 or torch.float16 to compute in lower precision, by autocast.
        on_progress: Function that is called with a line of text before every run.

    Returns:
        Outcome, findings and diagnoses; `print` shows them as a table. A pass does not guarantee
        that the best learning rate transfers, and a fail need not mean that nothing transfers
        (arXiv:2610.01172).

    Raises:
        ModelError: Too few widths, seeds or steps; a loss that is not a finite scalar.
        RuleError: As `make_plan`.

    Source:
        Tensor Programs V, arXiv:2203.03466, appendix D; docs/verify.md defines the quantities.

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
    arguments.check_types(build, batch, loss, parametrization, optimizer, form, roles, dtype)
    arguments.check_probe(probe, parametrization)
    base = arguments.parse_base(base)
    distinct_widths = arguments.parse_widths(widths, base)
    distinct_seeds = arguments.parse_seeds(seeds)
    steps = arguments.parse_steps(steps)
    is_single = parametrization is None and isinstance(optimizer, str | type)
    lr = arguments.parse_rate(lr, is_single=is_single)
    device = arguments.parse_device(device)
    make_plans = partial(
        plans_of,
        build,
        distinct_widths,
        optimizer,
        lr,
        base=base,
        roles=roles or {},
        example_inputs=example_inputs,
        probe=probe,
        form=form,
        run=lambda model: loss(model, batch),
    )
    plans = make_plans(parametrization=parametrization)
    setting = Setting(
        build=build,
        widths=distinct_widths,
        batch=move_batch(batch, device),
        loss=loss,
        plans=plans.applied,
        optimizer=optimizer,
        lr=lr,
        steps=steps,
        seeds=distinct_seeds,
        device=device,
        dtype=dtype,
        on_progress=on_progress or (lambda text: None),
        kinds=_kinds(
            plans.largest, embeddings_keep_factors=parametrization is None or not plans.is_traced
        ),
    )
    labels = {"parametrization": parametrization, "form": form, "optimizer": plans.rules}
    with run_eagerly(), real_device(device):
        check_at = partial(
            _check, plans=plans, labels=labels, may_add_seeds=arguments.is_count(seeds)
        )
        check, reason = check_at(setting)
        if reason:
            setting, check = _second_check(setting, check, reason, check_at)
        if parametrization in (None, "sp"):
            return check
        # One seed is enough: the exponents under SP are shown and not judged.
        sp_plans = make_plans(parametrization="sp").applied
        sp_setting = replace(setting, plans=sp_plans, seeds=distinct_seeds[:1], purpose="SP")
        return _with_sp(check, sp_setting, {row.name: row for row in plans.largest.rows})


def _kinds(plan: Plan, *, embeddings_keep_factors: bool) -> Kinds:
    """Return which layers and parameters the probes treat specially."""
    outputs = [row.name for row in plan.rows if row.role is Role.OUTPUT]
    layers = [name.removesuffix(".weight") for name in outputs if "." in name]
    shared = [layer for row in plan.rows for layer in row.multiplier_at]
    spectral = [row.name for row in plan.rows if update_of(row) is Update.SPECTRAL]
    vectors = [row.name for row in plan.rows if row.role is Role.VECTOR]
    return Kinds(
        readouts=frozenset([*shared, *layers]),
        orthogonalised=frozenset(spectral),
        vectors=frozenset(vectors),
        embeddings_keep_factors=embeddings_keep_factors,
        scales=frozenset(row.name for row in plan.rows if row.start_power != 0),
    )


def _second_check(
    setting: Setting,
    check: CoordCheck,
    reason: str,
    check_at: Callable[[Setting], tuple[CoordCheck, str]],
) -> tuple[Setting, CoordCheck]:
    """Check once more at lower rates; return the check that decides, with its setting.

    A fault of a scaling rule shows at any rate, and the planted ones must be detected again.
    """
    lowered = replace(setting, lr_factor=LR_FACTOR, purpose="training at a quarter of the rate")
    second, _ = check_at(lowered)
    if second.outcome == "undetermined":
        note = f"a second check at {_lowered(setting)} is undetermined as well"
        return setting, replace(check, reasons=(*check.reasons, note))
    text = f"checked a second time, at {_lowered(setting)}, because at the first rate {reason}"
    return lowered, replace(second, second_check=text)


def _check(
    setting: Setting, plans: Plans, labels: Mapping[str, Any], *, may_add_seeds: bool
) -> tuple[CoordCheck, str]:
    """Run and judge; where only noise leaves the outcome open, add seeds and judge again.

    Return the check, and why a lower rate may decide it.
    """
    rows = {row.name: row for row in plans.largest.rows}
    training = readings(setting)
    initial = fresh_readings(
        replace(setting, seeds=_extended(setting.seeds, NUM_FRESH), purpose="fresh models")
    )
    initial = {key: values for key, values in initial.items() if key[0] in FRESH_QUANTITIES}
    # A frozen parameter has no gradient, and no rate that could be wrong.
    roles = {
        name: row.role
        for name, row in rows.items()
        if ("gradient", name) in training and has_expected_update(row)
    }
    planted = planted_readings(setting, roles)

    def judge_all() -> tuple[tuple[Finding, ...], dict[str, bool], bool]:
        slopes = fit_slopes(training | initial, setting.widths, rows)
        noise = pooled_noise(slopes)
        findings = mark_late_inconclusive(judge(slopes, noise), training)
        power = detection_power(planted, slopes, noise, setting.widths, roles)
        is_noisy = max(noise.values(), default=0.0) > NOISE_FLOOR
        return findings, power, is_noisy and _needs_seeds(findings, power)

    findings, power, needs_seeds = judge_all()
    if may_add_seeds and needs_seeds:
        seeds = _extended(setting.seeds, SEEDS_FACTOR * len(setting.seeds))
        added = replace(setting, seeds=seeds[len(setting.seeds) :])
        training, setting = concatenated(training, readings(added)), replace(setting, seeds=seeds)
        findings, power, _ = judge_all()
    fails = any(finding.outcome == "fail" for finding in findings)
    increase = loss_increase(training, setting.widths)
    if fails:
        reasons = [f"{increase}: lower the learning rate, and check again"] if increase else []
    else:
        reasons = reasons_undetermined(
            findings, power, training, len(setting.seeds), setting.widths
        )
    outcome: Outcome = "fail" if fails else "undetermined" if reasons else "pass"
    check = CoordCheck(
        outcome=outcome,
        findings=findings,
        diagnoses=diagnose(
            findings, training, setting.widths, rows, plans.comparable, is_own=setting.plans is None
        ),
        power=power,
        reasons=tuple(reasons),
        notes=(
            *decay_notes(training, setting.widths, plans.largest),
            *product_notes(training | initial, setting.widths),
        ),
        curves=size_curves(training | initial, setting.widths, rows),
        settings={**_settings(setting), **labels},
    )
    if outcome != "undetermined":
        return check, ""
    return check, reason_to_lower_rate(findings, power, training, setting.widths)


def _needs_seeds(findings: Sequence[Finding], power: Mapping[str, bool]) -> bool:
    """Return whether nothing fails and more seeds may decide an undetermined outcome."""
    if any(finding.outcome == "fail" for finding in findings):
        return False
    noisy = (f.outcome == "undetermined" and not is_inconclusive(f) for f in findings)
    return any(noisy) or not all(power.values())


def _with_sp(check: CoordCheck, sp_setting: Setting, rows: Mapping[str, PlanRow]) -> CoordCheck:
    """Add the exponents of one seed under SP, for comparison."""
    try:
        sp_readings = readings(sp_setting)
    except ModelError:  # SP may diverge where µP does not
        return check
    slopes = {slope.key: slope for slope in fit_slopes(sp_readings, sp_setting.widths, rows)}
    findings = tuple(
        replace(finding, under_sp=slopes[key].by_step if key in slopes else ())
        for finding in check.findings
        for key in [(finding.quantity, finding.name)]
    )
    return replace(check, findings=findings)


def _extended(seeds: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Append consecutive seeds until there are `count`."""
    start = max(seeds) + 1
    return (*seeds, *range(start, start + count - len(seeds)))


def _settings(setting: Setting) -> dict[str, Any]:
    """Return the settings of the runs as plain data."""
    return {
        "widths": list(setting.widths),
        "seeds": len(setting.seeds),
        "steps": setting.steps,
        "lr": _lr(setting),
        "dtype": str(setting.dtype).removeprefix("torch."),
        "device": setting.device,
    }


def _lr(setting: Setting) -> float | dict[str, float] | None:
    """Return the learning rate; None where the user's own optimizer sets its rates."""
    if setting.plans is None and not isinstance(setting.optimizer, str | type):
        return None
    if isinstance(setting.lr, Mapping):
        return {name: setting.lr_factor * rate for name, rate in setting.lr.items()}
    return setting.lr_factor * setting.lr


def _lowered(setting: Setting) -> str:
    """Format by how much the second check lowers the rates."""
    before, after = _lr(setting), _lr(replace(setting, lr_factor=LR_FACTOR))
    if isinstance(before, float) and isinstance(after, float):
        return f"a quarter of the learning rate ({after:.3g} instead of {before:.3g})"
    return "a quarter of all learning rates"
