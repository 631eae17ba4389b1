"""Initial sizes and optimizer settings as powers of width, compared with those of the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from mutransfer.coordcheck.findings import Diagnosis
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow

SettingName = Literal["init", "rate", "eps", "decay"]
QUANTITIES: Mapping[SettingName, str] = {
    "init": "size", "rate": "set lr", "eps": "set eps", "decay": "set weight_decay",
}  # fmt: skip
SAME_POWER = 0.2  # powers closer than this count as equal: less than half of 1/2 [assumed]


class ObservedSettings:
    """The initial size and the optimizer settings of each parameter, as powers of width.

    `rules` are the rows of a plan of µP that keeps the models' own init.
    """

    def __init__(
        self, readings: Mapping[Key, Floats], widths: tuple[int, ...], rules: Mapping[str, PlanRow]
    ) -> None:
        self._readings = readings
        self._widths = widths
        # Settings of an optimizer without rules cannot be compared.
        self._rules = {n: row for n, row in rules.items() if row.optimizer in OPTIMIZERS}

    def has_rate(self, name: str) -> bool:
        """Return whether a parameter's learning rate can be compared with a rule."""
        return name in self._rules and ("set lr", name) in self._readings

    def deviation(self, setting: SettingName, name: str, *, late: bool = False) -> float:
        """Return by which power a setting deviates; 0 if it is right or cannot be compared."""
        powers = self.differing_powers(setting, name, late=late)
        return 0.0 if powers is None else powers[0] - powers[1]

    def hint(
        self, setting: SettingName, name: str, *, late: bool = False, shift: float = 0.0
    ) -> str:
        """Describe a setting that deviates from its rule, or return an empty string."""
        powers = self.differing_powers(setting, name, late=late, shift=shift)
        if powers is None:
            return ""
        own, rule = map(_format_power, powers)
        word = {"eps": "epsilon", "rate": "learning rate"}.get(setting, setting)
        return f"its {word} scales as width^{own}, but the rule as width^{rule}"

    def differing_powers(
        self, setting: SettingName, name: str, *, late: bool = False, shift: float = 0.0
    ) -> tuple[float, float] | None:
        """Return the powers of width of a setting and of its rule, or None if they agree.

        `late` selects the last steps; `shift` converts the rule's power to another form.
        """
        row, values = self._rules.get(name), self._readings.get((QUANTITIES[setting], name))
        if row is None or values is None:
            return None
        first, last = setting_at_ends(values, late=late)
        if first <= 0 or last <= 0:
            return None
        octaves = np.log2(self._widths[-1] / self._widths[0])
        # The plan's ratio is relative to the base, which may be below the smallest width.
        ratio = float(max(row.r_in, row.r_out))
        factors = {
            "init": row.init_factor, "rate": row.lr_factor,
            "eps": row.eps_factor, "decay": row.decay_factor,
        }  # fmt: skip
        rule = np.log2(factors[setting]) / (np.log2(ratio) if ratio > 1 else octaves) + shift
        own = np.log2(last / first) / octaves
        return None if abs(own - rule) < SAME_POWER else (float(own), float(rule))

    def may_follow_gradient(self, name: str) -> bool:
        """Return whether the first update of a parameter may be proportional to its gradient.

        Gradients of fresh models differ between seeds. Updates that are proportional to them do,
        too, while an optimizer such as Adam or Muon evens them out.
        """
        gradient = self._readings.get(("gradient", name))
        updates = self._readings.get(("update", name))
        steps = self._readings.get(("step", name)) if updates is None else updates[:, :, 1:]
        if gradient is None or steps is None:
            return True
        with np.errstate(divide="ignore", invalid="ignore"):
            update_WS, gradient_WS = np.log2(steps[:, :, 0]), np.log2(gradient[:, :, 0])
            # A warm-up that starts at a rate of zero gives NaN, which decides nothing.
            return not _scatter(update_WS) < _scatter(update_WS - gradient_WS)

    def eps_ratio(self, name: str) -> float:
        """Return epsilon over the gradient of the widest model, where it is largest."""
        eps = self._readings.get(("set eps", name))
        gradient = self._readings.get(("gradient", name))
        if eps is None or gradient is None:
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = eps[-1] / gradient[-1]
        finite = ratios[np.isfinite(ratios)]
        return float(finite.max()) if len(finite) else 0.0


def _scatter(values_WS: Floats) -> float:
    """Return the root mean square deviation of seeds from the mean of their width."""
    return float(np.sqrt(((values_WS - values_WS.mean(axis=1, keepdims=True)) ** 2).mean()))


def _format_power(power: float) -> str:
    """Format a power of width with at most two decimals.

    Example:
        >>> _format_power(-0.5), _format_power(-0.032), _format_power(1 / 3)
        ('-0.5', '-0.03', '+0.33')
    """
    return f"{round(power, 2) + 0.0:+g}"


def setting_at_ends(values: Floats, *, late: bool) -> tuple[float, float]:
    """Return a setting at the smallest and the largest width, at the first or the last steps."""
    steps = np.flatnonzero(np.isfinite(values).all(axis=(0, 1)))
    step = int(steps[-1 if late else 0])
    return float(values[0, :, step].mean()), float(values[-1, :, step].mean())


def decay_notes(
    readings: Mapping[Key, Floats], widths: tuple[int, ...], plan: Plan
) -> tuple[Diagnosis, ...]:
    """Note weight decay whose product with the learning rate changes with width.

    It may be intended, and the literature disagrees about the right power. A few steps do not show
    its effect, so the outcome does not change.
    """
    settings = ObservedSettings(readings, widths, {row.name: row for row in plan.rows})
    names_by_kind: dict[tuple[str, float, float], list[str]] = {}
    for row in plan.rows:
        powers = settings.differing_powers("decay", row.name)
        if powers is not None:
            own, rule = (round(2 * power) / 2 for power in powers)
            names_by_kind.setdefault((str(row.role), own, rule), []).append(row.name)
    return tuple(
        Diagnosis(
            fault="decay",
            role=role,
            names=tuple(names),
            power=own - rule,
            since=0,
            text=f"weight decay of {role} parameters, such as '{names[0]}', scales as "
            f"width^{own:+g}; learning rate * decay is the same at every width if it scales as "
            f"width^{rule:+g}",
        )
        for (role, own, rule), names in names_by_kind.items()
    )
