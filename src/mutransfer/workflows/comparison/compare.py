"""Each study's own analysis beside the paper's verdict, and its loss beside the baseline's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mutransfer.analysis import Estimate, GroupReport, Report, analyze, compare_studies
from mutransfer.analysis.results import as_floats
from mutransfer.analysis.types.estimates import json_data
from mutransfer.literature import (
    OUTCOMES,
    Agreement,
    PublishedExperiment,
    agreement,
    citation,
    published_experiment,
)
from mutransfer.workflows.comparison.claims import ClaimComparison, compare_claims, tests_claims
from mutransfer.workflows.comparison.studies import (
    FinishedStudy,
    LeftOut,
    read_stored_study,
    scaled_studies,
    shipped_provenance,
    shipped_studies,
    stored_studies,
)
from mutransfer.workflows.comparison.table import Cost
from mutransfer.workflows.studies.catalog import NamedStudy

SCHEMA = 1
PAPER = "lingle2024"
BASELINE = "baseline"
SHIPPED = "the trials that ship with mutransfer"


@dataclass(frozen=True, slots=True)
class LossDifference:
    """How much worse a study is than the baseline, each at its own best rate.

    Args:
        difference: Loss minus that of the baseline; 90 % interval.
        width: The largest width that both have, or None.
        is_paired: Whether both ran the same seeds.
        parameters: Number of parameters over that of the baseline there, or None.
    """

    difference: Estimate
    width: float | None = None
    is_paired: bool = False
    parameters: float | None = None


@dataclass(frozen=True, slots=True)
class ComparedStudy:
    """One experiment: what the paper says, what our trials say, and whether they agree.

    Args:
        study: Name of the study.
        group: Name of the group within it; empty where it has one group.
        scale: 'mini' or 'paper'.
        question: The question of the study.
        published: What the paper says, or None where it has no such experiment.
        report: Our analysis.
        agreement: Whether our verdict is the paper's, and why.
        loss: The loss beside that of the baseline.
        cost: The cost of the whole study.
    """

    study: str
    group: str
    scale: str
    question: str
    published: PublishedExperiment | None
    report: GroupReport
    agreement: Agreement
    loss: LossDifference
    cost: Cost

    @property
    def name(self) -> str:
        """The study, with its group where it has several."""
        return f"{self.study}: {self.group}" if self.group else self.study

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        published = self.published
        paper = None if published is None else {
            **json_data(published),
            "verdict": {True: "transfers", False: "does not transfer", None: None}[
                published.transfers
            ],
        }  # fmt: skip
        return {
            "study": self.study,
            "group": self.group or None,
            "name": self.name,
            "scale": self.scale,
            "question": self.question,
            "agreement": json_data(self.agreement),
            "paper": paper,
            "ours": {
                "verdict": self.report.verdict,
                "reason": self.report.reason,
                "widths": [curve.width for curve in self.report.curves],
                "best_rates": [
                    {
                        "width": optimum.width,
                        "log2_lr": json_data(optimum.log2_lr),
                        "grid_log2_lr": optimum.grid_log2_lr,
                    }
                    for optimum in self.report.optimum
                ],
                "same_best_on_grid": self.report.paper_criterion,
                "regret": json_data(self.report.regret),
                "regret_share": json_data(self.report.regret_share),
                "drift": json_data(self.report.drift),
            },
            "loss_difference": json_data(self.loss),
            "cost": json_data(self.cost),
        }


@dataclass(frozen=True, slots=True)
class StudyComparison:
    """All compared studies, and where their trials are from.

    Args:
        source: The trials, in words.
        studies: One per study, or per group of a study.
        reports: The analysis of each study by its name.
        left_out: Folders that are not compared.
        provenance: How shipped trials were made; empty for the user's own.
        not_run: The paper's studies without shipped trials; empty for the user's own.
        claims: The studies of arXiv:2605.21486, which are judged claim by claim; None without any.
    """

    source: str
    studies: tuple[ComparedStudy, ...]
    reports: Mapping[str, Report]
    left_out: tuple[LeftOut, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    not_run: tuple[str, ...] = ()
    claims: ClaimComparison | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json.dump`; NaN becomes None."""
        rows = [study.to_json() for study in self.studies]
        outcomes = [row["agreement"]["outcome"] for row in rows]
        thresholds = sorted({report.threshold for report in self.reports.values()})
        return {
            "schema": SCHEMA,
            "paper": str(citation(PAPER)),
            "source": self.source,
            "thresholds": thresholds,
            "counts": {outcome: outcomes.count(outcome) for outcome in OUTCOMES},
            "studies": rows,
            "left_out": json_data(self.left_out),
            "not_run": list(self.not_run),
            "provenance": json_data(self.provenance),
            "claims": None if self.claims is None else self.claims.to_json(),
        }


def compare_with_paper(folder: str | Path | None = None) -> StudyComparison:
    """Compare studies of arXiv:2404.05728 and of arXiv:2605.21486 with the papers; train nothing.

    Args:
        folder: A folder of trial stores, one per study; by default the shipped trials.

    Raises:
        ResultsError: There are no trials to compare.
    """
    if folder is not None:
        studies, left_out = stored_studies(folder)
        return _comparison(f"'{folder}'", studies, left_out=tuple(left_out))
    studies = shipped_studies()
    shipped = {study.name for study in studies}
    not_run = [
        study.name
        for study in scaled_studies()
        if study.source_name == PAPER and study.name not in shipped
    ]
    return _comparison(SHIPPED, studies, provenance=shipped_provenance(), not_run=tuple(not_run))


