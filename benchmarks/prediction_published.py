"""Predictions of the best rate on published sweeps, the largest scale left out.

    python benchmarks/prediction_published.py [--step-law steplaw/data] [--loss "smooth loss"]

For every held-out case and every rule: error in octaves, share within a quarter, regret of the
predicted rate on the observed curve, coverage and length of the 90 % interval.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from published_cases import Case, all_cases
from published_rules import RULES, Predictor

QUARTER = 0.25  # octaves


@dataclass(frozen=True)
class Score:
    """One prediction against what was observed.

    Args:
        error: Octaves above the observed best rate; NaN where either is undetermined.
        regret: Excess loss of the predicted rate on the observed curve, a share of the best loss.
        low: Lower end of the 90 % interval minus the observed rate, NaN without one.
        high: Upper end, likewise.
    """

    error: float
    regret: float
    low: float
    high: float


def score(case: Case, predictor: Predictor) -> Score:
    """Predict a case and compare."""
    value, low, high = predictor(
        case.cells, {scale: case.target.scales[scale] for scale in case.scales}
    )
    observed = case.target.log2_lr
    truth = math.nan if observed is None else observed
    regret = math.nan if value is None else case.target.regret_of(value)[0]
    return Score(
        math.nan if value is None else value - truth,
        regret,
        math.nan if low is None else low - truth,
        math.nan if high is None else high - truth,
    )


def scores(cases: Sequence[Case], predictor: Predictor) -> list[Score]:
    """Predict every case and compare."""
    return [score(case, predictor) for case in cases]


HEADER = (
    "rule", "cases", "errors", "median", "rmse", "within", "regret mean", "median", "p90", "max",
    "intervals", "cover", "length", "seconds",
)  # fmt: skip


def row(name: str, cases: Sequence[Case], predictor: Predictor) -> list[str]:
    """Return one line of the table."""
    start = time.perf_counter()
    all_scores = scores(cases, predictor)
    seconds = time.perf_counter() - start
    error = np.array([s.error for s in all_scores])
    error = np.abs(error[np.isfinite(error)])
    regret = np.array([s.regret for s in all_scores])
    regret = 100 * regret[np.isfinite(regret)]
    ends = np.array([[s.low, s.high] for s in all_scores]).reshape(-1, 2)
    ends = ends[np.isfinite(ends).all(axis=1)]
    if not len(error) or not len(regret):
        return [name, str(len(cases)), str(len(error))]
    covers = (ends[:, 0] <= 0) & (ends[:, 1] >= 0)
    return [
        name,
        str(len(cases)),
        str(len(error)),
        f"{np.median(error):.2f}",
        f"{math.sqrt(float((error**2).mean())):.2f}",
        f"{100 * (error <= QUARTER).mean():.0f} %",
        f"{regret.mean():.3f}",
        f"{np.median(regret):.2f}",
        f"{np.quantile(regret, 0.9):.2f}",
        f"{regret.max():.2f} %",
        str(len(ends)),
        f"{100 * covers.mean():.0f} %" if len(ends) else "",
        f"{np.median(ends[:, 1] - ends[:, 0]):.2f}" if len(ends) else "",
        f"{seconds:.1f}",
    ]


def table(title: str, cases: Sequence[Case], rules: dict[str, Predictor]) -> str:
    """Format the table of one set of cases."""
    lines = [f"\n## {title}\n", f"| {' | '.join(HEADER)} |", "|" + " --- |" * len(HEADER)]
    for name, predictor in rules.items():
        lines.append(f"| {' | '.join(row(name, cases, predictor))} |")
    return "\n".join(lines)


def compare_rules(
    rules: dict[str, Predictor], folder: Path | None, loss: str = "smooth loss"
) -> None:
    """Print the tables of these rules for every set of cases."""
    for title, cases in all_cases(folder, loss).items():
        is_joint = "all cells" in title
        chosen = {
            name: rule
            for name, rule in rules.items()
            if not is_joint or name not in RULES or name == "plane"
        }
        print(table(title, cases, chosen), flush=True)


def main() -> None:
    """Print the tables of all rules."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--step-law", type=Path, help="the folder `data` of step-law/steplaw")
    parser.add_argument("--loss", default="smooth loss", help="its column of losses")
    options = parser.parse_args()
    compare_rules(RULES, options.step_law, options.loss)


if __name__ == "__main__":
    main()
