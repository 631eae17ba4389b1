"""Curves of sizes against width are averaged over similar layers, one curve per step."""

import numpy as np
import pytest
from check_models import BASE, WIDTHS, mlp, run_check

import mutransfer as mt
from mutransfer.coordcheck.judgement.curves import size_curves

ROWS = {row.name: row for row in mt.make_plan(mlp, base=BASE, target=64).rows}


def planted(powers, sizes=(1.0, 1.0)):
    """Return sizes with one power of width per step, and two seeds that differ by a factor of 4."""
    at_width = np.array(WIDTHS, dtype=float)[:, None, None] ** np.array(powers)[None, None, :]
    return at_width * np.array([0.5, 2.0])[None, :, None] * np.array(sizes)[None, None, :]


def test_a_curve_is_the_geometric_mean_over_layers() -> None:
    readings = {
        ("output", "2"): planted([0.0, 0.5]),
        ("output", "4"): planted([0.0, 1.5], sizes=(16.0, 1.0)),
        ("output", "0"): planted([0.25, 0.25]),
    }
    hidden, first = size_curves(readings, tuple(WIDTHS), ROWS)
    assert (hidden.quantity, hidden.role, hidden.expected) == ("output", "hidden", 0.0)
    assert hidden.sizes[0] == pytest.approx((4.0,) * 4)
    assert hidden.sizes[1] == pytest.approx(WIDTHS)
    assert hidden.fitted == pytest.approx((0.0, 1.0))
    assert first.role == "input"
    assert first.fitted == pytest.approx((0.25, 0.25))


def test_a_layer_that_is_zero_at_one_width_is_left_out_at_that_step() -> None:
    frozen = planted([0.0, 0.0], sizes=(16.0, 16.0))
    frozen[0, 0, 1] = 0.0
    readings = {("change", "2"): planted([0.5, 0.5]), ("change", "4"): frozen}
    (curve,) = size_curves(readings, tuple(WIDTHS), ROWS)
    assert curve.fitted == pytest.approx((0.25, 0.5))
    alone = size_curves({("change", "4"): frozen}, tuple(WIDTHS), ROWS)[0]
    assert alone.sizes[1] == (None,) * 4
    assert alone.fitted[1] is None


def test_a_check_returns_curves_with_the_judged_exponents() -> None:
    """A readout has no output curve of its own: the model's output stands for it."""
    check = run_check(seeds=2)
    curves = {(c.quantity, c.role): c for c in check.curves}
    judged = [f for f in check.findings if (f.quantity, f.role) == ("update", "hidden")]
    steps = {f.name: f.by_step for f in judged}
    mean = [np.mean([by[step] for by in steps.values()]) for step in range(1, 5)]
    assert list(curves["update", "hidden"].fitted[1:]) == pytest.approx(mean)
    assert ("output", "output") not in curves
    assert curves["output", ""].expected is None
    assert curves["output", "hidden"].fitted == pytest.approx((0.0,) * 5, abs=0.1)
    assert len(check.to_json()["curves"]) == len(check.curves)
