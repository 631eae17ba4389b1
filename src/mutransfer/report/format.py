"""This file is how numbers and names are written on the page and in the figures."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, Report

SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"
LOSS_TITLE = "loss"
SYMBOLS = {"mup": "µP", "sp": "SP", "umup": "u-µP", "completep": "CompleteP"}


def escaped(text: object) -> str:
    """Make any text safe inside an element or an attribute.

    Example:
        >>> escaped("<b>'µ'")
        '&lt;b&gt;&#x27;µ&#x27;'
    """
    return html.escape(str(text), quote=True)


def minus(text: str) -> str:
    """Write a leading hyphen as the minus sign.

    Example:
        >>> minus("-5")
        '−5'
    """
    return "−" + text[1:] if text.startswith("-") else text


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many significant digits, in as few letters as that takes.

    Example:
        >>> number(-0.98346), number(1280.0), number(2.0e-7), number(None)
        ('−0.983', '1280', '2.0·10⁻⁷', '?')
    """
    if value is None or math.isnan(value):
        return "?"
    if 0 < abs(value) < 1e-4:
        digits_text, _, exponent = f"{value:.1e}".partition("e")
        return f"{minus(digits_text)}·10{raised(int(exponent))}"
    if value and abs(value) >= 10**digits and float(value).is_integer() and abs(value) < 1e9:
        return minus(f"{value:.0f}")
    return minus(f"{value + 0.0:.{digits}g}")


def loss_text(value: float | None) -> str:
    """Write a loss in nats to the fourth decimal.

    Example:
        >>> loss_text(2.30149), loss_text(None)
        ('2.3015', '?')
    """
    if value is None or not math.isfinite(value):
        return "?"
    return minus(f"{value:.4f}" if abs(value) < 1e4 else f"{value:.5g}")


def nats_text(value: float) -> str:
    """Write a cost in nats; below a ten-thousandth the digits mean nothing.

    Example:
        >>> nats_text(0.01234), nats_text(0.0), nats_text(3e-6)
        ('0.0123', '0', '<0.0001')
    """
    return "<0.0001" if 0 < value < 1e-4 else number(value)


def share_text(value: float | None) -> str:
    """Write a share as a percentage.

    Example:
        >>> share_text(0.01), share_text(0.01234), share_text(1e-7)
        ('1 %', '1.23 %', '<0.001 %')
    """
    if value is None:
        return "?"
    return "<0.001 %" if 0 < value < 1e-5 else f"{number(100 * value)} %"


def slope_text(value: float) -> str:
    """Write a slope to the third decimal.

    Example:
        >>> slope_text(-0.9964), slope_text(0.0), slope_text(-1e-6)
        ('−0.996', '0.000', '0.000')
    """
    return minus(f"{round(value, 3) + 0.0:.3f}")


def power(log2_value: float) -> str:
    """Write a power of two with its exponent raised; fractions keep the caret.

    Example:
        >>> power(-5.0), power(10), power(-5.25)
        ('2⁻⁵', '2¹⁰', '2^−5.25')
    """
    rounded = round(log2_value, 2)
    if rounded != int(rounded):
        return f"2^{minus(f'{rounded:g}')}"
    return "2" + raised(int(rounded))


def raised(exponent: int) -> str:
    """Write an exponent in raised digits.

    Example:
        >>> raised(-12)
        '⁻¹²'
    """
    digits = "".join(SUPERSCRIPT[int(digit)] for digit in str(abs(exponent)))
    return ("⁻" if exponent < 0 else "") + digits


def width_text(width: float) -> str:
    """Write a value of the scale; 64.0 is 64.

    Example:
        >>> width_text(64.0), width_text(1.5), width_text(1048576.0)
        ('64', '1.5', '1048576')
    """
    return str(int(width)) if float(width).is_integer() and abs(width) < 1e15 else f"{width:g}"


def group_title(report: Report, name: str) -> str:
    """Give a parametrization's usual symbol; any other group is called what it is called."""
    if is_whole(report):
        return "all trials"
    return SYMBOLS.get(name, name) if report.group_by == ("parametrization",) else name


def is_whole(report: Report) -> bool:
    """Say whether nothing was grouped, so that the one group has no name of its own."""
    return not report.group_by and list(report) == ["all"]


def shortened(text: str, limit: int = 40) -> str:
    """Cut a name that is too long for a figure.

    Example:
        >>> shortened("abcdefgh", limit=5)
        'abcd…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop.

    Example:
        >>> sentence("one seed: add seeds")
        'One seed: add seeds.'
    """
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def tuned_title(report: Report) -> str:
    """Name what is tuned, in a sentence."""
    return "learning rate" if report.hyperparameter == "lr" else report.hyperparameter


def rate_text(log2_value: float) -> str:
    """Write log2 of a rate to the second decimal.

    Example:
        >>> rate_text(-4.2)
        '−4.20'
    """
    return minus(f"{log2_value:.2f}")


def interval_text(estimate: Estimate, write: Callable[[float], str] = number) -> str:
    """Write an interval in brackets, or nothing where there is none.

    Example:
        >>> from mutransfer.analysis import Estimate
        >>> interval_text(Estimate(0.5, 0.41, 0.62)), interval_text(Estimate(0.5))
        ('[0.41, 0.62]', '')
    """
    if estimate.low is None and estimate.high is None:
        return ""
    low = "−∞" if estimate.low is None else write(estimate.low)
    high = "∞" if estimate.high is None else write(estimate.high)
    return f"[{low}, {high}]"
