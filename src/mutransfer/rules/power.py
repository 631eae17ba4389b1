"""Monomials with exact rational exponents, in which every scaling rule is written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ratios of a parameter's dimensions to those of the base shape.

    Args:
        fan_in: fan-in over base fan-in, `r_in`; 1 where the axis does not scale.
        fan_out: fan-out over base fan-out, `r_out`.
        depth: depth over base depth, `r_L`.
    """

    fan_in: Fraction = Fraction(1)
    fan_out: Fraction = Fraction(1)
    depth: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class Power:
    """`fan_in^a · fan_out^b · depth^c` of ratios to the base shape: exactly 1 there.

    Example:
        >>> rule = FAN_OUT / FAN_IN**HALF
        >>> print(rule)
        fan_in^-1/2 fan_out
        >>> rule.at(Ratios(fan_in=Fraction(16), fan_out=Fraction(16)))
        4.0
        >>> rule.at(Ratios())
        1.0
    """

    fan_in: Fraction = Fraction(0)
    fan_out: Fraction = Fraction(0)
    depth: Fraction = Fraction(0)

    def __mul__(self, other: Power) -> Power:
        return Power(
            self.fan_in + other.fan_in, self.fan_out + other.fan_out, self.depth + other.depth
        )

    def __truediv__(self, other: Power) -> Power:
        return self * other**-1

    def __pow__(self, exponent: Fraction | int) -> Power:
        return Power(self.fan_in * exponent, self.fan_out * exponent, self.depth * exponent)

    def __str__(self) -> str:
        exponents = {"fan_in": self.fan_in, "fan_out": self.fan_out, "depth": self.depth}
        factors = [name if e == 1 else f"{name}^{e}" for name, e in exponents.items() if e]
        return " ".join(factors) or "1"

    def at(self, ratios: Ratios) -> float:
        """Return the value at a shape; exactly 1.0 where all ratios are 1."""
        return (
            _power(ratios.fan_in, self.fan_in)
            * _power(ratios.fan_out, self.fan_out)
            * _power(ratios.depth, self.depth)
        )


@dataclass(frozen=True, slots=True)
class Minimum:
    """Minimum of two monomials.

    The epsilon of hidden weights needs it, where internal widths scale by unequal ratios.

    Example:
        >>> print(Minimum(FAN_OUT**-1, (FAN_IN * FAN_OUT) ** -HALF))
        min(fan_out^-1, fan_in^-1/2 fan_out^-1/2)
    """

    first: Power
    second: Power

    def __mul__(self, other: Power) -> Minimum:
        return Minimum(self.first * other, self.second * other)

    def __str__(self) -> str:
        return f"min({self.first}, {self.second})"

    def at(self, ratios: Ratios) -> float:
        """Return the smaller value at a shape."""
        return min(self.first.at(ratios), self.second.at(ratios))


ONE = Power()
FAN_IN = Power(fan_in=Fraction(1))
FAN_OUT = Power(fan_out=Fraction(1))
DEPTH = Power(depth=Fraction(1))


def _power(ratio: Fraction, exponent: Fraction) -> float:
    """Raise a ratio to a rational exponent."""
    if exponent.denominator == 1:
        # Exact until the last step, so that e.g. 3/2 to the power -2 is the nearest float.
        return float(ratio ** int(exponent))
    return float(float(ratio) ** float(exponent))
