"""Numbers of the loss and trend figures: asserted as data, and each figure compiled once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import vl_convert
from report_cases import HOSTILE, no_scaling, planted_results, report_of, report_of_groups

from mutransfer.analysis import Curve, GroupReport, Optimum, Report
from mutransfer.analysis.types.estimates import Estimate, Quadratic
from mutransfer.report.figures.export import figure_specs
from mutransfer.report.figures.numbers.loss import (
    all_widths,
    carried_rate,
    edge_marks,
    fitted_optima,
    is_dense,
    loss_frame,
    loss_points,
    parabolas,
)
from mutransfer.report.figures.numbers.trends import trends
from mutransfer.report.figures.panels import verdict_line

NAN = math.nan


def handmade(*, losses: tuple[float, ...] = (2.6, 2.4, 2.2, 2.3, NAN, 90.0)) -> Report:
    """Return one group with two widths: a parabola, and the larger one with these losses."""
    rates = tuple(float(rate) for rate in range(-7, -7 + len(losses)))
    small = Curve(
        32.0, (-6.0, -5.0, -4.0), (2.7, 2.6, 2.7), ("0", "1"),
        ((2.69, 2.71), (2.59, 2.61), (2.69, 2.71)), (0, 0, 0), (-6.0, -4.0),
        Quadratic(-5.0, 2.6, 0.4), None,
    )  # fmt: skip
    diverged = tuple(1 if math.isnan(loss) else 0 for loss in losses)
    large = Curve(
        128.0, rates, losses, ("0", "1"),
        tuple((loss, loss) for loss in losses), diverged, None, None, None,
    )  # fmt: skip
    optima = (
        Optimum(32.0, Estimate(-5.0, -5.1, -4.9), Estimate(2.6, 2.59, 2.61), Estimate(0.4),
                -5.0, 2.6, None),
        Optimum(128.0, Estimate(undetermined="?"), Estimate(undetermined="?"),
                Estimate(undetermined="?"), -7.0, 2.2, "low"),
    )  # fmt: skip
    nothing = Estimate(undetermined="two widths: add one")
    group = GroupReport("mup", "undetermined", "two widths: add one", (small, large), optima,
                        nothing, nothing, nothing, nothing, (), nothing, None, no_scaling(),
                        nothing, nothing)  # fmt: skip
    return report_of_groups({"mup": group})


def test_one_huge_loss_does_not_flatten_the_curves() -> None:
    """The frame is chosen from losses at rates near the best, not from the worst loss."""
    calm = loss_frame(handmade(losses=(2.6, 2.4, 2.2, 2.3)))
    wild = loss_frame(handmade(losses=(2.6, 2.4, 2.2, 2.3, NAN, 90.0)))
    assert 2.6 < wild.high_loss < 4.0
    assert wild.low_loss < 2.2
    assert calm.has_loss
    assert wild.has_loss


def test_every_minimum_lies_inside_the_frame() -> None:
    report = report_of(planted_results())
    frame = loss_frame(report)
    for group in report.values():
        for optimum in group.optimum:
            assert optimum.loss.value is not None
            assert optimum.log2_lr.value is not None
            assert frame.low_loss < optimum.loss.value < frame.high_loss
            assert frame.low_rate < optimum.log2_lr.value < frame.high_rate


def test_points_are_means_with_the_range_of_seeds() -> None:
    report = handmade()
    first = loss_points(report["mup"], loss_frame(report), report)[0]
    assert (first.index, first.where, first.rate) == (0, "width 32", -6.0)
    assert first.rate_text == "2^-6 (0.01562)"
    assert (first.loss, first.low, first.high) == (2.7, 2.69, 2.71)
    assert first.seeds == "2.6900, 2.7100"


def test_a_diverged_rate_interrupts_the_line_and_is_marked_at_the_edge() -> None:
    report = handmade()
    frame = loss_frame(report)
    large = [p for p in loss_points(report["mup"], frame, report) if p.index == 1]
    assert [(p.rate, p.part, p.inside) for p in large] == [
        (-7.0, 0, True), (-6.0, 0, True), (-5.0, 0, True), (-4.0, 0, True), (-2.0, 1, False),
    ]  # fmt: skip
    marks = edge_marks(report["mup"], frame, report)
    assert [(m.rate, m.kind, m.text) for m in marks] == [
        (-3.0, "diverged", "1 of 1 diverged"),
        (-2.0, "above", "loss 90.0000, above the frame"),
    ]
    assert all(frame.low_loss < mark.at < frame.high_loss for mark in marks)


def test_marks_at_one_rate_hang_below_each_other() -> None:
    report = report_of(planted_results(diverges_above=-99.0))
    frame = loss_frame(report)
    marks = [m for m in edge_marks(report["mup"], frame, report) if m.rate == -4.0]
    assert [m.text for m in marks] == ["2 of 2 diverged"] * 3
    assert sorted({m.at for m in marks}, reverse=True) == [m.at for m in marks]
    assert not frame.has_loss


def test_fitted_optima_have_their_interval_and_the_rest_is_left_out() -> None:
    report = handmade()
    (optimum,) = fitted_optima(report["mup"], report)
    assert (optimum.rate, optimum.low, optimum.high, optimum.loss) == (-5.0, -5.1, -4.9, 2.6)
    assert optimum.rate_text == "2^-5 (0.03125) [2^-5.1, 2^-4.9]"
    assert carried_rate(report["mup"]) == -5.0


def test_the_parabola_is_drawn_over_its_window_only() -> None:
    report = handmade()
    points = parabolas(report["mup"], report)
    assert (points[0].rate, points[-1].rate) == (-6.0, -4.0)
    assert min(points, key=lambda point: point.loss).rate == -5.0
    assert points[0].loss == pytest.approx(2.6 + 0.2 * math.log(2) ** 2)


def test_an_optimum_on_the_edge_is_drawn_as_one() -> None:
    fitted, edge = trends(handmade(), "rate").marks
    assert (fitted.kind, fitted.value, fitted.low, fitted.high) == ("fitted", -5.0, -5.1, -4.9)
    assert (edge.kind, edge.value, edge.log2_width) == ("low", -7.0, 7.0)
    assert edge.text == "2^-7 (0.007812) at the edge of the tried rates"
    assert [mark.value for mark in trends(handmade(), "loss").marks] == [2.6, 2.2]


def test_the_figure_shows_the_planted_drift() -> None:
    """SP was planted one octave lower per doubling, µP level."""
    report = report_of(planted_results())
    values = {k: [m.value for m in trends(report, "rate").marks if m.index == k] for k in (0, 1)}
    assert list(report) == ["mup", "sp"]
    assert values[0] == pytest.approx([-4.0, -4.0, -4.0], abs=0.15)
    assert values[1] == pytest.approx([-4.0, -5.0, -6.0], abs=0.15)
    assert all_widths(report) == (32.0, 64.0, 128.0)


def test_of_very_many_rates_some_are_drawn_and_the_best_is_among_them() -> None:
    report = report_of(
        planted_results(("mup",), rates=tuple(np.linspace(-9.0, -1.0, 400).tolist()))
    )
    frame = loss_frame(report)
    points = loss_points(report["mup"], frame, report)
    assert is_dense(report)
    assert len(points) <= 3 * 161
    for k, optimum in enumerate(report["mup"].optimum):
        assert optimum.grid_log2_lr is not None
        assert round(optimum.grid_log2_lr, 6) in {p.rate for p in points if p.index == k}


def test_a_subtitle_has_the_verdict_and_its_numbers() -> None:
    report = report_of(planted_results())
    assert verdict_line(report["sp"]).startswith("does not transfer · regret ")
    assert verdict_line(handmade()["mup"]) == "undetermined"


def test_every_exported_figure_has_a_title() -> None:
    titles = [spec["title"]["text"] for spec in figure_specs(report_of(planted_results())).values()]
    assert titles == [
        "Loss against learning rate",
        "Best learning rate against width",
        "Loss at the best learning rate against width",
        "Regret from every proxy to every target",
        "Stability",
    ]


DIVERGED = planted_results((HOSTILE,), widths=(64,), rates=(-4,), diverges_above=-99.0)


@pytest.mark.parametrize("report", [handmade(), report_of(DIVERGED)], ids=["edge", "one point"])
def test_every_figure_compiles(report: Report) -> None:
    for spec in figure_specs(report).values():
        assert vl_convert.vegalite_to_svg(spec).startswith("<svg")
