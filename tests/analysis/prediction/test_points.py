"""The best point of several hyperparameters at a target: values, intervals, regret, warnings."""

import json
import math

import numpy as np
import pytest
from planted_points import NAMES, planted, random_hessian, random_points

from mutransfer.analysis import PointPrediction, Prediction, Results, predict
from mutransfer.analysis.types.estimates import json_data
from mutransfer.errors import ResultsError

WIDTHS = (64.0, 128.0, 256.0, 512.0)
TARGET = 2048.0
BEST = np.array([0.5, -0.8])
VALLEY = np.array([[0.1, 0.06], [0.06, 0.08]])


def table(drift=(0.0, 0.0), widths=WIDTHS, num=24, hessian=VALLEY, seed=0, **noise) -> dict:
    """Return samples whose best point moves by `drift` octaves per octave of width."""
    rng = np.random.default_rng(seed)
    points = [random_points(rng, num, len(hessian)) for _ in widths]
    best = [BEST[: len(hessian)] + np.array(drift) * math.log2(n / widths[0]) for n in widths]
    return planted(points, best, hessian, rng=rng, widths=widths, **noise)


def point(columns: dict, names=NAMES[:2], target=TARGET, **options) -> PointPrediction:
    results = Results.from_columns(columns)
    prediction = predict(results, width=target, hyperparameter=list(names), **options)
    assert isinstance(prediction, PointPrediction)
    return prediction


def log2(value: float | None) -> float:
    assert value is not None
    return math.log2(value)


@pytest.mark.parametrize("drift", [(0.0, 0.0), (-0.4, 0.2)])
def test_without_noise_the_planted_point_is_carried_exactly(drift) -> None:
    """Both coordinates follow their own power of the width, or stay."""
    prediction = point(table(drift))
    truth = BEST + np.array(drift) * 5
    assert [log2(v.best.value) for v in prediction.values] == pytest.approx(truth, abs=0.02)
    for value, true in zip(prediction.values, truth, strict=True):
        assert log2(value.best.low) < true < log2(value.best.high)
        assert value.recommended == value.best.value
        assert max(value.weights, key=value.weights.get) == ("power" if any(drift) else "constant")
    assert prediction.extrapolation == 4.0
    assert prediction.warnings == ()
    assert prediction.regret.high is not None
    assert prediction.regret.high < 0.05


def test_one_width_is_carried_as_it_is_with_its_interval_and_a_warning() -> None:
    """The normal use of µTransfer: one proxy is tuned, and the point is used at the target."""
    one = table(widths=(64.0,), num=40, noise=0.01)
    prediction = point(one)
    for value, true in zip(prediction.values, BEST, strict=True):
        assert log2(value.best.low) < true < log2(value.best.high)
        assert value.weights == {}
    assert prediction.warnings == (
        "one width (64) was run, so the point is carried as it is and its drift is not measured: "
        "add a width",
    )
    assert prediction.regret.high is not None
    assert "needs an optimum at 4 values of width" in str(prediction.loss.undetermined)


@pytest.mark.slow
def test_the_regret_is_that_of_the_planted_quadratic() -> None:
    """Errors along a valley cost little: the point's bound is below those of its coordinates."""
    valley = np.array([[0.1, 0.085], [0.085, 0.08]])
    holds, below = [], []
    for seed in range(12):
        prediction = point(table(hessian=valley, num=40, noise=0.02, seed=seed))
        error = np.array([log2(v.recommended) for v in prediction.values]) - BEST
        assert prediction.regret.high is not None
        holds.append(0.5 * error @ valley @ error <= prediction.regret.high)
        alone = max(v.cost.high or math.inf for v in prediction.values)
        below.append((prediction.regret_share.high or 0.0) < alone)
    assert sum(holds) >= 11
    assert sum(below) >= 9


def test_an_optimum_beyond_the_range_stays_a_bound() -> None:
    """The best init_std is 2^6 at every width, and nothing above 2^4 was tried."""
    rng = np.random.default_rng(1)
    points = [random_points(rng, 40, 2) for _ in WIDTHS]
    best = [np.array([0.5, 6.0])] * len(WIDTHS)
    columns = planted(points, best, np.diag([0.1, 0.05]), noise=0.005, rng=rng, widths=WIDTHS)
    prediction = point(columns)
    value = prediction["init_std"]
    assert (value.best.value, value.best.high) == (None, None)
    assert value.best.low == pytest.approx(value.recommended, rel=0.1)
    assert "the minimum lies at the edge of the range of init_std" in str(value.best.undetermined)
    assert log2(prediction["lr"].best.value) == pytest.approx(0.5, abs=0.2)
    assert prediction.regret.high is None
    assert prediction.regret.undetermined == value.best.undetermined
    assert any("the best init_std is undetermined at every width" in w for w in prediction.warnings)


