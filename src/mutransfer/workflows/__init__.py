"""Workflows: the composition root. Parts are joined here; no science lives here."""

from mutransfer.workflows.demo import Demo, demo_study, run_demo
from mutransfer.workflows.models import build_named
from mutransfer.workflows.reading import (
    analyze_path,
    report_path,
    stored_plans,
    verdict_text,
)
from mutransfer.workflows.studies import Prepared, StudyRun, prepare, run_study

__all__ = [
    "Demo",
    "Prepared",
    "StudyRun",
    "analyze_path",
    "build_named",
    "demo_study",
    "prepare",
    "report_path",
    "run_demo",
    "run_study",
    "stored_plans",
    "verdict_text",
]
