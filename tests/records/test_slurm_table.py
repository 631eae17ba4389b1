"""The `[slurm]` table: every invalid value is reported, and no value can add a line to a script."""

import pytest

from mutransfer.errors import StudyError
from mutransfer.records.tables.slurm import SlurmTable
from mutransfer.sweep.executors.slurm.settings import slurm_settings


def error_of(**table) -> str:
    with pytest.raises(StudyError) as error:
        SlurmTable.read(table, error=StudyError, where="s.toml")
    return f"{error.value.what.removeprefix('s.toml: ')}\n  fix: {error.value.fix}"


BAD = {
    "a second line in a name": (
        {"partition": "gpu\n#SBATCH --exclusive"},
        "'partition': 'gpu\\n#SBATCH --exclusive' is not the name of a partition or an account\n"
        "  fix: write one name, without spaces or quotes",
    ),
    "a second line in an option": (
        {"lines": ["--mem=1G\nrm -rf /"]},
        "'lines.0': '--mem=1G\\nrm -rf /' is not one line\n"
        "  fix: write each line as an entry of its own",
    ),
    "a carriage return in a command": (
        {"setup": ["module load cuda\rrm"]},
        "'setup.0': 'module load cuda\\rrm' is not one line\n"
        "  fix: write each line as an entry of its own",
    ),
    "a time with a unit": (
        {"time": "90m"},
        "'time': '90m' is not a time limit of SLURM\n  fix: write time = \"0:90:00\"",
    ),
    "a time without quotes": (
        {"time": 2},
        "'time': a time limit is a text (got 2)\n  fix: write time = \"2:00:00\" for hours",
    ),
    "an option that has a key": (
        {"lines": ["-p gpu"]},
        "'lines.0': '-p gpu' has a key of its own\n  fix: write partition = \"gpu\"",
    ),
    "an option that is ours": (
        {"lines": ["--output=log.txt"]},
        "'lines.0': '--output' is set by mutransfer, which looks for its tasks and logs there "
        "(got '--output=log.txt')\n  fix: remove '--output=log.txt'",
    ),
    "a whole line": (
        {"lines": ["#SBATCH --mem=1G"]},
        "'lines.0': '#SBATCH --mem=1G' begins with #SBATCH, which is added\n"
        "  fix: write '--mem=1G'",
    ),
    "several problems": (
        {"lines": ["mem=1G"], "array_limit": 0, "partitoin": "gpu"},
        "'array_limit': must be greater than or equal to 1 (got 0); "
        "'lines.0': 'mem=1G' is not an option of sbatch; unknown key 'partitoin'\n"
        "  fix: write a value for 'array_limit' that is greater than or equal to 1; "
        'write options such as "--constraint=a100"; '
        "partitoin: did you mean 'partition'?",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_an_invalid_table_is_refused_with_every_problem(case) -> None:
    table, message = BAD[case]
    assert error_of(**table) == message


@pytest.mark.parametrize("time", ["90", "90:00", "2:00:00", "1-12", "1-12:30", "1-12:30:00"])
def test_every_time_that_sbatch_reads_is_valid(time) -> None:
    assert SlurmTable(time=time).time == time


def test_keys_of_the_study_override_those_of_the_user(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    study = SlurmTable(partition="debug", lines=())
    assert slurm_settings(study) is study
    (tmp_path / "mutransfer").mkdir()
    file = tmp_path / "mutransfer" / "slurm.toml"
    file.write_text('partition = "gpu"\naccount = "mine"\nlines = ["--mem=1G"]')
    merged = slurm_settings(study)
    assert (merged.partition, merged.account, merged.lines) == ("debug", "mine", ())
    file.write_text('accounts = "mine"')
    with pytest.raises(StudyError, match=r"slurm\.toml: unknown key 'accounts'") as error:
        slurm_settings(study)
    assert error.value.fix == "accounts: did you mean 'account'?"
    file.write_text("account = mine")
    with pytest.raises(StudyError, match=r"slurm\.toml cannot be read: Invalid value") as error:
        slurm_settings(study)
