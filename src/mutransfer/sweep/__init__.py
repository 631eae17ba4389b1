"""Sweep: from a study file to finished trials, anywhere, losing nothing."""

from mutransfer.sweep.driver import Executor, SweepSummary, run_sweep
from mutransfer.sweep.executors.local import LocalExecutor
from mutransfer.sweep.runners.command import CommandRun
from mutransfer.sweep.runners.fingerprint import check_function
from mutransfer.sweep.runners.function import FunctionRun
from mutransfer.sweep.search.grid import check_lab_trials, expand, lab_runner, read_study, selected
from mutransfer.sweep.store.store import TrialStore
from mutransfer.sweep.trial_run import Outcome, Runner

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
