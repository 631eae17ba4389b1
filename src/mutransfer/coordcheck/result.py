"""This file is what a coordinate check answers: findings, diagnoses, one outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["pass", "fail", "undetermined"]
Fault = Literal["init", "rate", "multiplier", "eps", "attention scale", "decay", "not known"]

SCHEMA = 1
STATUS: Mapping[Outcome, int] = {"pass": 0, "fail": 1, "undetermined": 3}


@dataclass(frozen=True, slots=True)
class Finding:
    """One quantity of one parameter, layer or attention, against width.

    Args:
        quantity: 'gain', 'size', 'pull', 'effect', 'step', 'update', 'change' or 'attention'.
        name: The parameter, module or attention.
        role: Role of the parameter, or '' for a whole module.
        steps: First and last step that it is measured over.
        expected: Exponent of width that a correct parametrization has.
        slope: Exponent that was measured, averaged over seeds.
        low: Lower end of its 90 % interval.
        high: Upper end.
        outcome: 'pass' if the interval lies within the tolerance of what is expected, 'fail' if
            it lies outside, else 'undetermined'.
        by_step: The exponent at every step; None where it is not measured.
        tolerance: How far off the exponent may be, below and above.
        under_sp: The exponent at every step under SP, of one seed; for the eye, never judged.
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
    def off(self) -> float:
        """By how much the exponent differs from what is expected."""
        return self.slope - self.expected


@dataclass(frozen=True, slots=True)
class Curve:
    """Sizes of one quantity against width, of all layers with one role together.

    Args:
        quantity: As in a finding; or 'output', the size of what layers give, which is drawn for
            the eye and never judged.
        role: The role, or '' for whole modules.
        expected: Exponent of width of a correct parametrization; None where there is none.
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
    """A rule that is broken, and for which parameters.

    Args:
        fault: The rule.
        role: Role of the parameters.
        names: The parameters, layers or attentions.
        power: The power of width by which the rule is off, on average.
        since: The first update at which it shows, counted from 0.
        text: What to look at, in a sentence.
    """

    fault: Fault
    role: str
    names: tuple[str, ...]
    power: float
    since: int
    text: str


@dataclass(frozen=True, slots=True)
class CoordCheck:
    """Whether a model's coordinates keep their size as width grows.

    Args:
        outcome: 'pass', 'fail' or 'undetermined'.
        findings: Everything that was tested.
        diagnoses: The broken rules, if there are any.
        notes: What is not decided here and does not change the outcome: weight decay whose
            share of the weights changes with width, products of activations that no softmax
            follows.
        power: Role -> whether a planted fault of its rate, a half power, was caught.
        reasons: Why the outcome is undetermined, and what would settle it.
        settings: What was run: widths, seeds, steps, optimizer, lr, parametrization.
        curves: Sizes against width at every step, of like layers together: the usual picture.
    """

    outcome: Outcome
    findings: tuple[Finding, ...]
    diagnoses: tuple[Diagnosis, ...]
    power: Mapping[str, bool]
    reasons: tuple[str, ...]
    settings: Mapping[str, Any]
    notes: tuple[Diagnosis, ...] = ()
    curves: tuple[Curve, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything passed."""
        return self.outcome == "pass"

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(one for one in self.findings if one.outcome == "fail")

    @property
    def status(self) -> int:
        """Exit status: 0 pass, 1 fail, 3 undetermined."""
        return STATUS[self.outcome]

    def to_json(self) -> dict[str, Any]:
        """Give plain data for `json.dump`."""
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "diagnoses": [asdict(one) for one in self.diagnoses],
            "notes": [asdict(one) for one in self.notes],
            "power": dict(self.power),
            "settings": dict(self.settings),
            "findings": [asdict(one) for one in self.findings],
            "curves": [asdict(one) for one in self.curves],
        }

    def table(self) -> str:
        """Write the answer for a terminal: verdict, diagnoses, and one line per kind of layer."""
        from mutransfer.coordcheck.format import table

        return table(self)

    def __str__(self) -> str:
        return self.table()
