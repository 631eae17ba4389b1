"""Trial store: a directory with one folder per trial, which is done when `result.json` exists."""

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

from mutransfer.errors import StoreError, nearest
from mutransfer.records import StudySpec, TrialResult, TrialSpec
from mutransfer.records.axes import spellings
from mutransfer.records.base import validation_error
from mutransfer.sweep.files import (
    WRONG_KIND,
    link_error,
    make_folders_durably,
    read_errors,
    read_no_follow,
    reject_link,
    sync,
    unreadable,
    write_atomically,
    write_errors,
)
from mutransfer.sweep.store.claims import Claim, ClaimState, acquire, current_claim
from mutransfer.sweep.termination import terminate_trial

SCHEMA = 1
TRIAL_ID = re.compile(r"[0-9a-f]{64}")
MEASUREMENTS = ("loss", "diverged_at", "seconds", "tokens", "flops", "shared_from")
LAST_COLUMNS = (*MEASUREMENTS, "id")
# Space that an attempt reserves for its result, because a disk is often full exactly when a long
# run ends. A result with a long curve takes less [assumed].
RESERVE_FILE, RESERVED_BYTES = ".reserve", 2**18


class TrialStore:
    """A directory of trials that several drivers may share and any program can read.

    Layout: `store.json {schema}`, `study.json` and `trials.json` (the study last run here and its
    trials' ids), `results.csv` (a view), and per trial a folder named by its id with
    `spec.json`, `claims/`, `attempts/<uuid>/` and, once done, `result.json`. Results are
    published by hard link: the first one wins.

    Args:
        path: The directory; it is created if it does not exist and `create` is true.
        create: Whether a new store may be created.

    Raises:
        StoreError: The directory is not a store, is of a newer version, or cannot be written.
    """

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self.path = Path(path)
        with write_errors(self.path):
            if create and not self.path.exists():
                make_folders_durably(self.path)
            # Drivers that start at the same time see each other's drafts of `store.json`.
            if create and self.path.is_dir() and all(map(_is_draft, self.path.iterdir())):
                write_atomically(self.path / "store.json", json.dumps({"schema": SCHEMA}))
        self._check_schema()

    def _check_schema(self) -> None:
        """Raise an error for a directory that is not a store of this version."""
        path = self.path / "store.json"
        try:
            schema = json.loads(read_no_follow(path))["schema"]
        except OSError as error:
            if error.errno not in WRONG_KIND | {errno.ENOENT}:
                raise unreadable(path, error) from None
            what = f"{self.path} is not a trial store: store.json: {error.strerror}"
            if not os.path.exists(self.path):
                what = f"the trial store {self.path} does not exist"
            parent = self.path.parent
            markers = sorted(parent.glob("*/store.json")) if os.path.isdir(parent) else []
            stores = [str(path.parent) for path in markers]
            here = f"; here: {nearest(str(self.path), stores)}" if stores else ""
            raise StoreError(
                what,
                why="results are read from and written to folders created for them only",
                fix=f"name a folder that `mutransfer sweep` created, or a new one{here}",
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise StoreError(
                f"{path} is damaged",
                why="without its version the store cannot be read safely",
                fix=f"""restore it: echo '{{"schema": {SCHEMA}}}' > {path}""",
            ) from None
        if schema != SCHEMA:
            raise StoreError(
                f"{self.path} has schema {schema!r}, this version reads {SCHEMA}",
                why="this version may misread a newer store",
                fix="pip install --upgrade mutransfer",
            )

    def folder(self, trial_id: str) -> Path:
        """Return the folder of a trial.

        Raises:
            StoreError: It is a symbolic link, which may lead out of the store.
        """
        assert TRIAL_ID.fullmatch(trial_id), trial_id
        return reject_link(self.path / trial_id)

    def is_done(self, trial_id: str) -> bool:
        """Return whether a trial has a result."""
        path = self.folder(trial_id) / "result.json"
        with read_errors(path), suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path)
            return True
        return False

    def claim(self, spec: TrialSpec, stale: ClaimState | None = None) -> Claim | None:
        """Claim a trial for this process; None if it is done or claimed by another.

        Args:
            spec: The trial.
            stale: A claim of another worker whose heartbeat stopped.
        """
        folder = self.folder(spec.id)
        with write_errors(folder):
            folder.mkdir(exist_ok=True)
            if not (folder / "spec.json").exists():
                # Only people and `--status` read it, so it need not survive a power cut.
                text = spec.model_dump_json(indent=1)
                write_atomically(folder / "spec.json", text, durably=False)
            claim = None if self.is_done(spec.id) else acquire(folder, stale)
        if claim is not None and self.is_done(spec.id):
            claim.release()  # its former owner published in the meantime
            return None
        return claim

    def current_claim(self, trial_id: str) -> ClaimState | None:
        """Return the claim on a trial, if there is one."""
        folder = self.folder(trial_id)
        with read_errors(folder):
            return current_claim(folder)

    def new_attempt(self, trial_id: str) -> Path:
        """Create the folder of a new attempt: its `trial_dir`.

        Processes that earlier attempts left on this machine are terminated. Space for the result is
        reserved, so that a finished training can be published even if the disk is full by then.
        """
        attempts = reject_link(self.folder(trial_id) / "attempts")
        with write_errors(attempts):
            attempts.mkdir(exist_ok=True)
            for earlier in attempts.iterdir():
                terminate_trial(reject_link(earlier))
                (earlier / RESERVE_FILE).unlink(missing_ok=True)
            attempt = attempts / uuid.uuid4().hex
            attempt.mkdir()
            with (attempt / RESERVE_FILE).open("wb") as file:
                file.write(bytes(RESERVED_BYTES))
        return attempt

    def publish(self, result: TrialResult, attempt: Path) -> None:
        """Publish a result atomically, unless the trial already has one."""
        draft, final = attempt / "result.json", self.folder(result.id) / "result.json"
        with write_errors(final):
            (attempt / RESERVE_FILE).unlink(missing_ok=True)
            with draft.open("w") as file:
                file.write(result.model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # its driver may not have synced it yet
                os.link(draft, final)
            sync(final.parent)
            sync(self.path)  # the trial's folder may be new

    def share(self, result: TrialResult, spec: TrialSpec) -> None:
        """Publish a copy of a result for a trial that is the same training run."""
        folder = self.folder(spec.id)
        with write_errors(folder):
            folder.mkdir(exist_ok=True)
            write_atomically(folder / "spec.json", spec.model_dump_json(indent=1), durably=False)
        changes = {"id": spec.id, "spec": spec, "shared_from": result.shared_from or result.id}
        self.publish(result.model_copy(update=changes), self.new_attempt(spec.id))

    def record_failure(self, attempt: Path, error: str) -> None:
        """Write the error of a failed attempt into its folder."""
        with write_errors(attempt):
            (attempt / RESERVE_FILE).unlink(missing_ok=True)
            (attempt / "error.txt").write_text(error)

    def failures(self, trial_id: str) -> list[str]:
        """Return the errors of a trial's failed attempts, the oldest first."""
        attempts = reject_link(self.folder(trial_id) / "attempts")
        errors = []
        with read_errors(attempts):
            paths = sorted(attempts.glob("*/error.txt"), key=lambda path: path.lstat().st_mtime)
        for path in paths:
            reject_link(path.parent)
            with suppress(OSError):  # a link or a folder, which no attempt wrote
                errors.append(read_no_follow(path).decode(errors="replace"))
        return errors

    def result(self, trial_id: str) -> TrialResult:
        """Read a result.

        Raises:
            StoreError: It is damaged, or belongs to another trial.
        """
        path = self.folder(trial_id) / "result.json"
        result = self._read(str(path))
        if result is None:
            raise _damaged(path, "No such file or directory")
        return _checked(result, trial_id, path)

    def lookup(self, trials: Iterable[TrialSpec]) -> Iterator[tuple[TrialSpec, TrialResult | None]]:
        """Yield trials with their results, None where not done, in one pass over the store.

        Raises:
            StoreError: Some results are damaged; raised at the end, with all of them.
        """
        present, damaged = set(self.ids()), dict[str, StoreError]()
        for spec in trials:
            path = f"{self.path}/{spec.id}/result.json"
            try:
                result = self._read(path) if spec.id in present else None
                # An equal spec has an equal id: this saves hashing every spec.
                if result is not None and (result.id, result.spec.axes, result.spec.runner) != (
                    (spec.id, spec.axes, spec.runner)
                ):
                    result = _checked(result, spec.id, Path(path))
            except StoreError as error:
                if error.fix != _rerun(path):
                    raise
                damaged[path] = error
                continue
            yield spec, result
        if len(damaged) > 1:
            first = next(iter(damaged.values()))
            what = f"{len(damaged)} results are damaged; the first: {first.what}"
            raise StoreError(what, why=first.why, fix=_rerun(*damaged))
        if damaged:
            raise damaged.popitem()[1]

    def _read(self, path: str) -> TrialResult | None:
        """Read a result without following a link; None if there is none."""
        try:
            data = read_no_follow(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise link_error(Path(path)) from None
            if error.errno not in WRONG_KIND:
                raise unreadable(Path(path), error) from None
            raise _damaged(Path(path), error.strerror or str(error)) from None
        try:
            return TrialResult.model_validate_json(data)
        except ValidationError as invalid:
            converted = validation_error(invalid, TrialResult, error=StoreError, where=path)
            raise StoreError(converted.what, why=converted.why, fix=_rerun(path)) from None

    def ids(self) -> list[str]:
        """Return the ids of all trials that have a folder."""
        with read_errors(self.path), os.scandir(self.path) as entries:
            folders = [entry for entry in entries if TRIAL_ID.fullmatch(entry.name)]
        for entry in folders:
            if entry.is_symlink():
                raise link_error(self.path / entry.name)
        return sorted(entry.name for entry in folders)

    def results(self) -> Iterator[TrialResult]:
        """Yield every result."""
        return (self.result(trial_id) for trial_id in self.ids() if self.is_done(trial_id))

    def study_trials(self) -> list[str]:
        """Return the ids of the trials of the study last run here.

        Raises:
            StoreError: No study was run here, or the list is damaged.
        """
        path = self.path / "trials.json"
        try:
            trial_ids = json.loads(read_no_follow(path))["trials"]
            if all(TRIAL_ID.fullmatch(trial_id) for trial_id in trial_ids):
                return list(trial_ids)
            problem: object = "not a list of trial ids"
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            problem = error
        raise StoreError(
            f"{path} cannot be read: {problem}",
            why="without the list of the study's trials, unfinished ones cannot be counted",
            fix="run the study again: mutransfer sweep STUDY.toml",
        )

    def write_study(self, study: StudySpec, trials: Iterable[TrialSpec]) -> None:
        """Write the study, whose analysis table `mutransfer analyze` reads, and its trials' ids.

        Trials of an earlier version of the study stay in the store but are not analyzed.
        """
        with write_errors(self.path):
            content = {"schema": SCHEMA, "trials": [trial.id for trial in trials]}
            write_atomically(self.path / "trials.json", json.dumps(content, indent=0))
            # Unset fields stay unset: the analysis checks an explicit setting more strictly than
            # a default.
            text = study.model_dump_json(indent=1, exclude_unset=True)
            write_atomically(self.path / "study.json", text)

    def study_scale(self) -> str:
        """Return the scale of the study last run here, 'width' by default."""
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            return str(json.loads(read_no_follow(self.path / "study.json"))["analysis"]["scale"])
        return "width"

    def write_csv(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Rebuild `results.csv`, a view for spreadsheets, from rows of `csv_row`."""
        names = dict.fromkeys(n for row in rows for n in row if n not in LAST_COLUMNS)
        columns = (*names, *LAST_COLUMNS)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            values = map(row.get, columns)  # a row without a column has an empty cell
            writer.writerow([spellings(v)[0] if v is True or v is False else v for v in values])
        with write_errors(self.path):
            write_atomically(self.path / "results.csv", text.getvalue())


def csv_row(result: TrialResult) -> dict[str, object]:
    """Return the row of a result in `results.csv`."""
    measurements = {name: getattr(result, name) for name in MEASUREMENTS}
    return {**result.spec.values, **measurements, "id": result.id}


def error_summary(error: str) -> str:
    """Return an error without its traceback."""
    lines = error.strip().splitlines() or [""]
    if lines[0].startswith("Traceback"):
        return lines[-1]
    return error.strip() or "the attempt left an empty error"


def _checked(result: TrialResult, trial_id: str, path: Path) -> TrialResult:
    """Return a result; raise an error if it belongs to another trial."""
    if not result.id == result.spec.id == trial_id:
        raise StoreError(
            f"{path} holds the result of another trial, {result.spec.id[:12]}…",
            why="a moved or edited result would falsify the analysis",
            fix=_rerun(path),
        )
    try:
        _ = result.spec.values
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    return result


def _damaged(path: Path, problem: str) -> StoreError:
    """Return the error for a damaged result."""
    return StoreError(
        f"{path} cannot be read: {problem}",
        why="a damaged result would falsify the analysis",
        fix=_rerun(path),
    )


def _rerun(*paths: str | Path) -> str:
    """Format the advice for replacing results."""
    them = "it" if len(paths) == 1 else "them"
    return f"remove {them} and run the study again: rm {shlex.join(map(str, paths))}"


def _is_draft(path: Path) -> bool:
    """Return whether a file is a draft of `store.json`."""
    return path.name.startswith(".store.json.")
