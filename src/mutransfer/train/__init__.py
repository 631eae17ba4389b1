"""Train: one trial of the lab, from settings to a result."""

from mutransfer.train.schedules import SCHEDULES, share_of_peak
from mutransfer.train.trial import run_trial

__all__ = ["SCHEDULES", "run_trial", "share_of_peak"]
