"""The page of a comparison with claims: every claim, the numbers, both units, hostile names."""

from __future__ import annotations

from typing import Any

from comparison_cases import comparison, four_studies, number, reports_of
from report_cases import HOSTILE
from test_page import words

from mutransfer.report.page.studies import comparison_page


def claims(name: str = "embedding-rate") -> dict[str, Any]:
    """Return a claim of each outcome and one study, made by hand."""
    outcomes = ("agrees", "disagrees", "undetermined here", "not tested")
    transfer = {
        "verdict": "transfers",
        "regret_share": number(0.004, 0.001, 0.008),
        "drift": number(0.1, 0.0, 0.2),
    }
    group = {
        "group": name, "E": number(0.012, 0.01, 0.015), "noise_floor": number(0.001),
        "kappa": number(-0.5, -0.6, -0.4), "R_inf": number(undetermined="too few"), **transfer,
        "in_mup_gauge": {**transfer, "regret_share": number(0.002, 0.001, 0.003)},
    }  # fmt: skip
    pair = {
        "group": "sp", "reference": "mup", "width": 192.0, "loss": number(0.123, 0.1, 0.2),
        "log10_E": number(1.25, 1.0, None, "noise"), "kappa": number(0.1, 0.0, 0.2),
        "R_inf": number(0.0, -0.1, 0.1), "is_paired": True,
    }  # fmt: skip
    switch = {
        "switch": "embd", "log10": number(-1.0, -1.2, -0.8), "error": 0.11,
        "published": {"without decay": number(-0.98, -1.53, -0.44)},
    }  # fmt: skip
    return {
        "paper": "the paper of claims",
        "counts": dict.fromkeys(outcomes, 1),
        "claims": [
            {
                "claim": f"claim-{k}", "text": f"text {k}", "certainty": "in the abstract",
                "numbers": "E is 0.049 (sp)", "studies": [name], "study": name,
                "outcome": outcome, "why": f"reason {k}", "clauses": [f"reason {k}"],
            }
            for k, outcome in enumerate(outcomes)
        ],
        "studies": [
            {"study": name, "widths": [12.0, 192.0], "groups": [group], "differences": [pair],
             "cost": {"trials": 100, "trained": 90, "core_minutes": 30.0, "flops": 1e15}}
        ],
        "effects": [{"study": name, "num_hybrids": 16, "switches": [switch]}],
        "not_run": ["vocabulary"],
    }  # fmt: skip


def test_claims_alone_make_a_page_without_the_other_paper() -> None:
    shown = words(comparison_page(comparison(claims=claims()), {}))
    order = [
        "Why does µP transfer?", "1 agrees, 1 disagrees, 1 undetermined here, 1 not tested",
        "Claim by claim", "the paper of claims", "claim-0", "Text 0.", "E is 0.049 (sp)", "agrees",
        "Reason 0.", "claim-1", "disagrees", "claim-3", "not tested", "In the abstract.",
        "Effect of each switch on log10 E", "From 16 hybrids", "-1.00 [-1.20, -0.80]", "0.11",
        "-0.98 [-1.53, -0.44]", "Numbers of embedding-rate", "partly a statement about units",
        "0.012 [0.01, 0.015]", "regret in µP's units", "0.4 % [0.1 %, 0.8 %]",
        "0.2 % [0.1 %, 0.3 %]", "+1.25 [+1.00, ?]", "+0.123 [+0.100, +0.200]",
        "Where these numbers are from", "these trials: 100, 30 core minutes", "vocabulary",
    ]  # fmt: skip
    start = 0
    for text in order:
        assert text in shown[start:], text
        start += shown[start:].index(text)
    assert "Experiment by experiment" not in shown


def test_both_papers_share_a_page() -> None:
    data = {**four_studies(), "claims": claims()}
    shown = words(comparison_page(data, reports_of(four_studies())))
    assert shown.index("Experiment by experiment") < shown.index("Claim by claim")
    assert "1 agrees with the paper" in shown
    assert "Claims, by each study that tests them: 1 agrees" in shown
    assert "Papers the paper; the paper of claims" in shown


def test_hostile_names_are_escaped() -> None:
    page = comparison_page(comparison(claims=claims(HOSTILE)), {})
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
