"""Diagnosis: map deviating exponents to the scaling rule that is violated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.coordcheck.diagnosis.causes import Cause, Suspect, causes, suspects
from mutransfer.coordcheck.diagnosis.late_steps import EPS_RELEVANT
from mutransfer.coordcheck.diagnosis.settings import SAME_POWER, ObservedSettings
from mutransfer.coordcheck.findings import Diagnosis, Fault, Finding
from mutransfer.coordcheck.judgement.exponents import TOLERANCE, exponents
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import Plan, PlanRow, Role

INITIAL_FAULTS = ("init", "multiplier")
UPDATE_FAULTS = ("rate", "eps", "not known")  # these may begin after the first step
INITIAL_QUANTITIES = ("gain", "size", "pull", "stream")  # measured on fresh models

Group = tuple[Fault, str, float]  # fault, role and power: one diagnosis for each


def diagnose(
    findings: Sequence[Finding],
    readings: Mapping[Key, Floats],
    widths: tuple[int, ...],
    rows: Mapping[str, PlanRow],
    comparable: Plan | None,
    *,
    is_own: bool,
) -> tuple[Diagnosis, ...]:
    """Return the broken rules, each with all the parameters that it affects.

    `comparable` is a plan of µP that keeps the models' own init, or None if it does not apply to
    the checked parametrization. `is_own` marks the user's own implementation, without a plan.
    """
    rules = {} if comparable is None else {row.name: row for row in comparable.rows}
    settings = ObservedSettings(readings, widths, rules)
    failures = [finding for finding in findings if finding.outcome == "fail"]
    initial = [finding for finding in failures if finding.quantity in INITIAL_QUANTITIES]
    groups, certain, likely = _grouped_causes(
        findings if failures else (), rows, settings, bool(initial)
    )
    onsets = {group: min(s.since for s, _ in members) for group, members in groups.items()}
    first = min(onsets.values(), default=0)
    diagnoses = [
        Diagnosis(
            fault=fault,
            role=role,
            names=tuple(suspect.name for suspect, _ in members),
            power=power,
            since=onsets[group],
            text=_text(fault, role, power, members, is_own, is_likely=group in likely),
            likely=group in likely,
        )
        for group, members in groups.items()
        # Later deviations follow from the first: in a network that blows up, other updates lose
        # their effect.
        for fault, role, power in [group]
        if onsets[group] == first or group in certain | likely
    ]
    diagnoses += _readout_diagnoses(initial)
    if not any(d.fault in INITIAL_FAULTS and d.role != "output" for d in diagnoses):
        diagnoses += _stream_diagnoses(findings)
    return (
        *diagnoses,
        *_attention_diagnoses(failures),
        *(() if diagnoses else _other_diagnoses(failures, readings, widths, rows)),
    )


def _grouped_causes(
    findings: Sequence[Finding],
    rows: Mapping[str, PlanRow],
    settings: ObservedSettings,
    any_initial: bool,
) -> tuple[dict[Group, list[tuple[Suspect, str]]], set[Group], set[Group]]:
    """Return the suspects of each group with their hints, and the certain and likely groups."""
    pairs = [
        (suspect, cause)
        for suspect in suspects(findings, rows)
        for cause in causes(suspect, rows[suspect.name], settings)
    ]
    certain = {_group(suspect, cause) for suspect, cause in pairs if cause.certain}
    groups: dict[Group, list[tuple[Suspect, str]]] = {}
    likely: set[Group] = set()
    for suspect, raw_cause in pairs:
        cause = _with_hint(raw_cause, suspect, settings)
        if cause.fault in ("rate", "eps") and (any_initial or certain) and not cause.hint:
            if not cause.stands_alone:
                continue  # it may follow from wrong initial sizes, or from a fault that is certain
            likely.add(_group(suspect, cause))
        if cause.fault == "rate" and not cause.hint and settings.has_rate(suspect.name):
            cause = replace(cause, fault="not known")
        groups.setdefault(_group(suspect, cause), []).append((suspect, cause.hint))
    return groups, certain, likely


def _group(suspect: Suspect, cause: Cause) -> Group:
    """Return the group of a cause, whose power is rounded to a multiple of 1/2."""
    return cause.fault, suspect.role, round(2 * cause.power) / 2


def _with_hint(cause: Cause, suspect: Suspect, settings: ObservedSettings) -> Cause:
    """Add the optimizer's setting; where the rate is right, epsilon may be the cause instead."""
    if cause.hint or cause.fault not in ("rate", "eps"):
        return cause
    name, late = suspect.name, suspect.since > 0
    hint = settings.hint("rate" if cause.fault == "rate" else "eps", name, late=late)
    eps_hint = settings.hint("eps", name, late=late)
    is_rate = hint or settings.eps_ratio(name) < EPS_RELEVANT or not eps_hint
    if cause.fault == "rate" and is_rate:
        return replace(cause, hint=hint)
    # A larger epsilon makes updates smaller. The measured power fades as gradients change, so the
    # power of the setting is reported where it is known.
    power = -settings.deviation("eps", name, late=late) if eps_hint else cause.power
    return replace(cause, fault="eps", power=power, hint=eps_hint)


