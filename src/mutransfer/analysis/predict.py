"""This file is the prediction of rate, loss and regret at a target that was not run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mutransfer.analysis.analyze import asked
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.curves.group import fitted_groups
from mutransfer.analysis.format import Words, label
from mutransfer.analysis.intervals import UPPER, sampled
from mutransfer.analysis.laws.power_law import floor_law, power_law
from mutransfer.analysis.results import Results
from mutransfer.analysis.transfer.scaling import Optima, optima
from mutransfer.analysis.types.estimates import LN2, Estimate, Floats
from mutransfer.analysis.types.scaling import LawName, Prediction, RateLaw
from mutransfer.errors import ResultsError, listed, nearest

# Shape legend: W widths, S samples (the data first, then the draws).

TRUSTED = 4.0, 64.0  # times the largest width: between, extrapolation was studied [DESIGN]
RATE_LAWS: tuple[LawName, ...] = ("constant", "power")
FEWEST = 3  # widths whose scatter can be seen


def predict(
    results: Results,
    *,
    width: float,
    group: str | None = None,
    scale: str | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Prediction:
    """Predict the best rate, the loss and the regret at a width that was not run.

    Two laws of the best rate are extrapolated: that it stays, and that it moves as a power of
    width. The one that misses the largest width less, fitted without it, gives the value; the
    interval is the union of both, and includes how the optima scatter from width to width.

    Args:
        results: The trials.
        width: The target's value of the scale.
        group: The group, where there are several.
        scale: As for `analyze`.
        hyperparameter: As for `analyze`.
        group_by: As for `analyze`.
        window: As for `analyze`.
        draws: As for `analyze`.
        seed: As for `analyze`.

    Returns:
        Rate, loss and regret with intervals, and warnings.

    Raises:
        ResultsError: As `analyze`; the width is no positive number; there are several groups and
            none, or another, is named.

    Example:
        >>> trials = [
        ...     (n, 2.0**k, s, 2 + 9 * n**-0.5 + 0.05 * (k + 6) ** 2 + 0.001 * (s * k % 3))
        ...     for n in (64, 128, 256, 512, 1024)
        ...     for k in range(-9, -2)
        ...     for s in (0, 1, 2)
        ... ]
        >>> names = ("width", "lr", "seed", "loss")
        >>> results = Results.from_columns(dict(zip(names, map(list, zip(*trials)))))
        >>> prediction = predict(results, width=8192)
        >>> prediction.law, round(prediction.log2_lr.value, 1), prediction.warnings
        ('constant', -6.0, ())
    """
    found = predict_groups(
        results,
        width=width,
        group=group,
        scale=scale,
        hyperparameter=hyperparameter,
        group_by=group_by,
        window=window,
        draws=draws,
        seed=seed,
    )
    if len(found) > 1:
        raise _unnamed(results, "several groups, and none is named", found)
    return found[0]


def predict_groups(
    results: Results,
    *,
    width: float,
    group: str | None = None,
    scale: str | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> list[Prediction]:
    """Predict for every group, or for the one that is named; arguments as for `predict`."""
    question = asked(results, scale, hyperparameter, group_by, window, draws, seed)
    words = question.words
    if not 0 < width < math.inf:
        raise ResultsError(
            f"the target {words.scale} is {width:g}",
            why="optima are extrapolated on logarithmic axes",
            fix=f"give a positive {words.scale}, larger than what was run: --width 8192",
        )
    found = [
        _predicted(name, optima(each, words), width, words, question.seed)
        for name, each in fitted_groups(results, question).items()
    ]
    if group is None:
        return found
    chosen = [each for each in found if each.group == group]
    if not chosen:
        raise _unnamed(results, f"no group {group!r}", found, nearest(group, _names(found)) + " ")
    return chosen


def _names(found: Sequence[Prediction]) -> list[str]:
    """Give the groups' names."""
    return [each.group for each in found]


