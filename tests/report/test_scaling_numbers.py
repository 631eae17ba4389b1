"""Numbers of the scaling figures: laws, targets, matrices and planes, asserted as data."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import vl_convert
from report_cases import (
    HOSTILE,
    no_scaling,
    planted_results,
    predictions_of,
    report_of,
    report_of_groups,
    scaling_results,
)

from mutransfer.analysis import CarriedRegret, Estimate, GroupReport, Prediction, Report
from mutransfer.report.figures.export import figure_specs
from mutransfer.report.figures.numbers.planes import (
    MIN_E,
    groups_with_clipped_error,
    missing_reasons,
    plane_domain,
    plane_points,
    planes_with_points,
)
from mutransfer.report.figures.numbers.regret_matrix import (
    cell_state,
    matrix_cells,
    worst_regret,
    worst_regret_text,
)
from mutransfer.report.figures.numbers.trends import trend_domain, trend_widths, trends
from mutransfer.report.page.tables import regret_matrices


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(scaling_results(("mup", "sp", HOSTILE)))


@pytest.fixture(scope="module")
def predictions() -> list[Prediction]:
    return predictions_of(scaling_results(("mup", "sp", HOSTILE)))


def test_a_law_is_drawn_where_the_analysis_evaluated_it(report: Report) -> None:
    data = trends(report, "rate")
    for k, group in enumerate(report.values()):
        points = [point for point in data.laws if point.index == k]
        expected = [band.log2_lr for band in group.scaling.bands]
        assert [(p.value, p.low, p.high) for p in points] == [
            (law.value, law.low, law.high) for law in expected
        ]
        bands = zip(points, group.scaling.bands, strict=True)
        offsets = [point.log2_width - math.log2(band.width) for point, band in bands]
        assert max(offsets) - min(offsets) < 1e-9  # as far as the group's marks
        assert offsets[0] == pytest.approx(data.marks[5 * k].log2_width - 6.0)


def test_without_a_law_there_is_no_line_and_marks_are_joined() -> None:
    """Three widths give the best rate a law, and the loss none."""
    report = report_of(planted_results(("mup",)))
    assert trends(report, "loss").laws == ()
    assert [mark.has_law for mark in trends(report, "loss").marks] == [False] * 3
    assert [mark.has_law for mark in trends(report, "rate").marks] == [True] * 3


def test_a_target_is_the_prediction_and_the_law_leads_to_it(
    report: Report, predictions: list[Prediction]
) -> None:
    for what in ("rate", "loss"):
        data = trends(report, what, predictions)  # type: ignore[arg-type]
        for k, prediction in enumerate(predictions):
            estimate = prediction.log2_lr if what == "rate" else prediction.loss
            (target,) = [mark for mark in data.targets if mark.index == k]
            expected = (estimate.value, estimate.low, estimate.high)
            assert (target.value, target.low, target.high) == expected
            ahead = [point for point in data.beyond if point.index == k]
            assert ahead[-1].log2_width == pytest.approx(target.log2_width)
            assert ahead[-1].value == pytest.approx(target.value)
    assert trend_widths(report, predictions, "rate")[-1] == 16384
    assert trend_widths(report, (), "rate")[-1] == 1024


def test_a_target_that_ran_or_of_another_group_is_not_drawn(
    report: Report, predictions: list[Prediction]
) -> None:
    other = [replace(predictions[0], width=512.0), replace(predictions[1], group="other")]
    data = trends(report, "rate", other)
    assert (data.beyond, data.targets) == ((), ())


def test_a_vast_interval_of_a_target_does_not_flatten_the_figure(
    report: Report, predictions: list[Prediction]
) -> None:
    vast = replace(predictions[0], log2_lr=Estimate(-4.0, -400.0, 400.0))
    low, high = trend_domain(trends(report, "rate", [vast]), "rate")
    assert high - low < 25


def test_the_matrix_has_every_pair_in_its_place(report: Report) -> None:
    group = report["sp"]
    widths = [curve.width for curve in group.curves]
    cells = matrix_cells(group, report.threshold)
    assert [(cell.proxy, cell.target) for cell in cells] == [
        (a, b) for k, a in enumerate(widths) for b in widths[k + 1 :]
    ]
    html = regret_matrices(replace(report, groups={"sp": group}))
    rows = html.split("<tr>")[2:]
    assert len(rows) == 4
    for k, row in enumerate(rows):
        assert row.startswith(f'<th scope="row">{widths[k]:.0f}</th>' + "<td></td>" * k)
        assert [part.split('"')[0] for part in row.split('<td class="')[1:]] == [
            {"below": "yes", "above": "no", "undetermined": "open"}[cell_state(regret, 0.01)]
            for regret in group.regret_matrix
            if regret.proxy == widths[k]
        ]


def test_the_matrix_agrees_with_the_verdict(report: Report) -> None:
    """Planted: half an octave per doubling costs µP nothing, SP too much at the far corner."""
    states = {name: matrix_cells(report[name], 0.01)[3].state for name in ("mup", "sp")}
    assert [report[name].verdict for name in states] == ["transfers", "does not transfer"]
    assert states == {"mup": "below", "sp": "above"}


def test_a_planted_wrong_cell_is_found() -> None:
    group = report_of(scaling_results(("mup",)))["mup"]
    bad = Estimate(0.5, 0.4, 0.6)
    matrix = list(group.regret_matrix)
    matrix[2] = replace(matrix[2], share=bad)
    broken = replace(group, regret_matrix=tuple(matrix))
    states = [cell.state for cell in matrix_cells(broken, 0.01)]
    assert states == ["below"] * 2 + ["above"] + ["below"] * 7
    assert worst_regret(broken) == matrix[2]
    assert worst_regret_text(broken) == "50 % (64 → 512)"


def test_a_pair_without_a_bound_is_undetermined_with_its_reason() -> None:
    none = Estimate()
    regret = CarriedRegret(32, 64, none, Estimate(None, 0.0, None, "rates: add <some>"), none)
    matrix = (regret, replace(regret, target=128))
    group = replace(report_of(planted_results(("mup",)))["mup"], regret_matrix=matrix)
    assert [cell.state for cell in matrix_cells(group, 0.01)] == ["undetermined", "undetermined"]
    html = regret_matrices(report_of_groups({"mup": group}))
    assert html.count("Rates: add &lt;some&gt;.") == 1
    assert html.count("<sup>a</sup>") == 3


def test_planes_show_the_numbers_of_the_report(report: Report) -> None:
    assert planes_with_points(report) == (("E", "kappa"), ("E", "R"), ("R", "kappa"))
    for k, group in enumerate(report.values()):
        error, kappa, gap = group.E, group.kappa, group.R_inf
        first, second, third = (
            plane_points(report, plane)[k] for plane in planes_with_points(report)
        )
        assert error.value is not None
        assert (first.index, 10**first.x, first.y) == (k, pytest.approx(error.value), kappa.value)
        assert (first.y_low, first.y_high) == (kappa.low, kappa.high)
        assert (second.y, second.y_low, second.y_high) == (gap.value, gap.low, gap.high)
        assert (third.x, third.y) == (gap.value, kappa.value)


def test_one_group_has_one_plane() -> None:
    assert planes_with_points(report_of(scaling_results(("mup",)))) == (("E", "kappa"),)


def test_an_error_of_zero_is_clipped_and_named() -> None:
    group = with_numbers(Estimate(0.0, 0.0, 1e-9), Estimate(-0.1, None, -0.05, "a bound"))
    report = report_of_groups({"mup": group})
    (point,) = plane_points(report, ("E", "kappa"))
    assert (point.x, point.x_low) == (math.log10(MIN_E), math.log10(MIN_E))
    assert (point.y_low, point.y_high) == (None, None)  # half an interval is not data as a whole
    assert groups_with_clipped_error(report) == ("mup",)


def test_every_reference_line_lies_inside_its_plane() -> None:
    report = report_of_groups({"mup": with_numbers(Estimate(1e-8), Estimate(3.0))})
    points = plane_points(report, ("E", "kappa"))
    (left, right), (bottom, top) = plane_domain(points, ("E", "kappa"))
    assert left < -8 < -2 < right
    assert bottom < 0 < 3 < top


def test_a_reason_that_groups_share_is_listed_once() -> None:
    report = report_of(planted_results())
    assert planes_with_points(report) == ()
    assert len(missing_reasons(report)) == 1


def with_numbers(error: Estimate, kappa: Estimate) -> GroupReport:
    """Return a group of which only E and kappa are known."""
    scaling = replace(no_scaling(), E=error, kappa=kappa)
    return replace(report_of(planted_results(("mup",)))["mup"], scaling=scaling)


def test_every_figure_of_scaling_compiles(report: Report, predictions: list[Prediction]) -> None:
    specs = figure_specs(report, predictions)
    assert list(specs) == [
        "loss", "best-rate", "best-loss", "regret-matrix", "scaling-planes", "stability",
    ]  # fmt: skip
    for name in list(specs)[1:]:
        assert specs[name]["title"]["text"]
        assert vl_convert.vegalite_to_svg(specs[name]).startswith("<svg")
