"""Validation of a `result.json` of a trial store, without pydantic.

Pydantic would take several times as long for 100,000 trials.
"""

from __future__ import annotations

import json
import os

import numpy as np

from mutransfer.analysis.loading.formats.json import json_kind
from mutransfer.analysis.types.estimates import Floats

SCHEMA = 1
NUMBER = (int, float)
LARGEST_INTEGER = 10**300  # larger ones do not fit into a float
# Field -> its types, and whether it must be present. Every field may be null.
FIELDS: dict[str, tuple[tuple[type, ...], bool]] = {
    "loss": (NUMBER, True),
    "diverged_at": ((int,), False),
    "untrained_loss": (NUMBER, False),
    "curve": ((list,), False),
    "seconds": (NUMBER, False),
    "flops": (NUMBER, False),
    "tokens": ((int,), False),
    "shared_from": ((str,), False),
    "commit": ((str,), False),
    "host": ((str,), False),
    "finished": ((str,), False),
    "versions": ((dict,), False),
}


def load_json(path: str) -> object:
    """Load a JSON file without following a link; raise ValueError with the problem."""
    # A named pipe would block without O_NONBLOCK.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        try:
            return json.loads(file.read())
        except UnicodeDecodeError:
            raise ValueError("not UTF-8 text") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None


def result_problem(result: object, folder: str) -> str | None:
    """Return the problem of a result, None if it is valid; the folder's name must be its id."""
    if not isinstance(result, dict):
        return f"holds {json_kind(result)} where a table is expected"
    if result.get("schema") != SCHEMA:
        return f"has schema {json.dumps(result.get('schema'))}, this version reads {SCHEMA}"
    if result.get("id") != folder:
        return f"has the id of another trial, {str(result.get('id'))[:12]}…"
    for name, (kinds, is_required) in FIELDS.items():
        value = result.get(name)
        if value is None and (not is_required or name in result):
            continue
        if not isinstance(value, kinds) or isinstance(value, bool):
            return f"'{name}' is {json_kind(value) if name in result else 'missing'}"
        if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            return f"'{name}' is too large a number"
    spec = result.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("axes"), dict):
        return "'spec.axes' is missing"
    runner = spec.get("runner", {})
    if not isinstance(runner, dict) or not isinstance(runner.get("settings", {}), dict):
        return "'spec.runner' is not a table"
    settings = {**runner.get("settings", {}), **spec["axes"]}
    for name, value in settings.items():
        if not isinstance(value, bool | int | float | str):
            return f"axis '{name}' is {json_kind(value)}"
    return None


def as_curve(curve: object) -> Floats:
    """Return a training curve as an array of rows (step, loss); raise ValueError if it is none."""
    try:
        return np.array(curve or [], dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ValueError("'curve' is not a list of [step, loss]") from None
