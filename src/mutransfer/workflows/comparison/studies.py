"""Studies with their trials: those that ship with the package, and the user's own stores."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from mutransfer.analysis import Results
from mutransfer.errors import ResultsError, StoreError, counted
from mutransfer.records import AxisValue, LabRunner, LabTable, StudySpec
from mutransfer.records.base import canonical_json
from mutransfer.sweep import TrialStore
from mutransfer.sweep.files import read_no_follow
from mutransfer.workflows.comparison.table import StudyTable, read_table, table_of
from mutransfer.workflows.studies.catalog import SOURCES, NamedStudy, expand, named_studies
from mutransfer.workflows.studies.scales import Scale

PROVENANCE = "provenance.json"
FIX = "mutransfer studies run lingle2024, which writes one store per study into runs/lingle2024"


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """A named study with all of its trials.

    Args:
        study: Its description.
        scale: 'mini' or 'paper'.
        table: Its trials.
        results: The same trials as results for `analyze`.
        text: Hash of the training text; empty for shipped trials, which share one text.
    """

    study: NamedStudy
    scale: Scale
    table: StudyTable
    results: Results
    text: str = ""

    @property
    def name(self) -> str:
        """The name of the study, as in `study.json`: that of the paper scale says so."""
        return self.study.name if self.scale == "mini" else f"{self.study.name}-{self.scale}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A folder whose trials are not compared.

    Args:
        folder: Its name.
        reason: The reason.
        command: The command that completes it; empty where there is none.
    """

    folder: str
    reason: str
    command: str = ""


def shipped_studies() -> list[FinishedStudy]:
    """Return the studies whose trials at mini scale ship with the package.

    Raises:
        ResultsError: The package has no results.
    """
    folder = _results_folder()
    studies = []
    for study in scaled_studies():
        file = folder / f"{study.name}.csv"
        if file.is_file():
            table = read_table(file.read_text(encoding="utf-8"), file.name)
            results = table.results(file.name, expand(study.name, "mini"))
            studies.append(FinishedStudy(study, "mini", table, results))
    if not studies:
        raise ResultsError(
            "this installation has no shipped results",
            why="without trials there is nothing to compare with the paper",
            fix=FIX,
        )
    return studies


def shipped_provenance() -> dict[str, Any]:
    """Return how the shipped trials were made."""
    data: dict[str, Any] = json.loads((_results_folder() / PROVENANCE).read_text(encoding="utf-8"))
    return data


def stored_studies(folder: str | Path) -> tuple[list[FinishedStudy], list[LeftOut]]:
    """Return the named studies in a folder of trial stores, and what is left out.

    Args:
        folder: A folder such as `runs/lingle2024`, with one store per study.

    Raises:
        ResultsError: The folder has no finished study, or two stores of one study.
    """
    parent, named = Path(folder), scaled_studies()
    finished: dict[str, tuple[str, FinishedStudy]] = {}
    left_out: list[LeftOut] = []
    for path in _stores(parent):
        entry = read_stored_study(path, named)
        if isinstance(entry, LeftOut):
            left_out.append(entry)
            continue
        if entry.name in finished:
            raise ResultsError(
                f"'{parent}' has two stores of the study {entry.name}: {finished[entry.name][0]} "
                f"and {path.name}",
                why="one of them would be ignored",
                fix=f"move one of them out of {parent}",
            )
        finished[entry.name] = path.name, entry
    if not finished:
        raise _nothing_finished(parent, left_out)
    order = [study.name for study in named]
    studies = [study for _, study in finished.values()]
    return sorted(studies, key=lambda s: (s.scale, order.index(s.study.name))), left_out


def scaled_studies() -> tuple[NamedStudy, ...]:
    """Return the named studies that have a mini and a paper scale."""
    return tuple(study for study in named_studies() if study.has_scales)


def _results_folder() -> Traversable:
    """Return the folder of the shipped results."""
    return files("mutransfer") / "studies" / "results"


