"""Sweeps: a study file becomes trials, and a driver runs those that have no result yet.

`driver` hands trials to an executor (where trials run). A worker claims a trial (`store.claims`),
calls a runner (what trains), and publishes the result (`trial_run`) in the store.
"""

from mutransfer.sweep.driver import Executor, SweepSummary, run_sweep
from mutransfer.sweep.executors.local import LocalExecutor
from mutransfer.sweep.lab_trials import check_lab_trials, lab_runner, lab_trials, sharing_notes
from mutransfer.sweep.runners.command import CommandRun
from mutransfer.sweep.runners.fingerprint import check_function
from mutransfer.sweep.runners.function import FunctionRun
from mutransfer.sweep.search.grid import grid_trials, select_trials
from mutransfer.sweep.store.store import TrialStore
from mutransfer.sweep.study_file import read_study
from mutransfer.sweep.trial_run import Outcome

__all__ = [
    "CommandRun", "Executor", "FunctionRun", "LocalExecutor", "Outcome", "SweepSummary",
    "TrialStore", "check_function", "check_lab_trials", "grid_trials", "lab_runner",
    "lab_trials", "read_study", "run_sweep", "select_trials", "sharing_notes",
]  # fmt: skip
