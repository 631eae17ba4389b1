"""Cells of several scales are curves of one group; nearly equal sizes are one size."""

from __future__ import annotations

import numpy as np
import pytest
from planted_cells import SIZES, cell_columns, log2_best_rate, planted

from mutransfer.analysis import Results, analyze
from mutransfer.analysis.analyze import analysis_settings, placed_runs
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.rounding import merge_near_values
from mutransfer.analysis.scales.cells import Cells, fitted_cells
from mutransfer.analysis.types.estimates import LN2
from mutransfer.errors import ResultsError

LADDER = [{"width": n, "tokens": 20e6 * n} for n in (128.0, 256.0, 512.0, 1024.0)]


def cells_of(results: Results, *scales: str) -> Cells:
    settings = analysis_settings(results, scales, None, None, 1.1, 1000, 0)
    (cells,) = fitted_cells(placed_runs(results, settings), settings).values()
    return cells


def test_every_combination_is_a_cell_with_its_own_optimum() -> None:
    """The oracle is the planted best rate of each cell."""
    cells = cells_of(planted(), *SIZES)
    assert cells.values.shape == (48, 3)
    for sizes, curve in zip(cells.values.tolist(), cells.group.curves, strict=True):
        cell = dict(zip(cells.scales, sizes, strict=True))
        best = log2_best_rate(cell, {"width": -0.5, "tokens": -0.25, "batch": 0.3})
        assert curve.quadratic is not None
        assert curve.quadratic.optimum / LN2 == pytest.approx(best, abs=1e-9)


def test_cells_along_a_path_are_those_of_todays_ladder() -> None:
    """With tokens per parameter fixed the tokens add nothing: all draws are equal, bit for bit."""
    results = planted(LADDER, exponents={"width": -0.5}, seeds=3, sd=0.003)
    one, two = cells_of(results, "width"), cells_of(results, "tokens", "width")
    assert np.array_equal(one.values[:, 0], two.values[:, 1])
    for ladder, cell in zip(one.group.draws, two.group.draws, strict=True):
        assert np.array_equal(ladder.x, cell.x)
        assert np.array_equal(ladder.loss, cell.loss)


def test_the_order_of_scales_does_not_change_the_draws() -> None:
    """A generator that followed the names would give other draws for other orders."""
    results = planted(seeds=2, sd=0.003)
    drawn = [
        {
            tuple(sorted(zip(cells.scales, sizes, strict=True))): draws.x
            for sizes, draws in zip(cells.values.tolist(), cells.group.draws, strict=True)
        }
        for cells in (cells_of(results, *SIZES), cells_of(results, *reversed(SIZES)))
    ]
    assert drawn[0].keys() == drawn[1].keys()
    assert all(np.array_equal(drawn[0][cell], drawn[1][cell]) for cell in drawn[0])


def test_messages_name_all_sizes_of_a_cell() -> None:
    cell = {"width": 128.0, "tokens": 2e9}
    results = planted([cell], exponents={}, log2_lr=(-9.0, -8.0))
    curve = cells_of(results, "width", "tokens").group.curves[0]
    assert curve.undetermined == (
        "minimum on the edge of the grid at width 128, tokens 2e+09: "
        "add rates above 2^-8 (0.003906)"
    )


def test_sizes_that_are_nearly_equal_are_one_size() -> None:
    """Tokens per parameter of Step Law's sweep, 0.4 % apart, are one value each."""
    ratios = [18.6264, 18.6337, 18.6366, 52.8816, 53.1062, 93.1439, 116.479]
    table = {"width": [1] * 7, "lr": [1] * 7, "loss": [3.0] * 7, "D/N": ratios}
    merged = merge_near_values(Results.from_columns(table), ["D/N"])
    assert merged.axes["D/N"] == [18.6337, 18.6337, 18.6337, 52.8816, 52.8816, 93.1439, 116.479]
    assert merged.notes == (
        "values of D/N within 0.425 % count as one: "
        "18.634 (18.626 to 18.637), 52.882 (52.882 to 53.106)",
    )


@pytest.mark.parametrize(
    "sizes", [(0.9, 0.95, 0.99, 0.999), (100, 101, 102, 103), (64, 128), ("a", 1.0, 1.001)]
)
def test_values_that_are_steps_of_a_grid_stay_apart(sizes: tuple[float, ...]) -> None:
    """beta2 of 0.99 and 0.999 are 0.9 % apart, and the nearest other step is only 4 %."""
    table = {"width": [1] * len(sizes), "lr": [1] * len(sizes), "loss": [3.0] * len(sizes)}
    results = Results.from_columns({**table, "x": list(sizes)})
    assert merge_near_values(results, ["x"]) is results


def test_a_ladder_with_nearly_equal_sizes_has_one_curve_per_size() -> None:
    columns = cell_columns([{"width": n} for n in (128.0, 256.0, 512.0)], exponents={})
    columns["width"] = [n * (1.001 if k % 2 else 1) for k, n in enumerate(columns["width"])]
    report = analyze(Results.from_columns(columns))
    assert [curve.width for curve in report["all"].curves] == [128.0, 256.0, 512.0]
    assert report.notes[0].startswith("values of width within 0.1 % count as one: 128 (")


@pytest.mark.parametrize(
    ("scales", "expected"),
    [
        (("width", "width"), "column 'width' has two uses"),
        (("width", "lr"), "column 'lr' has two uses"),
        (("width", "token"), "columns has no column 'token'"),
    ],
)
def test_scales_that_cannot_be_used_are_an_error(scales: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ResultsError, match=expected):
        cells_of(planted(LADDER, exponents={}), *scales)


def test_the_error_proposes_the_whole_argument() -> None:
    with pytest.raises(ResultsError) as error:
        cells_of(planted(LADDER, exponents={}), "width", "token")
    assert error.value.fix == ('--scale width,tokens (in Python: scale=["width", "tokens"])')


def test_one_scale_is_named_as_before() -> None:
    assert AxisNames("params", "lr").at(214663680.0) == "at params 214663680"
