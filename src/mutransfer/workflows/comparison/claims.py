"""Studies of arXiv:2605.21486 beside the paper: claim by claim, with the numbers behind each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutransfer.analysis import Comparison, GroupReport
from mutransfer.analysis.types.estimates import json_data
from mutransfer.literature import (
    CLAIM_OUTCOMES,
    Evidence,
    Judgement,
    citation,
    evidence,
    judge,
    judgements,
    load_transfer_table,
    measured_effects,
    published_claims,
    switch_effects,
)
from mutransfer.workflows.comparison.studies import (
    FinishedStudy,
    LeftOut,
    read_stored_study,
    scaled_studies,
)
from mutransfer.workflows.comparison.table import Cost

PAPER = "kalra2026"
# The released cells beside our effects: those without decay, and all in which E behaves alike.
PUBLISHED_DECAYS = {"without decay": 0.0, "decays up to 0.001": 1e-3}


@dataclass(frozen=True, slots=True)
class ClaimComparison:
    """The claims of arXiv:2605.21486, each judged by the studies that test it.

    Args:
        judgements: One per claim and study that tests it.
        evidences: The analysis of each study.
        costs: The cost of each study by its name.
        not_run: The paper's studies that are not among them.
    """

    judgements: tuple[Judgement, ...]
    evidences: tuple[Evidence, ...]
    costs: Mapping[str, Cost]
    not_run: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data; NaN becomes None."""
        outcomes = [judgement.outcome for judgement in self.judgements]
        return {
            "paper": str(citation(PAPER)),
            "counts": {outcome: outcomes.count(outcome) for outcome in CLAIM_OUTCOMES},
            "claims": [judgement_data(judgement) for judgement in self.judgements],
            "studies": [_study_data(own, self.costs[own.label]) for own in self.evidences],
            "effects": [data for own in self.evidences if (data := _effects_data(own))],
            "not_run": list(self.not_run),
        }


def tests_claims(study: FinishedStudy) -> bool:
    """Return whether a study is one of arXiv:2605.21486, which is judged claim by claim."""
    return study.study.source_name == PAPER


def compare_claims(studies: Sequence[FinishedStudy]) -> ClaimComparison | None:
    """Judge every claim by finished studies of the paper; None without any.

    Args:
        studies: Finished studies of the paper, at either scale.
    """
    if not studies:
        return None
    claimed = {name for claim in published_claims().values() for name in claim.studies}
    evidences = [
        evidence(study.study.name, study.results, label=study.name)
        for study in studies
        if study.study.name in claimed
    ]
    names = {study.study.name for study in studies}
    return ClaimComparison(
        judgements=tuple(judgements(evidences)),
        evidences=tuple(evidences),
        costs={study.name: study.table.cost for study in studies},
        not_run=tuple(
            study.name
            for study in scaled_studies()
            if study.source_name == PAPER and study.name not in names
        ),
    )


def judge_store(store: str | Path) -> dict[str, Any] | None:
    """Judge the claims that the study of one store tests.

    Returns:
        JSON data with the `paper` and a row per claim in `claims`; None where the store is not
        finished, or tests no claim.
    """
    own = read_stored_study(Path(store), scaled_studies())
    if isinstance(own, LeftOut) or not tests_claims(own):
        return None
    claims = [c for c in published_claims().values() if own.study.name in c.studies]
    if not claims:
        return None
    analyzed = evidence(own.study.name, own.results, label=own.name)
    rows = [judgement_data(judge(claim, analyzed)) for claim in claims]
    return {"paper": str(citation(PAPER)), "claims": rows}


def judgement_data(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement as plain data."""
    claim = json_data(judgement.claim)
    own = {
        "study": judgement.study or None,
        "outcome": judgement.outcome,
        "why": judgement.why,
        "clauses": list(judgement.clauses),
    }
    return {"claim": claim.pop("name"), **claim, **own}


def _study_data(own: Evidence, cost: Cost) -> dict[str, Any]:
    """Return the numbers of one study: its groups, and their differences."""
    return {
        "study": own.label,
        "widths": sorted({curve.width for group in own.report.values() for curve in group.curves}),
        "groups": [_group_data(own, name, group) for name, group in own.report.items()],
        "differences": [_difference_data(comparison) for comparison in own.comparisons.values()],
        "cost": json_data(cost),
    }


def _group_data(own: Evidence, name: str, group: GroupReport) -> dict[str, Any]:
    """Return the numbers of one group, and its regret with rates in the units of µP."""
    moved = None if own.in_mup_gauge is None else own.in_mup_gauge[name]
    return {
        "group": name,
        "E": json_data(group.E),
        "noise_floor": json_data(group.scaling.errors.noise_floor),
        "kappa": json_data(group.kappa),
        "R_inf": json_data(group.R_inf),
        **_transfer_data(group),
        "in_mup_gauge": None if moved is None else _transfer_data(moved),
    }


def _transfer_data(group: GroupReport) -> dict[str, Any]:
    """Return what depends on the units of rates."""
    return {
        "verdict": group.verdict,
        "regret_share": json_data(group.regret_share),
        "drift": json_data(group.drift),
    }


def _difference_data(comparison: Comparison) -> dict[str, Any]:
    """Return the differences between two groups."""
    return {
        "group": comparison.group,
        "reference": comparison.reference,
        "width": comparison.width,
        "loss": json_data(comparison.difference),
        **json_data(comparison.metrics),
        "is_paired": comparison.paired,
    }


def _effects_data(own: Evidence) -> dict[str, Any] | None:
    """Return the effects of the switches on E beside the published ones; None with decays."""
    if own.report.group_by != ("parametrization",):
        return None
    effects = measured_effects({name: group.E for name, group in own.report.items()})
    if not effects:
        return None
    table = load_transfer_table()
    published = {
        words: {e.switch: e.log10 for e in switch_effects(table, highest=highest)}
        for words, highest in PUBLISHED_DECAYS.items()
    }
    rows = [
        {
            "switch": effect.switch,
            "log10": json_data(effect.log10),
            "error": effect.error,
            "published": {
                words: json_data(log10.get(effect.switch)) for words, log10 in published.items()
            },
        }
        for effect in effects
    ]
    return {"study": own.label, "num_hybrids": effects[0].num_cells, "switches": rows}
