"""This file is the test: exponents of width against those that a correct rule has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from mutransfer.coordcheck.optimizers import update_of
from mutransfer.coordcheck.probes import WHOLE, Key
from mutransfer.coordcheck.result import Finding, Outcome
from mutransfer.coordcheck.runs import Floats
from mutransfer.rules import PlanRow, Role, Update

# Shape legend: W widths, S seeds, T steps.

TOLERANCE = 0.25  # half of the smallest error that a rule can have [DESIGN section 8]
# A layer's change has, beside what the loss asks for, a random part that fades as width outgrows
# the batch's rows: measured, it tilts the exponent of a correct network by up to -0.25.
CHANGE_TOLERANCE = 0.35
# A random readout's own noise fades as width^-1/2, and the model's output with it; what is
# under-trained shows in the effects.
FADING_TOLERANCE = 0.6
# A bias is added: one that fades is torch's default, and learns what it lacks.
FADING_BIAS = 2.0
SEEN = 0.1  # power of width of a multiplier that is not a constant
CONFIDENCE = 0.95  # one-sided, at both ends
LENT = 3  # degrees of freedom [assumed]
WINDOW = 3  # steps that an exponent is averaged over, early and late
MATRICES = (Role.INPUT, Role.HIDDEN, Role.OUTPUT, Role.BOTTLENECK)


@dataclass(frozen=True, slots=True)
class Slopes:
    """Exponents of one quantity.

    Args:
        key: Quantity and name.
        role: Role of the parameter; None for a whole module.
        expected: The exponent of a correct rule.
        by_seed: One exponent per seed and step; NaN where there is none.
        window: The steps that are averaged.
    """

    key: Key
    role: Role | None
    expected: float
    by_seed: Floats
    window: tuple[int, int]

    @property
    def averaged(self) -> Floats:
        """One exponent per seed."""
        first, last = self.window
        return np.asarray(self.by_seed[:, first : last + 1].mean(axis=1))


def slopes_of(
    readings: Mapping[Key, Floats],
    widths: tuple[int, ...],
    rows: Mapping[str, PlanRow],
) -> list[Slopes]:
    """Fit an exponent of width to everything that has an expected one, per seed and step.

    Args:
        readings: What was measured.
        widths: Where.
        rows: What each parameter is.
    """
    found = []
    for key, values_WST in readings.items():
        aim = expected(key, readings, rows)
        if aim is None:
            continue
        by_seed_ST = exponents(values_WST, widths)
        row = rows.get(key[1]) or rows.get(f"{key[1]}.weight")
        role = None if row is None else row.role
        for window in _windows(by_seed_ST, first_only=role is Role.FIXED):
            found.append(Slopes(key, role, aim, by_seed_ST, window))
    return found


def exponents(values_WST: Floats, widths: tuple[int, ...]) -> Floats:
    """Fit a power of width per seed and step; zero at a width has no exponent."""
    log2_W = np.log2(widths)
    weights_W = (log2_W - log2_W.mean()) / ((log2_W - log2_W.mean()) ** 2).sum()
    # Behind a zero init, or frozen.
    with np.errstate(divide="ignore", invalid="ignore"):
        logs_WST = np.where(values_WST > 0, np.log2(values_WST), np.nan)
    by_seed_ST: Floats = np.tensordot(weights_W, logs_WST, axes=1)
    return by_seed_ST


def expected(key: Key, readings: Mapping[Key, Floats], rows: Mapping[str, PlanRow]) -> float | None:
    """Give the exponent that a correct parametrization has; None where there is none to test."""
    quantity, name = key
    row = rows.get(name)
    if quantity in ("gain", "change"):
        return _of_modules(quantity, name, readings, rows)
    if quantity == "attention":
        return -0.5 if _grows(("head", name), readings) else 0.0
    if quantity == "pull":
        # A readout that is a layer of its own has a gain.
        grows = _grows(("outputs", WHOLE), readings)
        layered = any(each.role is Role.OUTPUT for each in rows.values())
        return -1.0 if ("shared", "") in readings and not grows and not layered else None
    if row is None:
        return None
    if row.role is Role.FIXED:
        tested = ("step", "update") if has_known_steps(row) else ()
        # A random bias of a few entries has no size to speak of.
        tested = tested if _is_bias(name) else (*tested, "size")
        return 0.0 if quantity in tested else None
    if quantity == "update":
        return _of_updates(row) if row.role in MATRICES else None
    return _of_parameters(quantity, row, readings)


def has_known_steps(row: PlanRow) -> bool:
    """Tell whether it is known how updates scale.

    What does not grow meets gradients of any size, and under SGD its updates follow them.
    """
    constant = update_of(row) in (Update.ENTRYWISE, Update.RELATIVE)
    return constant or row.role is not Role.FIXED


def _of_modules(
    quantity: str, name: str, readings: Mapping[Key, Floats], rows: Mapping[str, PlanRow]
) -> float | None:
    """Give the exponent of what a module makes of its input, or of how its output changes."""
    weight = rows.get(f"{name}.weight" if name else "weight")
    if _is_normed(name, readings):
        return None
    # What the author multiplies by, as far as it was watched: the layer itself is smaller by it.
    lent = 0.0 if weight is None else _lent(weight, name, readings)
    if quantity == "gain":
        return None if weight is None else (-0.5 if weight.role is Role.OUTPUT else 0.0) - lent
    owner = weight or rows.get(f"{name}.bias")
    # What follows a readout, or a table that two layers share, stands in the model's output.
    within = owner is not None and owner.role is not Role.OUTPUT
    return 0.0 - lent if within or name == WHOLE else None


def _of_parameters(quantity: str, row: PlanRow, readings: Mapping[Key, Floats]) -> float | None:
    """Give the exponent of a parameter's size, of its steps, or of what they do."""
    role, module = row.role, row.name.rpartition(".")[0]
    raw = ("gain", module) not in readings
    lent = float(row.own_power)
    # Of a raw matrix we see no output: routers, and queries and keys of heads that grow, pull at
    # the loss by a random amount at first, so that sizes are judged in place of effects.
    widening = role is Role.HIDDEN and any(
        key[0] == "head" and _grows(key, readings) for key in readings
    )
    by_size = raw and (role is Role.BOTTLENECK or widening)
    if quantity == "effect":
        if _is_normed(module, readings):
            return None
        if update_of(row) is Update.SPECTRAL:
            return (-0.5 if role is Role.BOTTLENECK else 0.0) - lent
        if role not in MATRICES or by_size:
            return None
        return 0.0 if raw else 0.0 - _lent(row, module, readings)
    if quantity == "size":
        if by_size:
            return -0.5 - lent
        return 0.0 - lent if role is Role.VECTOR or (raw and role is Role.INPUT) else None
    return 0.0 - lent if quantity == "step" and role is Role.VECTOR else None