def _comparison(source: str, studies: Sequence[FinishedStudy], **origin: Any) -> StudyComparison:  # noqa: ANN401
    """Compare the studies of each paper in the way that fits it."""
    compared, reports = compare_finished([study for study in studies if not tests_claims(study)])
    claims = compare_claims([study for study in studies if tests_claims(study)])
    return StudyComparison(source, compared, reports, claims=claims, **origin)


def compare_store(store: str | Path) -> tuple[ComparedStudy, ...]:
    """Compare the study of one store with the paper, and with the baseline's store beside it.

    Returns:
        One row, or one per group of the study; none where the store is not finished.
    """
    path, named = Path(store), scaled_studies()
    own = read_stored_study(path, named)
    if isinstance(own, LeftOut):
        return ()
    baseline = path.with_name(BASELINE if own.scale == "mini" else f"{BASELINE}-{own.scale}")
    studies = [own]
    if own.study.name != BASELINE and (baseline / "store.json").is_file():
        other = read_stored_study(baseline, named)
        studies += [other] if isinstance(other, FinishedStudy) else []
    compared, _ = compare_finished(studies)
    return tuple(row for row in compared if row.study == own.name)


def compare_finished(
    studies: Sequence[FinishedStudy],
) -> tuple[tuple[ComparedStudy, ...], dict[str, Report]]:
    """Analyze each study alone, and compare its loss with that of the baseline of its scale."""
    losses = _loss_differences(studies)
    compared: list[ComparedStudy] = []
    reports: dict[str, Report] = {}
    for finished in studies:
        report = reports[finished.name] = analyze(finished.results)
        compared += [
            _compared(finished, group, name if len(report) > 1 else "", report.threshold,
                      losses[finished.name])
            for name, group in report.items()
        ]  # fmt: skip
    return tuple(compared), reports


def _compared(
    finished: FinishedStudy, group: GroupReport, name: str, threshold: float, loss: LossDifference
) -> ComparedStudy:
    """Join one group's analysis with what the paper says."""
    published = published_experiment_of(finished.study)
    judged = agreement(published, group, threshold=threshold)
    if finished.study.source_name != PAPER:
        judged = replace(judged, why=f"of another source, which says: {finished.study.expected}")
    return ComparedStudy(
        study=finished.name,
        group=name,
        scale=finished.scale,
        question=finished.study.question,
        published=published,
        report=group,
        agreement=judged,
        loss=loss,
        cost=finished.table.cost,
    )


def published_experiment_of(study: NamedStudy) -> PublishedExperiment | None:
    """Return what the paper says about a study's experiment; None where it has none."""
    return None if study.experiment is None else published_experiment(study.experiment)


def _loss_differences(studies: Sequence[FinishedStudy]) -> dict[str, LossDifference]:
    """Compare the loss of each study with that of the baseline at the same scale."""
    differences = {}
    baselines = {study.scale: study for study in studies if study.study.name == BASELINE}
    for study in studies:
        baseline = baselines.get(study.scale)
        if reason := _not_comparable(study, baseline):
            differences[study.name] = LossDifference(Estimate(undetermined=reason))
        elif baseline is not None and baseline is not study:
            differences[study.name] = _loss_difference(study, baseline)
        else:
            differences[study.name] = LossDifference(Estimate(0.0, 0.0, 0.0))
    return differences


def _loss_difference(study: FinishedStudy, baseline: FinishedStudy) -> LossDifference:
    """Compare two studies at the largest width that both have."""
    pair = {study.name: study.results, baseline.name: baseline.results}
    comparison = compare_studies(pair, baseline.name)[study.name]
    sizes = [_values_at(finished, comparison.width, "parameters") for finished in (study, baseline)]
    own, other = (max(values, default=None) for values in sizes)
    return LossDifference(
        comparison.difference,
        comparison.width,
        comparison.paired,
        own / other if own and other else None,
    )


def _not_comparable(study: FinishedStudy, baseline: FinishedStudy | None) -> str:
    """Return why a study's loss cannot be compared with the baseline's; empty if it can."""
    if baseline is None:
        return "the baseline is missing: mutransfer studies run baseline"
    if study.text != baseline.text:
        return "the baseline was trained on another text"
    if set(study.table.axes) != set(baseline.table.axes):
        return "its settings are not those of the baseline"
    common = {*study.table.column("width")} & {*baseline.table.column("width")}
    if not common:
        return "it has no width in common with the baseline"
    width = max(as_floats(list(common)))
    if _values_at(study, width, "tokens") != _values_at(baseline, width, "tokens"):
        return "it was trained on another number of tokens than the baseline"
    return ""


def _values_at(study: FinishedStudy, width: float, column: str) -> set[float]:
    """Return the values of a column at a width, of trials that did not diverge."""
    return {
        float(str(row[column]))
        for row in study.table.rows
        if row["width"] == width and row["diverged_at"] is None and row[column] is not None
    }
