"""Results that cannot be read or compared end in three lines that say what to do."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted_surfaces import columns, quadratic

from mutransfer.analysis import Results, analyze, load_results
from mutransfer.errors import ResultsError

ONE, TWO = "a" * 64, "b" * 64


def message(call: Callable[[], object]) -> str:
    with pytest.raises(ResultsError) as raised:
        call()
    return str(raised.value)


def result(**changes: object) -> dict[str, Any]:
    """Return the content of a valid `result.json`."""
    runner = {"kind": "command", "command": "train", "derived": {}}
    axes = {"width": 64, "lr": 0.25, "seed": 0}
    spec = {"schema": 1, "runner": runner, "axes": axes}
    done = "2026-01-01T00:00:00Z"
    fields = {"schema": 1, "id": ONE, "spec": spec, "loss": 3.0, "seconds": 1.0, "finished": done}
    return {**fields, **changes}


def store(place: Path, *results: dict[str, Any] | str) -> Path:
    """Write a trial store with these results in folders a…, b…."""
    (place / "store.json").write_text('{"schema": 1}')
    for name, data in zip((ONE, TWO), results, strict=False):
        (place / name).mkdir()
        text = data if isinstance(data, str) else json.dumps(data)
        (place / name / "result.json").write_text(text)
    return place


def csv(place: Path, text: str | bytes) -> Path:
    file = place / "runs.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    assert message(lambda: load_results(tmp_path / "runs")) == (
        f"'{tmp_path}/runs' does not exist\n"
        "  why: results are read from a trial store, a table, or an export of an experiment "
        "tracker\n"
        "  fix: pass the folder of a trial store, a CSV, JSON or Parquet file with columns width, "
        "lr and loss, or an export of W&B or TensorBoard"
    )


def test_a_pipe_is_neither_folder_nor_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    text = message(lambda: load_results(tmp_path / "pipe"))
    assert text.startswith(f"'{tmp_path}/pipe' is neither a folder nor a file\n")


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    assert message(lambda: load_results(tmp_path)) == (
        f"'{tmp_path}' holds no results: no store.json, no W&B runs (run-*/files), no scalar "
        "CSVs of TensorBoard (Wall time,Step,Value)\n"
        "  why: other files would be mistaken for results\n"
        "  fix: pass the folder that `mutransfer sweep` wrote, the folder `wandb` of W&B, a folder "
        "of files such as width=64,lr=0.01,seed=0.csv, or a single CSV file"
    )


@pytest.mark.parametrize(
    ("head", "what", "fix"),
    [
        (
            '{"schema": 2}',
            "' has schema 2, this version reads 1",
            "pip install --upgrade mutransfer",
        ),
        ("{}", "' has schema null, this version reads 1", 'store.json must be {"schema": 1}'),
    ],
)
def test_a_store_of_another_schema_is_an_error(
    tmp_path: Path, head: str, what: str, fix: str
) -> None:
    (tmp_path / "store.json").write_text(head)
    assert message(lambda: load_results(tmp_path)) == (
        f"'{tmp_path}{what}\n  why: fields of another schema may mean something else\n  fix: {fix}"
    )


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"{", "not JSON: Expecting property name enclosed in double quotes: "),
        (b"\xff", "not UTF-8 text"),
        (b"[" * 10**5, "nested too deeply"),
    ],
)
def test_a_damaged_store_file_is_an_error(tmp_path: Path, head: bytes, problem: str) -> None:
    (tmp_path / "store.json").write_bytes(head)
    text = message(lambda: load_results(tmp_path))
    assert text.startswith(f"'{tmp_path}/store.json': {problem}")
    assert text.endswith(
        "\n  why: without this file the content of the store is unknown\n"
        '  fix: restore the file; store.json is {"schema": 1}'
    )


def test_a_store_file_must_hold_a_table(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("[1]")
    assert message(lambda: load_results(tmp_path)) == (
        f"'{tmp_path}/store.json' holds a list where a table is expected\n"
        "  why: without this file the content of the store is unknown\n"
        '  fix: restore the file; store.json is {"schema": 1}'
    )


def test_a_store_file_that_is_a_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "store.json").symlink_to(csv(tmp_path, '{"schema": 1}'))
    assert message(lambda: load_results(tmp_path)) == (
        f"'{tmp_path}/store.json' is a symbolic link\n"
        "  why: a store must hold its own files, so that it can be copied and trusted\n"
        "  fix: replace the link by the file itself"
    )


def test_a_misspelled_key_of_a_study_is_an_error(tmp_path: Path) -> None:
    store(tmp_path, result())
    (tmp_path / "study.json").write_text('{"schema": 1, "analysis": {"treshold": 0.02}}')
    assert message(lambda: load_results(tmp_path)) == (
        f"'{tmp_path}/study.json', analysis: unknown key 'treshold'\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: treshold: did you mean 'threshold'?"
    )


def test_a_store_without_finished_trials_is_an_error(tmp_path: Path) -> None:
    store(tmp_path)
    (tmp_path / ONE).mkdir()
    assert message(lambda: load_results(tmp_path)) == (
        f"'{tmp_path}' has no finished trial, 1 unfinished\n"
        "  why: there is nothing to analyze\n"
        "  fix: run the study first, or let it finish"
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("[]", "holds a list where a table is expected"),
        (
            "{",
            "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (result(schema=2), "has schema 2, this version reads 1"),
        (result(id=TWO), f"has the id of another trial, {TWO[:12]}…"),
        (result(loss="3.0"), "'loss' is text"),
        (result(loss=True), "'loss' is true or false"),
        (result(diverged_at=1.5), "'diverged_at' is the number 1.5"),
        (result(flops=10**400), "'flops' is too large a number"),
        (result(versions=[]), "'versions' is a list"),
        ({k: v for k, v in result().items() if k != "loss"}, "'loss' is missing"),
        (result(spec={"axes": []}), "'spec.axes' is missing"),
        (result(spec={"axes": {}, "runner": "lab"}), "'spec.runner' is not a table"),
        (result(spec={"axes": {"width": [64]}}), "axis 'width' is a list"),
    ],
)
def test_a_malformed_result_is_an_error(tmp_path: Path, data: Any, problem: str) -> None:
    store(tmp_path, data)
    assert message(lambda: load_results(tmp_path)) == (
        f"'{tmp_path}': aaaaaaaaaaaa…/result.json: {problem}\n"
        "  why: a damaged result would falsify the analysis\n"
        "  fix: remove the folders named above; the next sweep runs those trials again"
    )


def test_all_wrong_results_are_reported_at_once(tmp_path: Path) -> None:
    store(tmp_path, "[]", result(id=TWO, loss="x"))
    assert message(lambda: load_results(tmp_path)).splitlines()[0] == (
        f"'{tmp_path}': aaaaaaaaaaaa…/result.json: holds a list where a table is expected; "
        "bbbbbbbbbbbb…/result.json: 'loss' is text"
    )


def test_links_inside_a_store_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "store", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    store(inside)
    (outside / "result.json").write_text(json.dumps(result()))
    (inside / ONE).symlink_to(outside)
    (inside / TWO).mkdir()
    (inside / TWO / "result.json").symlink_to(outside / "result.json")
    (inside / ("c" * 64)).write_text("")
    assert message(lambda: load_results(inside)).splitlines()[0] == (
        f"'{inside}': aaaaaaaaaaaa… is a symbolic link; "
        "bbbbbbbbbbbb…/result.json: is a symbolic link; cccccccccccc… is not a folder"
    )


def test_a_file_without_permission_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is raised by the test, because root may read everything."""
    file = csv(tmp_path, "width,lr,loss\n64,0.25,3\n")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert message(lambda: load_results(file)) == (
        f"'{file}' cannot be read: Permission denied\n"
        "  why: results that cannot be read would be missing from the analysis\n"
        f"  fix: ask the owner for access, or: chmod -R u+rX '{file}'"
    )