# By fault: what to look at in a plan, and in an implementation of the user's own.
LOOK_AT: Mapping[Fault, tuple[str, str]] = {
    "init": ("init_factor", "the init"),
    "rate": ("lr_factor", "the rate"),
    "multiplier": ("multiplier", "the multiplier"),
    "eps": ("eps_factor", "epsilon"),
}


def _text(
    fault: Fault,
    role: str,
    power: float,
    members: Sequence[tuple[Suspect, str]],
    is_own: bool,
    *,
    is_likely: bool,
) -> str:
    """Format what is broken, and where to look."""
    direction = "too large" if power > 0 else "too small"
    direction = f"probably {direction}" if is_likely else direction
    first, hint = members[0]
    names = first.name if len(members) == 1 else f"{first.name} and {len(members) - 1} more"
    problem = {
        "init": f"the init of {role} weights is {direction}",
        "rate": f"the learning rate of {role} parameters is {direction}",
        "multiplier": f"the multiplier of {role} layers is {direction}, or their init and rate are",
        "eps": f"epsilon, which must shrink as gradients do, makes updates of {role} parameters "
        f"{direction}",
        "not known": f"updates of {role} parameters are {direction}, though their learning rate "
        "follows the rule,",
    }[fault]
    since = f", from step {first.since} on" if first.since and fault in UPDATE_FAULTS else ""
    look_at = LOOK_AT.get(fault, ("the forward pass",) * 2)[is_own]
    suffix = f"; {hint}" if hint else ""
    if is_likely:
        suffix += "; this is inferred from the updates, so check again once the rest is mended"
    return (
        f"{problem} by width^{power:+g}{since} ({names}): look at {look_at} of '{first.name}'"
        f"{suffix}"
    )


def _attention_diagnoses(failures: Sequence[Finding]) -> list[Diagnosis]:
    """Diagnose attention logits that grow with the width of a head."""
    wrong = [f for f in failures if f.quantity == "attention" and f.steps[0] == 0]
    wrong = [f for f in wrong if f.expected == -0.5]
    if not wrong:
        return []
    deviation = wrong[0].deviation
    initial = [f.deviation for f in failures if f.quantity in INITIAL_QUANTITIES]
    # Queries and keys of a wrong size contribute twice their deviation, which explains the logits.
    if any(d * deviation > 0 and abs(deviation) < 2 * abs(d) + SAME_POWER for d in initial):
        return []
    text = (
        f"attention logits scale as width^{wrong[0].slope:+.2f} at init where heads grow: scale "
        "them by 1/d_head, not by 1/sqrt(d_head)"
    )
    names = tuple(f.name for f in wrong)
    return [Diagnosis("attention scale", "", names, round(2 * deviation) / 2, 0, text)]


