"""This file is results from a trial store: a folder per trial, each with its result."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mutransfer.analysis.loading.table import Table, renamed
from mutransfer.analysis.results import Cell, Places, Provenance, Results
from mutransfer.analysis.types.estimates import Floats
from mutransfer.errors import ResultsError
from mutransfer.records import AnalysisTable, LabSettings

SCHEMA = 1
TRIAL = re.compile(r"[0-9a-f]{64}")

# The lab leaves a setting at its default out of a result.
LAB_DEFAULTS: dict[str, Cell] = {
    name: info.default for name, info in LabSettings.model_fields.items() if not info.is_required()
}
LAB_COLUMNS = ("parametrization", "seed")


@dataclass(slots=True)
class _Found:
    """What one pass over the folders collects."""

    results: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unfinished: int = 0


def read_store(store: Path, columns: Mapping[str, str] | None = None) -> Results:
    """Read every finished trial of a store; all that is wrong comes in one error.

    Raises:
        ResultsError: Where the store is damaged, has no finished trial, or lacks a column.
    """
    _check_schema(store)
    defaults = _study_defaults(store)
    found = _read_trials(store, _study_trials(store))
    if found.problems:
        more = f" and {len(found.problems) - 3} more" if len(found.problems) > 3 else ""
        raise ResultsError(
            f"'{store}': " + "; ".join(found.problems[:3]) + more,
            why="a result that is not what it claims to be would spoil the answer",
            fix="remove the folders named above; the next sweep runs those trials again",
        )
    if not found.results:
        raise ResultsError(
            f"'{store}' has no finished trial, {found.unfinished} unfinished",
            why="there is nothing to analyze",
            fix="run the study first, or let it finish",
        )
    # Folders come in any order; the answer must not depend on it.
    results = sorted(found.results, key=lambda r: str(r["id"]))
    table = renamed(_as_table(results, store), columns)
    read = Results.from_columns(
        table.columns,
        source=table.source,
        places=table.places,
        notes=table.notes,
        untrained_loss=_floats([result.get("untrained_loss") for result in results]),
        flops=_costs(results),
    )
    cost = _provenance(results, store, found.unfinished, read.provenance.diverged)
    return replace(read, defaults=defaults, provenance=replace(cost, trials=len(read)))


def _load(path: str) -> object:
    """Read a JSON file without following a link; a ValueError says what is wrong."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        try:
            return json.loads(file.read())
        except UnicodeDecodeError:
            raise ValueError("not UTF-8 text") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None
        except ValueError as refused:
            raise ValueError(f"not JSON: {refused}") from None


def _load_named(store: Path, name: str) -> dict[str, Any]:
    """Read `store.json` or `study.json`."""
    path = store / name
    if path.is_symlink():
        raise ResultsError(
            f"'{path}' is a symbolic link",
            why="a store holds its own files, so that it can be copied and trusted",
            fix="put the file itself there",
        )
    try:
        data = _load(str(path))
    except ValueError as refused:
        raise ResultsError(
            f"'{path}': {refused}",
            why="the store does not say what it holds",
            fix=f'restore the file; store.json is {{"schema": {SCHEMA}}}',
        ) from None
    if not isinstance(data, dict):
        raise ResultsError(
            f"'{path}' holds {_kind(data)} where a table is expected",
            why="the store does not say what it holds",
            fix=f'restore the file; store.json is {{"schema": {SCHEMA}}}',
        )
    return data


def _check_schema(store: Path) -> None:
    """Refuse a folder that is no store, and a store from the future."""
    try:
        schema = _load_named(store, "store.json").get("schema")
    except FileNotFoundError:
        raise ResultsError(
            f"'{store}' is no trial store: it has no store.json",
            why="another folder's files would be taken for results",
            fix="give the folder that `mutransfer sweep` wrote, or a CSV file",
        ) from None
    if isinstance(schema, bool) or schema != SCHEMA:
        newer = isinstance(schema, int | float) and schema > SCHEMA
        raise ResultsError(
            f"'{store}' has schema {json.dumps(schema)}, this version reads {SCHEMA}",
            why="fields of another schema may mean something else",
            fix="pip install --upgrade mutransfer"
            if newer
            else f'store.json must be {{"schema": {SCHEMA}}}',
        )


