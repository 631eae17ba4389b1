"""This file is reading results: analysis, report with plans, verdicts in words. No torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mutransfer.analysis import Estimate, GroupReport, Report, Results, analyze, load_results
from mutransfer.errors import StoreError
from mutransfer.rules import Plan
from mutransfer.sweep import TrialStore


def analyze_path(
    path: str | Path,
    *,
    scale: str | None = None,
    hyperparameter: str | None = None,
    group_by: Sequence[str] | None = None,
    threshold: float | None = None,
) -> tuple[Results, Report]:
    """Load a store or a CSV file and analyze it."""
    results = load_results(path)
    report = analyze(
        results,
        scale=scale,
        hyperparameter=hyperparameter,
        group_by=group_by,
        threshold=threshold,
    )
    return results, report


def stored_plans(path: str | Path) -> list[Plan]:
    """Collect the plan of each parametrization at the largest width of a lab store.

    The trainer leaves its plan in the attempt's folder; other stores have none.
    """
    try:
        store = TrialStore(path)
    except StoreError:
        return []
    plans: dict[str, Plan] = {}
    for trial_id in store.ids():
        # An attempt that has no result may have left half a plan.
        for result in sorted(store.folder(trial_id).glob("attempts/*/result.json"))[:1]:
            written = result.parent / "plan.json"
            if written.is_file() and not any(map(os.path.islink, [written, *written.parents[:2]])):
                plan = Plan.from_json(written.read_text(errors="replace"))
                best = plans.setdefault(plan.parametrization, plan)
                if plan.target > best.target:
                    plans[plan.parametrization] = plan
    return [plans[name] for name in sorted(plans)]


def report_path(
    path: str | Path,
    output: str | Path,
    *,
    results: Results,
    report: Report,
    title: str = "",
) -> Path:
    """Write the page for a store or a CSV file that was analyzed."""
    from mutransfer.report import write_report

    study = Path(path) / "study.json"
    return write_report(
        output,
        results=results,
        report=report,
        plan=stored_plans(path),
        study=study.read_text(errors="replace") if study.is_file() else "",
        title=title,
    )


def verdict_text(report: Report, unfinished: int = 0) -> str:
    """Say each group's verdict, the numbers beside it, and who is better at its own optimum."""
    blocks = [f"{unfinished} trials are unfinished"] if unfinished else []
    blocks += [_group_text(group, report) for group in report.values()]
    for c in report.comparisons:
        found = f"is {_estimate(c.difference)} nats worse than {c.reference}"
        if c.difference.value is None:
            found = f"cannot be compared with {c.reference}: {c.difference.undetermined}"
        blocks.append(f"at its own best rate, {c.group} {found} at {report.scale} {c.width:g}")
    return "\n\n".join(blocks)


def _group_text(group: GroupReport, report: Report) -> str:
    """Say one group's verdict and numbers."""
    best = ", ".join(
        f"{o.width:g}: "
        + (f"2^{o.log2_lr.value:.2f}" if o.log2_lr.value is not None else "undetermined")
        for o in group.optimum
    )
    paper = {True: "yes", False: "no", None: "not available"}[group.paper_criterion]
    regret = "not available"
    if group.regret.value is not None or group.regret.low is not None:
        shares = _estimate(group.regret_share.times(100))
        regret = f"{_estimate(group.regret)} nats, {shares} % of the best loss"
    diverged = sum(sum(curve.num_diverged) for curve in group.curves)
    lines = [
        f"{group.name}: {group.verdict}",
        f"  {group.reason}",
        f"  regret          {regret} (threshold {100 * report.threshold:g} %)",
        f"  grid regret     {_between_tried(group.grid_regret)}",
        f"  drift           {_estimate(group.drift)} octaves of "
        f"{report.hyperparameter} per octave of {report.scale}",
        f"  best {report.hyperparameter:<10} {best}",
        f"  same best rate on the grid: {paper}",
    ]
    return "\n".join([*lines, f"  diverged runs   {diverged}"] if diverged else lines)


def _between_tried(regret: Estimate) -> str:
    """Print the regret between rates that were tried."""
    if regret.value is None:
        return _estimate(regret)
    return f"{_estimate(regret)} nats, between rates that were tried"


def _estimate(estimate: Estimate) -> str:
    """Print a value with its interval, or why there is none."""
    if estimate.value is None:
        bounds = [f"at least {estimate.low:.3g}"] if estimate.low is not None else []
        return "; ".join([*bounds, estimate.undetermined or "not available"])
    if estimate.low is None and estimate.high is None:
        why = f" (no interval: {estimate.undetermined})" if estimate.undetermined else ""
        return f"{estimate.value:.3g}{why}"
    low = "?" if estimate.low is None else f"{estimate.low:.3g}"
    high = "?" if estimate.high is None else f"{estimate.high:.3g}"
    return f"{estimate.value:.3g} [{low}, {high}]"