def _stores(folder: Path) -> Iterator[Path]:
    """Yield the trial stores in a folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        kind = "source" if str(folder) in SOURCES else "study"
        if kind == "source" or str(folder) in {study.name for study in named_studies()}:
            raise ResultsError(
                f"'{folder}' is a {kind}, and compare takes a folder of trial stores",
                why="without a folder it compares the trials that ship, of every paper",
                fix="mutransfer studies compare, or the folder into which you ran the studies",
            ) from None
        raise ResultsError(
            f"'{folder}' cannot be read: {error.strerror}",
            why="studies are compared by their trials, one store per study",
            fix=f"mutransfer studies compare, for the trials that ship; or {FIX}",
        ) from None
    if "store.json" in names:
        raise ResultsError(
            f"'{folder}' is a store of one study",
            why="studies are compared, so a folder of stores is needed",
            fix=f"mutransfer studies compare {shlex.quote(str(folder.parent))}",
        )
    yield from (folder / name for name in names if (folder / name / "store.json").is_file())


def read_stored_study(path: Path, named: Sequence[NamedStudy]) -> FinishedStudy | LeftOut:
    """Read the store of one of these studies, or say why it is left out."""
    try:
        store = TrialStore(path)
        study = StudySpec.read_json(
            read_no_follow(path / "study.json"), error=StoreError, where=str(path / "study.json")
        )
        trial_ids = store.study_trials()
    except (OSError, StoreError) as error:
        problem = error.what if isinstance(error, StoreError) else error.strerror
        return LeftOut(path.name, f"it cannot be read: {problem}")
    match = _match(study.study.name, named)
    if match is None:
        return LeftOut(path.name, f"its study '{study.study.name}' is none of the paper's")
    description, scale = match
    if difference := _difference(study, expand(description.name, scale)):
        return LeftOut(
            path.name,
            f"its {difference}, so it is another study than {description.name}",
            _command(description, scale, study.lab, path),  # trials that coincide are kept
        )
    if missing := sum(not store.is_done(trial_id) for trial_id in trial_ids):
        return LeftOut(
            path.name,
            f"{missing} of {counted(len(trial_ids), 'trial')} have no result",
            _command(description, scale, study.lab, path),
        )
    results = [store.result(trial_id) for trial_id in trial_ids]
    texts = {r.spec.runner.data for r in results if isinstance(r.spec.runner, LabRunner)}
    if _points(r.spec.axes for r in results) != _points(study.points) or len(texts) != 1:
        return LeftOut(
            path.name,
            f"its trials are not the {counted(study.num_trials, 'trial')} of {description.name}",
            _command(description, scale, study.lab, path),
        )
    table = table_of(results, list(study.axes))
    source = f"'{path}'"
    return FinishedStudy(description, scale, table, table.results(source, study), texts.pop())


def _points(points: Iterable[Mapping[str, AxisValue]]) -> list[str]:
    """Return points of a grid as sorted texts, which can be compared."""
    return sorted(canonical_json(dict(point)) for point in points)


def _match(name: str, named: Sequence[NamedStudy]) -> tuple[NamedStudy, Scale] | None:
    """Return the named study that a store belongs to, and its scale."""
    for study in named:
        scales: dict[str, Scale] = {study.name: "mini", f"{study.name}-paper": "paper"}
        if name in scales:
            return study, scales[name]
    return None


def _difference(stored: StudySpec, expected: StudySpec) -> str:
    """Return how a stored study differs from the named one, other than in text and device."""
    for name in {**expected.axes, **stored.axes}:
        if stored.axes.get(name) != expected.axes.get(name):
            values = stored.axes.get(name)
            return f"axis {name} is {'missing' if values is None else _listed(values)}"
    own, other = (_settings(study.lab) for study in (stored, expected))
    for name in sorted({*own, *other}):
        if own.get(name) != other.get(name):
            return f"setting {name} is {own.get(name, 'left out')}"
    return ""


def _settings(lab: LabTable | None) -> dict[str, Any]:
    """Return the settings of the lab."""
    return {} if lab is None else lab.settings


def _listed(values: tuple[object, ...]) -> str:
    """Format the values of an axis: the first and the last of many."""
    texts = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(texts if len(texts) <= 4 else [*texts[:2], "…", texts[-1]])


def _command(study: NamedStudy, scale: Scale, lab: LabTable | None, store: Path) -> str:
    """Return the command that runs the rest of a study."""
    parts = ["mutransfer", "studies", "run", study.name]
    if scale != "mini":
        parts += ["--scale", scale]
    if lab is not None and lab.text is not None:
        parts += ["--text", str(lab.text)]
    return shlex.join([*parts, "-o", str(store)])


def _nothing_finished(folder: Path, left_out: list[LeftOut]) -> ResultsError:
    """Return the error for a folder without any finished study."""
    if not left_out:
        return ResultsError(
            f"'{folder}' has no trial stores",
            why="studies are compared by their trials, one store per study",
            fix=FIX,
        )
    reasons = "; ".join(f"{entry.folder}: {entry.reason}" for entry in left_out[:3])
    more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    commands = [entry.command for entry in left_out if entry.command]
    return ResultsError(
        f"'{folder}' has no finished study of the paper: {reasons}{more}",
        why="a study is compared when all of its trials have a result",
        fix=commands[0] if commands else FIX,
    )
