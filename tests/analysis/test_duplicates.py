"""Several trials at the same point: the error names what distinguishes them."""

from collections.abc import Callable

import pytest
from planted_surfaces import columns, quadratic

from mutransfer.analysis import Results, analyze
from mutransfer.errors import ResultsError


def message(call: Callable[[], object]) -> str:
    with pytest.raises(ResultsError) as raised:
        call()
    return str(raised.value)


def test_duplicate_points_are_an_error() -> None:
    table = {"width": [64, 64, 64], "lr": [0.5, 0.5, 0.25], "loss": [3.0, 3.1, 3.2]}
    table["seed"] = [0, 0, 0]
    assert message(lambda: analyze(Results.from_columns(table))) == (
        "columns has several trials at the same point: all: width 64, lr 0.5, seed 0\n"
        "  why: runs that differ in another setting would be averaged as if they were repetitions\n"
        "  fix: keep one row per run, or give repeated runs different values of 'seed'"
    )


def test_the_error_for_duplicate_points_names_the_column_that_distinguishes_them() -> None:
    one, other = columns(quadratic(), group="mup"), columns(quadratic(drift=-1), group="mup")
    both = {name: one[name] + other[name] for name in one}
    both["decay"] = [0.0] * len(one["loss"]) + [0.1] * len(other["loss"])
    text = message(lambda: analyze(Results.from_columns(both)))
    assert text.splitlines()[0] == (
        "columns has several trials at the same point: mup: width 64, lr 0.000488281, seed 0; "
        "mup: width 64, lr 0.000976562, seed 0; mup: width 64, lr 0.00195312, seed 0 and 37 more"
    )
    assert text.splitlines()[2] == (
        "  fix: distinguish the runs: --group-by parametrization,decay "
        '(in Python: group_by=["parametrization", "decay"])'
    )


def test_sizes_that_distinguish_runs_are_proposed_as_scales() -> None:
    """Grouping by batch and tokens would leave one size in every group."""
    tables = [columns(quadratic()) for _ in range(2)]
    both = {name: tables[0][name] + tables[1][name] for name in tables[0]}
    half = len(tables[0]["loss"])
    both |= {"bs": [64] * half + [128] * half, "tokens": [1e9] * half + [2e9] * half}
    text = message(lambda: analyze(Results.from_columns(both)))
    assert text.endswith("or compare along bs too: --scale width,bs")