def _is_normed(module: str, readings: Mapping[Key, Floats]) -> bool:
    """Tell a layer with a multiplier that a norm undoes, and what goes around the norm does not."""
    return abs(_power(("normed", module), readings)) > SEEN


def _lent(weight: PlanRow, module: str, readings: Mapping[Key, Floats]) -> float:
    """Give the author's own multiplier, as far as it was not measured with the layer."""
    own = float(weight.own_power)
    return own - _power(("scale", module), readings) if own else 0.0


def _power(key: Key, readings: Mapping[Key, Floats]) -> float:
    """Give the power of width of a multiplier; where it is not noted it is 1."""
    if key not in readings:
        return 0.0
    widths_W = np.nanmax(readings["width", ""], axis=(1, 2))
    values_W = np.nan_to_num(readings[key], nan=0.0).max(axis=(1, 2))
    first, last = (values_W[k] or 1.0 for k in (0, -1))
    return float(np.log2(last / first) / np.log2(widths_W[-1] / widths_W[0]))


def _of_updates(row: PlanRow) -> float:
    """Give the power of an update's norm against the weights' norm: of spectral norms, 0."""
    if update_of(row) is Update.SPECTRAL:
        return 0.0 if row.role is Role.HIDDEN else -0.5
    return -0.5 if row.role in (Role.HIDDEN, Role.BOTTLENECK) else 0.0


