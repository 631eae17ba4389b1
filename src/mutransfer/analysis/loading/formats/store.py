"""Trial stores: a folder per trial, each with its `result.json`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mutransfer.analysis.loading.formats.json import json_kind
from mutransfer.analysis.loading.formats.result_file import (
    SCHEMA,
    as_curve,
    load_json,
    result_problem,
)
from mutransfer.analysis.loading.mapping import rename_columns
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, Places, Provenance, Results
from mutransfer.analysis.training_curves import curve_measures
from mutransfer.analysis.types.estimates import Floats
from mutransfer.errors import ResultsError
from mutransfer.records import AnalysisTable, LabSettings

TRIAL_ID = re.compile(r"[0-9a-f]{64}")
# The lab omits a setting at its default from a result.
LAB_DEFAULTS: dict[str, Cell] = {
    name: info.default for name, info in LabSettings.model_fields.items() if not info.is_required()
}
LAB_COLUMNS = ("parametrization", "seed")  # present even if every trial has the default


def read_store(store: Path, mapping: Mapping[str, str] | None = None) -> Results:
    """Read every finished trial of the study last run in a store.

    Raises:
        ResultsError: The store is damaged (all problems are listed), has no finished trial, or
            lacks a column.
    """
    _check_schema(store)
    defaults = _study_defaults(store)
    trials, problems, unfinished = _read_trials(store, _study_trials(store))
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ResultsError(
            f"'{store}': " + "; ".join(problems[:3]) + more,
            why="a damaged result would falsify the analysis",
            fix="remove the folders named above; the next sweep runs those trials again",
        )
    if not trials:
        raise ResultsError(
            f"'{store}' has no finished trial, {unfinished} unfinished",
            why="there is nothing to analyze",
            fix="run the study first, or let it finish",
        )
    # The order of folders depends on the file system; results must not.
    trials.sort(key=lambda trial: str(trial["id"]))
    tuned = defaults.hyperparameter
    first = tuned if isinstance(tuned, str) else tuned[0]  # only its name is used
    table = rename_columns(_as_table(trials, store, first), mapping)
    results = Results.from_columns(
        table.columns,
        source=table.source,
        places=table.places,
        notes=table.notes,
        untrained_loss=_floats([trial.get("untrained_loss") for trial in trials]),
        flops=_flops(trials),
        curves=[trial["curve"] for trial in trials],
    )
    provenance = replace(
        _provenance(trials, store),
        trials=len(results),
        unfinished=unfinished,
        diverged=results.provenance.diverged,
    )
    # Only the lab's own trials are known to report nats per token.
    is_lab = all(trial["spec"].get("runner", {}).get("kind") == "lab" for trial in trials)
    unit = "nats" if is_lab and "loss" not in (mapping or {}) else None
    return replace(results, defaults=defaults, provenance=provenance, loss_unit=unit)


def _load_table(store: Path, name: str) -> dict[str, Any]:
    """Load one of the store's own files, such as `study.json`."""
    path = store / name
    if path.is_symlink():
        raise ResultsError(
            f"'{path}' is a symbolic link",
            why="a store must hold its own files, so that it can be copied and trusted",
            fix="replace the link by the file itself",
        )
    try:
        data = load_json(str(path))
        if isinstance(data, dict):
            return data
        problem = f" holds {json_kind(data)} where a table is expected"
    except ValueError as error:
        problem = f": {error}"
    raise ResultsError(
        f"'{path}'{problem}",
        why="without this file the content of the store is unknown",
        fix=f'restore the file; store.json is {{"schema": {SCHEMA}}}',
    )


def _check_schema(store: Path) -> None:
    """Raise an error for a folder that is not a store, and for a store of another version."""
    try:
        schema = _load_table(store, "store.json").get("schema")
    except FileNotFoundError:
        raise ResultsError(
            f"'{store}' is not a trial store: it has no store.json",
            why="files of another folder would be mistaken for results",
            fix="pass the folder that `mutransfer sweep` wrote, or a CSV file",
        ) from None
    if isinstance(schema, bool) or schema != SCHEMA:
        is_newer = isinstance(schema, int | float) and schema > SCHEMA
        raise ResultsError(
            f"'{store}' has schema {json.dumps(schema)}, this version reads {SCHEMA}",
            why="fields of another schema may mean something else",
            fix="pip install --upgrade mutransfer"
            if is_newer
            else f'store.json must be {{"schema": {SCHEMA}}}',
        )


def _study_defaults(store: Path) -> AnalysisTable:
    """Return the analysis settings of the study, or the general defaults if there is none."""
    try:
        study = _load_table(store, "study.json")
    except FileNotFoundError:
        return AnalysisTable()
    # The other tables were checked by the sweep.
    return AnalysisTable.read(
        study.get("analysis", {}), error=ResultsError, where=f"'{store / 'study.json'}', analysis"
    )


def _study_trials(store: Path) -> frozenset[str] | None:
    """Return the ids of the trials of the study last run here; None where they are not recorded."""
    # Trials of an earlier version of the study stay in the store but are not part of the results.
    try:
        ids = _load_table(store, "trials.json").get("trials")
    except FileNotFoundError:
        return None
    return frozenset(map(str, ids)) if isinstance(ids, list) else None


