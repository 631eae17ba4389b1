"""Conventions of other programs: states of runs, Excel's encoding, other names for the seed."""

from pathlib import Path

import pytest

from mutransfer.analysis import analyze, load_results
from mutransfer.errors import ResultsError


def test_unfinished_runs_of_a_tracker_are_left_out(tmp_path: Path) -> None:
    """Their last logged loss is not final; a run that crashed with nan diverged."""
    file = tmp_path / "runs.csv"
    rows = ["finished,3.1", "running,7.2", "crashed,6.9", "crashed,nan", "finished,3.0"]
    lines = [f"64,{2.0**-k},{row}" for k, row in enumerate(rows)]
    file.write_text("\n".join(["width,lr,State,loss", *lines]))
    results = load_results(file)
    assert results.axes["lr"] == [1.0, 0.125, 0.0625]
    assert results.diverged.tolist() == [False, True, False]
    assert results.notes == (
        "2 runs have not finished and are left out, by the column 'State' "
        "(1 'running', 1 'crashed')",
    )


def test_a_column_state_with_other_values_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_text("width,lr,state,loss\n64,0.5,solid,3.1\n64,0.25,liquid,3.0\n")
    assert len(load_results(file)) == 2


def test_the_default_encoding_of_excel_is_read(tmp_path: Path) -> None:
    """Excel writes cp1252; an umlaut in another column must not make the losses unreadable."""
    file = tmp_path / "runs.csv"
    file.write_bytes("width;lr;loss;Prüfer\n64;0,5;3,1;Jürgen\n".encode("cp1252"))
    assert load_results(file).axes["Prüfer"] == ["Jürgen"]


@pytest.mark.parametrize("name", ["config.seed", "Seed", "rng", "random seed"])
def test_a_seed_column_under_another_name_is_suggested(tmp_path: Path, name: str) -> None:
    """Grouping by it would leave one seed per group, and each report would ask for more seeds."""
    lines = [f"64,{lr},{s},{3 + s}" for lr in (0.5, 0.25) for s in (0, 1)]
    file = tmp_path / "runs.csv"
    file.write_text("\n".join([f"n_embd,learning_rate,{name},val_loss", *lines]))
    with pytest.raises(ResultsError) as raised:
        load_results(file)
    assert f"seed={name}" in raised.value.fix
    columns = {"width": "n_embd", "lr": "learning_rate", "loss": "val_loss"}
    with pytest.raises(ResultsError) as raised:
        analyze(load_results(file, columns=columns))
    assert f"seed={name}" in raised.value.fix
    assert "--group-by" not in raised.value.fix
    assert analyze(load_results(file, columns={**columns, "seed": name}))["all"].curves[0].seeds
