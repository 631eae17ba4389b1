"""Bad columns: every error says what is wrong, why it matters, and what to type."""

import math

import numpy as np
import pytest
from planted_points import NAMES, planted, random_points

from mutransfer.analysis import Results, analyze
from mutransfer.errors import ResultsError


def table() -> dict[str, list]:
    rng = np.random.default_rng(0)
    points = [random_points(rng, 12, 2) for _ in range(2)]
    return planted(points, [np.zeros(2)] * 2, np.diag([0.1, 0.1]))


def error_of(columns: dict[str, list], *names: str) -> str:
    with pytest.raises(ResultsError) as raised:
        analyze(Results.from_columns(columns), hyperparameter=list(names))
    return str(raised.value)


def test_a_missing_column_is_named_with_the_closest_one() -> None:
    assert error_of(table(), "lr", "init_sdt") == (
        "columns has no column 'init_sdt'\n"
        "  why: a best point needs the values of every hyperparameter in every run\n"
        '  fix: --hyperparameter lr,init_std (in Python: hyperparameter=["lr", "init_std"])'
    )


@pytest.mark.parametrize("names", [("lr", "lr"), ("lr", "width")])
def test_a_column_with_two_uses_is_refused(names: tuple[str, str]) -> None:
    assert error_of(table(), *names).splitlines()[0] == f"column '{names[1]}' is named twice"


def test_a_single_value_is_refused() -> None:
    columns = {**table(), "init_std": [1.0] * 24}
    assert error_of(columns, "lr", "init_std").splitlines() == [
        "columns: init_std is 1 in every run",
        "  why: the best value of a hyperparameter shows only where several were tried",
        '  fix: --hyperparameter lr (in Python: hyperparameter="lr"), or add runs with other '
        "values",
    ]


@pytest.mark.parametrize(("value", "shown"), [("wide", "'wide'"), (-1.0, "'-1'"), (True, "'true'")])
def test_text_and_negative_numbers_are_refused(value: object, shown: str) -> None:
    columns = table()
    columns["init_std"] = [value, *columns["init_std"][1:]]
    assert error_of(columns, "lr", "init_std").splitlines()[0] == (
        f"columns: column 'init_std' must hold numbers that are not negative, not {shown} in row 1"
    )


def test_two_trials_at_one_point_are_refused() -> None:
    columns = table()
    twice = {name: [values[0], *values] for name, values in columns.items()}
    assert "several trials at the same point: width 64, lr" in error_of(twice, "lr", "init_std")


def test_a_column_that_varies_too_is_named() -> None:
    """Its effect would otherwise be taken for noise, in silence."""
    columns = table()
    columns["beta2"] = np.linspace(0.9, 0.99, 24).tolist()
    report = analyze(Results.from_columns(columns), hyperparameter=["lr", "init_std"])
    assert report.notes == (
        "'beta2' varies too; what it changes counts as noise: name every hyperparameter that was "
        "sampled, or group by it",
    )
    assert not analyze(Results.from_columns(table()), hyperparameter=["lr", "init_std"]).notes


def test_all_diverged_and_one_width_are_undetermined_with_the_reason() -> None:
    columns = table()
    columns["loss"] = [math.nan] * 12 + columns["loss"][12:]
    group = analyze(Results.from_columns(columns), hyperparameter=["lr", "init_std"])["all"]
    assert (group.verdict, group.reason) == (
        "undetermined",
        "every sample diverged at width 64: add samples with lower rates",
    )
    one = {name: values[:12] for name, values in table().items()}
    group = analyze(Results.from_columns(one), hyperparameter=["lr", "init_std"])["all"]
    assert group.reason == "only one value of width (64) has results: run larger ones"
    assert group.widths[0]["lr"].best.value == pytest.approx(1.0, rel=1e-4)


def test_one_name_in_a_list_is_the_analysis_of_one_hyperparameter() -> None:
    columns = {name: values for name, values in table().items() if name in (*NAMES[:1], "width")}
    columns["loss"] = table()["loss"]
    report = analyze(Results.from_columns(columns), hyperparameter=["lr"])
    assert report["all"].curves


def test_one_text_among_numbers_is_named_alone() -> None:
    """In a file, a column with one text holds texts only."""
    columns = table()
    columns["init_std"] = [*map(str, columns["init_std"][:-1]), "auto"]
    what, _, fix = error_of(columns, "lr", "init_std").splitlines()
    assert what.endswith("not 'auto' in row 24")
    assert fix == "  fix: correct 1 of 24 values of 'init_std', or leave them empty"


def test_random_points_read_as_a_curve_of_one_hyperparameter_are_noted() -> None:
    """The others would pass for noise; a setting that follows the rate, or a grid, would not."""
    rng = np.random.default_rng(0)
    points = [random_points(rng, 24, 2, 2)] * 2
    columns = planted(points, [np.zeros(2)] * 2, np.diag([0.1, 0.1]))
    assert analyze(Results.from_columns(columns)).notes[0] == (
        "'init_std' varies with lr too, as random points do, and what it changes counts as noise "
        "of the curve: --hyperparameter lr,init_std gives the best point of all"
    )
    follows = {**columns, "init_std": [0.1 / lr for lr in columns["lr"]]}
    assert not any("init_std" in note for note in analyze(Results.from_columns(follows)).notes)


def test_random_points_of_the_rate_alone_are_noted_and_even_ones_are_not() -> None:
    """Between two rates that nearly agree, noise looks like a step of the curve."""
    rng = np.random.default_rng(1)
    even = np.linspace(-3, 3, 25)[:, None]
    notes = []
    for points in ([random_points(rng, 24, 1, 3)] * 2, [even] * 2):
        columns = planted(points, [np.array([0.4])] * 2, np.array([[0.1]]), noise=0.002, rng=rng)
        notes.append(analyze(Results.from_columns(columns)).notes)
    text = "the values of lr are as uneven as random points"
    assert [any(text in note for note in group) for group in notes] == [True, False]
