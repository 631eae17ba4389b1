"""Names in study files: of studies, axes and columns."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from mutransfer.records.base import InvalidValue


def _name(text: str) -> str:
    """Validate a name that is also used as a folder."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", text):
        valid = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:100] or "my-study"
        raise InvalidValue(
            (
                "a name consists of letters, digits, '.', '_' and '-', and does not start with "
                "a dot",
                f'write name = "{valid}"',
            )
        )
    return text


def identifier(text: str) -> str:
    """Validate the name of an axis or derived value."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", text):
        valid = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_").lstrip("0123456789")[:100]
        raise InvalidValue(
            (
                f"'{text}' is not a valid name: it consists of letters, digits and '_', without a "
                "digit at its start",
                f"rename it, for example to '{valid or 'value'}'",
            )
        )
    return text


Name = Annotated[str, AfterValidator(_name)]
Identifier = Annotated[str, AfterValidator(identifier)]


def _parse_names(value: Any) -> Any:  # noqa: ANN401 - any TOML value may stand here
    """Convert a list of names to a tuple; a list of one name is that name."""
    if not isinstance(value, list | tuple):
        return value
    if not value or any(not isinstance(name, str) for name in value):
        raise InvalidValue(("a list of columns consists of names", 'write ["lr", "init_std"]'))
    if len(set(value)) < len(value):
        name = next(name for name in value if value.count(name) > 1)
        raise InvalidValue((f"the column '{name}' is named twice", "leave one of the two out"))
    return value[0] if len(value) == 1 else tuple(value)


def _identifiers(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Validate one name or several."""
    return identifier(value) if isinstance(value, str) else tuple(map(identifier, value))


NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Identifiers = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_parse_names),
    AfterValidator(_identifiers),
    WithJsonSchema(NAMES, mode="validation"),
]
"""The name of a column, or the names of several."""
