"""This file is the trial store: one folder per trial, done when `result.json` exists."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mutransfer.errors import StoreError
from mutransfer.records import StudySpec, TrialResult, TrialSpec
from mutransfer.sweep.claims import Claim, take

SCHEMA = 1
TRIAL_ID = re.compile(r"[0-9a-f]{64}")
MEASURES = ("loss", "diverged_at", "seconds", "tokens", "flops", "shared_from")


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
                self.path.mkdir(parents=True)
            if create and self.path.is_dir() and not any(self.path.iterdir()):
                _write_durably(self.path / "store.json", json.dumps({"schema": SCHEMA}))
        self._check()

    def _check(self) -> None:
        """Refuse a directory that is not a store of this version."""
        head = self.path / "store.json"
        try:
            schema = json.loads(head.read_text())["schema"]
        except OSError as problem:
            raise StoreError(
                f"{self.path} is not a trial store: store.json: {problem.strerror}",
                why="results are only read from, and written to, a folder made for them",
                fix="name a folder that `mutransfer sweep` made, or a new one",
            ) from None
        except (ValueError, KeyError, TypeError):
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
        folder = self.path / trial_id
        if folder.is_symlink() or (folder / "result.json").is_symlink():
            raise StoreError(
                f"{folder} is or holds a symbolic link",
                why="a link may lead out of the store",
                fix=f"remove it: rm {folder}",
            )
        return folder

    def is_done(self, trial_id: str) -> bool:
        """Tell whether a trial has a result."""
        return (self.folder(trial_id) / "result.json").is_file()

    def claim(self, spec: TrialSpec) -> Claim | None:
        """Claim a trial for this process; None if it is done or somebody else's."""
        folder = self.folder(spec.id)
        with writing(folder):
            folder.mkdir(exist_ok=True)
            if not (folder / "spec.json").exists():
                _write_durably(folder / "spec.json", spec.model_dump_json(indent=1))
            return None if self.is_done(spec.id) else take(folder)

    def new_attempt(self, trial_id: str) -> Path:
        """Make the folder in which one attempt works: its `trial_dir`."""
        attempt = self.folder(trial_id) / "attempts" / uuid.uuid4().hex
        with writing(attempt):
            attempt.mkdir(parents=True)
        return attempt

    def publish(self, result: TrialResult, attempt: Path) -> None:
        """Make a result visible, whole or not at all; if another was first, theirs stands."""
        draft, final = attempt / "result.json", self.folder(result.id) / "result.json"
        with writing(final):
            _write_durably(draft, result.model_dump_json(indent=1))
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
            _write_durably(folder / "spec.json", spec.model_dump_json(indent=1))
        copied = {"id": spec.id, "spec": spec, "shared_from": result.shared_from or result.id}
        self.publish(result.model_copy(update=copied), self.new_attempt(spec.id))

    def fail(self, attempt: Path, error: str) -> None:
        """Keep what a failed attempt said."""
        with writing(attempt):
            (attempt / "error.txt").write_text(error)

    def failures(self, trial_id: str) -> list[str]:
        """Give what each failed attempt of a trial said."""
        attempts = self.folder(trial_id) / "attempts"
        return [p.read_text(errors="replace") for p in sorted(attempts.glob("*/error.txt"))]

    def result(self, trial_id: str) -> TrialResult:
        """Read one result back, its identity checked.

        Raises:
            StoreError: It is damaged, or stands in the wrong folder.
        """
        path = self.folder(trial_id) / "result.json"
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError) as problem:
            raise StoreError(
                f"{path} cannot be read: {problem}",
                why="a damaged result would change the answer",
                fix=f"remove it and run the study again: rm {path}",
            ) from None
        result = TrialResult.read(data, error=StoreError, where=str(path))
        if not result.id == result.spec.id == trial_id:
            raise StoreError(
                f"{path} holds the result of another trial, {result.spec.id[:12]}…",
                why="a moved or edited result would change the answer",
                fix=f"remove it and run the study again: rm {path}",
            )
        return result

    def ids(self) -> list[str]:
        """Name every trial that has a folder."""
        return sorted(p.name for p in self.path.iterdir() if TRIAL_ID.fullmatch(p.name))

    def results(self) -> Iterator[TrialResult]:
        """Read every result."""
        return (self.result(trial_id) for trial_id in self.ids() if self.is_done(trial_id))

    def write_study(self, study: StudySpec, trials: Iterable[TrialSpec]) -> None:
        """Keep the study, whose analysis table `mutransfer analyze` reads, and its trials' names.

        A store may hold trials of an earlier version of a study; they are kept, not analyzed.
        """
        with writing(self.path):
            ids = [trial.id for trial in trials]
            named = json.dumps({"schema": SCHEMA, "trials": ids}, indent=0)
            _write_durably(self.path / "trials.json", named)
            # What was not said stays unsaid: a default is not checked as strictly as a wish.
            text = study.model_dump_json(indent=1, exclude_unset=True)
            _write_durably(self.path / "study.json", text)

    def write_csv(self, results: Iterable[TrialResult]) -> None:
        """Rebuild `results.csv`, the view for spreadsheets."""
        rows = [
            {**r.spec.values, **{m: getattr(r, m) for m in MEASURES}, "id": r.id} for r in results
        ]
        names = list(dict.fromkeys(name for row in rows for name in row if name not in MEASURES))
        names.remove("id") if "id" in names else None
        text = io.StringIO()
        writer = csv.DictWriter(text, [*names, *MEASURES, "id"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with writing(self.path):
            _write_durably(self.path / "results.csv", text.getvalue())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the file system's refusals into our three lines."""
    try:
        yield
    except OSError as problem:
        raise StoreError(
            f"cannot write {path}: {problem.strerror or problem}",
            why="a result that is not on disk would be lost; what is published stays",
            fix="make room or set the permissions, then run the same command again",
        ) from None


def _write_durably(path: Path, text: str) -> None:
    """Write a file so that it is whole, or absent, whatever happens."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
