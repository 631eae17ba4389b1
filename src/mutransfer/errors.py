"""Errors that users can fix: what is wrong, why it matters, and what to type."""

from __future__ import annotations

import difflib
import functools
import unicodedata
from collections.abc import Iterable

ROLE_OF_WORD = {
    **dict.fromkeys(("embedding", "embeddings", "embed", "embd", "emb"), "input"),
    **dict.fromkeys(("readout", "unembedding"), "output"),
}
"""Roles by other words for their parameters."""


class MutransferError(Exception):
    """Base class of errors that a user can fix, printed in three lines: what, why, fix.

    Args:
        what: What is wrong, with the name and the values.
        why: What would go wrong otherwise.
        fix: What to type or change.

    Example:
        >>> raise RuleError(
        ...     "there is no parametrization 'mupp'",
        ...     why="every parametrization has its own learning rates",
        ...     fix="write 'mup'",
        ... )
        Traceback (most recent call last):
        mutransfer.errors.RuleError: there is no parametrization 'mupp'
          why: every parametrization has its own learning rates
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
        # Python pickles positional arguments only; errors of worker processes are pickled.
        return functools.partial(type(self), why=self.why, fix=self.fix), (self.what,)


class RuleError(MutransferError):
    """A parametrization, optimizer or decay mode does not exist or does not apply."""


class RoleError(MutransferError):
    """The role of a parameter is undetermined, or was set to one that does not fit."""


class InitError(MutransferError):
    """A model's own initialization does not scale as a power of width, or is not fresh."""


class CoverageError(MutransferError):
    """A plan and a model do not have the same parameters."""


class StudyError(MutransferError):
    """A study file is invalid."""


class StoreError(MutransferError):
    """A trial store cannot be read or written."""


class ClusterError(MutransferError):
    """A cluster refuses the tasks of a sweep, or loses them."""


class TrialError(MutransferError):
    """A training run ended without a loss."""


class ResultsError(MutransferError):
    """Results cannot be analyzed."""


class DataError(MutransferError):
    """A training text cannot be used."""


class ModelError(MutransferError):
    """A model or a training setup cannot be built."""


class UsageError(MutransferError):
    """A command line is invalid."""


def check_type(name: str, value: object, kind: type, fix: str) -> None:
    """Raise for an argument of another type, such as a path where a plan is expected."""
    if not isinstance(value, kind):
        raise ModelError(
            f"{name} must be of type {kind.__name__}, not {type(value).__name__}",
            why="every parameter of a model gets its rule by name",
            fix=fix,
        )


def plain(text: str) -> str:
    """Escape control characters, so that names and logs cannot control the terminal.

    Example:
        >>> len(plain("red" + chr(27) + "[31m"))  # ESC is shown as an escape sequence
        11
    """
    # Control, format (such as text direction) and surrogate characters.
    hidden = ("Cc", "Cf", "Cs")
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in hidden else ascii(c)[1:-1] for c in text
    )


def counted(count: int, noun: str) -> str:
    """Format a count with its noun.

    Example:
        >>> counted(1, "trial"), counted(2, "trial")
        ('1 trial', '2 trials')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Iterable[object], limit: int = 5) -> str:
    """Format names for an error message: quoted, and the first few only.

    Example:
        >>> listed(["a", "b"])
        "'a', 'b'"
        >>> listed(range(9), limit=2)
        "'0', '1' and 7 more"
    """
    quoted = [f"'{name}'" for name in names]
    more = f" and {len(quoted) - limit} more" if len(quoted) > limit else ""
    return ", ".join(quoted[:limit]) + more


def nearest(name: str, valid: Iterable[str]) -> str:
    """Suggest the closest valid name, in any case of letters, or list the valid names.

    Example:
        >>> nearest("widht", ["width", "lr"])
        "did you mean 'width'?"
        >>> nearest("colour", ["width", "lr"])
        "choose from 'lr', 'width'"
        >>> nearest("AdamW", ["adam", "adamw"])
        "did you mean 'adamw'?"
        >>> nearest("lr_multiplier_embedding", ["lr_multiplier_hidden", "lr_multiplier_input"])
        "did you mean 'lr_multiplier_input'?"
    """
    choices = sorted(valid)
    start, underscore, word = name.casefold().rpartition("_")
    if (meant := f"{start}{underscore}{ROLE_OF_WORD.get(word, word)}") in choices:
        return f"did you mean '{meant}'?"
    folded = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    if close:
        return f"did you mean '{folded[close[0]]}'?"
    return f"choose from {listed(choices, limit=20)}"
