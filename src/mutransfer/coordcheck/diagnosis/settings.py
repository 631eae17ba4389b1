"""This file is what can be read, not measured: init and settings against their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from mutransfer.coordcheck.result import Diagnosis
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow

Told = Literal["init", "rate", "eps", "decay"]
SOURCES: Mapping[Told, str] = {
    "init": "size",
    "rate": "set lr",
    "eps": "set eps",
    "decay": "set weight_decay",
}
NEAR = 0.2  # of powers that count as the same


class Declared:
    """The fresh weights' sizes and the optimizer's settings, by parameter, as powers of width.

    Args:
        read: What was measured and read.
        widths: Where.
        rules: The rows of µP for models whose init stands as it is. What an optimizer that no
            rule knows was told says nothing.
    """

    def __init__(
        self, read: Mapping[Key, Floats], widths: tuple[int, ...], rules: Mapping[str, PlanRow]
    ) -> None:
        self._read = read
        self._widths = widths
        self._rules = {n: row for n, row in rules.items() if row.optimizer in OPTIMIZERS}

    def knows_rate(self, name: str) -> bool:
        """Tell whether a parameter's rate can be compared with a rule."""
        return name in self._rules and ("set lr", name) in self._read

    def off(self, what: Told, name: str, *, late: bool = False) -> float:
        """Give by which power something is off; 0 where it is right, or cannot be told."""
        powers = self.powers(what, name, late=late)
        return 0.0 if powers is None else powers[0] - powers[1]

    def hint(self, what: Told, name: str, *, late: bool = False, shift: float = 0.0) -> str:
        """Say a setting that is off, beside its rule.

        Args:
            what: Rate or epsilon.
            name: The parameter.
            late: As it is at the last steps.
            shift: What the rule's power is more in another of its forms.
        """
        powers = self.powers(what, name, late=late, shift=shift)
        if powers is None:
            return ""
        own, wanted = powers
        word = {"eps": "epsilon"}.get(what, what)
        return f"its {word} goes as width^{_told(own)}, the rule as width^{_told(wanted)}"

    def powers(
        self, what: Told, name: str, *, late: bool = False, shift: float = 0.0
    ) -> tuple[float, float] | None:
        """Give the power of width of what there is, and of its rule; None where they are alike."""
        row, values = self._rules.get(name), self._read.get((SOURCES[what], name))
        if row is None or values is None:
            return None
        first, last = set_at(values, late=late)
        if first <= 0 or last <= 0:
            return None
        octaves = np.log2(self._widths[-1] / self._widths[0])
        # The plan's ratio is from the base, which may be below the smallest width.
        grown = float(max(row.r_in, row.r_out))
        factors = {
            "init": row.init_factor,
            "rate": row.lr_factor,
            "eps": row.eps_factor,
            "decay": row.decay_factor,
        }
        wanted = np.log2(factors[what]) / (np.log2(grown) if grown > 1 else octaves) + shift
        own = np.log2(last / first) / octaves
        return None if abs(own - wanted) < NEAR else (float(own), float(wanted))

    def eps_share(self, name: str) -> float:
        """Compare epsilon with the gradient of the widest model, at the start or at the end."""
        eps, gradient = self._read.get(("set eps", name)), self._read.get(("gradient", name))
        if eps is None or gradient is None:
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = eps[-1] / gradient[-1]
        finite = shares[np.isfinite(shares)]
        return float(finite.max()) if len(finite) else 0.0


def _told(power: float) -> str:
    """Write a power of width to the second decimal, and no more of them than it has.

    Example:
        >>> _told(-0.5), _told(-0.032), _told(1 / 3)
        ('-0.5', '-0.03', '+0.33')
    """
    return f"{round(power, 2) + 0.0:+g}"


def set_at(values: Floats, *, late: bool) -> tuple[float, float]:
    """Give a setting of the optimizer at the smallest and the largest width."""
    steps = np.flatnonzero(np.isfinite(values).all(axis=(0, 1)))
    step = int(steps[-1 if late else 0])
    return float(values[0, :, step].mean()), float(values[-1, :, step].mean())


def decay_notes(
    read: Mapping[Key, Floats], widths: tuple[int, ...], plan: Plan
) -> tuple[Diagnosis, ...]:
    """Tell a decay whose product with the rate changes with width.

    It can be meant, and a few steps do not show what it does: the outcome stays as it is.
    """
    declared = Declared(read, widths, {row.name: row for row in plan.rows})
    told: dict[tuple[str, float, float], list[str]] = {}
    for row in plan.rows:
        powers = declared.powers("decay", row.name)
        if powers is not None:
            own, wanted = (round(2 * power) / 2 for power in powers)
            told.setdefault((str(row.role), own, wanted), []).append(row.name)
    return tuple(
        Diagnosis(
            fault="decay",
            role=role,
            names=tuple(names),
            power=own - wanted,
            since=0,
            text=f"weight decay of {role} parameters goes as width^{own:+g}; a step removes the "
            f"same share of them at every width where it goes as width^{wanted:+g}: look at "
            f"decay_factor of '{names[0]}'",
        )
        for (role, own, wanted), names in told.items()
    )
