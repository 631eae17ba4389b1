"""Workflows: the composition root. Parts are joined here; no science lives here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mutransfer.literature.text import published_answer
    from mutransfer.report.text.report import verdict_text
    from mutransfer.report.text.snippet import prediction_answer, snippet
    from mutransfer.workflows.analyze import (
        Asked,
        analyze_path,
        predict_path,
        report_path,
        stored_plans,
    )
    from mutransfer.workflows.check import check_named
    from mutransfer.workflows.studies.ladder import Ladder, Rung, run_ladder
    from mutransfer.workflows.studies.named import (
        NamedRun,
        NamedStudy,
        named_studies,
        named_study,
        run_named,
        study_text,
    )
    from mutransfer.workflows.studies.run import Prepared, StudyRun, prepare, run_study
    from mutransfer.workflows.user_code import build_named, inputs_named

__all__ = [
    "Asked",
    "Ladder",
    "NamedRun",
    "NamedStudy",
    "Prepared",
    "Rung",
    "StudyRun",
    "analyze_path",
    "build_named",
    "check_named",
    "inputs_named",
    "named_studies",
    "named_study",
    "predict_path",
    "prediction_answer",
    "prepare",
    "published_answer",
    "report_path",
    "run_ladder",
    "run_named",
    "run_study",
    "snippet",
    "stored_plans",
    "study_text",
    "verdict_text",
]

# Resolved on first use: reading a small file must not wait for what runs sweeps.
_HOMES = {
    "Asked": "workflows.analyze",
    "Ladder": "workflows.studies.ladder",
    "NamedRun": "workflows.studies.named",
    "NamedStudy": "workflows.studies.named",
    "Prepared": "workflows.studies.run",
    "Rung": "workflows.studies.ladder",
    "StudyRun": "workflows.studies.run",
    "analyze_path": "workflows.analyze",
    "build_named": "workflows.user_code",
    "check_named": "workflows.check",
    "inputs_named": "workflows.user_code",
    "named_studies": "workflows.studies.named",
    "named_study": "workflows.studies.named",
    "predict_path": "workflows.analyze",
    "prediction_answer": "report.text.snippet",
    "prepare": "workflows.studies.run",
    "published_answer": "literature.text",
    "report_path": "workflows.analyze",
    "run_ladder": "workflows.studies.ladder",
    "run_named": "workflows.studies.named",
    "run_study": "workflows.studies.run",
    "snippet": "report.text.snippet",
    "stored_plans": "workflows.analyze",
    "study_text": "workflows.studies.named",
    "verdict_text": "report.text.report",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute may be anything
    if name not in _HOMES:
        raise AttributeError(f"module 'mutransfer.workflows' has no attribute '{name}'")
    return getattr(importlib.import_module(f"mutransfer.{_HOMES[name]}"), name)
