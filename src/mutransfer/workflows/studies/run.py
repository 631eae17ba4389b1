"""This file is `run_study`: from a study to finished trials, whatever trains them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mutransfer.errors import StudyError
from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.records import CallableRunner, CommandRunner, StudySpec, TrialSpec
from mutransfer.records.lab import NUMERICS
from mutransfer.records.provenance import checkout_commit
from mutransfer.sweep import (
    CommandRun,
    Executor,
    FunctionRun,
    LocalExecutor,
    Outcome,
    SweepSummary,
    TrialStore,
    check_function,
    check_lab_trials,
    expand,
    lab_runner,
    read_study,
    run_sweep,
    selected,
)
from mutransfer.workflows.studies.lab import LabRun, relative_cost, same_training

StudySource = str | Path | Mapping[str, Any] | StudySpec


@dataclass(frozen=True, slots=True)
class StudyRun:
    """A study's trials after a run.

    Args:
        store: The directory that holds them; `load_results` reads it.
        summary: How many are done, diverged, failed.
    """

    store: Path
    summary: SweepSummary


@dataclass(frozen=True, slots=True)
class Prepared:
    """A study that is ready to run: its trials, and what trains them.

    Args:
        study: The study.
        trials: All of its trials.
        runner: What trains.
        options: What else the driver must know: checks, sharing, order, retries.
    """

    study: StudySpec
    trials: list[TrialSpec]
    runner: LabRun | CommandRun | FunctionRun
    options: dict[str, Any]

    @property
    def default_store(self) -> Path:
        """Where its results go if nothing else is said."""
        return Path("runs") / self.study.study.name


def prepare(source: StudySource, runner: Callable[..., Any] | None = None) -> Prepared:
    """Read a study and list its trials, without running anything.

    Args:
        source: A study file, its content as a mapping, or a validated study.
        runner: A function that trains; only for a study with neither `[lab]` nor `[runner]`.

    Raises:
        StudyError: The study is wrong, or a trial of it cannot be.
        DataError: The lab's text cannot be read.
    """
    folder, where = Path(), "this study"
    if isinstance(source, StudySpec):
        study = source
    elif isinstance(source, Mapping):
        study = StudySpec.read(dict(source), error=StudyError, where=where)
    else:
        folder, where = Path(source).parent, str(source)
        study = read_study(source)
    trainers = {"[lab]": study.lab, "[runner]": study.runner, "runner=": runner}
    named = [name for name, given in trainers.items() if given is not None]
    if len(named) != 1:
        raise StudyError(
            f"{where} has {' and '.join(named) or 'neither [lab] nor [runner]'}",
            why="a trial is trained by one thing: the lab, a command, or a Python function",
            fix="add [lab] for the built-in trainer, [runner] for your own command, or call "
            "run_study(study, runner=function)",
        )
    if study.lab is not None:
        return _lab(study, where, folder)
    derived = dict(study.derived)
    if study.runner is not None:
        cwd = (folder / study.runner.cwd).resolve()
        command = CommandRun(study.runner, cwd, checkout_commit(cwd))
        known = CommandRunner(command=study.runner.command, derived=derived)
        trials = expand(study, known)
        options = {"check": command.check, "retries": study.runner.retries}
        return Prepared(study, _derivable(trials, where), command, options)
    assert runner is not None
    function = FunctionRun(runner)
    trials = expand(study, CallableRunner(name=function.name, derived=derived))
    return Prepared(study, _derivable(trials, where), function, {"check": function.check})


def run_study(
    study: StudySource,
    *,
    runner: Callable[..., Any] | None = None,
    store: str | Path | None = None,
    executor: Executor | Literal["local"] = "local",
    workers: int | Literal["auto"] = "auto",
    only: Mapping[str, object] | None = None,
    retry_failed: bool = False,
    stop: threading.Event | None = None,
    on_start: Callable[[list[TrialSpec]], None] = lambda trials: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> StudyRun:
    """Run a study's trials; run it again and it resumes.

    Trials run in processes of their own, so that one that dies costs nothing else. In a notebook or
    a script no `if __name__ == "__main__"` is needed.

    Args:
        study: A study file, its content as a mapping, or a validated study.
        runner: A Python function that trains once and returns the loss (nats per token). It gets
            every axis and derived value by name, and `trial_dir` if it has such a parameter.
            Instead of the loss it may return a mapping with 'loss' and, if it likes, 'curve',
            'tokens', 'flops', 'parameters', 'diverged_at'. A loss that is not finite is a diverged
            trial. Results are kept under the function's name; an edited function is refused the
            results of its former version.
        store: Where results go; `runs/<name>` by default.
        executor: Where trials run: 'local', or an object with the same contract.
        workers: Processes of the local executor, one thread each; 'auto' is one per GPU or core.
        only: Run these trials only, for example {"width": [64, 128]}.
        retry_failed: Try failed trials however often they failed in former runs.
        stop: Once this event is set no trial is started, and those that run are waited for.
        on_start: Called with all trials to run before the first one starts.
        on_outcome: Called with each trial's outcomes, those already in the store first.

    Raises:
        StudyError: The study is wrong.
        StoreError: The store cannot be read or written.
        DataError: The lab's text cannot be read.

    Example:
        >>> axes = {"width": [8, 16], "lr": [1, 2]}
        >>> study = {"schema": 1, "study": {"name": "quadratic"}, "axes": axes}
        >>> def train(width, lr):
        ...     return 2.0 + (lr - 1) ** 2 / width
        >>> run = run_study(study, runner=train, store=getfixture("tmp_path"))
        >>> run.summary.done, run.summary.failed
        (4, {})
    """
    ready = prepare(study, runner)
    chosen = selected(ready.study, ready.trials, only or {})
    place = LocalExecutor(workers) if executor == "local" else executor
    where = Path(store or ready.default_store)
    if chosen and not os.path.exists(where):
        ready.options["check"](chosen[0])  # nothing is made for a study that cannot run
    home = TrialStore(where, create=True)
    aside = len(set(home.ids()) - {trial.id for trial in ready.trials})
    if isinstance(ready.runner, FunctionRun):
        check_function(
            ready.runner.function,
            ready.runner.name,
            home.path,
            done=lambda: sum(home.is_done(trial.id) for trial in ready.trials),
        )
    home.write_study(ready.study, ready.trials)
    on_start(chosen)
    summary = run_sweep(
        chosen,
        home,
        runner=ready.runner,
        executor=place,
        retry_failed=retry_failed,
        stop=stop,
        on_outcome=on_outcome,
        **ready.options,
    )
    summary.aside = aside
    return StudyRun(home.path, summary)


def _lab(study: StudySpec, where: str, folder: Path) -> Prepared:
    """Prepare a study of the built-in trainer."""
    assert study.lab is not None
    text = None if study.lab.text is None else str((folder / study.lab.text).resolve())
    known = lab_runner(
        study.lab, numerics=NUMERICS, data=corpus_hash(text), derived=dict(study.derived)
    )
    trials = expand(study, known)
    check_lab_trials(trials, where=where)
    run = LabRun(text, study.lab.device)
    options = {"check": run.check, "same": same_training, "cost": relative_cost}
    return Prepared(study, trials, run, options)


def _derivable(trials: Sequence[TrialSpec], where: str) -> list[TrialSpec]:
    """Insist that every derived value is a number at every point of the grid."""
    for trial in trials:
        try:
            _ = trial.values
        except ValueError as problem:
            raise StudyError(
                f"{where}: {problem}",
                why="a derived value must be a number at every point of the grid",
                fix="correct [derived] or the axes it uses",
            ) from None
    return list(trials)
