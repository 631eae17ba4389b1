"""This file is how rates, widths and shares are written in a sentence."""

from __future__ import annotations

from dataclasses import dataclass


def rate(log2_lr: float) -> str:
    """Write a rate as a power of two.

    Example:
        >>> rate(-6.0), rate(-6.5), rate(-6.6438)
        ('2^-6', '2^-6.5', '2^-6.64')
    """
    return f"2^{round(log2_lr, 2) + 0.0:g}"


def label(value: object) -> str:
    """Write an axis value; 64.0 is 64.

    Example:
        >>> label(64.0), label(0.1), label("mup"), label(True)
        ('64', '0.1', 'mup', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def nats(value: float) -> str:
    """Write a difference of losses.

    Example:
        >>> nats(0.01234), nats(2.5)
        ('0.0123 nats', '2.5 nats')
    """
    return f"{value:.3g} nats"


def share(value: float) -> str:
    """Write a share as a percentage.

    Example:
        >>> share(0.0123)
        '1.23 %'
    """
    return f"{100 * value:.3g} %"


@dataclass(frozen=True, slots=True)
class Words:
    """The names of the scale and of the hyperparameter, as a sentence needs them.

    Example:
        >>> words = Words("width", "lr")
        >>> f"add {words.values} below 2^-7 {words.at(128.0)}"
        'add rates below 2^-7 at width 128'
    """

    scale: str
    hyperparameter: str

    def at(self, width: float) -> str:
        """Say where."""
        return f"at {self.scale} {label(width)}"

    @property
    def values(self) -> str:
        """Name several values of the hyperparameter."""
        return "rates" if self.hyperparameter == "lr" else f"values of {self.hyperparameter}"
