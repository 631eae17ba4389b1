"""Exponents and verdicts over several scales: planted ones are recovered."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from planted_cells import LOSS_TERMS, RATE_EXPONENTS, SIZES, cell_columns, log2_best_rate, planted

from mutransfer.analysis import Results, analyze
from mutransfer.analysis.types.scales import ScalesGroupReport
from mutransfer.errors import ResultsError

TWO = ("width", "tokens")
GRID = [dict(zip(TWO, sizes, strict=True)) for sizes in product(SIZES["width"], SIZES["tokens"])]
TWO_EXPONENTS = {name: RATE_EXPONENTS[name] for name in TWO}
PATH = [{"width": n, "tokens": 20e6 * n} for n in (128.0, 256.0, 512.0, 1024.0, 2048.0)]


def report_of(results: Results, *scales: str) -> ScalesGroupReport:
    return analyze(results, scale=list(scales))["all"]


def test_planted_exponents_of_three_scales_are_recovered_exactly() -> None:
    group = report_of(planted(), *SIZES)
    for name in SIZES:
        assert group.rate.exponents[name].value == pytest.approx(RATE_EXPONENTS[name], abs=1e-9)
    center = log2_best_rate(group.rate.center, RATE_EXPONENTS)
    assert group.rate.log2_lr.value == pytest.approx(center, abs=1e-9)
    for name in TWO:
        amplitude, alpha = LOSS_TERMS[name]
        assert group.loss.exponents[name].value == pytest.approx(alpha, abs=1e-5)
        at_one = amplitude * SIZES[name][0] ** alpha
        assert group.loss.amplitudes[name].value == pytest.approx(at_one, rel=1e-4)
    assert group.loss.exponents["batch"].undetermined == (
        "an exponent of the loss needs 4 values of batch, and 3 have an optimum: add 1"
    )
    assert report_of(planted(GRID, exponents={}), *TWO).loss.loss_inf.value == pytest.approx(2.0)


def test_one_scale_in_a_list_has_todays_regret_and_draws() -> None:
    """The line from the smallest to the largest width is judged by the same code and draws."""
    ladder = [{"width": n} for n in (128.0, 256.0, 512.0, 1024.0)]
    results = planted(ladder, exponents={"width": -0.1}, seeds=3, sd=0.003)
    one, several = analyze(results)["all"], report_of(results, "width")
    (verdict,) = several.verdicts
    (line,) = verdict.lines
    assert line.carried == one.regret_matrix[2]
    assert (line.verdict, line.reason, line.drift) == (one.verdict, one.reason, one.drift)
    assert (verdict.verdict, verdict.reason) == (one.verdict, one.reason)
    optima = [(optimum.log2_lr, optimum.loss) for optimum in one.optimum]
    assert [(cell.log2_lr, cell.loss) for cell in several.cells] == optima


def test_the_order_and_the_names_of_scales_change_nothing() -> None:
    columns = cell_columns(GRID, exponents=TWO_EXPONENTS, seeds=2, sd=0.003, scatter=0.1)
    renamed = {{"width": "z", "tokens": "a"}.get(name, name): v for name, v in columns.items()}
    group = report_of(Results.from_columns(columns), *TWO)
    reordered = report_of(Results.from_columns(columns), *reversed(TWO))
    other = report_of(Results.from_columns(renamed), "z", "a")
    for name, theirs in (("width", "z"), ("tokens", "a")):
        for law in ("rate", "loss"):
            expected, *same = (
                getattr(report, law).exponents[key]
                for report, key in ((group, name), (reordered, name), (other, theirs))
            )
            for estimate in same:
                ends = (estimate.value, estimate.low, estimate.high)
                assert ends == pytest.approx(
                    (expected.value, expected.low, expected.high), rel=1e-4
                )
    assert {v.scale: v.verdict for v in group.verdicts} == {
        v.scale: v.verdict for v in reordered.verdicts
    }


@pytest.mark.parametrize("power", [0.5, -1.0])
def test_rates_scaled_by_a_power_of_a_scale_shift_its_exponent_only(power: float) -> None:
    """η → η · tokens^p is a change of units at every cell; all draws move with it."""
    columns = cell_columns(GRID, exponents=TWO_EXPONENTS, seeds=2, sd=0.003, scatter=0.1)
    pairs = zip(columns["lr"], columns["tokens"], strict=True)
    scaled = {**columns, "lr": [lr * (d / 1e9) ** power for lr, d in pairs]}
    before, after = (report_of(Results.from_columns(c), *TWO).rate for c in (columns, scaled))
    for end in ("value", "low", "high"):
        shift = [getattr(after.exponents[n], end) - getattr(before.exponents[n], end) for n in TWO]
        assert shift == pytest.approx([0.0, power], abs=1e-6)
    assert after.scatter == pytest.approx(before.scatter, abs=1e-6)


def test_scales_that_vary_together_have_one_exponent_along_their_path() -> None:
    """With fixed tokens per parameter, only -0.5 - 0.25 can be estimated."""
    group = report_of(planted(PATH, exponents=TWO_EXPONENTS, seeds=2, sd=0.001), *TWO)
    for name in TWO:
        estimate = group.rate.exponents[name]
        assert estimate.value is None
        assert estimate.undetermined == (
            "width and tokens vary together (tokens = width^1 up to a factor): run cells in which "
            "one of width and tokens varies alone"
        )
    (path,) = group.rate.paths
    assert path.powers == pytest.approx({"width": 1.0, "tokens": 1.0})
    assert path.exponent.value == pytest.approx(-0.75, abs=0.02)
    assert {v.ratio: len(v.lines) for v in group.verdicts} == {None: 0, "tokens/width": 1}


def test_a_scale_that_is_a_product_of_others_is_refused() -> None:
    cells = [{**cell, "flops": 6 * cell["width"] * cell["tokens"]} for cell in GRID]
    group = report_of(planted(cells, exponents={}), *TWO, "flops")
    assert group.rate.exponents["flops"].undetermined == (
        "width, tokens, flops determine one another: leave one of them out"
    )
    assert group.rate.paths == ()


def test_a_rate_may_transfer_along_one_scale_and_not_along_another() -> None:
    results = planted(GRID, exponents={"tokens": -0.7}, seeds=3, sd=0.002)
    verdicts = {v.ratio or v.scale: v for v in report_of(results, *TWO).verdicts}
    assert verdicts["width"].verdict == "transfers"
    assert verdicts["width"].reason.startswith("all 4 lines transfer; the costliest, at tokens ")
    assert verdicts["tokens"].verdict == "does not transfer"
    assert verdicts["tokens"].reason.startswith(
        "4 of 4 lines do not transfer; the costliest, at width "
    )


def test_cells_on_the_edge_are_shown_with_a_bound_and_help_the_fit() -> None:
    """The grid ends at 2^-9: four cells have their optimum below, the exponents stay."""
    rates = np.arange(-9.0, -2.0)
    group = report_of(planted(GRID, exponents={"width": -1.0}, log2_lr=rates), *TWO)
    bounded = [cell for cell in group.cells if cell.side]
    assert [cell.sizes["width"] for cell in bounded] == [512.0] * 4 + [1024.0] * 4
    assert {(cell.side, cell.limit) for cell in bounded} == {("below", -8.5)}
    assert bounded[0].log2_lr.undetermined == (
        "minimum on the edge of the grid at width 512, tokens 1e+09: "
        "add rates below 2^-9 (0.001953)"
    )
    assert (group.rate.num_cells, group.rate.num_bounds) == (8, 8)
    assert group.rate.exponents["width"].value == pytest.approx(-1.0, abs=0.01)


def test_the_report_is_one_json_document() -> None:
    data = analyze(planted(GRID, exponents={}), scale=TWO).to_json()
    assert json.loads(json.dumps(data))["scales"] == ["width", "tokens"]
    assert data["groups"]["all"]["cells"][0]["sizes"] == {"width": 128.0, "tokens": 1e9}


def test_a_scale_with_one_value_is_an_error() -> None:
    cells = [{"width": n, "depth": 2.0} for n in (64.0, 128.0)]
    with pytest.raises(ResultsError) as error:
        report_of(planted(cells, exponents={}), "width", "depth")
    assert str(error.value) == (
        "columns: there is one value of depth (2) only\n"
        "  why: no exponent and no verdict follows from a single size\n"
        "  fix: run others, or leave it out: --scale width"
    )


@pytest.mark.slow
@pytest.mark.parametrize("scatter", [0.0, 0.15])
def test_intervals_of_exponents_cover_the_planted_ones(scatter: float) -> None:
    """Nominal 90 % intervals of five numbers on 120 surfaces."""
    rng, hits = np.random.default_rng(5), {}
    for _ in range(120):
        table = planted(GRID, exponents=TWO_EXPONENTS, seeds=2, sd=0.003, scatter=scatter, rng=rng)
        group = report_of(table, *TWO)
        planted_values = {
            **{("rate", name): (group.rate.exponents[name], TWO_EXPONENTS[name]) for name in TWO},
            **{("loss", name): (group.loss.exponents[name], LOSS_TERMS[name][1]) for name in TWO},
            "floor": (group.loss.loss_inf, 2.0),
        }
        for key, (estimate, truth) in planted_values.items():
            low = -np.inf if estimate.low is None else estimate.low
            high = np.inf if estimate.high is None else estimate.high
            hits.setdefault(key, []).append(low <= truth <= high)
    shares = {key: np.mean(values) for key, values in hits.items()}
    assert all(0.83 <= share <= 0.99 for share in shares.values()), shares
