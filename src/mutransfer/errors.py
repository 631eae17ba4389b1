"""This file is every error a user can meet: what is wrong, why it matters, what to type."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class MutransferError(Exception):
    """A mistake a user can mend, in three lines: what, why, fix.

    Args:
        what: What is wrong, with the name and the values.
        why: What would go wrong if we went on.
        fix: The line to type next.

    Example:
        >>> raise RuleError(
        ...     "there is no parametrization 'mupp'",
        ...     why="a wrong name would train with the wrong rates",
        ...     fix="write 'mup'",
        ... )
        Traceback (most recent call last):
        mutransfer.errors.RuleError: there is no parametrization 'mupp'
          why: a wrong name would train with the wrong rates
          fix: write 'mup'
    """

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  fix: {self.fix}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive pickling between processes by themselves.
        return _rebuild, (type(self), self.what, self.why, self.fix)


def _rebuild(kind: type[MutransferError], what: str, why: str, fix: str) -> MutransferError:
    """Make the error again on the other side of a pipe."""
    return kind(what, why=why, fix=fix)


class RuleError(MutransferError):
    """A parametrization, optimizer or decay rule that does not exist or does not apply."""


class RoleError(MutransferError):
    """The role of a parameter cannot be told, or was told wrongly."""


class InitError(MutransferError):
    """A model's own initialization does not scale as a power, or is not fresh."""


class CoverageError(MutransferError):
    """A plan and a model do not have the same parameters."""


class StudyError(MutransferError):
    """A study file is wrong."""


class StoreError(MutransferError):
    """A trial store cannot be read or written."""


class TrialError(MutransferError):
    """A training run ended without a loss."""


class ResultsError(MutransferError):
    """Results that cannot be analyzed."""


class DataError(MutransferError):
    """Training text that cannot be used."""


class ModelError(MutransferError):
    """A model or training setting that cannot be built."""


class UsageError(MutransferError):
    """A command line that cannot be carried out."""


def plain(text: str) -> str:
    """Show control characters instead of obeying them: names and logs are never commands.

    Example:
        >>> len(plain("red" + chr(27) + "[31m"))  # the escape is shown by four letters
        11
    """
    hidden = ("Cc", "Cf", "Cs")
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in hidden else ascii(c)[1:-1] for c in text
    )


def listed(names: Iterable[object], limit: int = 5) -> str:
    """Quote names for an error message, the first few only.

    Example:
        >>> listed(["a", "b"])
        "'a', 'b'"
        >>> listed(range(9), limit=2)
        "'0', '1' and 7 more"
    """
    every = [f"'{name}'" for name in names]
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


def nearest(name: str, valid: Iterable[str]) -> str:
    """Name the closest valid spelling, or list what is valid.

    Example:
        >>> nearest("widht", ["width", "lr"])
        "did you mean 'width'?"
        >>> nearest("colour", ["width", "lr"])
        "choose from 'lr', 'width'"
    """
    choices = sorted(valid)
    close = difflib.get_close_matches(name, choices, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose from {listed(choices, limit=20)}"
