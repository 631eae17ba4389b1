"""Scaling laws, robustness, predictability and predictions: the parts of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mutransfer.analysis.types.estimates import Estimate

LawName = Literal["constant", "power", "saturating"]
# Octaves of skew that matter: a third of the length of a usual interval. [assumed]
MIN_SKEW = 0.05

Speed = Literal["fast", "not fast", "undetermined"]


@dataclass(frozen=True, slots=True)
class CarriedRegret:
    """The excess loss of one width's best rate at a larger width.

    Args:
        proxy: The width that the rate was tuned at.
        target: The larger width that it is used at.
        regret: The excess loss there; `low` and `high` are one-sided 95 % bounds.
        share: The regret as a share of the best loss at the target.
        grid: The regret between rates that were tried, without an interval.
        of_noise: The share with the bounds that noise alone leaves: as if losses between the rates
            tried were exact and curves were parabolas. It says what would narrow the bounds.
        of_spacing: The share with the bounds of noise and of the distance between rates, without
            those of skew.
    """

    proxy: float
    target: float
    regret: Estimate
    share: Estimate
    grid: Estimate
    of_noise: Estimate = field(default=Estimate(), metadata={"json": False})
    of_spacing: Estimate = field(default=Estimate(), metadata={"json": False})


@dataclass(frozen=True, slots=True)
class Laws:
    """Power laws over the scale n; 90 % intervals.

    Best loss L*(n) = loss_inf + amplitude · n^-alpha; best rate η*(n) = 2^log2_lr · n^-beta;
    curvature of the loss in ln(rate) at the best rate = curvature · n^gamma_log.

    Args:
        loss_inf: L∞, the loss that remains at infinite scale.
        amplitude: A, a loss.
        alpha: Exponent of the reducible loss.
        log2_lr: log2 of B, the best rate that the law gives at n = 1.
        beta: Exponent of the best rate; minus the drift.
        curvature: C, the curvature in ln(rate) at n = 1.
        gamma_log: Exponent of the curvature in ln(rate).
        gamma: Exponent of the curvature in the rate itself, gamma_log + 2·beta.
    """

    loss_inf: Estimate
    amplitude: Estimate
    alpha: Estimate
    log2_lr: Estimate
    beta: Estimate
    curvature: Estimate
    gamma_log: Estimate
    gamma: Estimate


@dataclass(frozen=True, slots=True)
class FitErrors:
    """How well the laws describe the losses: E in other norms, and the share of noise in it.

    Args:
        noise_floor: What E would be if the laws were exact and only noise remained.
        rmse: Square root of E, a loss.
        relative: Mean of |residual| / loss.
        lr: Mean squared residual of ln(best rate) about its power law.
        held_out: Mean squared residual at the largest width of a joint fit without it.
        linear: E of the joint fit with a parabola in the rate instead of its logarithm.
    """

    noise_floor: Estimate
    rmse: Estimate
    relative: Estimate
    lr: Estimate
    held_out: Estimate
    linear: Estimate


@dataclass(frozen=True, slots=True)
class FastTransfer:
    """Whether the best rate converges faster than the loss needs (arXiv:2512.22768).

    The best rate is fitted as ln η*(n) = ln η∞ + b · n^-delta. Transfer is fast if the regret
    vanishes faster than the reducible loss: delta > alpha / 2.

    Args:
        speed: 'fast', 'not fast' or 'undetermined'.
        delta: Exponent of the best rate's distance to its limit.
        margin: delta - alpha / 2.
    """

    speed: Speed
    delta: Estimate
    margin: Estimate


@dataclass(frozen=True, slots=True)
class WidthEstimate:
    """An estimate at one value of the scale."""

    width: float
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Band:
    """The laws at one value of the scale: log2 of the best rate, and the best loss."""

    width: float
    log2_lr: Estimate
    loss: Estimate


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a group scales, and how reliable its laws are.

    Args:
        laws: The power laws.
        kappa: Transfer robustness exponent alpha + gamma_log (arXiv:2605.21486): a fixed relative
            error of the rate costs a share ∝ n^kappa of the reducible loss; negative is robust.
        kappa_joint: kappa from the joint fit of all losses; a check, without an interval.
        kappa_sensitivity: Range of kappa when one width is left out; no interval.
        E: Loss predictability error: mean squared residual of the joint fit.
        errors: E in other norms, and its noise floor.
        fast: Whether transfer is fast.
        lr_sensitivity: Per width, mean excess loss over the rates tried at every width
            (arXiv:2309.14322).
        skew: How far a cubic's minimum lies above the parabola's, averaged over widths, in octaves:
            roughly the error of the best rates where curves are not parabolas.
        bands: The laws from the smallest to the largest width.
    """

    laws: Laws
    kappa: Estimate
    kappa_joint: Estimate
    kappa_sensitivity: Estimate
    E: Estimate
    errors: FitErrors
    fast: FastTransfer
    lr_sensitivity: tuple[WidthEstimate, ...]
    skew: Estimate
    bands: tuple[Band, ...]

    @property
    def is_skewed(self) -> bool:
        """Whether the curves are skewed enough to matter."""
        return is_skewed(self.skew)


