"""Tables of other programs: names of columns, dialects, missing values and duplicates."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loaded_files import error_text, write_file
from planted_surfaces import columns as planted
from planted_surfaces import quadratic

from mutransfer.analysis import Results, analyze, load_results
from mutransfer.analysis.curves.grid import loss_grids
from mutransfer.analysis.format import AxisNames
from mutransfer.errors import ResultsError


def comparable(results: Results) -> tuple[object, ...]:
    """Return everything that the analysis reads, in a form in which NaN equals NaN."""
    axes = {name: [repr(cell) for cell in cells] for name, cells in results.axes.items()}
    return axes, repr(results.loss.tolist()), results.diverged.tolist(), results.notes


# --- names of columns


@pytest.mark.parametrize(
    ("header", "typed", "python"),
    [
        (
            "n_embd,learning_rate,val_loss",
            "width=n_embd,lr=learning_rate,loss=val_loss",
            '{"width": "n_embd", "lr": "learning_rate", "loss": "val_loss"}',
        ),
        (
            "config.d_model,config.lr,summary.eval/loss",
            "width=config.d_model,lr=config.lr,loss=summary.eval/loss",
            '{"width": "config.d_model", "lr": "config.lr", "loss": "summary.eval/loss"}',
        ),
        (
            "width,log2_lr,train_loss",
            "'lr=2^log2_lr,loss=train_loss'",
            '{"lr": "2^log2_lr", "loss": "train_loss"}',
        ),
        ("width,lr,valid_loss", "loss=valid_loss", '{"loss": "valid_loss"}'),
        ("width,lr,Val Loss", "'loss=Val Loss'", '{"loss": "Val Loss"}'),
    ],
)
def test_the_fix_is_the_mapping_to_type(tmp_path, header, typed, python) -> None:
    text = error_text(f"{header}\n64,-2,3.5\n", tmp_path)
    assert text.splitlines()[2] == f"  fix: --columns {typed} (in Python: columns={python})"
    mapped = load_results(tmp_path / "runs.csv", columns=json.loads(python))
    assert mapped.axes["width"] == [64.0]
    assert mapped.loss.tolist() == [3.5]


def test_the_validation_loss_is_suggested_among_several_losses(tmp_path) -> None:
    text = error_text(
        "width,lr,train_loss,loss_scale,val_loss,final_loss\n64,1,2,3,4,5\n", tmp_path
    )
    assert "--columns loss=val_loss (in Python" in text


def test_missing_width_and_rate_are_an_error_of_the_analysis(tmp_path) -> None:
    """Another column may be the scale, so loading the file succeeds."""
    results = load_results(write_file(tmp_path, "n_embd,max_lr,loss\n64,0.5,3\n"))
    with pytest.raises(ResultsError) as raised:
        analyze(results)
    assert raised.value.fix == (
        '--columns width=n_embd,lr=max_lr (in Python: columns={"width": "n_embd", "lr": "max_lr"})'
    )


def test_a_mapped_logarithm_is_undone(tmp_path) -> None:
    file = write_file(tmp_path, "width,l2,l10,loss\n64,-6,-3,3\n64,,-2,3\n")
    columns = {"lr": "2^l2", "decay": "10^l10", "clip": "e^l10"}
    axes = load_results(file, columns=columns).axes
    assert axes["lr"] == [0.015625]  # the second run has none
    assert axes["decay"] == [1e-3]
    assert axes["clip"] == pytest.approx([math.exp(-3)])
    assert "l2" not in axes


def test_mapping_a_missing_column_is_an_error(tmp_path) -> None:
    assert error_text("n_embd,lr,loss\n64,1,3\n", tmp_path, columns={"width": "n_emb"}) == (
        "FILE has no column 'n_emb'\n"
        "  why: a column that does not exist cannot be renamed\n"
        '  fix: --columns width=n_embd (in Python: columns={"width": "n_embd"}); '
        "choose from 'n_embd', 'lr', 'loss'"
    )


@pytest.mark.parametrize(
    ("header", "columns", "fix"),
    [
        ("width,lr,accuracy", {"loss": "1-accuracy"}, "loss=COLUMN"),
        ("width,lr,val/top1", {"loss": "100-val/top1"}, "loss=COLUMN"),
        ("width,lr,accuracy", None, "loss=COLUMN"),
        ("width,lr,los_acc", None, "loss=COLUMN"),
        ("width,lr,top1_err", {"loss": "1-top1_err"}, "loss=top1_err"),
    ],
)
def test_a_score_is_never_suggested_as_the_loss(
    tmp_path, header: str, columns: dict[str, str] | None, fix: str
) -> None:
    """Minimizing an accuracy finds the worst rate; its error is a loss."""
    text = error_text(f"{header}\n64,1,0.5\n", tmp_path, columns=columns)
    score = header.split(",")[-1]
    assert f"--columns {fix} " in text
    if "COLUMN" in fix:
        assert f"choose from 'width', 'lr'; for a score, add a column such as 1 - {score}" in text


@pytest.mark.parametrize(
    ("header", "columns", "fix"),
    [
        ("d_model,lr,loss", {"d_model": "width"}, "width=d_model"),
        ("width,lr,val", {"val": "loss"}, "loss=val"),
        ("width,lr,accuracy", {"accuracy": "loss"}, "loss=COLUMN"),
    ],
)
def test_a_mapping_in_the_wrong_direction_is_explained(
    tmp_path, header: str, columns: dict[str, str], fix: str
) -> None:
    (ours,) = columns.values()
    text = error_text(f"{header}\n64,1,0.5\n", tmp_path, columns=columns)
    assert f"why: mutransfer's own name comes first: {ours}=COLUMN\n" in text
    assert f"--columns {fix} " in text


def test_a_mapped_column_replaces_one_of_the_same_name_with_a_note(tmp_path) -> None:
    file = write_file(tmp_path, "width,lr,loss,val_loss\n64,1,2.5,3.5\n")
    results = load_results(file, columns={"loss": "val_loss"})
    assert results.loss.tolist() == [3.5]
    assert results.notes == ("the column 'loss' is left out: 'val_loss' is read as loss",)
    swapped = load_results(file, columns={"width": "lr", "lr": "width", "loss": "loss"})
    assert (swapped.axes["width"], swapped.axes["lr"], swapped.notes) == ([1.0], [64.0], ())


# --- dialects

LINES = [("width", "lr", "loss"), ("64", "0.5", "3.125"), ("1024", "0.001", "nan")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_encoding_and_separator_is_read(tmp_path, encoding, separator) -> None:
    text = "\r\n".join(separator.join(line) for line in LINES)
    results = load_results(write_file(tmp_path, text.encode(encoding)))
    assert results.axes == {"width": [64, 1024], "lr": [0.5, 0.001]}
    assert repr(results.loss.tolist()) == "[3.125, nan]"


def test_numbers_are_parsed_as_spreadsheets_write_them(tmp_path) -> None:
    """The cells are those of a German spreadsheet, with powers and blanks."""
    content = (
        'width;lr;loss;"a;b"\n 1.024 ;2^-6;3,14;x\n\xa02.048;1,00E-03; 1.234,5 ;y\n64;2**-2;3;z\n'
    )
    results = load_results(write_file(tmp_path, content))
    assert results.axes["width"] == [1024, 2048, 64]
    assert results.axes["lr"] == [0.015625, 0.001, 0.25]
    assert results.loss.tolist() == [3.14, 1234.5, 3]
    assert results.axes["a;b"] == ["x", "y", "z"]
    quoted = load_results(write_file(tmp_path, 'width,lr,loss\n64,"0,5","3,25"\n'))
    assert (quoted.axes["lr"], quoted.loss.tolist()) == ([0.5], [3.25])
    # In a file without decimal commas, a dot is a decimal point.
    assert load_results(write_file(tmp_path, "width;lr;loss\n64;1.024;3\n")).axes["lr"] == [1.024]


@pytest.mark.parametrize("row", ["64;0.25;3", "64;1.25;3", "64;2^-6.5;3"])
def test_mixed_decimal_commas_and_points_are_an_error(tmp_path, row) -> None:
    cell = row.split(";")[1]
    assert error_text(f"width;lr;loss\n64;0,5;3\n{row}\n", tmp_path) == (
        f"FILE mixes decimal commas and decimal points: '0,5' in line 2, '{cell}' in line 3\n"
        "  why: one of them would be read a thousand times too large\n"
        "  fix: write every number with a point, such as 0.5 and 1024, "
        "or every number with a comma, such as 0,5"
    )


def test_a_comma_between_thousands_is_an_error(tmp_path) -> None:
    """`1,024` next to `0.5` might be read as 1.024, so it is rejected."""
    text = error_text('width,lr,loss\n"1,024",0.5,3\n', tmp_path)
    assert text.startswith("FILE mixes decimal commas and decimal points: '1,024' in line 2, '0.5'")


table = st.lists(
    st.tuples(
        st.sampled_from([64.0, 128.0, 1024.0, 2048.0]),
        st.floats(1e-6, 10),
        st.integers(0, 9),
        st.one_of(st.floats(-9e9, 9e9), st.just(math.nan), st.just(math.inf), st.none()),
        st.sampled_from(["mup", "sp", "1.2.3", "a b", None]),
    ),
    min_size=1,
    max_size=8,
).filter(lambda rows: any(row[3] is not None for row in rows))


@given(rows=table)
@settings(max_examples=60, deadline=None)
def test_results_do_not_depend_on_the_format_of_the_file(tmp_path_factory, rows) -> None:
    place = tmp_path_factory.mktemp("written")
    names = ["width", "lr", "seed", "loss", "form"]

    def cell(value: object, comma: bool) -> str:
        text = "" if value is None else repr(value) if isinstance(value, float) else str(value)
        return text.replace(".", ",") if comma and isinstance(value, float) else text

    def as_csv(separator: str, comma: bool) -> str:
        lines = [separator.join(cell(value, comma) for value in row) for row in rows]
        return "\n".join([separator.join(names), *lines])

    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    loaded = [
        comparable(load_results(write_file(place, as_csv(",", comma=False), "a.csv"))),
        comparable(load_results(write_file(place, as_csv(";", comma=True), "b.csv"))),
        comparable(load_results(write_file(place, "\n".join(lines), "c.jsonl"))),
        comparable(load_results(write_file(place, f"[{','.join(lines)}]", "d.json"))),
    ]
    numbers = ("width", "lr", "seed")
    for axes, *_ in loaded:
        axes.update({name: [float(x) for x in axes[name]] for name in numbers})
    assert loaded[0] == loaded[1] == loaded[2] == loaded[3]


# --- missing values and duplicates


def test_an_empty_loss_is_an_unfinished_run_and_nan_a_diverged_one(tmp_path) -> None:
    empty = ["", "none", "NULL", "na", "N/A", "#N/A", "-", " "]
    diverged = ["nan", "NaN", "inf", "-inf", "+Inf", "infinity", "1e101", "-1e101"]
    rows = [f"64,{k + 1},{loss}," for k, loss in enumerate([*empty, *diverged, "3.5"])]
    rows.append("64,99,,7")  # diverged_at marks a diverged run, whatever its loss
    results = load_results(write_file(tmp_path, "width,lr,loss,diverged_at\n" + "\n".join(rows)))
    assert results.axes["lr"] == [*range(9, 18), 99]
    assert results.diverged.tolist() == [True] * 8 + [False, True]
    assert results.notes == (
        "8 runs have no loss and are left out; where a run diverged "
        "write nan or inf (pandas leaves nan empty: na_rep='nan')",
    )
    assert (results.provenance.trials, results.provenance.diverged) == (10, 9)


def test_runs_without_width_or_rate_are_left_out_and_counted(tmp_path) -> None:
    content = "width,lr,loss,depth\n64,0.5,3,2\n,0.5,3,2\n64,,3,2\n64,-,3,2\n64,0.25,3,\n"
    results = load_results(write_file(tmp_path, content))
    assert results.notes == (
        "1 run has no width and is left out",
        "2 runs have no lr and are left out",
    )
    assert results.axes["lr"] == [0.5, 0.25]
    # Runs without another scale are left out only if that scale is analyzed.
    grids = loss_grids(results, AxisNames("depth", "lr"), ())
    assert [grid.width for grid in grids["all"]] == [2.0]
    assert results.having("depth").notes[-1] == "1 run has no depth and is left out"


def test_an_error_names_the_line_of_the_file(tmp_path) -> None:
    """Lines are counted in the file, including rows that were left out."""
    file = write_file(tmp_path, "width,lr,loss\n64,0.5,3\n64,0.5,\n64,fast,3\n64,0,3\n")
    with pytest.raises(ResultsError) as raised:
        analyze(load_results(file))
    assert raised.value.what.endswith("positive numbers, not 'fast', '0' in lines 4, 5")


def test_a_table_without_any_loss_is_an_error(tmp_path) -> None:
    assert error_text("width,lr,loss\n64,1,\n64,2,none\n", tmp_path) == (
        "FILE: 2 runs have no loss, and there is no other run\n"
        "  why: there is nothing to analyze\n"
        "  fix: write the final loss of every finished run, and nan where a run diverged"
    )


def test_duplicate_rows_are_left_out_with_a_note(tmp_path) -> None:
    rows = "64,0.5,0,3\n64,0.50,0,3.0\n64,0.5,0,3\n64,0.25,0,nan\n64,0.25,0,NaN\n"
    results = load_results(write_file(tmp_path, f"width,lr,seed,loss\n{rows}"))
    assert results.axes["lr"] == [0.5, 0.25]
    assert results.notes == ("3 duplicate rows are left out",)


def test_the_workspace_of_dvc_repeats_a_run(tmp_path) -> None:
    """`dvc exp show --csv` begins with the workspace and ends with the experiments."""
    head = "Experiment,rev,typ,Created,parent,State,Executor,loss,width,lr"
    rows = ["workspace,baseline,,,,,3,64,0.5", "main,branch,,,,,3,64,0.25"]
    text = "\n".join([head, *(f",{row}" for row in rows), "exp-a,1f,branch_commit,,,,,3,64,0.5"])
    results = load_results(write_file(tmp_path, text))
    assert results.axes["lr"] == [0.5, 0.25]
    assert results.notes == ("1 duplicate row is left out",)


def test_repeated_runs_without_a_seed_column_are_numbered() -> None:
    table = {"width": [64] * 5, "lr": [0.5, 0.25, 0.5, 0.5, 0.25]}
    table["loss"] = [3.0, 4.0, 3.1, 3.2, 4.1]
    (grid,) = loss_grids(Results.from_columns(table), AxisNames("width", "lr"), ())["all"]
    assert grid.seeds == ("0", "1", "2")
    assert repr(grid.losses.tolist()) == "[[4.0, 4.1, nan], [3.0, 3.1, 3.2]]"


def test_runs_with_different_settings_are_not_repetitions() -> None:
    """Without seeds, runs of two optimizers at the same point are two groups."""
    table = planted(quadratic(), widths=(64.0,), log2_lr=(-4, -3, -3))
    del table["seed"]
    table["optimizer"] = ["adam", "adam", "lion"]
    with pytest.raises(ResultsError) as raised:
        analyze(Results.from_columns(table))
    assert raised.value.fix == (
        'distinguish the runs: --group-by optimizer (in Python: group_by=["optimizer"])'
    )


def test_a_row_per_step_instead_of_per_run_is_an_error() -> None:
    table = {"width": [64] * 3, "lr": [0.5] * 3, "step": [0, 50, 100], "loss": [9.0, 5.0, 3.0]}
    for seed in ({}, {"seed": [0] * 3}):
        with pytest.raises(ResultsError) as raised:
            analyze(Results.from_columns({**table, **seed}))
        assert raised.value.fix == "keep the last row of each run, the one with the largest 'step'"


def test_the_cost_of_a_run_is_recorded_or_six_n_d() -> None:
    """It is undetermined without parameters or tokens."""
    table = {"width": [64] * 4, "lr": [1, 2, 3, 4], "loss": [3.0] * 4}
    costs = {"flops": [5.0, None, -1, None], "params": [10, 10, 10, 0], "tokens": [7, 7, 7, 7]}
    flops = Results.from_columns({**table, **costs}).flops.tolist()
    assert repr(flops) == "[5.0, 420.0, 420.0, nan]"
    assert repr(Results.from_columns(table).flops.tolist()) == "[nan, nan, nan, nan]"
