"""Workflows: the composition root. Parts are joined here; no science lives here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mutransfer.workflows.checking import check_named
    from mutransfer.workflows.ladder import Ladder, Rung, run_ladder
    from mutransfer.workflows.models import build_named, inputs_named
    from mutransfer.workflows.named import (
        NamedRun,
        NamedStudy,
        named_studies,
        named_study,
        run_named,
        study_text,
    )
    from mutransfer.workflows.published import published_answer
    from mutransfer.workflows.reading import (
        Asked,
        analyze_path,
        predict_path,
        report_path,
        stored_plans,
    )
    from mutransfer.workflows.recommending import prediction_answer, snippet
    from mutransfer.workflows.studies import Prepared, StudyRun, prepare, run_study
    from mutransfer.workflows.telling import verdict_text

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
    "Asked": "reading",
    "Ladder": "ladder",
    "NamedRun": "named",
    "NamedStudy": "named",
    "Prepared": "studies",
    "Rung": "ladder",
    "StudyRun": "studies",
    "analyze_path": "reading",
    "build_named": "models",
    "check_named": "checking",
    "inputs_named": "models",
    "named_studies": "named",
    "named_study": "named",
    "predict_path": "reading",
    "prediction_answer": "recommending",
    "prepare": "studies",
    "published_answer": "published",
    "report_path": "reading",
    "run_ladder": "ladder",
    "run_named": "named",
    "run_study": "studies",
    "snippet": "recommending",
    "stored_plans": "reading",
    "study_text": "named",
    "verdict_text": "telling",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute may be anything
    if name not in _HOMES:
        raise AttributeError(f"module 'mutransfer.workflows' has no attribute '{name}'")
    return getattr(importlib.import_module(f"mutransfer.workflows.{_HOMES[name]}"), name)
