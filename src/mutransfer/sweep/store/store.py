"""This file is the trial store: one folder per trial, done when `result.json` exists."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import shlex
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from mutransfer.errors import StoreError
from mutransfer.records import StudySpec, TrialResult, TrialSpec
from mutransfer.records.base import validation_error
from mutransfer.sweep.files import linked, read_inside, unlinked, write_whole, writing
from mutransfer.sweep.processes import end_group
from mutransfer.sweep.store.claims import Claim, Mark, look, take

SCHEMA = 1
TRIAL_ID = re.compile(r"[0-9a-f]{64}")
MEASURES = ("loss", "diverged_at", "seconds", "tokens", "flops", "shared_from")
LAST = (*MEASURES, "id")
RESERVE, RESERVED_BYTES = ".reserve", 2**18


class TrialStore:
    """A directory of trials that anything can read and several drivers may share.

    Layout: `store.json {schema}`, `study.json` and `trials.json` (the study last run here, its
    trials' ids), `results.csv` (a view), and per trial a folder named by its id with
    `spec.json`, `claims/`, `attempts/<uuid>/` and, once done, `result.json`. Results are
    published by hard link: the first wins.

    Args:
        path: The directory; made if it is absent and `create` is true.
        create: Whether a new store may be made.

    Raises:
        StoreError: It is no store, of a newer version, or cannot be written.
    """

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self.path = Path(path)
        with writing(self.path):
            if create and not self.path.exists():
                self.path.mkdir(parents=True, exist_ok=True)
            # Of drivers that start together, one sees the others' drafts.
            if create and self.path.is_dir() and all(map(_is_draft, self.path.iterdir())):
                write_whole(self.path / "store.json", json.dumps({"schema": SCHEMA}))
        self._check()

    def _check(self) -> None:
        """Refuse a directory that is not a store of this version."""
        head = self.path / "store.json"
        try:
            schema = json.loads(read_inside(head))["schema"]
        except OSError as problem:
            raise StoreError(
                f"{self.path} is not a trial store: store.json: {problem.strerror}",
                why="results are only read from, and written to, a folder made for them",
                fix="name a folder that `mutransfer sweep` made, or a new one",
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise StoreError(
                f"{head} is damaged",
                why="without its version the store cannot be read safely",
                fix=f"""restore it: echo '{{"schema": {SCHEMA}}}' > {head}""",
            ) from None
        if schema != SCHEMA:
            raise StoreError(
                f"{self.path} has schema {schema!r}, this version reads {SCHEMA}",
                why="a newer store may hold what this version would misread",
                fix="pip install --upgrade mutransfer",
            )

    def folder(self, trial_id: str) -> Path:
        """Give a trial's folder.

        Raises:
            StoreError: It is a symbolic link, which may lead out of the store.
        """
        assert TRIAL_ID.fullmatch(trial_id), trial_id
        return unlinked(self.path / trial_id)

    def is_done(self, trial_id: str) -> bool:
        """Tell whether a trial has a result."""
        return os.path.lexists(self.folder(trial_id) / "result.json")

    def claim(self, spec: TrialSpec, dead: Mark | None = None) -> Claim | None:
        """Claim a trial for this process; None if it is done or somebody else's.

        Args:
            spec: The trial.
            dead: Another's claim that was watched in vain.
        """
        folder = self.folder(spec.id)
        with writing(folder):
            folder.mkdir(exist_ok=True)
            if not (folder / "spec.json").exists():
                # Only people and `--status` read it: it need not survive a power cut.
                write_whole(folder / "spec.json", spec.model_dump_json(indent=1), durably=False)
            claim = None if self.is_done(spec.id) else take(folder, dead)
        if claim is not None and self.is_done(spec.id):
            claim.release()  # its former owner published after we looked
            return None
        return claim

    def owner(self, trial_id: str) -> Mark | None:
        """See who works on a trial, if anybody."""
        return look(self.folder(trial_id))

    def new_attempt(self, trial_id: str) -> Path:
        """Make the folder in which one attempt works: its `trial_dir`.

        What former attempts left running here is ended. Room for the result is set aside, so
        that a disk that is full by then costs no finished training.
        """
        attempts = unlinked(self.folder(trial_id) / "attempts")
        with writing(attempts):
            attempts.mkdir(exist_ok=True)
            for former in attempts.iterdir():
                end_group(unlinked(former))
                (former / RESERVE).unlink(missing_ok=True)
            attempt = attempts / uuid.uuid4().hex
            attempt.mkdir()
            with (attempt / RESERVE).open("wb") as file:
                file.write(bytes(RESERVED_BYTES))
        return attempt

    def publish(self, result: TrialResult, attempt: Path) -> None:
        """Make a result visible, whole or not at all; if another was first, theirs stands."""
        draft, final = attempt / "result.json", self.folder(result.id) / "result.json"
        with writing(final):
            (attempt / RESERVE).unlink(missing_ok=True)
            with draft.open("w") as file:
                file.write(result.model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, final)
            except FileExistsError:
                return
            _sync_folder(final.parent)

    def share(self, result: TrialResult, spec: TrialSpec) -> None:
        """Publish a result again for a trial that is the same training run."""
        folder = self.folder(spec.id)
        with writing(folder):
            folder.mkdir(exist_ok=True)
            write_whole(folder / "spec.json", spec.model_dump_json(indent=1))
        copied = {"id": spec.id, "spec": spec, "shared_from": result.shared_from or result.id}
        self.publish(result.model_copy(update=copied), self.new_attempt(spec.id))

    def fail(self, attempt: Path, error: str) -> None:
        """Keep what a failed attempt said."""
        with writing(attempt):
            (attempt / RESERVE).unlink(missing_ok=True)
            (attempt / "error.txt").write_text(error)

    def failures(self, trial_id: str) -> list[str]:
        """Give what the failed attempts of a trial said, the oldest first."""
        attempts = unlinked(self.folder(trial_id) / "attempts")
        found, said = attempts.glob("*/error.txt"), []
        for path in sorted(found, key=_age):
            unlinked(path.parent)
            with suppress(OSError):  # a link or a folder, which no attempt left
                said.append(read_inside(path).decode(errors="replace"))
        return said

    def result(self, trial_id: str) -> TrialResult:
        """Read one result back, its identity checked.

        Raises:
            StoreError: It is damaged, or stands in the wrong folder.
        """
        path = self.folder(trial_id) / "result.json"
        found = self._read(str(path))
        if found is None:
            raise _unreadable(path, "No such file or directory")
        return _checked(found, trial_id, path)

    def known(self, trials: Iterable[TrialSpec]) -> Iterator[tuple[TrialSpec, TrialResult | None]]:
        """Look up many trials, each with its result if it is done, in one pass over the store."""
        present = set(self.ids())
        for spec in trials:
            path = f"{self.path}/{spec.id}/result.json"
            found = self._read(path) if spec.id in present else None
            if found is not None and (found.id, found.spec.axes, found.spec.runner) != (
                (spec.id, spec.axes, spec.runner)
            ):
                found = _checked(found, spec.id, Path(path))
            yield spec, found

    def _read(self, path: str) -> TrialResult | None:
        """Read a result without following a link; None if there is none."""
        try:
            data = read_inside(path)
        except FileNotFoundError:
            return None
        except OSError as problem:
            if problem.errno == errno.ELOOP:
                raise linked(Path(path)) from None
            raise _unreadable(Path(path), problem.strerror or str(problem)) from None
        try:
            return TrialResult.model_validate_json(data)
        except ValidationError as refused:
            said = validation_error(refused, TrialResult, error=StoreError, where=path)
            raise StoreError(said.what, why=said.why, fix=_again(path)) from None

    def ids(self) -> list[str]:
        """Name every trial that has a folder."""
        with os.scandir(self.path) as entries:
            named = [entry for entry in entries if TRIAL_ID.fullmatch(entry.name)]
        for entry in named:
            if entry.is_symlink():
                raise linked(self.path / entry.name)
        return sorted(entry.name for entry in named)

    def results(self) -> Iterator[TrialResult]:
        """Read every result."""
        return (self.result(trial_id) for trial_id in self.ids() if self.is_done(trial_id))

    def study_trials(self) -> list[str]:
        """Name the trials of the study last run here.

        Raises:
            StoreError: No study was run here, or its list is damaged.
        """
        path = self.path / "trials.json"
        try:
            named = json.loads(read_inside(path))["trials"]
            if all(TRIAL_ID.fullmatch(name) for name in named):
                return list(named)
            problem: object = "it holds something else"
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as refused:
            problem = refused
        raise StoreError(
            f"{path} does not name the study's trials: {problem}",
            why="what is unfinished cannot be told without it",
            fix="run the study again: mutransfer sweep STUDY.toml",
        )

    def write_study(self, study: StudySpec, trials: Iterable[TrialSpec]) -> None:
        """Keep the study, whose analysis table `mutransfer analyze` reads, and its trials' names.

        A store may hold trials of an earlier version of a study; they are kept, not analyzed.
        """
        with writing(self.path):
            ids = [trial.id for trial in trials]
            named = json.dumps({"schema": SCHEMA, "trials": ids}, indent=0)
            write_whole(self.path / "trials.json", named)
            # What was not said stays unsaid: a default is not checked as strictly as a wish.
            text = study.model_dump_json(indent=1, exclude_unset=True)
            write_whole(self.path / "study.json", text)

    def study_scale(self) -> str:
        """Name what grows in the study last run here; 'width' where it does not say."""
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            return str(json.loads(read_inside(self.path / "study.json"))["analysis"]["scale"])
        return "width"

    def write_csv(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Rebuild `results.csv`, the view for spreadsheets, from `csv_row`s."""
        names = list(dict.fromkeys(name for row in rows for name in row if name not in LAST))
        text = io.StringIO()
        writer = csv.DictWriter(text, [*names, *LAST], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with writing(self.path):
            write_whole(self.path / "results.csv", text.getvalue())


def csv_row(result: TrialResult) -> dict[str, object]:
    """Give a result's line of `results.csv`."""
    measured = {name: getattr(result, name) for name in MEASURES}
    return {**result.spec.values, **measured, "id": result.id}


def told(error: str) -> str:
    """Give the line of a failed attempt that says what happened."""
    lines = error.strip().splitlines() or [""]
    if lines[0].startswith("Traceback"):
        return lines[-1]
    return error.strip() or "it left an empty error"


def _checked(result: TrialResult, trial_id: str, path: Path) -> TrialResult:
    """Refuse a result that is another trial's."""
    if not result.id == result.spec.id == trial_id:
        raise StoreError(
            f"{path} holds the result of another trial, {result.spec.id[:12]}…",
            why="a moved or edited result would change the answer",
            fix=_again(path),
        )
    try:
        _ = result.spec.values
    except ValueError as problem:
        raise _unreadable(path, str(problem)) from None
    return result


def _unreadable(path: Path, problem: str) -> StoreError:
    """Say that a result is damaged."""
    return StoreError(
        f"{path} cannot be read: {problem}",
        why="a damaged result would change the answer",
        fix=_again(path),
    )


def _again(path: str | Path) -> str:
    """Say how to get a result anew."""
    return f"remove it and run the study again: rm {shlex.quote(str(path))}"


def _is_draft(path: Path) -> bool:
    """Tell whether a file is what is written before it becomes a store's head."""
    return path.name.startswith(".store.json.")


def _age(path: Path) -> float:
    """Sort files by time."""
    return path.lstat().st_mtime


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
