"""The folder of a trial's checkpoints: it outlives attempts, programs and functions get it."""

import os
from pathlib import Path

import pytest

from mutransfer.errors import StoreError, TrialError
from mutransfer.records import CallableRunner, CommandRunner, CommandTable, TrialSpec
from mutransfer.sweep import CommandRun, FunctionRun, TrialStore
from mutransfer.sweep.trial_run import TrialRun

# Count the runs of the program in a folder, and fail until the third.
COUNTING = """
import os, sys
folder = sys.argv[2]
assert os.environ["MUTRANSFER_CHECKPOINT_DIR"].endswith("/checkpoints")
with open(os.path.join(folder, "runs"), "a+") as file:
    file.write("x")
    file.flush()
    file.seek(0)
    runs = len(file.read())
print("loss", runs)
sys.exit(runs < 3)
"""


@pytest.fixture
def store(tmp_path):
    return TrialStore(tmp_path / "runs", create=True)


def counting_program(tmp_path: Path, folder: str) -> tuple[TrialSpec, CommandRun]:
    (tmp_path / "count.py").write_text(COUNTING)
    command = f"{{python}} count.py {{lr}} {folder}"
    table = CommandTable.model_validate({"command": command, "loss": {"regex": r"loss (\S+)"}})
    return TrialSpec(runner=CommandRunner(command=command), axes={"lr": 0.5}), CommandRun(
        table, tmp_path
    )


def test_a_program_continues_from_what_its_failed_attempts_left(tmp_path, store) -> None:
    spec, program = counting_program(tmp_path, "{checkpoint_dir}")
    outcomes = [TrialRun(store.path, program)(spec) for _ in range(3)]
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "done"]
    assert store.result(spec.id).loss == 3
    # What a program leaves is its user's, also when the trial has a result.
    assert (store.folder(spec.id) / "checkpoints" / "runs").read_text() == "xxx"


def test_the_folder_of_an_attempt_does_not_outlive_it(tmp_path, store) -> None:
    """Negative control: the same program never ends where every attempt has a folder of its own."""
    spec, program = counting_program(tmp_path, "{trial_dir}")
    assert {TrialRun(store.path, program)(spec).status for _ in range(3)} == {"failed"}


def test_a_function_gets_the_folder_by_name_and_an_empty_one_is_removed(store) -> None:
    received = []

    def train(lr, trial_dir, checkpoint_dir):
        assert checkpoint_dir.is_dir()
        received.append((trial_dir, checkpoint_dir))
        return 2.0

    spec = TrialSpec(runner=CallableRunner(name="train"), axes={"lr": 0.5})
    assert TrialRun(store.path, FunctionRun(train))(spec).status == "done"
    [(trial_dir, checkpoint_dir)] = received
    assert checkpoint_dir == store.folder(spec.id) / "checkpoints"
    assert trial_dir.is_dir()
    assert not checkpoint_dir.exists()


def test_a_link_in_place_of_the_folder_is_refused(tmp_path, store) -> None:
    spec, program = counting_program(tmp_path, "{checkpoint_dir}")
    store.folder(spec.id).mkdir()
    os.symlink(tmp_path, store.folder(spec.id) / "checkpoints")
    with pytest.raises(StoreError, match="checkpoints is a symbolic link"):
        TrialRun(store.path, program)(spec)


def test_a_trial_run_by_hand_has_a_folder_of_its_own(tmp_path, store) -> None:
    spec, program = counting_program(tmp_path, "{checkpoint_dir}")
    line = program.line_by_hand(spec, "by-hand")
    assert line.startswith("mkdir -p ")
    assert line.split()[2].endswith("/by-hand/checkpoints")
    folder = tmp_path / "by-hand"
    (folder / "checkpoints").mkdir(parents=True)
    with pytest.raises(TrialError, match="exit status 1"):
        program(spec, folder)
    assert (folder / "checkpoints" / "runs").read_text() == "x"
