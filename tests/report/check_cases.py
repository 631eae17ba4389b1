"""Handmade coordinate checks with known answers."""

from __future__ import annotations

from typing import Any

from mutransfer.coordcheck import CoordCheck, Diagnosis, Finding
from mutransfer.coordcheck.findings import Outcome


def finding(
    quantity: str = "effect",
    name: str = "2.weight",
    role: str = "hidden",
    *,
    expected: float = 0.0,
    slope: float = 0.03,
    outcome: Outcome = "pass",
    steps: tuple[int, int] = (1, 3),
    by_step: tuple[float | None, ...] = (None, 0.01, 0.03, 0.05, 0.04),
) -> Finding:
    tolerance = {"change": (0.6 if name == "(output)" else 0.35, 0.35)}.get(quantity, (0.25, 0.25))
    interval = slope - 0.04, slope + 0.04
    return Finding(
        quantity, name, role, steps, expected, slope, *interval, outcome, by_step, tolerance
    )


def check(
    *findings: Finding,
    outcome: Outcome = "pass",
    diagnoses: tuple[Diagnosis, ...] = (),
    reasons: tuple[str, ...] = (),
    **settings: Any,
) -> CoordCheck:
    defaults = {
        "widths": [32, 64, 128], "seeds": 3, "steps": 4, "lr": 2**-6, "optimizer": "adamw",
        "parametrization": "mup", "form": "table-3", "dtype": "float32", "device": "cpu",
    }  # fmt: skip
    power = {"hidden": True, "output": outcome != "undetermined"}
    return CoordCheck(outcome, findings, diagnoses, power, reasons, defaults | settings)


def failing(name: str = "2.weight", text: str = "look at lr_factor") -> CoordCheck:
    """Return a check that fails: one layer early and late, and one that is undetermined."""
    rising = (None, 0.91, 0.97, 1.02, 1.13)
    return check(
        finding(name=name, slope=0.9712, outcome="fail", by_step=rising),
        finding(name=name, slope=1.0834, outcome="fail", by_step=rising, steps=(2, 4)),
        finding(name="4.weight", slope=0.2468, outcome="undetermined"),
        finding(name="6.weight", slope=0.0357),
        finding(
            "gain", "8", "output", expected=-0.5, slope=-0.4821, steps=(0, 0),
            by_step=(-0.4821, None, None, None, None),
        ),
        finding("change", "(output)", "", slope=0.3131),
        outcome="fail",
        diagnoses=(Diagnosis("rate", "hidden", (name, "4.weight"), 1.0, 0, text),),
        reasons=("too noisy: add seeds",),
    )  # fmt: skip
