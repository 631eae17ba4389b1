"""Driver of one trial of the lab whose worker records its steps.

`recorded_lab.py STORE SECONDS local|forked`: SECONDS between checkpoints, and workers as those of
`mutransfer sweep`, or forked from this process, which takes a tenth of the time. A worker that dies
is replaced until the trial has a result. The log STORE.log has one line for each step, checkpoint
and continuation: `KIND STEP TIME PID`, all on one clock.
"""

import os
import sys
import threading
from collections.abc import Iterator, Sequence

from short_timeouts import run_in_workers

from mutransfer.lab.data.sources import source_hash
from mutransfer.records import LabRunner, TrialSpec
from mutransfer.sweep import LocalExecutor, Outcome, TrialStore, run_sweep
from mutransfer.sweep.trial_run import Work
from mutransfer.workflows.studies.lab import LabRun

RECORD = """
import os, time
from mutransfer.lab.checkpoints import Checkpoints

log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

def record(kind, step):
    os.write(log, f"{{kind}} {{step}} {{time.perf_counter()}} {{os.getpid()}}\\n".encode())

def restore(self, model, optimizers, original=Checkpoints.restore):
    losses = original(self, model, optimizers)
    record("restored", len(losses))
    return losses

def after_step(self, model, optimizers, losses, original=Checkpoints.after_step):
    record("step", len(losses))
    original(self, model, optimizers, losses)

def write(self, model, optimizers, losses, original=Checkpoints._write):
    original(self, model, optimizers, losses)
    record("saved", len(losses))

Checkpoints.restore, Checkpoints.after_step, Checkpoints._write = restore, after_step, write
"""
TRIAL = TrialSpec(
    runner=LabRunner(numerics=1, data=source_hash(None)),
    axes={
        **{"width": 16, "base_width": 16, "depth": 1, "context": 32, "batch": 1},
        **{"lr": 2**-6, "steps": 2000, "schedule": "cosine", "weight_decay": 0.1},
    },
)
"""Two thousand steps of a few milliseconds."""


class ForkedWorkers:
    """Executor whose workers have torch from the start."""

    def run(
        self, trials: Sequence[TrialSpec], work: Work, stop: threading.Event
    ) -> Iterator[Outcome]:
        """Yield the outcomes of trials; one whose worker was killed has failed."""
        for spec in trials:
            worker = os.fork()
            if worker == 0:
                os._exit(work(spec, lambda claim, attempt: None).status != "done")
            _, status = os.waitpid(worker, 0)
            # With a result in the store, this reads it.
            yield Outcome(spec, "failed") if status else work(spec, lambda claim, attempt: None)


def main(store: str, seconds: str, workers: str) -> int:
    """Run the trial until it has a result."""
    code = RECORD.format(log=f"{store}.log")
    if workers == "forked":
        exec(code, {})
    else:
        run_in_workers(code)
    summary = run_sweep(
        [TRIAL],
        TrialStore(store, create=True),
        runner=LabRun(None, "cpu", float(seconds)),
        executor=ForkedWorkers() if workers == "forked" else LocalExecutor(1),
        retries=1000,
    )
    return int(summary.done != 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