@pytest.mark.parametrize(
    ("text", "what", "why", "fix"),
    [
        (
            b"width,lr,loss\n64,0.25,\xe9\x00\n",
            "' is not UTF-8 text: byte 22 is 0xe9",
            "letters would be read as other letters, or the file is not a table at all",
            "export a table as CSV: in Excel 'Save as', 'CSV UTF-8 (comma delimited)'",
        ),
        (
            "",
            "' has no header",
            "there is nothing to analyze",
            "write a header such as width,lr,seed,loss and one line per training run",
        ),
        (
            "width,lr,loss\n\n",
            "' has no rows",
            "there is nothing to analyze",
            "write a header such as width,lr,seed,loss and one line per training run",
        ),
        (
            "width,lr,los\n64,0.25,3\n",
            "' has no column 'loss'",
            "learning rates are compared by the final loss",
            '--columns loss=los (in Python: columns={"loss": "los"})',
        ),
        (
            "width,lr,loss\n64,0.25\n64,0.25,3,4\n",
            "' has 3 columns, but not in lines 2, 3",
            "values would be read into the wrong columns",
            "write one value per column in every line, separated by commas",
        ),
        (
            "width,lr,lr,loss\n64,0.25,1,3\n",
            "' has the column 'lr' twice",
            "one of the two would be ignored silently",
            "give every column its own name",
        ),
        (
            'width,lr,loss\n64,"0.25,3\n',
            "', line 2: unexpected end of data",
            "the columns of all later lines would be uncertain",
            "separate columns with commas and close every quote",
        ),
        (
            "width,lr,loss\n64,0.25,3\n64,0.5,crashed\n",
            "': column 'loss' must hold numbers, not 'crashed' in line 3",
            "runs are compared by numbers",
            "write a number, nan if the run diverged, or nothing if it has no result",
        ),
        (
            "width,lr,loss\n64,0.25,3%\n64,0.5,4.5 %\n",
            "': column 'loss' must hold numbers, not '3%', '4.5 %' in lines 2, 3",
            "runs are compared by numbers",
            "remove the % sign",
        ),
        (
            "width,lr,loss,diverged_at\n64,0.25,3,soon\n",
            "': column 'diverged_at' must hold numbers, not 'soon' in line 2",
            "runs are compared by numbers",
            "write a number, or leave the cell empty if the run did not diverge",
        ),
    ],
)
def test_a_malformed_csv_file_is_an_error(
    tmp_path: Path, text: str | bytes, what: str, why: str, fix: str
) -> None:
    file = csv(tmp_path, text)
    expected = f"'{file}{what}\n  why: {why}\n  fix: {fix}"
    assert message(lambda: load_results(file)) == expected