def is_skewed(skew: Estimate) -> bool:
    """Whether skew moves the best rates by more than noise, and by more than `MIN_SKEW`.

    Example:
        >>> is_skewed(Estimate(0.18, 0.1, 0.25)), is_skewed(Estimate(0.18, -0.1, 0.4))
        (True, False)
    """
    if skew.value is None or skew.low is None or skew.high is None:
        return False
    return abs(skew.value) > MIN_SKEW and not skew.low <= 0 <= skew.high


def skew_weight(skew: Estimate, *, full_at: float = 1.0) -> float:
    """Return how much skew counts, from 0 to 1, so that no interval jumps where skew sets in.

    Args:
        skew: The skew.
        full_at: Skew that counts in full, in multiples of that from which on `is_skewed` is true;
            half a multiple less does not count. Skew that noise may explain may be real.

    Example:
        >>> skew_weight(Estimate(0.18, 0.1, 0.25)), skew_weight(Estimate(0.18, -0.06, 0.4))
        (1.0, 0.5)
        >>> skew_weight(Estimate(0.02, 0.01, 0.03)), skew_weight(Estimate(0.18))
        (0.0, 0.0)
    """
    if skew.value is None or skew.low is None or skew.high is None:
        return 0.0
    size = abs(skew.value)
    noise = skew.value - skew.low if skew.value > 0 else skew.high - skew.value
    ratios = size / MIN_SKEW, size / noise if noise > 0 else float(size > 0)
    return min(max(1.0 + 2 * (min(ratios) - full_at), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class RateLaw:
    """One law of the best rate, extrapolated to a target.

    Args:
        name: 'constant' (the best rate stays), 'power' (it moves as a power of the scales) or
            'saturating' (it moves less and less, and settles).
        weight: Probability of the law, given the optima; the weights sum to one.
        log2_lr: log2 of the rate at the target by this law alone; 90 % interval.
        held_out: Error of the law of the smaller cells at the largest, in octaves.
        regret_share: Excess loss there with this law's rate, as a share of the loss; `high` is a
            one-sided 95 % bound over all laws.
    """

    name: LawName
    weight: float
    log2_lr: Estimate
    held_out: Estimate
    regret_share: Estimate


@dataclass(frozen=True, slots=True)
class NearestRate:
    """The best rate of the nearest size that was run, used at a target as it is.

    Args:
        sizes: Scale -> value of the size that has an optimum and is nearest, in octaves.
        log2_lr: log2 of its best rate.
        regret_share: Excess loss at the target with this rate, as a share of the loss; `high` is a
            one-sided 95 % bound.
    """

    sizes: Mapping[str, float]
    log2_lr: float
    regret_share: Estimate


@dataclass(frozen=True, slots=True)
class Prediction:
    """The rate to use at a target that was not run, and the loss and regret to expect there.

    Args:
        group: The group.
        scale: Name of the scale, or of the first of several.
        hyperparameter: Name of the hyperparameter.
        width: The target's value of that scale.
        at: The target's value of every scale.
        extrapolation: Ratio of the target to the largest value that has an optimum; of several
            scales the largest ratio.
        lr: The rate to use; 90 % interval.
        log2_lr: log2 of this rate: the median of the average over the laws.
        loss: The loss at the best rate there; 90 % interval.
        regret: Expected excess loss with this rate; `high` is a one-sided 95 % bound.
        regret_share: The regret as a share of the loss.
        law: The law with the largest weight.
        laws: All laws.
        nearest: The best rate of the nearest size, and its cost; None without an optimum.
        path: Rate and loss from the largest width with an optimum to the target, for figures;
            empty with several scales.
        warnings: Reasons for caution, in sentences.
        loss_unit: Unit of the losses, 'nats', or None where it is undetermined.
        notes: Sentences on the runs, rows and columns of the source that were left out.
    """

    group: str
    scale: str
    hyperparameter: str
    width: float
    at: Mapping[str, float]
    extrapolation: float
    lr: Estimate
    log2_lr: Estimate
    loss: Estimate
    regret: Estimate
    regret_share: Estimate
    law: LawName
    laws: tuple[RateLaw, ...]
    warnings: tuple[str, ...]
    nearest: NearestRate | None = None
    path: tuple[Band, ...] = field(default=(), metadata={"json": False})
    loss_unit: str | None = field(default=None, metadata={"json": False})
    # The JSON has them once, above all predictions.
    notes: tuple[str, ...] = field(default=(), metadata={"json": False})
