"""This file is footnotes: a reason is said once, however many numbers it explains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import TYPE_CHECKING

from mutransfer.report.format import escaped, interval_text, sentence

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate


@dataclass(slots=True)
class Footnotes:
    """Reasons in the order in which they are first needed.

    Args:
        reasons: The reasons, each with its letter.
    """

    reasons: dict[str, str] = field(default_factory=dict)

    def mark(self, reason: str | None) -> str:
        """Give the raised letter of a reason, as HTML; nothing where there is no reason.

        Example:
            >>> Footnotes().mark("one seed: add seeds")
            '<sup>a</sup>'
        """
        if not reason:
            return ""
        letter = self.reasons.setdefault(reason, letters(len(self.reasons)))
        return f"<sup>{letter}</sup>"

    def estimate(self, estimate: Estimate, write: Callable[[float], str]) -> str:
        """Write a value with its interval, or a dash; what is missing gets its letter."""
        mark = self.mark(estimate.undetermined)
        interval = escaped(interval_text(estimate, write))
        told = f' <span class="interval">{interval}</span>' if interval else ""
        value = "–" if estimate.value is None else escaped(write(estimate.value))
        return f"<span>{value}</span>{told}{mark}"

    def told(self) -> str:
        """Write the reasons, as HTML."""
        if not self.reasons:
            return ""
        rows = "".join(
            f"<li><sup>{letter}</sup> {escaped(sentence(reason))}</li>"
            for reason, letter in self.reasons.items()
        )
        return f'<ul class="footnotes">{rows}</ul>'


def letters(k: int) -> str:
    """Count in letters.

    Example:
        >>> letters(0), letters(25), letters(26)
        ('a', 'z', 'aa')
    """
    first, last = divmod(k, len(ascii_lowercase))
    return (letters(first - 1) if first else "") + ascii_lowercase[last]