def _unnamed(
    results: Results, told: str, found: Sequence[Prediction], hint: str = ""
) -> ResultsError:
    """Say that a group must be named."""
    first = found[0].group
    return ResultsError(
        f"{results.provenance.source} has {told}",
        why=f"every group has its own best rate: {listed(_names(found))}",
        fix=f"{hint}--group {first} (in Python: group={first!r})",
    )


def _predicted(name: str, found: Optima, width: float, words: Words, seed: int) -> Prediction:
    """Predict for one group."""
    rng = np.random.default_rng([seed, *name.encode(errors="replace"), 1])
    few = _few(found, words)
    extrapolation = width / float(found.n[-1]) if len(found.n) else math.nan
    rates = {law: _samples(found, width, law, rng) for law in RATE_LAWS}
    missed = {law: _held_out(found, law) for law in RATE_LAWS}
    law = min(RATE_LAWS, key=lambda each: missed[each])
    laws = tuple(
        RateLaw(each, _rate(samples, few, found), _known(missed[each], found, words))
        for each, samples in rates.items()
    )
    chosen = next(each for each in laws if each.name == law)
    log2_lr = _union(chosen, laws)
    loss = _loss(found, width, rng)
    regret = _regret(found, width, rates, law, few)
    at = loss.value if loss.value is not None else _last_loss(found)
    return Prediction(
        group=name,
        scale=words.scale,
        hyperparameter=words.hyperparameter,
        width=width,
        extrapolation=extrapolation,
        lr=_power_of_two(log2_lr),
        log2_lr=log2_lr,
        loss=loss,
        regret=regret,
        regret_share=regret.times(1 / at) if at and at > 0 else Estimate(undetermined=few),
        law=law,
        laws=laws,
        warnings=tuple(_warnings(found, width, extrapolation, words)),
    )


def _few(found: Optima, words: Words) -> str | None:
    """Say why there is no interval, if there is none."""
    if found.no_draws:
        return found.no_draws
    if len(found.n) >= FEWEST:
        return None
    return f"{len(found.n)} of {FEWEST} values of {words.scale} that show their scatter: add one"


def _scatter(
    values_SW: Floats, fitted_SW: Floats, freedom: int, rng: np.random.Generator
) -> Floats:
    """Draw the standard deviation between widths beyond noise; zero for the data itself.

    The mean square about the law is noise plus scatter, and as uncertain as its freedom says.
    """
    num = len(values_SW) - 1
    if not num or freedom < 1:
        return np.zeros(num + 1)
    square = float(((values_SW[0] - fitted_SW[0]) ** 2).sum()) / freedom
    noise = float(values_SW[1:].var(axis=0).mean())
    drawn_D = square * freedom / rng.chisquare(freedom, num) - noise
    return np.concatenate([[0.0], np.sqrt(np.maximum(drawn_D, 0.0))])


def _samples(found: Optima, width: float, law: LawName, rng: np.random.Generator) -> Floats:
    """Extrapolate ln of the best rate by one law: the data, then draws with noise and scatter."""
    if found.rate_law is None:
        return found.x[:, 0] if len(found.n) else np.full(1, np.nan)
    line_SW = np.array([found.rate_law.log_at(n) for n in found.n]).T
    scatter_S = _scatter(found.x, line_SW, len(found.n) - 2, rng)
    x_SW = found.x + scatter_S[:, None] * rng.standard_normal(found.x.shape)
    own_S = scatter_S * rng.standard_normal(len(scatter_S))
    if law == "constant":
        return np.asarray(x_SW.mean(axis=1) + own_S)
    return power_law(found.n, x_SW).log_at(width) + own_S


def _held_out(found: Optima, law: LawName) -> float:
    """Give by how many octaves the law of the smaller widths misses the largest."""
    if len(found.n) < 3:
        return 0.0 if law == "constant" else math.inf
    x_W, known = found.x[0], found.n[:-1]
    told = x_W[:-1].mean()
    if law == "power":
        told = power_law(known, x_W[None, :-1]).log_at(float(found.n[-1]))[0]
    return abs(float(x_W[-1] - told)) / LN2


