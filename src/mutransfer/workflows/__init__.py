"""Workflows: the composition root. Parts are joined here; no science lives here."""

from mutransfer.workflows.demo import Demo, demo_study, run_demo
from mutransfer.workflows.models import build_named
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
    "Demo",
    "Prepared",
    "StudyRun",
    "analyze_path",
    "build_named",
    "demo_study",
    "predict_path",
    "prediction_answer",
    "prepare",
    "published_answer",
    "report_path",
    "run_demo",
    "run_study",
    "snippet",
    "stored_plans",
    "verdict_text",
]
