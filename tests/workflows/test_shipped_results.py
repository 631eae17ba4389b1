"""Tables of finished studies: written from stores, read back exactly, and never stale."""

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from study_cases import planted, planted_store, planted_table, study_of

from mutransfer.analysis import analyze, load_results
from mutransfer.errors import ResultsError
from mutransfer.workflows.comparison.studies import PROVENANCE, scaled_studies
from mutransfer.workflows.comparison.table import read_table
from mutransfer.workflows.studies.run import prepare_study

TOOL = Path(__file__).parents[2] / "tools" / "study_results.py"
SHIPPED = files("mutransfer") / "studies" / "results"


def write_tables(runs: Path, output: Path) -> str:
    """Run the tool, and return what it refuses."""
    command = [sys.executable, str(TOOL), str(runs), "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def shipped_tables() -> list[str]:
    if not SHIPPED.is_dir():
        return []
    return sorted(file.name for file in SHIPPED.iterdir() if file.name.endswith(".csv"))


@pytest.mark.parametrize("name", shipped_tables())
def test_shipped_trials_are_those_of_the_study_as_it_is_now(name: str) -> None:
    """A changed study, text or arithmetic has other trials: its results must be made again."""
    table = read_table((SHIPPED / name).read_text(encoding="utf-8"), name)
    study = study_of(name.removesuffix(".csv"))
    assert table.axes == tuple(study.variables)
    assert set(table.ids) == {trial.id for trial in prepare_study(study).trials}
    assert len(set(table.ids)) == len(table.ids)


@pytest.mark.parametrize("name", shipped_tables())
def test_shipped_trials_have_a_provenance(name: str) -> None:
    table = read_table((SHIPPED / name).read_text(encoding="utf-8"), name)
    data = json.loads((SHIPPED / PROVENANCE).read_text(encoding="utf-8"))
    origin = data["studies"][name.removesuffix(".csv")]
    assert origin["trials"] == len(table.rows)
    assert origin["versions"]["torch"]
    assert all(origin[key] for key in ("numerics", "data", "finished", "machine"))


def test_a_table_is_read_back_exactly() -> None:
    table = planted_table("lion", planted())
    again = read_table(table.to_csv(), "lion.csv")
    assert again == table
    assert again.to_csv() == table.to_csv()
    lines = table.to_csv().splitlines()
    assert lines[0] == (
        "id,width,lr,seed,loss,diverged_at,untrained_loss,steps,tokens,flops,parameters,seconds,"
        "finished,commit,shared_from"
    )
    study = study_of("lion")
    assert study.lab is not None
    assert lines[1].split(",")[1:4] == ["32", repr(study.axes["lr"][0]), "0"]
    assert {row["steps"] for row in table.rows} == {study.lab.settings["steps"]}
    keys = [(row["width"], row["lr"], row["seed"]) for row in table.rows]
    assert keys == sorted(keys)


def test_a_table_and_the_store_that_it_is_from_have_the_same_analysis(tmp_path: Path) -> None:
    store = planted_store(tmp_path / "lion", study_of("lion"), planted(drift=-0.3))
    assert write_tables(tmp_path, tmp_path / "out").startswith("not written:\n  baseline: there is")
    table = read_table((tmp_path / "out" / "lion.csv").read_text(), "lion.csv")
    ours = analyze(table.results("lion.csv", study_of("lion")))
    theirs = analyze(load_results(store))
    (own,), (other,) = ours.values(), theirs.values()
    assert (own.regret, own.drift, own.curves) == (other.regret, other.drift, other.curves)
    data = json.loads((tmp_path / "out" / PROVENANCE).read_text())
    assert list(data["studies"]) == ["lion"]
    assert data["studies"]["lion"]["trials"] == study_of("lion").num_trials
    assert data["studies"]["lion"]["commits"] == ["0123456789abcdef"]


def test_a_diverged_trial_stays_diverged() -> None:
    table = planted_table("lion", planted())
    rows = [dict(row) for row in table.rows]
    rows[0] |= {"loss": None, "diverged_at": 7}
    again = read_table(type(table)(table.axes, tuple(rows)).to_csv(), "lion.csv")
    assert again.results("lion.csv", study_of("lion")).diverged.sum() == 1


def test_a_copy_costs_nothing_where_its_original_is_in_the_table() -> None:
    table = planted_table("lion", planted())
    full = table.cost
    total = study_of("lion").num_trials
    assert (full.trials, full.trained) == (total, total)
    assert full.core_minutes == pytest.approx(0.1 * total / 3 * (32 + 64 + 128) / 60)
    rows = [dict(row) for row in table.rows]
    rows[0]["shared_from"], rows[1]["shared_from"] = rows[2]["id"], "of another study"
    cost = type(table)(table.axes, tuple(rows)).cost
    assert (cost.trials, cost.trained) == (total, total - 1)
    assert cost.core_minutes == pytest.approx(full.core_minutes - 3.2 / 60)


def test_incomplete_stores_and_foreign_trials_are_not_written(tmp_path: Path) -> None:
    planted_store(tmp_path / "lion", study_of("lion"), planted(), without=4)
    planted_store(tmp_path / "cosine", study_of("baseline"), planted())
    problems = write_tables(tmp_path, tmp_path / "out")
    lion, cosine = (study_of(name).num_trials for name in ("lion", "baseline"))
    assert f"  lion: 4 of {lion} trials have no result\n" in problems
    assert (
        f"  cosine: {cosine} of its trials are not of the study cosine as it is now\n" in problems
    )
    assert not (tmp_path / "out").exists()


def test_another_file_is_no_table() -> None:
    with pytest.raises(ResultsError) as raised:
        read_table("width,lr,loss\n1,2,3\n", "losses.csv")
    assert str(raised.value) == (
        "losses.csv has no column 'id', 'diverged_at', 'untrained_loss', 'steps', 'tokens', "
        "'flops', 'parameters', 'seconds', 'finished', 'commit', 'shared_from'\n"
        "  why: a table of trials has all of them\n"
        "  fix: write it with tools/study_results.py"
    )


def test_every_study_is_an_experiment_of_the_paper_or_says_that_it_is_none() -> None:
    from mutransfer.literature import published_experiments

    for study in scaled_studies():
        assert study.experiment is None or study.experiment in published_experiments(), study.name