def _known(missed: float, found: Optima, words: Words) -> Estimate:
    """Report by how much a law missed."""
    if len(found.n) < 3:
        return Estimate(undetermined=f"fewer than three values of {words.scale}: add one")
    return Estimate(missed)


def _rate(samples_S: Floats, few: str | None, found: Optima) -> Estimate:
    """Report log2 of a rate."""
    if not len(found.n):
        return Estimate(undetermined=found.lacking)
    return sampled(samples_S / LN2, few)


def _union(chosen: RateLaw, laws: Sequence[RateLaw]) -> Estimate:
    """Give the chosen law's value with the union of all laws' intervals.

    Of a law that the data refute, too: a rate that has drifted may settle beyond the widths run.
    """
    ends = [(law.log2_lr.low, law.log2_lr.high) for law in laws]
    lows, highs = [low for low, _ in ends if low is not None], [h for _, h in ends if h is not None]
    if len(lows) < len(ends) or len(highs) < len(ends):
        return Estimate(chosen.log2_lr.value, undetermined=chosen.log2_lr.undetermined)
    return Estimate(chosen.log2_lr.value, min(lows), max(highs))


def _power_of_two(log2_lr: Estimate) -> Estimate:
    """Turn log2 of a rate into the rate."""
    value, low, high = (
        None if x is None else 2.0**x for x in (log2_lr.value, log2_lr.low, log2_lr.high)
    )
    return Estimate(value, low, high, log2_lr.undetermined)


def _loss(found: Optima, width: float, rng: np.random.Generator) -> Estimate:
    """Extrapolate the best loss by its law; the scatter between widths is part of it."""
    if found.loss_law is None:
        return Estimate(undetermined=found.lacking)
    line_SW = np.array([found.loss_law.at(n) for n in found.n]).T
    scatter_S = _scatter(found.loss, line_SW, len(found.n) - 3, rng)
    if len(scatter_S) > 1 and found.no_interval is None:
        moved_SW = found.loss + scatter_S[:, None] * rng.standard_normal(found.loss.shape)
        law = floor_law(found.n, moved_SW)
        loss_S = law.at(width) + scatter_S * rng.standard_normal(len(scatter_S))
        return sampled(loss_S, None, law.bound | found.loss_law.bound[0])
    return sampled(found.loss_law.at(width), found.no_interval, found.loss_law.bound)


def _regret(
    found: Optima, width: float, rates: Mapping[LawName, Floats], law: LawName, few: str | None
) -> Estimate:
    """Give the cost of the predicted rate, were the best one as the laws' draws say."""
    if few is not None or found.curvature_law is None:
        return Estimate(undetermined=few or found.lacking)
    with np.errstate(over="ignore"):
        curvature_S = np.exp(found.curvature_law.log_at(width))
    aim = rates[law][0]
    costs = {
        each: 0.5 * curvature_S[1:] * (samples[1:] - aim) ** 2 for each, samples in rates.items()
    }
    known = {each: cost[np.isfinite(cost)] for each, cost in costs.items()}
    both = np.concatenate(list(known.values()))
    if not len(both):
        return Estimate(undetermined="the noise hides a curvature: add seeds")
    return Estimate(float(np.median(known[law])), 0.0, float(np.quantile(both, UPPER)))


def _last_loss(found: Optima) -> float | None:
    """Give the best loss at the largest width that has an optimum."""
    return float(found.loss[0, -1]) if len(found.n) else None


def _warnings(found: Optima, width: float, extrapolation: float, words: Words) -> list[str]:
    """Say why to be careful."""
    told: list[str] = []
    if not len(found.n):
        return told
    least, most = TRUSTED
    far = (
        f"{words.scale} {label(float(width))} is {extrapolation:.3g}x the largest with an optimum, "
        f"{label(float(found.n[-1]))}"
    )
    if extrapolation > most:
        told.append(f"{far}; how far laws hold beyond {most:g}x is not known: add a larger proxy")
    elif extrapolation < least:
        told.append(f"{far}; below {least:g}x tuning at the target itself may be cheap enough")
    if found.no_draws and len(found.n):
        told.append(f"no interval: {found.no_draws}")
    return told
