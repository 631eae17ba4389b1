"""Many drivers on one store: no trial is lost, and none runs twice."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mutransfer.sweep import TrialStore

NUM_DRIVERS, NUM_TRIALS = 20, 5000
DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from runners import Valley, trials
from test_driver import InProcess
from mutransfer.sweep import TrialStore, run_sweep
specs = trials(widths=range(1, {num_trials} // 2 + 1))
store = TrialStore({store!r}, create=True)
summary = run_sweep(specs, store, runner=Valley(), executor=InProcess(), count={count})
print(summary.ran, summary.done, summary.failed)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [None, NUM_TRIALS], ids=["in order", "in random order"])
def test_twenty_drivers_run_every_trial_once(count, tmp_path) -> None:
    store, tests = tmp_path / "runs", Path(__file__).parents[1] / "sweep"
    script = DRIVER.format(tests=str(tests), store=str(store), num_trials=NUM_TRIALS, count=count)
    start = [sys.executable, "-c", script]
    drivers = [
        subprocess.Popen(start, stdout=subprocess.PIPE, text=True) for _ in range(NUM_DRIVERS)
    ]
    printed = [driver.communicate()[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0] * NUM_DRIVERS
    calls = Counter(line.split()[0] for line in (store / "calls.log").read_text().splitlines())
    assert set(calls.values()) == {1}, "a trial ran twice"
    assert len(calls) == NUM_TRIALS
    assert sum(1 for _ in TrialStore(store).results()) == NUM_TRIALS
    ran = [int(line.split()[0]) for line in printed]
    assert sum(ran) == NUM_TRIALS
    assert sum(number > 0 for number in ran) > NUM_DRIVERS // 2, "the drivers share the work"