def _grows(key: Key, readings: Mapping[Key, Floats]) -> bool:
    """Tell a size that is not the same at every width."""
    sizes = readings.get(key, np.ones(1))
    return bool(np.nanmax(sizes) > np.nanmin(sizes))


def _windows(by_seed_ST: Floats, *, first_only: bool) -> Iterator[tuple[int, int]]:
    """Choose the first few steps that have an exponent, and the last few.

    What does not grow may have a single entry, whose steps are noisy after the first.
    """
    there = np.flatnonzero(np.isfinite(by_seed_ST).all(axis=0))
    if not len(there):
        return
    first, last = int(there[0]), int(there[-1])
    if first_only:
        yield first, first
        return
    early = (first, min(first + WINDOW - 1, last))
    yield early
    late = (max(last - WINDOW + 1, first), last)
    if late[0] > early[1] and np.isfinite(by_seed_ST[:, late[0] : late[1] + 1]).all():
        yield late


def findings(found: list[Slopes], noise: Mapping[tuple[str, str], float]) -> tuple[Finding, ...]:
    """Judge every exponent; the noise of like ones is pooled."""
    return tuple(_finding(one, noise.get(_kind(one), 0.0)) for one in found)


def pooled_noise(found: list[Slopes]) -> dict[tuple[str, str], float]:
    """Give the half-width of the interval of each kind of exponent."""
    kinds: dict[tuple[str, str], list[Floats]] = {}
    for one in found:
        kinds.setdefault(_kind(one), []).append(one.averaged)
    quantities: dict[str, list[Floats]] = {}
    for (quantity, _), members in kinds.items():
        quantities.setdefault(quantity, []).extend(members)
    halves = {}
    for kind, members in kinds.items():
        # A readout stands alone: what is like it in quantity lends a few degrees of freedom.
        squares, freedom = _squares(members)
        others, more = _squares(quantities[kind[0]])
        lent = min(LENT, more)
        total, freedom = squares + lent * others / more, freedom + lent
        error = np.sqrt(total / freedom / len(members[0]))
        halves[kind] = float(student.ppf(CONFIDENCE, freedom) * error)
    return halves


def _squares(members: list[Floats]) -> tuple[float, int]:
    """Sum the squares about each one's mean, and their degrees of freedom."""
    total = sum(float(((each - each.mean()) ** 2).sum()) for each in members)
    return total, sum(len(each) - 1 for each in members)


def _kind(one: Slopes) -> tuple[str, str]:
    """Say which exponents are alike."""
    return one.key[0], str(one.role)


def steps_of(one: Slopes) -> tuple[float | None, ...]:
    """Give the exponent at every step, averaged over seeds."""
    steps = one.by_seed.mean(axis=0).tolist()
    return tuple(x if np.isfinite(x) else None for x in steps)


def _is_bias(name: str) -> bool:
    """Tell a bias by its name: `bias_ih_l0`, too."""
    return "bias" in name.rpartition(".")[2]


def _tolerance(one: Slopes) -> tuple[float, float]:
    """Say how far off an exponent may be, below and above."""
    quantity, name = one.key
    if quantity == "change":
        return (FADING_TOLERANCE if name == WHOLE else CHANGE_TOLERANCE, CHANGE_TOLERANCE)
    if quantity == "size" and _is_bias(name):
        return FADING_BIAS, TOLERANCE
    return TOLERANCE, TOLERANCE


def _finding(one: Slopes, half: float) -> Finding:
    """Compare an interval with the tolerance."""
    slope = float(one.averaged.mean())
    off = abs(slope - one.expected)
    below, above = _tolerance(one)
    tolerance = below if slope < one.expected else above
    outcome: Outcome = "undetermined"
    if off + half < tolerance:
        outcome = "pass"
    elif off - half > tolerance:
        outcome = "fail"
    return Finding(
        quantity=one.key[0],
        name=one.key[1],
        role=str(one.role or ""),
        steps=one.window,
        expected=one.expected,
        slope=slope,
        low=slope - half,
        high=slope + half,
        outcome=outcome,
        by_step=steps_of(one),
        tolerance=(below, above),
    )
