"""Sweep: from a study file to finished trials, anywhere, losing nothing."""

from mutransfer.sweep.driver import SweepSummary, run_sweep
from mutransfer.sweep.local import LocalExecutor
from mutransfer.sweep.space import check_lab_trials, expand, lab_runner, read_study
from mutransfer.sweep.store import TrialStore
from mutransfer.sweep.work import Outcome, Runner

__all__ = [
    "LocalExecutor",
    "Outcome",
    "Runner",
    "SweepSummary",
    "TrialStore",
    "check_lab_trials",
    "expand",
    "lab_runner",
    "read_study",
    "run_sweep",
]
