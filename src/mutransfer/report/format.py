"""Text of numbers and names on the page and in the figures."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from mutransfer.rules.registry import PARAMETRIZATIONS

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, PointPrediction, Prediction, Report, ScalesReport

SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"
SYMBOLS = {"mup": "µP", "sp": "SP", "umup": "u-µP", "completep": "CompleteP"}

Formatter = Callable[[float], str]

# Matches words such as 'one-sided', and neither 'µP' nor 'sp+embd', 'log.csv' or `lr_multiplier`.
_FIRST_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*(?=[,:;.!?)]?(?:\s|$))")
_NAMES = {*PARAMETRIZATIONS, "lr"} - {"none"}


def escape(text: object) -> str:
    """Escape text for an element or an attribute of HTML.

    Example:
        >>> escape("<b>'µ'")
        '&lt;b&gt;&#x27;µ&#x27;'
    """
    return html.escape(str(text), quote=True)


def _minus(text: str) -> str:
    """Replace a leading hyphen by the minus sign."""
    return "−" + text[1:] if text.startswith("-") else text


def format_number(value: float | None, digits: int = 3) -> str:
    """Format a number with that many significant digits.

    Example:
        >>> format_number(-0.98346), format_number(1280.0), format_number(2.0e-7)
        ('−0.983', '1280', '2.0·10⁻⁷')
        >>> format_number(None), format_number(-4.6e-16)
        ('?', '0')
    """
    if value is None or math.isnan(value):
        return "?"
    if 1e-12 <= abs(value) < 1e-4:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{_minus(mantissa)}·10{superscript(int(exponent))}"
    if value and abs(value) >= 10**digits and float(value).is_integer() and abs(value) < 1e9:
        return _minus(f"{value:.0f}")
    return _minus(f"{value:.{digits}g}") if abs(value) >= 1e-12 else "0"  # rounding error


def format_loss(value: float | None) -> str:
    """Format a loss to the fourth decimal.

    Example:
        >>> format_loss(2.30149), format_loss(None)
        ('2.3015', '?')
    """
    if value is None or not math.isfinite(value):
        return "?"
    return _minus(f"{value:.4f}" if abs(value) < 1e4 else f"{value:.5g}")


def format_cost(value: float) -> str:
    """Format a difference of losses; digits below a ten-thousandth mean nothing.

    Example:
        >>> format_cost(0.01234), format_cost(0.0), format_cost(3e-6)
        ('0.0123', '0', '<0.0001')
    """
    return "<0.0001" if 0 < value < 1e-4 else format_number(value)


def unit_suffix(result: Report | Prediction | PointPrediction, power: str = "") -> str:
    """Return the unit of the losses with a space before it; empty where it is unknown."""
    return f" {result.loss_unit}{power}" if result.loss_unit else ""


def format_percent(value: float | None) -> str:
    """Format a share as a percentage.

    Example:
        >>> format_percent(0.01), format_percent(0.01234), format_percent(1e-7)
        ('1 %', '1.23 %', '<0.001 %')
    """
    if value is None:
        return "?"
    return "<0.001 %" if 0 < value < 1e-5 else f"{format_number(100 * value)} %"


def format_slope(value: float) -> str:
    """Format a slope to the third decimal.

    Example:
        >>> format_slope(-0.9964), format_slope(0.0), format_slope(-1e-6)
        ('−0.996', '0.000', '0.000')
    """
    return _minus(f"{round(value, 3) + 0.0:.3f}")


def format_exponent(value: float) -> str:
    """Format a measured exponent of width with its sign, to the second decimal.

    Example:
        >>> format_exponent(0.9444), format_exponent(-0.5), format_exponent(-0.001)
        ('+0.94', '−0.50', '0.00')
    """
    rounded = round(value, 2) + 0.0
    return _minus(f"{rounded:+.2f}") if rounded else "0.00"


def format_expected(value: float) -> str:
    """Format an expected exponent of width.

    Example:
        >>> format_expected(-0.5), format_expected(0.0)
        ('−0.5', '0')
    """
    return _minus(f"{value + 0.0:g}")


def superscript(exponent: int) -> str:
    """Format an integer in raised digits.

    Example:
        >>> superscript(-12)
        '⁻¹²'
    """
    digits = "".join(SUPERSCRIPT[int(digit)] for digit in str(abs(exponent)))
    return ("⁻" if exponent < 0 else "") + digits


def format_width(width: float) -> str:
    """Format a value of the scale; 64.0 is 64.

    Example:
        >>> format_width(64.0), format_width(1.5), format_width(1048576.0)
        ('64', '1.5', '1048576')
    """
    return str(int(width)) if float(width).is_integer() and abs(width) < 1e15 else f"{width:g}"


def format_interval(estimate: Estimate, formatter: Formatter = format_number) -> str:
    """Format an interval in brackets; empty where there is none.

    Example:
        >>> from mutransfer.analysis import Estimate
        >>> format_interval(Estimate(0.5, 0.41, 0.62)), format_interval(Estimate(0.5))
        ('[0.41, 0.62]', '')
    """
    if estimate.low is None and estimate.high is None:
        return ""
    low = "−∞" if estimate.low is None else formatter(estimate.low)
    high = "∞" if estimate.high is None else formatter(estimate.high)
    return f"[{low}, {high}]"


def format_group(report: Report | ScalesReport, name: str) -> str:
    """Return the usual symbol of a parametrization, and the name of any other group."""
    if is_ungrouped(report):
        return "all trials"
    return SYMBOLS.get(name, name) if report.group_by == ("parametrization",) else name


def is_ungrouped(report: Report | ScalesReport) -> bool:
    """Return whether all trials form one group, which has no name of its own."""
    return not report.group_by and list(report) == ["all"]


def loss_title(report: Report) -> str:
    """Return the title of an axis of losses, with the unit where it is known."""
    return f"loss ({report.loss_unit})" if report.loss_unit else "loss"


def hyperparameter_title(report: Report | ScalesReport) -> str:
    """Return the name of the tuned hyperparameter, as a sentence needs it."""
    return "learning rate" if report.hyperparameter == "lr" else report.hyperparameter


def shorten(text: str, limit: int = 40) -> str:
    """Cut a name that is too long for a figure.

    Example:
        >>> shorten("abcdefgh", limit=5)
        'abcd…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def as_sentence(text: str) -> str:
    """Begin with a capital letter and end with a full stop; symbols and names stay as they are.

    Example:
        >>> as_sentence("one seed: add seeds"), as_sentence("µP without it"), as_sentence("sp+embd")
        ('One seed: add seeds.', 'µP without it.', 'sp+embd.')
    """
    word = _FIRST_WORD.match(text)
    if word and word[0] not in _NAMES:
        text = text[0].upper() + text[1:]
    return text + ("" if text.endswith((".", "?", "!")) else ".")
