"""The equivalence test: fitted exponents of width against those of a correct parametrization."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from mutransfer.coordcheck.findings import Finding, Outcome
from mutransfer.coordcheck.judgement.expected import expected_exponent, is_bias
from mutransfer.coordcheck.runs.probes import MODEL_OUTPUT, Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import PlanRow, Role

# Shape legend: W widths, S seeds, T steps.

TOLERANCE = 0.25  # half of the smallest error that a rule can have [derived: docs/verify.md]
# A layer's change contains, next to what the loss asks for, a random part that fades as width
# outgrows the number of rows: the exponent of a correct decoder was -0.20 to -0.27. Rates are
# judged by effects, which do not contain it. [measured: docs/verify.md]
CHANGE_TOLERANCE = 0.35
# The noise of a random readout fades as width^-1/2, and the model's output with it. Updates that
# are too small show in the effects. [derived: readout init of Table 8]
FADING_TOLERANCE = 0.6
# A bias that is too small can grow in training, and torch's default fades with width. [assumed]
FADING_BIAS_TOLERANCE = 2.0
CONFIDENCE = 0.95  # of each one-sided test: equivalence takes two [derived: TOST]
BORROWED_DOF = 3  # degrees of freedom from other kinds of the same quantity [assumed]
WINDOW = 3  # steps over which an exponent is averaged, early and late [assumed]


@dataclass(frozen=True, slots=True)
class Slopes:
    """Fitted exponents of one quantity, and the exponent of a correct parametrization."""

    key: Key
    role: Role | None  # None for a whole module
    expected: float
    by_seed: Floats  # by seed and step; NaN where no exponent is defined
    window: tuple[int, int]  # first and last of the steps that are averaged

    @property
    def per_seed(self) -> Floats:
        """One exponent per seed."""
        first, last = self.window
        return np.asarray(self.by_seed[:, first : last + 1].mean(axis=1))

    @property
    def by_step(self) -> tuple[float | None, ...]:
        """The exponent at every step, averaged over seeds."""
        return tuple(x if np.isfinite(x) else None for x in self.by_seed.mean(axis=0).tolist())

    @property
    def kind(self) -> tuple[str, str]:
        """Quantity and role: exponents of one kind share their noise."""
        return self.key[0], str(self.role)


def fit_slopes(
    readings: Mapping[Key, Floats], widths: tuple[int, ...], rows: Mapping[str, PlanRow]
) -> list[Slopes]:
    """Fit an exponent of width to every quantity with an expected one, per seed and step."""
    slopes = []
    for key, values_WST in readings.items():
        expected = expected_exponent(key, readings, rows)
        if expected is None:
            continue
        by_seed_ST = exponents(values_WST, widths)
        row = rows.get(key[1]) or rows.get(f"{key[1]}.weight")
        role = None if row is None or key[0] in ("pull", "stream") else row.role
        for window in _windows(by_seed_ST, first_only=role is Role.FIXED):
            slopes.append(Slopes(key, role, expected, by_seed_ST, window))
    return slopes


def exponents(values_WST: Floats, widths: tuple[int, ...]) -> Floats:
    """Fit a power of width per seed and step; NaN where a value is zero or missing."""
    log2_W = np.log2(widths)
    weights_W = (log2_W - log2_W.mean()) / ((log2_W - log2_W.mean()) ** 2).sum()
    # Values are zero behind a zero init, and where a parameter is frozen.
    with np.errstate(divide="ignore", invalid="ignore"):
        logs_WST = np.where(values_WST > 0, np.log2(values_WST), np.nan)
    by_seed_ST: Floats = np.tensordot(weights_W, logs_WST, axes=1)
    return by_seed_ST


def _windows(by_seed_ST: Floats, *, first_only: bool) -> Iterator[tuple[int, int]]:
    """Yield the first few steps that have an exponent, then the last few."""
    steps = np.flatnonzero(np.isfinite(by_seed_ST).all(axis=0))
    if not len(steps):
        return
    first, last = int(steps[0]), int(steps[-1])
    if first_only:  # a fixed parameter may have a single entry, which is noisy after the first step
        yield first, first
        return
    early = (first, min(first + WINDOW - 1, last))
    yield early
    late = (max(last - WINDOW + 1, first), last)
    if late[0] > early[1] and np.isfinite(by_seed_ST[:, late[0] : late[1] + 1]).all():
        yield late


def pooled_noise(slopes: list[Slopes]) -> dict[tuple[str, str], float]:
    """Return the half-width of the 90 % interval of each kind of exponent."""
    by_kind: dict[tuple[str, str], list[Floats]] = {}
    by_quantity: dict[str, list[Floats]] = {}
    for slope in slopes:
        by_kind.setdefault(slope.kind, []).append(slope.per_seed)
        by_quantity.setdefault(slope.key[0], []).append(slope.per_seed)
    half_widths = {}
    for kind, members in by_kind.items():
        # A model may have a single readout, so each kind borrows a few degrees of freedom from the
        # other kinds of its quantity.
        squares, dof = _squares(members)
        all_squares, all_dof = _squares(by_quantity[kind[0]])
        borrowed = min(BORROWED_DOF, all_dof)
        total, dof = squares + borrowed * all_squares / all_dof, dof + borrowed
        error = np.sqrt(total / dof / len(members[0]))
        half_widths[kind] = float(student.ppf(CONFIDENCE, dof) * error)
    return half_widths


def _squares(members: list[Floats]) -> tuple[float, int]:
    """Return the sum of squared deviations from each member's mean, and the degrees of freedom."""
    total = sum(float(((member - member.mean()) ** 2).sum()) for member in members)
    return total, sum(len(member) - 1 for member in members)


def judge(slopes: list[Slopes], noise: Mapping[tuple[str, str], float]) -> tuple[Finding, ...]:
    """Compare the interval of every exponent with its tolerance."""
    return tuple(_finding(slope, noise.get(slope.kind, 0.0)) for slope in slopes)


def _finding(slopes: Slopes, half_width: float) -> Finding:
    """Judge one exponent."""
    slope = float(slopes.per_seed.mean())
    deviation = abs(slope - slopes.expected)
    below, above = _tolerance(slopes)
    tolerance = below if slope < slopes.expected else above
    outcome: Outcome = "undetermined"
    if deviation + half_width < tolerance:
        outcome = "pass"
    elif deviation - half_width > tolerance:
        outcome = "fail"
    return Finding(
        quantity=slopes.key[0],
        name=slopes.key[1],
        role=str(slopes.role or ""),
        steps=slopes.window,
        expected=slopes.expected,
        slope=slope,
        low=slope - half_width,
        high=slope + half_width,
        outcome=outcome,
        by_step=slopes.by_step,
        tolerance=(below, above),
    )


def _tolerance(slopes: Slopes) -> tuple[float, float]:
    """Return the accepted deviation, below and above."""
    quantity, name = slopes.key
    if quantity == "change":
        return (FADING_TOLERANCE if name == MODEL_OUTPUT else CHANGE_TOLERANCE, CHANGE_TOLERANCE)
    if quantity == "size" and is_bias(name):
        return FADING_BIAS_TOLERANCE, TOLERANCE
    return TOLERANCE, TOLERANCE
