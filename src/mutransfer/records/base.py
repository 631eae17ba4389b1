"""Base class of all records: strict validation, readable errors, canonical JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from mutransfer.errors import MutransferError, nearest

MESSAGES = {  # by pydantic's type of an error
    "tuple_type": "must be a list",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "has too few entries",
}
EXAMPLES = {  # of keys and tables that are missing in a study
    "schema": "schema = 1",
    "study": '[study] with name = "my-study"',
    "study.name": 'name = "my-study"',
    "axes": '[axes] with width = [256, 512] and lr = "2^-12 .. 2^-6"',
    "runner.command": 'command = "{python} train.py --width={width} --lr={lr}"',
    "runner.loss": 'loss = { csv = "log.csv", column = "val_loss" }',
    "runner.diverged": "diverged = { exit = 3 }",
    "lab.base_width": "base_width = 64",
    "lab.dataset": '[lab.dataset] with name = "allenai/c4"',
    "lab.dataset.name": 'name = "allenai/c4"',
}


class Problem(NamedTuple):
    """What is wrong with a record, and what to write instead."""

    what: str
    fix: str


class InvalidValue(ValueError):  # noqa: N818 - pydantic collects it, and users never see it
    """Problems that a validator of a record reports."""

    def __init__(self, *problems: Problem | tuple[str, str]) -> None:
        super().__init__("; ".join(what for what, _ in problems))
        self.fix = "; ".join(dict.fromkeys(fix for _, fix in problems))


class Record(BaseModel):
    """Frozen pydantic model that rejects unknown keys, NaN and values of another type."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        populate_by_name=True,
        serialize_by_alias=True,
    )

    def non_default_fields(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, as JSON data.

        Trial ids are computed from these, so a field that a later version adds does not change
        the ids of old trials.
        """
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def read(cls, data: object, *, error: type[MutransferError], where: str) -> Self:
        """Validate untrusted data.

        Args:
            data: Data as a TOML or JSON parser returns it.
            error: Class of the error to raise; it lists every problem.
            where: Name of the file, for the message.
        """
        try:
            # Validation in JSON mode turns lists into tuples, but never '1' into 1.
            text = json.dumps(data, allow_nan=True)
        except (TypeError, ValueError, RecursionError) as problem:
            raise error(
                f"{where} is not plain data: {problem}",
                why="records are stored as JSON: text, numbers, lists and tables",
                fix="write dates and other values as text",
            ) from None
        return cls.read_json(text, error=error, where=where)

    @classmethod
    def read_json(cls, text: str | bytes, *, error: type[MutransferError], where: str) -> Self:
        """Validate untrusted JSON, as `read` does."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as invalid:
            raise validation_error(invalid, cls, error=error, where=where) from None


def validation_error(
    invalid: ValidationError, model: type[BaseModel], *, error: type[MutransferError], where: str
) -> MutransferError:
    """Convert an error of pydantic into one of ours, which lists every problem and a fix."""
    problems, fixes = [], []
    for problem in invalid.errors(include_url=False):
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"unknown key '{path}'")
            owner = _owner(model, problem["loc"][:-1])
            names = {f.alias or name for name, f in owner.model_fields.items()} if owner else set()
            fix = nearest(str(problem["loc"][-1]), names) if owner else "remove it"
            fixes.append(f"{path}: {fix}")
        elif problem["type"] == "missing":
            problems.append(f"missing key '{path}'")
            fixes.append(f"add {EXAMPLES.get(path, repr(path))}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            message = MESSAGES.get(problem["type"], message[0].lower() + message[1:])
            message = message.replace("input should be ", "must be ", 1)
            value = problem["input"]
            # The content of a table would hide the message, and its key is enough to find it.
            is_hidden = isinstance(value, dict) or message.startswith((f"'{value}'", repr(value)))
            shown = "" if is_hidden else f" (got {value!r})"
            problems.append((f"'{path}': " if path else "") + message + shown[:80])
            fixes.append(_fix(problem, path, message))
    return error(
        f"{where}: " + "; ".join(problems),
        why="nothing that is written is ignored, and what cannot run is refused first",
        fix="; ".join(dict.fromkeys(fixes)),
    )


def _fix(problem: ErrorDetails, path: str, message: str) -> str:
    """Return what to write instead of an invalid value."""
    context, value = problem.get("ctx", {}), problem["input"]
    key = str(problem["loc"][-1]) if problem["loc"] else ""
    if isinstance(cause := context.get("error"), InvalidValue):
        return cause.fix
    if problem["type"] == "literal_error":
        choices = re.findall("'([^']*)'", context["expected"])
        return (
            f"{path}: {nearest(str(value), choices)}" if choices else f"write {key} = {message[8:]}"
        )
    if problem["type"] == "too_short":
        return f"write {context['min_length']} or more entries for '{path}'"
    if message == "must be a list" and isinstance(value, dict) and path in ("only", "rungs"):
        return f"write [[{path}]] with two brackets: each such table is one entry of the list"
    if message == "must be a list" and isinstance(value, str | int | float):
        if key == "seed" and type(value) is int and 1 < value < 16:
            return f"write seed = {list(range(value))} for {value} seeds, or seed = [{value}]"
        return f"write {key} = [{json.dumps(value)}]"
    if message == "must be text in quotes":
        if isinstance(value, dict) and value:  # TOML takes a dot in a key for a table
            return f'write a key that contains a dot in quotes: "{key}.{next(iter(value))}" = "..."'
        words = value if isinstance(value, list) else [value]
        return f"write {key} = {json.dumps(' '.join(map(str, words)))}"
    if message == "must be a table":
        return f"write {EXAMPLES.get(path, f'the table [{path}] with its keys below it')}"
    if isinstance(value, str) and (number := re.fullmatch(r"(\d+\.?\d*)(%?)", value.strip())):
        return (
            f"write {key} = {float(number[1]) / 100:g}" if number[2] else f"write {key} = {value}"
        )
    return f"write a value for '{path}' that {message.replace('must be', 'is', 1)}"


def _owner(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the record class that defines the keys at `path`."""
    for part in path:
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        annotation = None if field is None else field.annotation
        kinds = [annotation, *getattr(annotation, "__args__", ())]
        records = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not records:
            return None
        model = records[0]
    return model


def plain_number(value: object) -> object:
    """Return a value with numbers in canonical form: 1.0 becomes 1, -0.0 becomes 0.

    Example:
        >>> plain_number(2.0), plain_number(0.5), plain_number("2.0")
        (2, 0.5, '2.0')
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidValue((f"{value} is not a finite number", "write a finite number"))
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {key: plain_number(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_number(item) for item in value]
    return value


def canonical_json(data: object) -> str:
    """Return the JSON text that is hashed: sorted keys, no spaces, canonical numbers.

    Example:
        >>> canonical_json({"b": 1.0, "a": 0.25})
        '{"a":0.25,"b":1}'
    """
    data = plain_number(data)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
