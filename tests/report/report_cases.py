"""Results with known answers, from planted curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from mutransfer.analysis import (
    Estimate,
    GroupReport,
    Prediction,
    Report,
    Results,
    analyze,
    predict_groups,
)
from mutransfer.analysis.types.scaling import FastTransfer, FitErrors, Laws, Scaling
from mutransfer.rules import Plan, Role
from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts

WIDTHS = (32, 64, 128)
RATES = tuple(range(-9, 0))
HOSTILE = "<script>alert(1)</script>' \" & \u2028 datum.loss"


def planted_results(
    groups: Sequence[str] = ("mup", "sp"),
    *,
    drifting: Sequence[str] = ("sp",),
    widths: Sequence[int] = WIDTHS,
    rates: Sequence[float] = RATES,
    seeds: int = 2,
    diverges_above: float = 4.2,
) -> Results:
    """Plant curves with the optimum at 2^-4, or one octave lower per doubling of the width.

    At `diverges_above` octaves over the optimum and beyond, every seed diverges.
    """
    rng = np.random.default_rng(0)
    columns: dict[str, list[bool | int | float | str | None]] = {
        name: [] for name in ("parametrization", "width", "lr", "seed", "loss")
    }
    for group in groups:
        for k, width in enumerate(widths):
            best = -4.0 - (k if group in drifting else 0.0)
            for seed in range(seeds):
                shift = rng.normal(0.0, 0.003)
                for rate in rates:
                    octaves = rate - best
                    loss = 2.45 - 0.11 * k + 0.025 * octaves**2 + shift + rng.normal(0.0, 0.002)
                    row = (group, width, 2.0**rate, seed)
                    for name, value in zip(columns, row, strict=False):
                        columns[name].append(value)
                    columns["loss"].append(math.nan if octaves > diverges_above else float(loss))
    return Results.from_columns(columns, source="planted")


def report_of(results: Results) -> Report:
    """Analyze with as few draws as there may be."""
    return analyze(results, group_by="parametrization", draws=1000)


def scaling_results(
    groups: Sequence[str] = ("mup", "sp"),
    *,
    drifts: Mapping[str, float] | None = None,
    gaps: Mapping[str, float] | None = None,
) -> Results:
    """Plant power laws over five widths: a drift of the best rate, and a gap of the floor."""
    rng = np.random.default_rng(1)
    drifts = {"sp": -0.5} if drifts is None else drifts
    gaps = {"sp": 0.05} if gaps is None else gaps
    columns: dict[str, list[bool | int | float | str | None]] = {
        name: [] for name in ("parametrization", "width", "lr", "seed", "loss")
    }
    for group in groups:
        for k, width in enumerate((64, 128, 256, 512, 1024)):
            reducible = 6.0 * width**-0.45
            for seed in range(3):
                shift = rng.normal(0.0, 0.003)
                for rate in RATES:
                    octaves = rate + 4.0 - k * drifts.get(group, 0.0)
                    loss = 2.0 + gaps.get(group, 0.0) + reducible * (1 + 0.05 * octaves**2)
                    noisy = float(loss + shift + rng.normal(0.0, 0.002))
                    row = (group, width, 2.0**rate, seed, noisy)
                    for name, value in zip(columns, row, strict=True):
                        columns[name].append(value)
    return Results.from_columns(columns, source="planted")


def predictions_of(results: Results, width: float = 16384) -> list[Prediction]:
    """Predict for every group with as few draws as there may be."""
    return predict_groups(results, width=width, group_by="parametrization", draws=1000)


def no_scaling(reason: str = "two widths: add one") -> Scaling:
    """Return the scaling of a group of which nothing could be estimated."""
    no = Estimate(undetermined=reason)
    return Scaling(
        Laws(no, no, no, no, no, no, no, no), no, no, no, no, FitErrors(no, no, no, no, no, no),
        FastTransfer("undetermined", no, no), (), no, (),
    )  # fmt: skip


def report_of_groups(groups: Mapping[str, GroupReport], threshold: float = 0.01) -> Report:
    """Put groups made by hand into a report."""
    grouped = ("parametrization",)
    return Report(groups, threshold, "width", "lr", grouped, (), "", 1.1, (), 1000, 0)


def plan() -> Plan:
    """Plan a small model four times as wide as its base."""
    own = OwnInit(rms=0.02, error=0.01, exponent=Fraction(0), ratio=Fraction(4))
    four, one = Fraction(4), Fraction(1)
    facts = [
        ParameterFacts("embedding.weight", (256, 128), Role.INPUT, one, four, own),
        *(
            ParameterFacts(f"blocks.{k}.up.weight", (512, 128), Role.HIDDEN, four, four, own)
            for k in range(3)
        ),
        ParameterFacts("head.weight", (256, 128), Role.OUTPUT, four, one, own),
    ]
    return plan_from_facts(facts, base=32, target=128)
