"""The sbatch script: readable, the same for the same study, and safe for any path."""

from pathlib import Path

import pytest

from mutransfer.errors import ClusterError
from mutransfer.records.tables.slurm import SlurmTable
from mutransfer.sweep.executors.slurm.script import Script

GOLDEN = Path(__file__).parent / "golden_job.sh"
COMMAND = ["/venv/bin/python", "-m", "mutransfer.cli", "sweep", "/data/my study.toml"]
OPTIONS = ["--store", "/data/runs/my-model", "--workers", "1", "--count", "2"]


def script(**changes) -> Script:
    settings = SlurmTable(
        partition="gpu,long",
        account="my-project",
        time="2:00:00",
        array_limit=20,
        trials_per_task=2,
        lines=("--mem-per-cpu=4G", "-C a100"),
        setup=("module load cuda/12.4", 'export DATA="$HOME/data"'),
    )
    arguments = {
        "store": Path("/data/runs/my-model"),
        "study": "my-model",
        "command": COMMAND + OPTIONS,
        "settings": settings,
        "gpus": 1,
        "cpus": 8,
    }
    return Script(**{**arguments, **changes})


def test_the_script_is_the_golden_file() -> None:
    assert script().text == GOLDEN.read_text()


def test_a_study_without_a_table_asks_for_nothing() -> None:
    text = script(settings=SlurmTable(), gpus=0, cpus=None).text
    options = [line.split("=")[0] for line in text.splitlines() if line.startswith("#SBATCH")]
    expected = ["--job-name", "--output", "--open-mode", "--requeue", "--signal"]
    assert options == [f"#SBATCH {name}" for name in expected]


def test_the_name_of_a_job_belongs_to_one_store() -> None:
    other = script(store=Path("/data/runs/my-model-2"))
    assert script().name.startswith("mutransfer-my-model-")
    assert script().name != other.name
    assert script().name == script(settings=SlurmTable()).name


def test_a_path_that_sbatch_would_change_is_refused() -> None:
    with pytest.raises(ClusterError) as error:
        _ = script(store=Path("/data/a\\b")).text
    assert str(error.value) == (
        "the store '/data/a\\\\b' has a backslash or a line break in its path\n"
        "  why: sbatch reads such a path in another way, and the logs would be elsewhere\n"
        "  fix: name another folder with --store"
    )
