"""Axes of a study: a list of values, or a range such as '2^-12 .. 2^-4 step 1/2'."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from mutransfer.records.base import InvalidValue
from mutransfer.records.trial import AxisValue

MAX_TRIALS = 10**6  # a larger grid is a mistake, and would fill the memory [assumed]

_POWERS = re.compile(
    r"\s*2\s*\^\s*(?P<low>-?\d+(?:\.\d+)?)\s*\.\.\s*2\s*\^\s*(?P<high>-?\d+(?:\.\d+)?)"
    r"(?:\s*,?\s*step\s+(?P<num>\d{1,9})(?:\s*/\s*(?P<den>\d{1,9}))?)?\s*"
)
_NUMBER = r"\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,3})?"
_POWER = re.compile(r"(2|10)\s*(?:\^|\*\*)\s*(-?\d{1,3}(?:\.\d{1,9})?)")
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})(?:[\s,].*)?")


def powers_of_two(text: str) -> list[float]:
    """Expand a range such as '2^-12 .. 2^-4' or '2^-6 .. 2^-4 step 1/2' into its values.

    Example:
        >>> powers_of_two("2^-2 .. 2^1")
        [0.25, 0.5, 1.0, 2.0]
    """
    match = _POWERS.fullmatch(text)
    if match is None:
        raise InvalidValue(
            (f"'{text}' is neither a list nor a range of powers of two", _axis_fix(text))
        )
    low, high = float(match["low"]), float(match["high"])
    if not 0 < int(match["num"] or 1) <= 10**3 * int(match["den"] or 1):
        fix = "write step 1 for octaves, or step 1/2 for half octaves"
        raise InvalidValue((f"'{text}' must have a step between 0 and 1000", fix))
    step = int(match["num"] or 1) / int(match["den"] or 1)
    if high < low or max(abs(low), abs(high)) > 1000:
        what = f"'{text}' must be increasing and within 2^-1000 .. 2^1000"
        raise InvalidValue((what, "write the smaller power first, as in '2^-12 .. 2^-4'"))
    # 1e-9 compensates the rounding of steps such as 1/3.
    count = int((high - low) / step + 1e-9) + 1
    if count > MAX_TRIALS:
        what = f"'{text}' has {count} values, more than {MAX_TRIALS}"
        raise InvalidValue((what, "write a larger step"))
    return [float(2.0 ** (low + k * step)) for k in range(count)]


def as_toml_number(text: str) -> str:
    """Return a number in text as TOML writes it, with powers computed.

    Example:
        >>> as_toml_number("2^-3"), as_toml_number("10**-2"), as_toml_number("1e-3")
        ('0.125', '0.01', '1e-3')
    """
    power = _POWER.fullmatch(text.strip())
    if power is None or abs(float(power[2])) > 300:
        return text.strip()
    return f"{float(power[1]) ** float(power[2]):.10g}"


def _axis_fix(text: str) -> str:
    """Return what to write instead of a text that is no range of powers of two."""
    ends_of_range = re.split(r"\s*\.\.\s*", text)
    match = _RANGE.fullmatch(" .. ".join(as_toml_number(end) for end in ends_of_range))
    ends = [float(number) for number in match.groups()] if match else []
    if len(ends) == 2 and all(end.is_integer() for end in ends) and 0 < ends[1] - ends[0] < 16:
        return f"write a list: {list(range(int(ends[0]), int(ends[1]) + 1))}"
    if len(ends) == 2 and 0 < ends[0] < ends[1] < math.inf:
        low, high = (round(math.log2(end)) for end in ends)
        return f'write powers of two: "2^{low} .. 2^{high}", or "2^{low} .. 2^{high} step 1/2"'
    if re.fullmatch(rf"\s*{_NUMBER}(\s*[,;\s]\s*{_NUMBER})*\s*", text):
        return f"write a list without quotes: [{', '.join(re.findall(_NUMBER, text))}]"
    return 'write a list such as [0.1, 0.2], or a range such as "2^-12 .. 2^-4 step 1/2"'


def _parse_axis(value: Any) -> Any:  # noqa: ANN401 - any TOML value may stand here
    """Convert a list, or a range of powers of two, to a tuple."""
    if isinstance(value, str):
        return tuple(powers_of_two(value))
    return tuple(value) if isinstance(value, list) else value


def _check_points(values: tuple[AxisValue, ...]) -> tuple[AxisValue, ...]:
    """Check that an axis is not empty and has no value twice."""
    if not values:
        raise InvalidValue(("an axis needs at least one value", "add values, or remove the axis"))
    points: set[tuple[bool, AxisValue]] = set()
    for value in values:
        point = (isinstance(value, bool), value)  # in Python True equals 1
        if point in points:
            raise InvalidValue((f"the value {value!r} occurs twice", "leave one of the two out"))
        points.add(point)
    return values


def spellings(point: AxisValue) -> tuple[str, ...]:
    """Return the accepted spellings of a point of an axis, the shortest exact one first.

    They are those of TOML and Python for true and false, and for a number also rounded ones and
    a power of 2.

    Example:
        >>> spellings(True), spellings(0.0625)
        (('true', 'True', 'TRUE'), ('0.0625', '2^-4'))
    """
    texts = [str(point)]
    if isinstance(point, bool):
        texts = [texts[0].lower(), texts[0], texts[0].upper()]
    elif isinstance(point, int | float):
        texts += [str(float(point)), f"{point:g}", f"{point:.4g}"]
        if point > 0:
            texts.append(f"2^{math.log2(point):g}")
    return tuple(dict.fromkeys(texts))


def as_written(point: AxisValue) -> str:
    """Return the shortest exact spelling of a point of an axis in a study file.

    Example:
        >>> as_written(2**-6.5), as_written(0.3), as_written(64), as_written(True), as_written("a")
        ('2^-6.5', '0.3', '64', 'true', "'a'")
    """
    if isinstance(point, bool):
        return spellings(point)[0]
    if isinstance(point, float) and point > 0:
        exponent = f"{math.log2(point):g}"
        is_exact = abs(float(exponent)) < 1024 and 2.0 ** float(exponent) == point
        power = [f"2^{exponent}"] if is_exact else []
        return min((f"{point:g}" if float(f"{point:g}") == point else str(point), *power), key=len)
    return repr(point)


def is_point(value: object) -> bool:
    """Return whether a value can be a point on an axis."""
    is_finite = isinstance(value, float) and math.isfinite(value)
    return isinstance(value, bool | int | str) or is_finite


SCALAR = {"type": ["number", "string", "boolean"]}
AXIS = {
    "anyOf": [
        {"type": "array", "items": SCALAR, "minItems": 1},
        {"type": "string", "description": "powers of two: '2^-12 .. 2^-4 step 1/2'"},
    ]
}
Axis = Annotated[
    tuple[AxisValue, ...],
    BeforeValidator(_parse_axis),
    AfterValidator(_check_points),
    WithJsonSchema(AXIS, mode="validation"),
]
