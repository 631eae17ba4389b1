"""Sweep: from a study file to finished trials, anywhere, losing nothing."""

from mutransfer.sweep.command import CommandRun
from mutransfer.sweep.driver import Executor, SweepSummary, run_sweep
from mutransfer.sweep.fingerprint import check_function
from mutransfer.sweep.function import FunctionRun
from mutransfer.sweep.local import LocalExecutor
from mutransfer.sweep.space import check_lab_trials, expand, lab_runner, read_study, selected
from mutransfer.sweep.store import TrialStore
from mutransfer.sweep.work import Outcome, Runner

__all__ = [
    "CommandRun",
    "Executor",
    "FunctionRun",
    "LocalExecutor",
    "Outcome",
    "Runner",
    "SweepSummary",
    "TrialStore",
    "check_function",
    "check_lab_trials",
    "expand",
    "lab_runner",
    "read_study",
    "run_sweep",
    "selected",
]