def product_notes(readings: Mapping[Key, Floats], widths: tuple[int, ...]) -> tuple[Diagnosis, ...]:
    """Note products of two activations that sum over a growing axis, without a softmax.

    Whether they should shrink as attention logits do depends on their purpose.
    """
    notes = []
    for (quantity, name), values_WST in readings.items():
        num_terms = readings.get(("summed", name))
        grows = num_terms is not None and np.nanmin(num_terms) < np.nanmax(num_terms)
        if quantity != "product" or not grows:
            continue
        slope = float(np.nanmean(exponents(values_WST, widths)[:, 0]))
        if abs(slope + 0.5) < TOLERANCE:
            continue
        text = (
            "a product of two activations sums over an axis that grows, and scales as "
            f"width^{slope:+.2f} at init: attention logits would scale as width^-0.5 (1/d_head); "
            "look at its scale"
        )
        notes.append(Diagnosis("attention scale", "", (name,), round(2 * slope) / 2 + 0.5, 0, text))
    return tuple(notes)


def _stream_diagnoses(findings: Sequence[Finding]) -> list[Diagnosis]:
    """Diagnose the first residual stream of a wrong size, which no layer's own gain explains."""
    streams = [finding for finding in findings if finding.quantity == "stream"]
    failed = [stream for stream in streams if stream.outcome == "fail"]
    if not failed:
        return []
    first, position = failed[0], streams.index(failed[0])
    place = (
        f"between '{streams[position - 1].name}' and" if position else "of the embeddings before"
    )
    text = (
        f"the residual stream that '{first.name}' reads scales as width^{first.slope:+.2f} at "
        f"init, though the gain of every layer is right: look at the multiplier {place} "
        f"'{first.name}'"
    )
    names = tuple(stream.name for stream in failed)
    power = round(2 * first.deviation) / 2
    return [Diagnosis("multiplier", "" if position else "input", names, power, 0, text)]


def _readout_diagnoses(initial: Sequence[Finding]) -> list[Diagnosis]:
    """Diagnose a readout without its own layer by the gradient behind it."""
    pull = next((finding for finding in initial if finding.quantity == "pull"), None)
    tables = [finding.deviation for finding in initial if finding.role == "input"]
    # The init of the shared table may explain it.
    if pull is None or any(abs(d - pull.deviation) < SAME_POWER for d in tables):
        return []
    text = (
        f"the gradient behind the readout ({pull.name}) scales as width^{pull.slope:+.2f} instead "
        "of width^-1: a readout that shares the embedding's table needs the multiplier 1/width"
    )
    power = round(2 * pull.deviation) / 2
    return [Diagnosis("multiplier", "output", (pull.name,), power, 0, text)]


def _other_diagnoses(
    failures: Sequence[Finding],
    readings: Mapping[Key, Floats],
    widths: tuple[int, ...],
    rows: Mapping[str, PlanRow],
) -> list[Diagnosis]:
    """Diagnose changes of outputs that no parameter's rule explains, and where they may begin."""
    wrong = [finding for finding in failures if finding.quantity == "change"]
    if not wrong:
        return []
    first = wrong[0]
    inputs = {
        name: float(np.nanmean(exponents(values_WST, widths)[:, 0]))
        for (quantity, name), values_WST in readings.items()
        if quantity == "input" and f"{name}.weight" in rows
    }
    hidden = [name for name in inputs if rows[f"{name}.weight"].role is Role.HIDDEN]
    for name in hidden:
        if abs(inputs[name]) > TOLERANCE:
            text = (
                f"the input of '{name}' scales as width^{inputs[name]:+.2f} at init, though the "
                f"gain of every layer is right: look at what multiplies it before '{name}'"
            )
            power, role = round(2 * inputs[name]) / 2, "input" if name == hidden[0] else ""
            return [Diagnosis("multiplier", role, (name,), power, 0, text)]
    text = (
        f"outputs of {first.name} change as width^{first.slope:+.2f} though every parameter's own "
        "rule holds: look at forward multipliers, residual scales and attention"
    )
    names = tuple(finding.name for finding in wrong)
    return [Diagnosis("not known", "", names, first.deviation, first.steps[0], text)]