def _study_defaults(store: Path) -> AnalysisTable:
    """Take scale, hyperparameter, groups and threshold from the study, if there is one."""
    try:
        study = _load_named(store, "study.json")
    except FileNotFoundError:
        return AnalysisTable()
    # Only this table: the rest is the sweep's, and was checked when the study began.
    return AnalysisTable.read(
        study.get("analysis", {}), error=ResultsError, where=f"'{store / 'study.json'}', analysis"
    )


def _folders(store: Path) -> Iterator[os.DirEntry[str]]:
    """Give the entries that are named like a trial."""
    with os.scandir(store) as entries:
        yield from (entry for entry in entries if TRIAL.fullmatch(entry.name))


def _study_trials(store: Path) -> frozenset[str] | None:
    """Name the trials of the study last run here; None for a store that does not say.

    Trials of an earlier version of the study stay in the store, but answer another question.
    """
    try:
        named = _load_named(store, "trials.json").get("trials")
    except FileNotFoundError:
        return None
    return frozenset(map(str, named)) if isinstance(named, list) else None


def _read_trials(store: Path, chosen: frozenset[str] | None) -> _Found:
    """Read every result of the study, noting what is wrong."""
    found = _Found()
    seen = 0
    for entry in _folders(store):
        if chosen is not None and entry.name not in chosen:
            continue
        seen += 1
        short = f"{entry.name[:12]}…"
        if entry.is_symlink():
            found.problems.append(f"{short} is a symbolic link")
            continue
        if not entry.is_dir(follow_symlinks=False):
            found.problems.append(f"{short} is not a folder")
            continue
        try:
            result = _load(f"{entry.path}/result.json")
            problem = _problem(result, entry.name)
        except FileNotFoundError:
            found.unfinished += 1
            continue
        except PermissionError:
            raise
        except OSError as refused:
            linked = os.path.islink(f"{entry.path}/result.json")
            problem = "is a symbolic link" if linked else f"cannot be read: {refused.strerror}"
        except ValueError as refused:
            problem = str(refused)
        if problem:
            found.problems.append(f"{short}/result.json: {problem}")
        else:
            assert isinstance(result, dict)
            found.results.append(result)
    found.problems.sort()
    found.unfinished += max(len(chosen or ()) - seen, 0)  # those that nobody has begun
    return found


NUMBER = (int, float)
LARGEST = 10**300
# field -> types that it may have beside null, and whether it must be there.
FIELDS: dict[str, tuple[tuple[type, ...], bool]] = {
    "loss": (NUMBER, True),
    "diverged_at": ((int,), False),
    "untrained_loss": (NUMBER, False),
    "seconds": (NUMBER, False),
    "flops": (NUMBER, False),
    "tokens": ((int,), False),
    "shared_from": ((str,), False),
    "commit": ((str,), False),
    "host": ((str,), False),
    "finished": ((str,), False),
    "versions": ((dict,), False),
}


def _problem(result: object, folder: str) -> str | None:
    """Say what is wrong with one result, if anything."""
    if not isinstance(result, dict):
        return f"holds {_kind(result)} where a table is expected"
    if result.get("schema") != SCHEMA:
        return f"has schema {json.dumps(result.get('schema'))}, this version reads {SCHEMA}"
    if result.get("id") != folder:
        return f"says that it is trial {str(result.get('id'))[:12]}…"
    for name, (kinds, needed) in FIELDS.items():
        value = result.get(name)
        if value is None and (not needed or name in result):
            continue
        if not isinstance(value, kinds) or isinstance(value, bool):
            return f"'{name}' is {_kind(value) if name in result else 'missing'}"
        if isinstance(value, int) and abs(value) > LARGEST:
            return f"'{name}' is too large a number"
    spec = result.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("axes"), dict):
        return "'spec.axes' is missing"
    runner = spec.get("runner", {})
    if not isinstance(runner, dict) or not isinstance(runner.get("settings", {}), dict):
        return "'spec.runner' is not a table"
    settings = {**runner.get("settings", {}), **spec["axes"]}
    odd = [k for k, v in settings.items() if not isinstance(v, bool | int | float | str)]
    return f"axis '{odd[0]}' is {_kind(settings[odd[0]])}" if odd else None


