"""µ-Transfer for PyTorch: tune small, train large, and know beforehand whether it will work."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mutransfer.analysis import analyze, hold_out, load_results, predict
    from mutransfer.coordcheck import coord_check
    from mutransfer.errors import MutransferError
    from mutransfer.parametrize import apply, guard, make_plan, param_groups
    from mutransfer.report import write_report
    from mutransfer.rules import Plan, Role, explain
    from mutransfer.workflows import run_study

__version__ = "0.1.0"

__all__ = [
    "MutransferError", "Plan", "Role", "analyze", "apply", "coord_check", "explain",
    "guard", "hold_out", "load_results", "make_plan", "param_groups", "predict", "run_study",
    "write_report",
]  # fmt: skip

# Resolved on first use, so that reading results never loads torch.
_MODULES = {
    "MutransferError": "errors",
    "Plan": "rules",
    "Role": "rules",
    "analyze": "analysis",
    "apply": "parametrize",
    "coord_check": "coordcheck",
    "explain": "rules",
    "guard": "parametrize",
    "hold_out": "analysis",
    "load_results": "analysis",
    "make_plan": "parametrize",
    "param_groups": "parametrize",
    "predict": "analysis",
    "run_study": "workflows",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute may be anything
    if name not in _MODULES:
        raise AttributeError(f"module 'mutransfer' has no attribute '{name}'")
    return getattr(importlib.import_module(f"mutransfer.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
