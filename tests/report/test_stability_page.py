"""The page and the terminal show stability: curves near the best rate, measures and counts."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import vl_convert
from planted_curves import STEPS, trials
from report_cases import HOSTILE, planted_results

from mutransfer.analysis import Results, analyze, load_results
from mutransfer.report import write_figures
from mutransfer.report.figures.export import figure_specs
from mutransfer.report.figures.numbers.stability import (
    MEASURES,
    MOST_CURVES,
    measure_domain,
    measure_trend,
    training_curves,
    training_frame,
)
from mutransfer.report.page.page import page
from mutransfer.report.text.analysis import verdict_text

ROUGH = 0.004


def own_noise(axes, rng):
    """Noise of a run's own, three times as much in a group that is not 'mup'."""
    return rng.normal(0, ROUGH if axes["parametrization"] == "mup" else 3 * ROUGH, STEPS)


def write_store(folder, results):
    (folder / "store.json").write_text('{"schema": 1}')
    for result in results:
        (folder / result.id).mkdir()
        (folder / result.id / "result.json").write_text(result.model_dump_json())
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("runs")
    return load_results(write_store(folder, trials(["mup", HOSTILE], own_noise)))


@pytest.fixture(scope="module")
def report(stored):
    return analyze(stored, group_by="parametrization")


def test_the_runs_nearest_to_multiples_of_the_best_rate_are_drawn(stored, report) -> None:
    """The best rate is 2^-6.2: 2^-6, then 2^-5 and 2^-4; each curve whole, of the first seed."""
    for curves in training_curves(stored, report):
        assert dict(curves.rates) == {1.0: "2^-6", 2.0: "2^-5", 4.0: "2^-4"}
        assert (curves.width, curves.seed) == (256.0, "0")
        assert [sum(p.index == k for p in curves.points) for k in range(3)] == [STEPS] * 3
    row = next(
        k for k in range(len(stored))
        if [stored.axes[n][k] for n in ("parametrization", "width", "lr", "seed")]
        == ["mup", 256, 2.0**-5, 0]
    )  # fmt: skip
    drawn = {c.group: c for c in training_curves(stored, report)}["mup"]
    losses = [point.loss for point in drawn.points if point.index == 1]
    assert losses == pytest.approx(stored.curves[row][:, 1], rel=1e-4)


def test_the_first_losses_do_not_flatten_the_curves(stored, report) -> None:
    frame = training_frame(training_curves(stored, report))
    assert frame.last_step == STEPS
    assert frame.measured_from == STEPS / 4
    assert frame.low_loss < 2.0 < frame.high_loss < 2.6  # the curves begin at 5


def test_measures_against_width_are_those_of_the_report(report) -> None:
    data = measure_trend(report, MEASURES[2])
    assert {mark.index for mark in data.marks} == {0, 1}
    by_group = [[m.value for m in data.marks if m.index == k] for k in (0, 1)]
    names = list(report)
    mup = by_group[names.index("mup")]
    assert mup == [w.at(2.0).paired_roughness.mean.value for w in report["mup"].stability]
    assert np.mean(by_group[names.index(HOSTILE)]) / np.mean(mup) == pytest.approx(3.0, rel=0.15)
    assert measure_domain(data)[1] > max(mark.high for mark in data.marks)


def test_the_page_shows_curves_and_table_and_escapes_names(stored, report) -> None:
    text = page(stored, report)
    assert "<h2>Training curves near the best rate</h2>" in text
    assert "<h2>Stability near the best rate</h2>" in text
    assert "<script>alert" not in text
    share = "0 of 4: <span>0 %</span>"
    assert text.count(share) == sum(len(group.stability) for group in report.values())
    charts = [json.loads(m) for m in re.findall(r'data-chart="[^"]+">(.*?)</script>', text)]
    drawn = [spec for spec in charts if "curves" in spec["datasets"]]
    assert [len(spec["datasets"]["curves"]) for spec in drawn] == [3 * STEPS] * 2


def test_results_without_curves_have_losses_and_counts_but_no_measures() -> None:
    results = planted_results()
    text = page(results, analyze(results, group_by="parametrization"))
    assert "Training curves near" not in text
    assert "Excess loss at 2 ×" in text
    assert "Paired roughness</th>" not in text


def test_without_any_best_rate_there_is_no_section() -> None:
    results = planted_results(("sp",), rates=(-4,))
    assert "Stability near" not in page(results, analyze(results, group_by="parametrization"))


def test_curves_of_few_groups_are_drawn_and_a_page_stays_small(stored) -> None:
    """Of twenty groups the first eight; the table has the others."""
    names = [f"p{k:02}" for k in range(20)]
    one = [k for k, name in enumerate(stored.axes["parametrization"]) if name == "mup"]
    axes = {name: [values[k] for k in one] * 20 for name, values in stored.axes.items()}
    axes["parametrization"] = [name for name in names for _ in one]
    table = axes | {"loss": stored.loss[one].tolist() * 20}
    many = Results.from_columns(table, curves=[stored.curves[k] for k in one] * 20)
    report = analyze(many, group_by="parametrization")
    drawn = training_curves(many, report)
    assert [curves.group for curves in drawn] == names[:MOST_CURVES]


def test_figures_of_curves_compile_and_are_written(stored, report, tmp_path) -> None:
    specs = figure_specs(report, results=stored)
    for name in ("stability", "training-curves"):
        assert vl_convert.vegalite_to_svg(specs[name]).startswith("<svg")
    names = {path.stem for path in write_figures(tmp_path, report, results=stored)}
    assert {"stability", "training-curves"} <= names
    assert "training-curves" not in figure_specs(report)


def test_the_terminal_names_runs_that_diverged_near_the_best_rate_only() -> None:
    """All seeds diverge from 2^-2.5 on, or from 2^-1.5 on; the best rate is 2^-4."""
    near, far = (
        analyze(planted_results(("mup",), rates=np.arange(-8, 0, 0.5), diverges_above=octaves))
        for octaves in (1.2, 2.2)
    )
    counts = [(width.width, width.diverged) for width in near["mup"].stability]
    assert all(2 <= diverged.count < diverged.total for _, diverged in counts)
    shown = ", ".join(f"{width:g}: {d.count} of {d.total}" for width, d in counts)
    assert f"up to 4x the best     {shown}" in verdict_text(near)
    assert "diverged runs" in verdict_text(far)
    assert "up to 4x" not in verdict_text(far)


def test_the_terminal_names_spikes_beyond_noise_only(stored, report) -> None:
    assert "spikes" not in verdict_text(report)
    spiked = replace(
        stored, measures={**stored.measures, "largest_rise": np.full(len(stored), 2.5)}
    )
    text = verdict_text(analyze(spiked, group_by="parametrization"))
    assert "loss spikes             64: 2.5, 128: 2.5, 256: 2.5 at the best lr" in text
