"""Findings of a coordinate check: judged exponents, sizes against width, and broken rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "undetermined"]
Fault = Literal["init", "rate", "multiplier", "eps", "attention scale", "decay", "not known"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The exponent of width of one quantity of one parameter, layer or attention.

    Args:
        quantity: 'gain', 'size', 'pull', 'stream', 'attention', 'effect', 'step', 'update' or
            'change'.
        name: The parameter, module or attention.
        role: Role of the parameter, or '' for a whole module.
        steps: First and last step over which the exponent is averaged, counted from 0.
        expected: Exponent of a correct parametrization.
        slope: Measured exponent, averaged over seeds.
        low: Lower end of its 90 % interval.
        high: Upper end.
        outcome: 'pass' if the interval lies within the tolerance around the expected exponent,
            'fail' if it lies outside, else 'undetermined'.
        by_step: The exponent at every step; None where it is not measured.
        tolerance: The accepted deviation, below and above.
        under_sp: The exponent at every step under SP with one seed, for comparison only.
    """

    quantity: str
    name: str
    role: str
    steps: tuple[int, int]
    expected: float
    slope: float
    low: float
    high: float
    outcome: Outcome
    by_step: tuple[float | None, ...]
    tolerance: tuple[float, float]
    under_sp: tuple[float | None, ...] = ()

    @property
    def deviation(self) -> float:
        """The measured minus the expected exponent."""
        return self.slope - self.expected


@dataclass(frozen=True, slots=True)
class Curve:
    """Sizes of one quantity against width, averaged over all layers with one role.

    Args:
        quantity: As in a finding; or 'output', the size of a layer's output, which is plotted
            but not judged.
        role: The role, or '' for whole modules.
        expected: Exponent of a correct parametrization, or None.
        sizes: By step, then by width: the geometric mean over layers and seeds; None where it is
            not measured, or zero.
        fitted: The exponent of the sizes at every step.
    """

    quantity: str
    role: str
    expected: float | None
    sizes: tuple[tuple[float | None, ...], ...]
    fitted: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A broken rule, and the parameters it affects.

    Args:
        fault: The rule.
        role: Role of the parameters.
        names: The parameters, layers or attentions.
        power: The power of width by which the rule is off, on average.
        since: The first step at which it shows, counted from 0.
        text: What is wrong and where to look, in a sentence.
        likely: Whether it is inferred from updates while other rules are broken, so that it is
            likely and not certain.
    """

    fault: Fault
    role: str
    names: tuple[str, ...]
    power: float
    since: int
    text: str
    likely: bool = False