def _kind(value: object) -> str:
    """Name a JSON type as people do."""
    if value is None:
        return "null"
    names = {bool: "true or false", str: "text", dict: "a table", list: "a list"}
    return names.get(type(value), f"the number {value!r:.20}")


def _as_table(results: list[dict[str, Any]], store: Path) -> Table:
    """Turn checked results into columns."""
    axes: list[dict[str, Cell]] = []
    for result in results:
        spec = result["spec"]
        runner = spec.get("runner", {})
        own = {**runner.get("settings", {}), **spec["axes"]}
        lab = runner.get("kind") == "lab"
        axes.append({**{k: LAB_DEFAULTS[k] for k in LAB_COLUMNS}, **own} if lab else own)
    names = sorted({name for row in axes for name in row})
    labs = [r["spec"].get("runner", {}).get("kind") == "lab" for r in results]
    columns = {
        name: [
            row.get(name, LAB_DEFAULTS.get(name) if lab else None)
            for row, lab in zip(axes, labs, strict=True)
        ]
        for name in names
    }
    # JSON has no NaN: a finished trial without a loss is one that diverged.
    losses = [result["loss"] for result in results]
    columns["loss"] = [float("nan") if loss is None else loss for loss in losses]
    columns["diverged_at"] = [result.get("diverged_at") for result in results]
    return Table(f"'{store}'", columns, Places("trial", [f"{r['id'][:12]}…" for r in results]))


def _costs(results: list[dict[str, Any]]) -> Floats:
    """Give what each trial cost; a copied one's training cost what its original's did."""
    recorded = {result["id"]: result.get("flops") for result in results}
    own = [recorded[result["id"]] for result in results]
    originals = [recorded.get(result.get("shared_from")) for result in results]
    return _floats([o if cost is None else cost for cost, o in zip(own, originals, strict=True)])


def _floats(values: list[Any]) -> Floats:
    """Turn checked numbers into an array; None is NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _provenance(
    results: list[dict[str, Any]], store: Path, unfinished: int, diverged: int
) -> Provenance:
    """Add up what the trials cost; a copied trial costs nothing where its original is here."""
    here = {result["id"] for result in results}
    paid = [result for result in results if result.get("shared_from") not in here]
    versions: dict[str, set[str]] = {}
    for result in results:
        for package, version in (result.get("versions") or {}).items():
            versions.setdefault(str(package), set()).add(str(version))
    ends = sorted(result["finished"] for result in results if result.get("finished"))
    tokens = _total(paid, "tokens")
    return Provenance(
        source=f"'{store}'",
        trials=len(results),
        unfinished=unfinished,
        diverged=diverged,
        shared=len(results) - len(paid),
        seconds=_total(paid, "seconds"),
        flops=_total(paid, "flops"),
        tokens=None if tokens is None else int(tokens),
        versions={package: tuple(sorted(versions[package])) for package in sorted(versions)},
        commits=tuple(sorted({r["commit"] for r in results if r.get("commit")})),
        hosts=tuple(sorted({r["host"] for r in results if r.get("host")})),
        finished=(ends[0], ends[-1]) if ends else None,
    )


def _total(results: list[dict[str, Any]], name: str) -> float | None:
    """Add up a field, or None where no result has it."""
    values = [result[name] for result in results if result.get(name) is not None]
    return sum(values) if values else None
