"""Text of rates, losses, shares and axis values, as messages, tables and the terminal show them."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal


def format_power(log2_value: float) -> str:
    """Format a number as a power of two.

    Example:
        >>> format_power(-6.0), format_power(-6.5), format_power(-6.6438)
        ('2^-6', '2^-6.5', '2^-6.64')
    """
    return f"2^{round(log2_value, 2) + 0.0:g}"


def format_rate(log2_rate: float) -> str:
    """Format a rate as a power of two with its decimal value, which a command line takes.

    Example:
        >>> format_rate(-6.0), format_rate(-6.5)
        ('2^-6 (0.01562)', '2^-6.5 (0.01105)')
        >>> format_rate(1024.0), format_rate(math.inf), format_rate(-math.inf)
        ('2^1024 (1.798e+308)', 'inf', '0')
    """
    if not math.isfinite(log2_rate):
        return f"{log2_rate if log2_rate != -math.inf else 0}"
    # Ends of intervals exceed the largest float, as does the rounded log2 of a rate just below it.
    decimal = 2.0**log2_rate if log2_rate < 1024 else Decimal(2) ** Decimal(log2_rate)
    return f"{format_power(log2_rate)} ({decimal:.4g})"


def format_value(value: object) -> str:
    """Format the value of an axis; 64.0 is 64.

    Example:
        >>> format_value(64.0), format_value(0.1), format_value("mup"), format_value(True)
        ('64', '0.1', 'mup', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def format_loss(value: float, unit: str | None) -> str:
    """Format a loss or a difference of losses, with the unit where it is known.

    Example:
        >>> format_loss(0.01234, "nats"), format_loss(2.5, None)
        ('0.0123 nats', '2.5')
    """
    return f"{without_rounding_error(value):.3g} {unit or ''}".rstrip()


def format_share(value: float) -> str:
    """Format a share as a percentage.

    Example:
        >>> format_share(0.0123), format_share(2e-16)
        ('1.23 %', '0 %')
    """
    return f"{100 * without_rounding_error(value):.3g} %"


def format_group_by(columns: Sequence[str]) -> str:
    """Format the columns of groups as arguments of the command line and of Python.

    Example:
        >>> format_group_by(["form", "optimizer"])
        '--group-by form,optimizer (in Python: group_by=["form", "optimizer"])'
    """
    shell, python = shlex.quote(",".join(columns)), json.dumps(list(columns))
    return f"--group-by {shell} (in Python: group_by={python})"


def without_rounding_error(value: float) -> float:
    """Return zero for a number that is only the rounding error of others."""
    return 0.0 if abs(value) < 1e-9 else value


def format_size(value: float) -> str:
    """Format a size among several, such as parameters and tokens: short, since they share a line.

    Example:
        >>> format_size(512.0), format_size(214663680.0), format_size(2e10)
        ('512', '2.15e+08', '2e+10')
    """
    return format_value(value) if value < 1e5 and float(value).is_integer() else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class AxisNames:
    """The columns of the scales and of the hyperparameter, as messages name them.

    Args:
        scale: The scale, or the first of several.
        hyperparameter: The tuned hyperparameter.
        further: The other scales.

    Example:
        >>> axes = AxisNames("width", "lr")
        >>> f"add {axes.rates} below 2^-7 {axes.at(128.0)}"
        'add rates below 2^-7 at width 128'
        >>> AxisNames("params", "lr", ("tokens", "batch")).at(4.3e8, 2e10, 512.0)
        'at params 4.3e+08, tokens 2e+10, batch 512'
    """

    scale: str
    hyperparameter: str
    further: tuple[str, ...] = ()

    @property
    def scales(self) -> tuple[str, ...]:
        """All scales."""
        return (self.scale, *self.further)

    def at(self, *sizes: float) -> str:
        """Format one value of every scale."""
        return f"at {self.cell(*sizes)}"

    def cell(self, *sizes: float) -> str:
        """Format one value of every scale, without a preposition."""
        if not self.further:
            return f"{self.scale} {format_value(sizes[0])}"
        pairs = zip(self.scales, sizes, strict=True)
        return ", ".join(f"{scale} {format_size(size)}" for scale, size in pairs)

    def only(self, width: float) -> str:
        """Return why one value of the scale shows no trend, and what to add."""
        name = f"{self.scale} ({format_value(width)})"
        return f"only one value of {name} has results: run larger ones"

    def too_few(self, what: str, needed: int, num: int, num_run: int = 0) -> str:
        """Return why a number that needs several optima is undetermined, and what to add."""
        if num_run >= needed:  # no value of the scale is missing, but rates on both sides
            num_text = f"{num} of the {num_run} that were run {'has' if num == 1 else 'have'} one"
        else:
            num_text = f"there {'is' if num == 1 else 'are'} {num}: add {needed - num}"
        return f"{what} needs an optimum at {needed} values of {self.scale}, and {num_text}"

    @property
    def rate(self) -> str:
        """The hyperparameter in a sentence."""
        return "rate" if self.hyperparameter == "lr" else self.hyperparameter

    @property
    def rates(self) -> str:
        """The plural of the hyperparameter."""
        return "rates" if self.hyperparameter == "lr" else f"values of {self.hyperparameter}"
