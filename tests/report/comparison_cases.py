"""Comparisons with a paper as JSON data, made by hand, with the analysis behind their curves."""

from __future__ import annotations

from typing import Any

from report_cases import planted_results

from mutransfer.analysis import Report, analyze


def number(
    value: float | None = None,
    low: float | None = None,
    high: float | None = None,
    undetermined: str | None = None,
) -> dict[str, Any]:
    """Return an estimate."""
    return {"value": value, "low": low, "high": high, "undetermined": undetermined}


def paper(verdict: str | None, *, share: float | None = None, **changes: Any) -> dict[str, Any]:
    """Return what the paper says: with cells if there is a regret."""
    has_cells = share is not None
    return {
        "name": "experiment", "title": "a change", "verdict": verdict,
        "certainty": "marked in Table 1", "widths": [128.0, 512.0, 2048.0],
        "grid_log2_lr": [-6.0, -6.0, -8.0] if has_cells else [],
        "regrets": [{"width": 2048.0, "nats": 2.5 * share, "share": share}] if has_cells else [],
        "loss_difference": None, "loss_in_words": "slightly better", "remark": "",
        "cautions": [],
    } | changes  # fmt: skip


def row(
    name: str,
    outcome: str,
    verdict: str,
    published: dict[str, Any] | None,
    *,
    share: dict[str, Any] | None = None,
    drift: dict[str, Any] | None = None,
    why: str = "the reason",
) -> dict[str, Any]:
    """Return one study of a comparison."""
    return {
        "study": name, "group": None, "name": name, "scale": "mini", "question": "does it?",
        "agreement": {
            "outcome": outcome, "why": why, "cause": "criterion" * (outcome == "disagrees")
        },
        "paper": published,
        "ours": {
            "verdict": verdict, "reason": "carrying it costs that", "widths": [32.0, 64.0, 128.0],
            "best_rates": [
                {"width": width, "log2_lr": number(-4.25, -4.5, -4.0), "grid_log2_lr": -4.0}
                for width in (32.0, 64.0, 128.0)
            ],
            "same_best_on_grid": verdict == "transfers",
            "regret": number(0.01, 0.0, 0.02),
            "regret_share": share or number(0.002, 0.0, 0.004),
            "drift": drift or number(0.01, -0.05, 0.07),
        },
        "loss_difference": {
            "difference": number(0.012, 0.01, 0.014), "width": 128.0, "is_paired": True,
            "parameters": 1.25,
        },
        "cost": {"trials": 30, "trained": 20, "core_minutes": 12.5, "flops": 1e15},
    }  # fmt: skip


def comparison(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a comparison of these studies."""
    outcomes = [row["agreement"]["outcome"] for row in rows]
    kinds = ("agrees", "disagrees", "undetermined here", "not reported by the paper")
    return {
        "schema": 1, "paper": "the paper", "source": "these trials", "thresholds": [0.01],
        "counts": {kind: outcomes.count(kind) for kind in kinds},
        "studies": list(rows), "left_out": [], "not_run": [], "provenance": {}, "claims": None,
    } | changes  # fmt: skip


def four_studies() -> dict[str, Any]:
    """Return one study of each outcome, in another order than that of the page."""
    drifting, wide = number(0.031, 0.028, 0.034), number(-0.6, -0.7, -0.5)
    return comparison(
        row("new", "not reported by the paper", "transfers", None),
        row("flat", "undetermined here", "undetermined", paper("transfers"),
            share=number(None, 0.004, None, "it diverged"), drift=number(undetermined="edge")),
        row("lion", "disagrees", "transfers", paper("does not transfer", share=0.0032)),
        row("gains", "agrees", "does not transfer", paper("does not transfer", share=0.0204),
            share=drifting, drift=wide),
    )  # fmt: skip


def reports_of(data: dict[str, Any]) -> dict[str, Report]:
    """Return a planted analysis for every study."""
    report = analyze(planted_results(("mup",)), group_by=())
    return {row["name"]: report for row in data["studies"]}
