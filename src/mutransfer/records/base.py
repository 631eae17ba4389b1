"""This file is what all records share: strictness, canonical JSON, errors in three lines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mutransfer.errors import MutransferError, nearest


class Record(BaseModel):
    """A frozen record: unknown keys, NaN and wrong types are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        populate_by_name=True,
        serialize_by_alias=True,
    )

    def changed(self) -> dict[str, Any]:
        """Give the fields that differ from their frozen defaults, as JSON data.

        A field that a later version adds is therefore absent from old identities.
        """
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def read(cls, data: object, *, error: type[MutransferError], where: str) -> Self:
        """Validate untrusted data; every problem comes in one error of three lines."""
        try:
            # JSON mode: lists may become tuples, but '1' never becomes 1.
            text = json.dumps(data, allow_nan=True)
        except (TypeError, ValueError, RecursionError) as refused:
            raise error(
                f"{where} is not plain data: {refused}",
                why="records are JSON: text, numbers, lists and tables",
                fix="write dates and other values as text",
            ) from None
        return cls.read_json(text, error=error, where=where)

    @classmethod
    def read_json(cls, text: str | bytes, *, error: type[MutransferError], where: str) -> Self:
        """Validate untrusted JSON; every problem comes in one error of three lines."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as refused:
            raise explained(refused, cls, error=error, where=where) from None


def explained(
    refused: ValidationError, model: type[BaseModel], *, error: type[MutransferError], where: str
) -> MutransferError:
    """Turn pydantic's list of problems into our three lines."""
    problems, hints = [], []
    for problem in refused.errors(include_url=False):
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"unknown key '{path}'")
            owner = _owner(model, problem["loc"][:-1])
            if owner is not None:
                names = {f.alias or name for name, f in owner.model_fields.items()}
                hints.append(f"{path}: {nearest(str(problem['loc'][-1]), names)}")
        elif problem["type"] == "missing":
            problems.append(f"missing key '{path}'")
            hints.append(f"add '{path}'")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = "" if isinstance(problem["input"], dict) else f" (given {problem['input']!r})"
            place = f"'{path}': " if path else ""
            problems.append(f"{place}{message[0].lower()}{message[1:]}{given[:80]}")
    return error(
        f"{where}: " + "; ".join(problems),
        why="a key or value that is not understood would be ignored silently",
        fix="; ".join(hints) or "correct the values named above",
    )


def _owner(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Find the record class that holds the keys at `path`."""
    for part in path:
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        kinds = (
            [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        )
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not inner:
            return None
        model = inner[0]
    return model


def plain_number(value: object) -> object:
    """Write equal numbers equally: 1.0 becomes 1, -0.0 becomes 0.

    Example:
        >>> plain_number(2.0), plain_number(0.5), plain_number("2.0")
        (2, 0.5, '2.0')
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {key: plain_number(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_number(item) for item in value]
    return value


def canonical_json(data: object) -> str:
    """Write data in the one form that is hashed: sorted keys, no spaces, equal numbers equal.

    Example:
        >>> canonical_json({"b": 1.0, "a": 0.25})
        '{"a":0.25,"b":1}'
    """
    return json.dumps(
        plain_number(data),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
    )
