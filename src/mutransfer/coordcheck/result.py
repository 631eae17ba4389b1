"""The result of a coordinate check: one outcome, its findings and diagnoses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mutransfer.coordcheck.findings import Curve, Diagnosis, Finding, Outcome
from mutransfer.coordcheck.format import format_findings, format_settings

SCHEMA = 1
STATUS: Mapping[Outcome, int] = {"pass": 0, "fail": 1, "undetermined": 3}
MEANING: Mapping[Outcome, str] = {
    "pass": "the scaling rules hold at these widths; this does not guarantee that the best "
    "learning rate transfers",
    "fail": "a scaling rule is violated; this need not mean that nothing transfers "
    "(arXiv:2610.01172)",
    "undetermined": "the measurements do not decide; the reasons below say what to change",
}


@dataclass(frozen=True, slots=True)
class CoordCheck:
    """Whether the sizes of a model's coordinates scale with width as they should.

    Args:
        outcome: 'pass', 'fail' or 'undetermined'. A pass does not guarantee transfer, and a fail
            need not mean that nothing transfers (arXiv:2610.01172).
        findings: Every exponent that was tested.
        diagnoses: The broken rules.
        notes: Observations that do not change the outcome: weight decay whose relative strength
            changes with width, products of activations without a softmax.
        power: Role -> whether a planted fault of half a power in its rate was detected.
        reasons: Why the outcome is undetermined, and what would settle it.
        settings: What was run: widths, seeds, steps, optimizer, lr, parametrization.
        curves: Sizes against width at every step, averaged over similar layers, for the plots.
        second_check: Why and how far the learning rate was lowered, where the first check was
            undetermined because of it. All of the above is that of the second check.
    """

    outcome: Outcome
    findings: tuple[Finding, ...]
    diagnoses: tuple[Diagnosis, ...]
    power: Mapping[str, bool]
    reasons: tuple[str, ...]
    settings: Mapping[str, Any]
    notes: tuple[Diagnosis, ...] = ()
    curves: tuple[Curve, ...] = ()
    second_check: str = ""

    @property
    def passed(self) -> bool:
        """Whether the outcome is 'pass'."""
        return self.outcome == "pass"

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(finding for finding in self.findings if finding.outcome == "fail")

    @property
    def status(self) -> int:
        """Exit status: 0 pass, 1 fail, 3 undetermined."""
        return STATUS[self.outcome]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "second_check": self.second_check,
            "diagnoses": [asdict(diagnosis) for diagnosis in self.diagnoses],
            "notes": [asdict(note) for note in self.notes],
            "power": dict(self.power),
            "settings": dict(self.settings),
            "findings": [asdict(finding) for finding in self.findings],
            "curves": [asdict(curve) for curve in self.curves],
        }

    def table(self) -> str:
        """Format the result for a terminal: outcome, diagnoses, one line per kind of layer."""
        detected = [role for role, is_detected in self.power.items() if is_detected]
        return "\n".join(
            [
                f"coordinate check: {self.outcome}",
                f"  {MEANING[self.outcome]}",
                f"  {format_settings(self.settings)}",
                *([f"  {self.second_check}"] if self.second_check else []),
                *(f"  {reason}" for reason in self.reasons),
                *(f"  {diagnosis.fault}: {diagnosis.text}" for diagnosis in self.diagnoses),
                *(f"  note, {note.fault}: {note.text}" for note in self.notes),
                "",
                *format_findings(self.findings),
                "  a planted fault of half a power in the learning rate is detected in: "
                f"{', '.join(detected) or 'none'}",
            ]
        )

    def __str__(self) -> str:
        return self.table()
