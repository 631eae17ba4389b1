"""Workflows: the composition root, which joins the other packages."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mutransfer.workflows.analyze import (
        AnalysisOptions,
        analyze_path,
        compare_published_laws,
        hold_out_path,
        predict_path,
        write_page,
    )
    from mutransfer.workflows.check import run_check
    from mutransfer.workflows.comparison.claims import judge_store
    from mutransfer.workflows.comparison.compare import compare_store, compare_with_paper
    from mutransfer.workflows.studies.catalog import (
        describe,
        expand,
        named_studies,
        named_study,
        study_names,
        study_text,
    )
    from mutransfer.workflows.studies.cost import named_cost, study_cost
    from mutransfer.workflows.studies.ladder import run_ladder
    from mutransfer.workflows.studies.named_run import run_named_study, sweep_study
    from mutransfer.workflows.studies.run import PreparedStudy, prepare_study, run_study
    from mutransfer.workflows.user_code import load_build, load_inputs

__all__ = [
    "AnalysisOptions",
    "PreparedStudy",
    "analyze_path",
    "compare_published_laws",
    "compare_store",
    "compare_with_paper",
    "describe",
    "expand",
    "hold_out_path",
    "judge_store",
    "load_build",
    "load_inputs",
    "named_cost",
    "named_studies",
    "named_study",
    "predict_path",
    "prepare_study",
    "run_check",
    "run_ladder",
    "run_named_study",
    "run_study",
    "study_cost",
    "study_names",
    "study_text",
    "sweep_study",
    "write_page",
]  # fmt: skip

# Resolved on first use, so that analyzing a small file loads neither torch nor the sweep driver.
_NAMES_BY_MODULE = {
    "analyze": (
        "AnalysisOptions",
        "analyze_path",
        "hold_out_path",
        "predict_path",
        "compare_published_laws",
        "write_page",
    ),
    "check": ("run_check",),
    "comparison.claims": ("judge_store",),
    "comparison.compare": ("compare_store", "compare_with_paper"),
    "studies.catalog": (
        "describe",
        "expand",
        "named_studies",
        "named_study",
        "study_names",
        "study_text",
    ),
    "studies.cost": ("named_cost", "study_cost"),
    "studies.ladder": ("run_ladder",),
    "studies.named_run": ("run_named_study", "sweep_study"),
    "studies.run": ("PreparedStudy", "prepare_study", "run_study"),
    "user_code": ("load_build", "load_inputs"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute may be anything
    for module, names in _NAMES_BY_MODULE.items():
        if name in names:
            return getattr(importlib.import_module(f"mutransfer.workflows.{module}"), name)
    raise AttributeError(f"module 'mutransfer.workflows' has no attribute '{name}'")
