"""SLURM's messages in plain words: why a task waits, and why a job is refused."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from mutransfer.errors import ClusterError

REASONS = {  # by the start of squeue's reason
    "AssocGrp": "a limit of your account is reached",
    "AssocMax": "a limit of your account is reached",
    "BadConstraints": "no node has what [slurm] lines ask for; it cannot start",
    "BeginTime": "it starts again soon",
    "Dependency": "it waits for another job",
    "InvalidAccount": "your account is not valid; it cannot start",
    "InvalidQOS": "the quality of service is not valid; it cannot start",
    "JobArrayTaskLimit": "as many run as array_limit allows",
    "JobHeld": "it is held; scontrol release JOB lets it start",
    "JobHoldMaxRequeue": "it was started too often and is held; scontrol release JOB starts it",
    "launch_failed_requeued_held": "its start failed and it is held; scontrol release JOB",
    "Licenses": "it waits for a license",
    "PartitionConfig": "it asks for more than the partition has; it cannot start",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "PartitionNodeLimit": "it asks for more nodes than the partition allows; it cannot start",
    "PartitionTimeLimit": "time is longer than the partition allows; it cannot start",
    "Priority": "other jobs have a higher priority",
    "QOSMax": "a limit of the quality of service is reached",
    "QOSGrp": "a limit of the quality of service is reached",
    "ReqNodeNotAvail": "its nodes are down, drained or reserved",
    "Reservation": "it waits for its reservation",
    "Resources": "no node is free",
}
# What sbatch prints if an array has too many tasks, now or ever: fewer are submitted then.
FULL = (
    "Invalid job array specification",
    "Job violates accounting/QOS policy",
    "temporarily unable to accept job",
)
NODES = "`sinfo -o '%P %c %m %G %f'` shows what the nodes of each partition have"
FIXES = {  # by a part of sbatch's message
    "invalid partition": "write a [slurm] partition that `sinfo --summarize` lists",
    "Invalid account": "write a [slurm] account that `sacctmgr show associations` lists for you",
    "time limit": "write a shorter [slurm] time; `sinfo -o '%P %l'` shows the limits",
    "node configuration": f"ask for less in [resources] or [slurm] lines; {NODES}",
    "Memory": f"ask for less in [slurm] lines; {NODES}",
    "feature": f"correct --constraint in [slurm] lines; {NODES}",
    "gres": f"correct what [resources] or [slurm] lines ask for; {NODES}",
    "node name": f"correct the nodes in [slurm] lines; {NODES}",
    "option": "correct [slurm] lines; `sbatch --help` lists the options",
    "contact": "run it where `scontrol ping` answers, such as on a login node",
    "configuration source": "run it where `scontrol ping` answers, such as on a login node",
}


def plain_reason(reason: str) -> str:
    """Return why a task waits in plain words, with SLURM's own.

    Example:
        >>> plain_reason("QOSMaxJobsPerUserLimit")
        'a limit of the quality of service is reached (QOSMaxJobsPerUserLimit)'
        >>> plain_reason("Nodes_required_for_job_are_DOWN")
        'Nodes_required_for_job_are_DOWN'
    """
    for start, words in REASONS.items():
        if reason.startswith(start):
            return f"{words} ({reason})"
    return reason


def is_full(message: str) -> bool:
    """Return whether sbatch refused an array because it has too many tasks."""
    return any(part in message for part in FULL)


def problem(message: str) -> str:
    """Return a message of sbatch or squeue as one line.

    Example:
        >>> problem("sbatch: error: invalid partition specified: x")
        'invalid partition specified: x'
    """
    lines = (re.sub("^(sbatch|squeue): |(error|fatal): ", "", x) for x in message.splitlines())
    return "; ".join(line.strip() for line in lines if line.strip())


def refusal(message: str, script: Path) -> ClusterError:
    """Return the error for a job that sbatch refused."""
    by_hand = (
        f"correct [slurm] in the study file; try it by hand: sbatch {shlex.quote(str(script))}"
    )
    fixes = (fix for part, fix in FIXES.items() if part.lower() in message.lower())
    return ClusterError(
        f"sbatch refuses the job: {problem(message) or 'no message'}",
        why="no task was submitted; finished trials are kept",
        fix=next(fixes, by_hand),
    )
