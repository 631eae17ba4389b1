"""Data models for studies, trials and results: frozen, strictly validated, stored as JSON."""

from mutransfer.records.lab import DatasetTable, LabSettings
from mutransfer.records.ladder import LadderSpec
from mutransfer.records.program.command import CommandTable
from mutransfer.records.study import StudySpec
from mutransfer.records.tables.analysis import AnalysisTable
from mutransfer.records.tables.lab import LabTable
from mutransfer.records.trial import (
    AxisValue,
    CallableRunner,
    CommandRunner,
    LabRunner,
    TrialResult,
    TrialSpec,
    lab_settings,
)

__all__ = [
    "AnalysisTable", "AxisValue", "CallableRunner", "CommandRunner", "CommandTable",
    "DatasetTable", "LabRunner", "LabSettings", "LabTable", "LadderSpec", "StudySpec",
    "TrialResult", "TrialSpec", "lab_settings",
]  # fmt: skip
