"""Held-out checks: what a prediction would have been without the largest scale, and what was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from mutransfer.analysis.format import format_share, format_size
from mutransfer.analysis.types.estimates import Estimate
from mutransfer.analysis.types.scaling import Prediction


def covers_zero(error: Estimate) -> bool | None:
    """Return whether an error may be zero; None without an interval.

    Example:
        >>> covers_zero(Estimate(0.1, -0.1, 0.3)), covers_zero(Estimate(0.1))
        (True, None)
    """
    if error.low is None or error.high is None:
        return None
    return error.low <= 0 <= error.high


@dataclass(frozen=True, slots=True)
class HeldOutCell:
    """One held-out combination of scales: predicted from the others, and observed.

    Args:
        sizes: Scale -> value.
        prediction: The prediction from the runs that were kept.
        log2_lr: log2 of the observed best rate; 90 % interval.
        loss: The observed loss there; 90 % interval.
        rate_error: Octaves by which the predicted rate lies above the observed one; the 90 %
            interval is that of both errors.
        is_covered: Whether this interval contains zero; None without an interval or an optimum.
        regret: Excess loss of the predicted rate on the observed curve; one-sided 95 % bounds.
        regret_share: The regret as a share of the observed best loss.
        loss_error: Predicted minus observed best loss, as a share of the observed one; the 90 %
            interval is that of both errors.
    """

    sizes: Mapping[str, float]
    prediction: Prediction
    log2_lr: Estimate
    loss: Estimate
    rate_error: Estimate
    is_covered: bool | None
    regret: Estimate
    regret_share: Estimate
    loss_error: Estimate


@dataclass(frozen=True, slots=True)
class HoldOut:
    """The check of one group along one scale: predict its largest value from the others.

    Args:
        group: The group.
        scale: The scale whose largest value is held out.
        value: This value.
        kept: The smaller values of the scale that have an optimum, ascending.
        cells: The held-out combinations; one where there is one scale. Empty where the check is
            not possible.
        undetermined: Why it is not possible, and what to add, or None.
        hyperparameter: Name of the hyperparameter.
        loss_unit: Unit of the losses, 'nats', or None where it is undetermined.
    """

    group: str
    scale: str
    value: float
    kept: tuple[float, ...]
    cells: tuple[HeldOutCell, ...]
    undetermined: str | None
    hyperparameter: str
    loss_unit: str | None = field(default=None, metadata={"json": False})

    @property
    def rate_error(self) -> float | None:
        """Median size of the error of the rate, in octaves; None without an observed optimum."""
        errors = [
            abs(cell.rate_error.value) for cell in self.cells if cell.rate_error.value is not None
        ]
        return median(errors) if errors else None

    @property
    def regret_share(self) -> float | None:
        """Median share of the loss that the predicted rate costs, or None."""
        shares = [
            cell.regret_share.value for cell in self.cells if cell.regret_share.value is not None
        ]
        return median(shares) if shares else None

    @property
    def summary(self) -> str:
        """The answer in one sentence.

        Example:
            >>> HoldOut("mup", "width", 512.0, (64.0,), (), "run more widths", "lr").summary
            'without width 512 nothing can be predicted: run more widths'
        """
        name = f"{self.scale} {format_size(self.value)}"
        if self.undetermined is not None:
            return f"without {name} nothing can be predicted: {self.undetermined}"
        parts = []
        if self.rate_error is not None:
            parts.append(f"{self.hyperparameter} off by {self.rate_error:.2g} octaves")
        if self.regret_share is not None:
            parts.append(f"{format_share(self.regret_share)} of the loss")
        if not parts:
            return f"{name} has no optimum to compare with"
        many = f" (medians over {len(self.cells)})" if len(self.cells) > 1 else ""
        return f"had you not run {name}: {', '.join(parts)}{many}"
