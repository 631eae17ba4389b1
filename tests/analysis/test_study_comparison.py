"""The best losses of separate studies, compared with those of a reference study."""

import numpy as np
import pytest
from planted_surfaces import columns, quadratic, together

from mutransfer.analysis import Results, analyze, compare_studies

NOISE = {"seeds": 3, "sd_within": 0.002, "sd_seed": 0.05}


def trials(shift: float, *, random_seed: int = 0, **settings) -> dict[str, list]:
    """Return a planted parabola whose best loss is raised; equal random seeds share their noise."""
    rng = np.random.default_rng(random_seed)
    loss = quadratic()
    return columns(lambda width, k: loss(width, k) + shift, rng=rng, **NOISE | settings)


def test_a_planted_difference_is_recovered_although_the_effect_of_seeds_is_larger() -> None:
    studies = {
        "base": Results.from_columns(trials(0.0)),
        "worse": Results.from_columns(trials(0.01)),
        "better": Results.from_columns(trials(-0.01)),
    }
    compared = compare_studies(studies, "base")
    assert list(compared) == ["worse", "better"]
    for name, planted in (("worse", 0.01), ("better", -0.01)):
        pair = compared[name]
        assert (pair.group, pair.reference, pair.width) == (name, "base", 512.0)
        assert pair.paired
        difference = pair.difference
        assert difference.value == pytest.approx(planted, abs=1e-3)
        assert planted - 0.01 < difference.low < planted < difference.high < planted + 0.01


def test_seeds_of_two_studies_that_are_not_the_same_are_not_paired() -> None:
    """Control: with seeds of its own, the same difference drowns in the effect of the seeds."""
    other = trials(0.01, random_seed=1)
    other["seed"] = [seed + 100 for seed in other["seed"]]
    base = Results.from_columns(trials(0.0))
    compared = compare_studies({"base": base, "other": Results.from_columns(other)}, "base")
    difference = compared["other"].difference
    assert not compared["other"].paired
    assert difference.low < 0 < difference.high


def test_the_numbers_are_those_of_an_analysis_of_one_table_with_both() -> None:
    """Where the reference is the better one, `analyze` compares the same pair."""
    base, worse = trials(0.0, group="base"), trials(0.01, group="worse")
    (expected,) = analyze(together(base, worse)).comparisons
    studies = {"base": Results.from_columns(base), "worse": Results.from_columns(worse)}
    assert compare_studies(studies, "base") == {"worse": expected}


def test_a_reference_that_is_worse_stays_the_reference() -> None:
    studies = {
        "base": Results.from_columns(trials(0.01)),
        "better": Results.from_columns(trials(0.0)),
    }
    difference = compare_studies(studies, "base")["better"].difference
    assert difference.value == pytest.approx(-0.01, abs=1e-3)
    assert difference.high < 0


def test_studies_are_compared_at_the_largest_width_that_both_have() -> None:
    studies = {
        "base": Results.from_columns(trials(0.0)),
        "narrow": Results.from_columns(trials(0.01, widths=(64.0, 128.0))),
        "elsewhere": Results.from_columns(trials(0.01, widths=(1000.0, 2000.0))),
    }
    compared = compare_studies(studies, "base")
    assert {name: pair.width for name, pair in compared.items()} == {"narrow": 128.0}


def test_equal_trials_differ_by_exactly_zero() -> None:
    base = Results.from_columns(trials(0.0))
    difference = compare_studies({"base": base, "same": base}, "base")["same"].difference
    assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_without_a_reference_the_best_group_is_chosen() -> None:
    """The reports of `analyze` are unchanged."""
    groups = {"better": -0.01, "base": 0.0, "worse": 0.01}
    table = together(*(trials(shift, group=name) for name, shift in groups.items()))
    compared = analyze(table).comparisons
    assert [(c.group, c.reference) for c in compared] == [("base", "better"), ("worse", "better")]