def _read_trials(
    store: Path, study_trials: frozenset[str] | None
) -> tuple[list[dict[str, Any]], list[str], int]:
    """Return the results of the study, the problems, and the number of unfinished trials."""
    results: list[dict[str, Any]] = []
    problems: list[str] = []
    num_folders = unfinished = 0
    with os.scandir(store) as entries:
        folders = [entry for entry in entries if TRIAL_ID.fullmatch(entry.name)]
    for entry in folders:
        if study_trials is not None and entry.name not in study_trials:
            continue
        num_folders += 1
        short = f"{entry.name[:12]}…"
        if entry.is_symlink():
            problems.append(f"{short} is a symbolic link")
            continue
        if not entry.is_dir(follow_symlinks=False):
            problems.append(f"{short} is not a folder")
            continue
        try:
            result = load_json(f"{entry.path}/result.json")
            problem = result_problem(result, entry.name)
            if isinstance(result, dict):
                # As lists of lists, the curves of 100,000 trials would take 3 GB.
                result["curve"] = as_curve(result.get("curve"))
        except FileNotFoundError:
            unfinished += 1
            continue
        except PermissionError:
            raise
        except OSError as error:
            is_link = os.path.islink(f"{entry.path}/result.json")
            problem = "is a symbolic link" if is_link else f"cannot be read: {error.strerror}"
        except ValueError as error:
            problem = str(error)
        if problem:
            problems.append(f"{short}/result.json: {problem}")
        else:
            assert isinstance(result, dict)
            results.append(result)
    unfinished += max(len(study_trials or ()) - num_folders, 0)  # trials without a folder
    return results, sorted(problems), unfinished


def _as_table(trials: list[dict[str, Any]], store: Path, hyperparameter: str) -> Table:
    """Return one row per trial: axes, settings of its runner, loss, divergence and instability."""
    rows: list[dict[str, Cell]] = []
    defaults: list[dict[str, Cell]] = []
    for trial in trials:
        runner = trial["spec"].get("runner", {})
        lab_defaults = LAB_DEFAULTS if runner.get("kind") == "lab" else {}
        common = {name: lab_defaults[name] for name in LAB_COLUMNS if name in lab_defaults}
        rows.append({**common, **runner.get("settings", {}), **trial["spec"]["axes"]})
        defaults.append(lab_defaults)
    columns: dict[str, list[Cell]] = {
        name: [row.get(name, d.get(name)) for row, d in zip(rows, defaults, strict=True)]
        for name in sorted({name for row in rows for name in row})
    }
    # JSON has no NaN: a finished trial without a loss diverged.
    columns["loss"] = [float("nan") if t["loss"] is None else t["loss"] for t in trials]
    columns["diverged_at"] = [trial.get("diverged_at") for trial in trials]
    curves = [t["curve"] for t in trials]
    if any(map(len, curves)):
        has_diverged = [t["loss"] is None or t.get("diverged_at") is not None for t in trials]
        measures = curve_measures(curves, has_diverged, rows, hyperparameter)
        columns |= {name: values.tolist() for name, values in measures.items()}
    return Table(f"'{store}'", columns, Places("trial", [f"{t['id'][:12]}…" for t in trials]))


def _flops(trials: list[dict[str, Any]]) -> Floats:
    """Return the FLOPs of each trial; a copy without a record has those of its original."""
    recorded = {trial["id"]: trial.get("flops") for trial in trials}
    costs = [(recorded[t["id"]], recorded.get(t.get("shared_from"))) for t in trials]
    return _floats([original if own is None else own for own, original in costs])


def _floats(values: list[Any]) -> Floats:
    """Return numbers as an array, with NaN for None."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _provenance(trials: list[dict[str, Any]], store: Path) -> Provenance:
    """Sum up the cost of all trials; a copy costs nothing if its original is in the store."""
    ids = {trial["id"] for trial in trials}
    trained = [trial for trial in trials if trial.get("shared_from") not in ids]
    versions: dict[str, set[str]] = {}
    for trial in trials:
        for package, version in (trial.get("versions") or {}).items():
            versions.setdefault(str(package), set()).add(str(version))
    end_times = sorted(trial["finished"] for trial in trials if trial.get("finished"))
    tokens = _total(trained, "tokens")
    return Provenance(
        source=f"'{store}'",
        trials=len(trials),
        shared=len(trials) - len(trained),
        seconds=_total(trained, "seconds"),
        flops=_total(trained, "flops"),
        tokens=None if tokens is None else int(tokens),
        versions={package: tuple(sorted(versions[package])) for package in sorted(versions)},
        commits=tuple(sorted({trial["commit"] for trial in trials if trial.get("commit")})),
        hosts=tuple(sorted({trial["host"] for trial in trials if trial.get("host")})),
        finished=(end_times[0], end_times[-1]) if end_times else None,
    )


def _total(trials: list[dict[str, Any]], name: str) -> float | None:
    """Return the sum of a field, None where no trial has it."""
    values = [trial[name] for trial in trials if trial.get(name) is not None]
    return sum(values) if values else None
