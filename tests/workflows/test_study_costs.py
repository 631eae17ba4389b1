"""Costs of named studies, against arithmetic by hand and against the paper's."""

import pytest

from mutransfer.errors import StudyError, UsageError
from mutransfer.records import StudySpec
from mutransfer.workflows import expand, named_cost, study_cost
from mutransfer.workflows.studies import cost as cost_module

TOKENS = 125_000 * 1024 * 256
# arXiv:2404.05728 by 6 * (12 L M^2 + M V) * tokens, rounded as one would quote it.
PUBLISHED_FLOPS = {128: 1.7e18, 512: 1.8e19, 2048: 2.5e20}


@pytest.mark.parametrize("width", PUBLISHED_FLOPS)
def test_a_trial_at_paper_scale_costs_what_the_formula_says(width) -> None:
    row = next(r for r in study_cost(expand("baseline", "paper")).widths if r.width == width)
    assert (row.trials, row.tokens) == (5, TOKENS)
    weights = 12 * 24 * width**2 + 32_100 * width
    attention = 2 * 24 * 256 * width  # queries times keys, and their average of values
    assert row.flops == 5 * 6 * (weights + attention) * TOKENS
    without_attention = row.flops / 5 - 6 * attention * TOKENS
    assert without_attention == pytest.approx(PUBLISHED_FLOPS[width], rel=0.1)
    assert row.parameters == weights + 32_100 * width


def test_hours_are_those_of_the_assumed_gpu() -> None:
    """One H100, 989 TFLOP/s of dense bfloat16, 40 % of it."""
    cost = named_cost("baseline", "paper")
    assert cost.gpu_hours == pytest.approx(cost.flops / 989e12 / 0.4 / 3600)
    assert 900 < cost.gpu_hours < 1000
    assert str(cost_module.GPU) == "one H100 at 40 % of its 989 TFLOP/s"


def test_the_batch_studies_cost_what_the_baseline_costs() -> None:
    for scale in ("mini", "paper"):
        flops = study_cost(expand("baseline", scale)).flops
        for name in ("batch-times-4", "batch-over-4", "cosine"):
            assert study_cost(expand(name, scale)).flops == flops


def test_trials_that_coincide_are_trained_once() -> None:
    """At the base width SP is µP, where both divide attention by d."""
    data = {
        "schema": 1,
        "study": {"name": "s"},
        "axes": {"parametrization": ["sp", "mup"], "width": [32, 64], "lr": [0.01, 0.02]},
        "lab": {"base_width": 32, "attention_scale": "1/d", "steps": 10},
    }
    study = StudySpec.read(data, error=StudyError, where="s")
    cost = study_cost(study)
    assert [(row.width, row.trials, row.trainings) for row in cost.widths] == [
        (32, 4, 2),
        (64, 4, 4),
    ]
    twice = study_cost(study, study)
    assert (twice.trials, twice.trainings, twice.flops) == (16, 6, cost.flops)


def test_minutes_are_measured_where_results_ship(monkeypatch, tmp_path) -> None:
    """A copy of an identical trial is not counted twice."""
    monkeypatch.setattr(cost_module, "files", lambda package: tmp_path)
    estimate = named_cost("baseline", "mini")
    assert estimate.measured_seconds is None
    # A core trains at 35 GFLOP/s.
    assert estimate.minutes == pytest.approx(estimate.flops / 35e9 / 60 / 2)
    (tmp_path / "studies" / "results").mkdir(parents=True)
    (tmp_path / "studies" / "results" / "baseline.csv").write_text(
        "id,seconds,finished\na,100,today\nb,100,today\nc,140,tomorrow\n"
    )
    assert named_cost("baseline", "mini").minutes == 2.0
    assert named_cost("baseline", "paper").measured_seconds is None


def test_a_ladder_has_no_cost() -> None:
    with pytest.raises(UsageError, match="ladder of coordinate checks, which trains no trials"):
        named_cost("eleuther-ladder")