def test_a_huge_cell_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    file = csv(tmp_path, "width,lr,loss\n64,0.25," + "3" * 200_000)
    text = message(lambda: load_results(file))
    assert text.startswith(f"'{file}', line 2: field larger than field limit (131072)\n")


def test_columns_of_unequal_length_are_an_error() -> None:
    uneven = {"width": [64], "lr": [0.25, 0.5], "loss": [3.0, 3.1]}
    assert message(lambda: Results.from_columns(uneven)) == (
        "columns: column 'width' does not have 2 rows as 'loss' has\n"
        "  why: values would be paired with the wrong runs\n"
        "  fix: give every column one value per training run"
    )


def test_a_loss_that_is_text_is_an_error() -> None:
    text = {"width": [64], "lr": [0.25], "loss": ["3.0"]}
    assert message(lambda: Results.from_columns(text)) == (
        "columns: the loss is not a number: '3.0' in row 1\n"
        "  why: a run without a number cannot be compared\n"
        "  fix: write a number, nan if the run diverged, or nothing if it has no result"
    )


def test_the_error_for_missing_columns_suggests_the_nearest() -> None:
    results = Results.from_columns({"widht": [64], "learning_rate": [0.25], "loss": [3.0]})
    assert message(lambda: analyze(results)) == (
        "columns has no column 'width', 'lr'\n"
        "  why: rates cannot be compared without the width and the rate of every run\n"
        "  fix: --columns width=widht,lr=learning_rate "
        '(in Python: columns={"width": "widht", "lr": "learning_rate"})'
    )


def test_the_error_for_a_missing_group_suggests_the_nearest() -> None:
    results = Results.from_columns(columns(quadratic(), group="mup"))
    assert message(lambda: analyze(results, group_by="parametrisation")) == (
        "columns has no column 'parametrisation'\n"
        "  why: runs that belong to different groups would be averaged\n"
        '  fix: --group-by parametrization (in Python: group_by=["parametrization"])'
    )


def test_a_column_cannot_be_scale_and_group() -> None:
    results = Results.from_columns(columns(quadratic()))
    assert message(lambda: analyze(results, group_by=["width"])) == (
        "column 'width' has two uses\n"
        "  why: every group would have a single width or a single rate\n"
        "  fix: name different columns by --scale, --hyperparameter and --group-by "
        "(in Python: scale, hyperparameter, group_by)"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (-0.5, "-0.5"), (float("nan"), "nan"), (float("inf"), "inf"), ("big", "big"),
     (True, "true"), (10**400, str(10**400))],
)  # fmt: skip
def test_a_rate_that_is_not_positive_is_an_error(value: Any, shown: str) -> None:
    results = Results.from_columns({"width": [64, 64], "lr": [0.5, value], "loss": [3.0, 3.1]})
    assert message(lambda: analyze(results)) == (
        f"columns: column 'lr' must hold positive numbers, not '{shown}' in row 2\n"
        "  why: optima are compared on logarithmic axes\n"
        "  fix: correct 1 of 2 values of 'lr', or leave them empty"
    )


def test_a_rate_in_percent_is_an_error_that_names_the_sign() -> None:
    results = Results.from_columns({"width": [64, 64], "lr": ["1%", "2%"], "loss": [3.0, 3.1]})
    text = message(lambda: analyze(results))
    assert "not '1%', '2%' in rows 1, 2\n" in text
    assert text.endswith("fix: remove the % sign")


def test_the_error_for_logarithms_says_how_to_convert_them() -> None:
    results = Results.from_columns({"width": [64, 64], "lr": [-8, -6], "loss": [3.0, 3.1]})
    assert "if it is a logarithm: --columns 'lr=2^lr'" in message(lambda: analyze(results))


def test_a_trial_without_a_group_is_an_error() -> None:
    table = {"width": [64, 64], "lr": [0.5, 0.25], "loss": [3.0, 3.1], "form": ["a", None]}
    assert message(lambda: analyze(Results.from_columns(table), group_by="form")) == (
        "columns: 1 of 2 trials have no 'form'\n"
        "  why: they belong to no group\n"
        "  fix: leave out --group-by (in Python: group_by), or analyze one study at a time"
    )
