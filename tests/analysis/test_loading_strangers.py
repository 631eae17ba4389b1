"""What a new user brought along: trackers' states, Excel's letters, seeds under other names."""

from pathlib import Path

import pytest

from mutransfer.analysis import analyze, load_results
from mutransfer.errors import ResultsError


def test_unfinished_runs_of_a_tracker_are_left_out(tmp_path: Path) -> None:
    """Their last logged loss is no final one; a run that crashed with nan diverged."""
    file = tmp_path / "runs.csv"
    rows = ["finished,3.1", "running,7.2", "crashed,6.9", "crashed,nan", "finished,3.0"]
    lines = [f"64,{2.0**-k},{row}" for k, row in enumerate(rows)]
    file.write_text("\n".join(["width,lr,State,loss", *lines]))
    found = load_results(file)
    assert found.axes["lr"] == [1.0, 0.125, 0.0625]
    assert found.diverged.tolist() == [False, True, False]
    assert found.notes == ("2 runs have not finished and are left out, by the column State",)


def test_a_column_state_of_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_text("width,lr,state,loss\n64,0.5,solid,3.1\n64,0.25,liquid,3.0\n")
    assert len(load_results(file)) == 2


def test_what_excel_writes_by_itself_is_read(tmp_path: Path) -> None:
    """cp1252: an umlaut in a column that nobody needs is no reason to refuse losses."""
    file = tmp_path / "runs.csv"
    file.write_bytes("width;lr;loss;Prüfer\n64;0,5;3,1;Jürgen\n".encode("cp1252"))
    assert load_results(file).axes["Prüfer"] == ["Jürgen"]


@pytest.mark.parametrize("name", ["config.seed", "Seed", "rng", "random seed"])
def test_seeds_under_another_name_are_proposed(tmp_path: Path, name: str) -> None:
    """Grouping by them would leave one seed per group, and "add seeds" for ever."""
    lines = [f"64,{lr},{s},{3 + s}" for lr in (0.5, 0.25) for s in (0, 1)]
    file = tmp_path / "runs.csv"
    file.write_text("\n".join([f"n_embd,learning_rate,{name},val_loss", *lines]))
    with pytest.raises(ResultsError) as refused:
        load_results(file)
    assert f"seed={name}" in refused.value.fix
    columns = {"width": "n_embd", "lr": "learning_rate", "loss": "val_loss"}
    with pytest.raises(ResultsError) as refused:
        analyze(load_results(file, columns=columns))
    assert f"seed={name}" in refused.value.fix
    assert "--group-by" not in refused.value.fix
    assert analyze(load_results(file, columns={**columns, "seed": name}))["all"].curves[0].seeds