def test_a_zero_is_extrapolated_on_a_linear_scale() -> None:
    """The best dropout falls to zero by 0.05 per octave, and is not negative at the target."""
    rng = np.random.default_rng(6)
    columns: dict[str, list] = {"width": [], "lr": [], "dropout": [], "loss": []}
    for k, width in enumerate(WIDTHS):
        for log2_lr, drawn in zip(rng.uniform(-4, 4, 40), rng.uniform(0, 0.4, 40), strict=True):
            dropout = 0.0 if len(columns["loss"]) % 8 == 0 else drawn
            best = 0.2 - 0.04 * k
            loss = 2.5 + 0.05 * (log2_lr - 0.5) ** 2 + 2.0 * (dropout - best) ** 2
            for name, value in zip(columns, (width, 2.0**log2_lr, dropout, loss), strict=True):
                columns[name].append(value)
    near = point(columns, ["lr", "dropout"], target=1024.0)["dropout"]
    assert near.scale == "linear"
    assert near.best.value == pytest.approx(0.04, abs=0.005)
    far = point(columns, ["lr", "dropout"], target=2.0**15)
    assert far["dropout"].recommended == far["dropout"].best.low == 0.0
    assert "dropout was tried at 0, so it is extrapolated on a linear scale" in far.warnings


def test_bad_targets_and_names_are_refused() -> None:
    results = Results.from_columns(table())
    with pytest.raises(ResultsError) as raised:
        predict(results, hyperparameter=["lr", "init_std"])
    assert str(raised.value).splitlines() == [
        "the target has no 'width'",
        "  why: a rate is predicted for one value of every scale",
        "  fix: --width 8192",
    ]
    with pytest.raises(ResultsError, match="'width', 'tokens' are scales, and 'lr', 'init_std'"):
        predict(
            results,
            at={"width": 1024, "tokens": 1e9},
            scale=["width", "tokens"],
            hyperparameter=["lr", "init_std"],
        )
    with pytest.raises(ResultsError, match="has no group 'mpu'"):
        predict(results, width=TARGET, group="mpu", hyperparameter=["lr", "init_std"])


def test_one_name_in_a_list_is_the_prediction_of_one_hyperparameter() -> None:
    columns = table(hessian=np.array([[0.1]]), drift=(0.0,), num=40)
    prediction = predict(Results.from_columns(columns), width=TARGET, hyperparameter=["lr"])
    assert isinstance(prediction, Prediction)
    assert prediction.log2_lr.value == pytest.approx(0.5, abs=0.05)


def test_all_diverged_says_why() -> None:
    columns = table()
    columns["loss"] = [math.nan] * len(columns["loss"])
    prediction = point(columns)
    assert prediction["lr"].best.value is None
    assert "every sample diverged at width" in str(prediction.regret.undetermined)
    assert json.dumps(json_data(prediction), allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("drift", [0.0, 0.3])
def test_intervals_cover_the_planted_point(drift: float) -> None:
    """Nominal 90 %, on rotated valleys with noise whose best point stays or moves."""
    hits, bounds = [], []
    for seed in range(40):
        rng = np.random.default_rng([7, seed])
        moves = drift * rng.choice([-1.0, 1.0], 2)
        hessian = random_hessian(rng, 2)
        prediction = point(
            table(moves, hessian=hessian, num=30, noise=0.02, shift=0.01, seed=seed), seed=seed
        )
        truth = BEST + moves * math.log2(TARGET / WIDTHS[0])
        for value, true in zip(prediction.values, truth, strict=True):
            if value.best.low is not None and value.best.high is not None:
                hits.append(log2(value.best.low) <= true <= log2(value.best.high))
        error = np.array([log2(v.recommended) for v in prediction.values]) - truth
        if prediction.regret.high is not None:
            bounds.append(0.5 * error @ hessian @ error <= prediction.regret.high)
    assert len(hits) > 60
    assert np.mean(hits) >= 0.85
    assert np.mean(bounds) >= 0.93
