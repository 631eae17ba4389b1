"""Running a study: expand it into trials, and sweep them with the lab, a command or a function."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mutransfer.errors import StudyError
from mutransfer.lab.data.sources import lab_source, source_hash
from mutransfer.records import CallableRunner, CommandRunner, StudySpec, TrialSpec
from mutransfer.records.lab import NUMERICS
from mutransfer.records.provenance import checkout_commit
from mutransfer.sweep import (
    CommandRun,
    Executor,
    FunctionRun,
    Outcome,
    SweepSummary,
    TrialStore,
    check_function,
    check_lab_trials,
    grid_trials,
    lab_runner,
    lab_trials,
    read_study,
    run_sweep,
    select_trials,
)
from mutransfer.workflows.studies.executors import SweepRequest, named_executor
from mutransfer.workflows.studies.lab import (
    LabRun,
    check_lengths,
    check_vocabularies,
    relative_cost,
    same_training,
)

if TYPE_CHECKING:
    from mutransfer.workflows.studies.bracket import SearchCost

StudySource = str | Path | Mapping[str, Any] | StudySpec


@dataclass(frozen=True, slots=True)
class StudyRun:
    """The result of running a study.

    Args:
        store: The directory of the trials; `load_results` reads it.
        summary: How many trials are done, diverged, failed.
        search: What a bracket cost, and what its grid would have.
    """

    store: Path
    summary: SweepSummary
    search: SearchCost | None = None


@dataclass(frozen=True, slots=True)
class PreparedStudy:
    """A study that is ready to run.

    Args:
        study: The study.
        trials: All of its trials.
        runner: The callable that trains one trial.
        options: Options of the sweep driver: checks, sharing, order, retries.
    """

    study: StudySpec
    trials: list[TrialSpec]
    runner: LabRun | CommandRun | FunctionRun
    options: dict[str, Any]

    @property
    def default_store(self) -> Path:
        """Where the results go by default."""
        return Path("runs") / self.study.study.name


def prepare_study(source: StudySource, runner: Callable[..., Any] | None = None) -> PreparedStudy:
    """Read a study and list its trials, without running anything.

    Args:
        source: A study file, its content as a mapping, or a validated study.
        runner: A function that trains; only for a study with neither `[lab]` nor `[runner]`.

    Raises:
        StudyError: The study or one of its trials is invalid.
        DataError: The lab's data cannot be read.
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
    names = [name for name, trainer in trainers.items() if trainer is not None]
    if len(names) != 1:
        raise StudyError(
            f"{where} has {' and '.join(names) or 'neither [lab] nor [runner]'}",
            why="exactly one thing trains a trial: the lab, a command, or a Python function",
            fix="add [lab] for the built-in trainer, [runner] for your own command, or call "
            "run_study(study, runner=function)",
        )
    if study.lab is not None:
        return _prepare_lab(study, where, folder)
    derived = dict(study.derived)
    if study.runner is not None:
        cwd = (folder / study.runner.cwd).resolve()
        processes = study.resources.processes_per_trial
        command = CommandRun(study.runner, cwd, checkout_commit(cwd), study.float_axes, processes)
        trials = grid_trials(study, CommandRunner(command=study.runner.command, derived=derived))
        options = {"check": command.check, "retries": study.runner.retries}
        return PreparedStudy(study, _check_derived(trials, where), command, options)
    assert runner is not None
    function = FunctionRun(runner, study.float_axes)
    trials = grid_trials(study, CallableRunner(name=function.name, derived=derived))
    return PreparedStudy(study, _check_derived(trials, where), function, {"check": function.check})


def run_study(
    study: StudySource,
    *,
    runner: Callable[..., Any] | None = None,
    store: str | Path | None = None,
    executor: Executor | str = "local",
    workers: int | Literal["auto"] = "auto",
    only: Mapping[str, object] | None = None,
    count: int | None = None,
    retry_failed: bool = False,
    stop: threading.Event | None = None,
    on_start: Callable[[list[TrialSpec]], None] = lambda trials: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    on_message: Callable[[str], None] = lambda text: None,
) -> StudyRun:
    """Run a study's trials. A second call resumes: finished trials are not run again.

    Trials run in separate processes, so that a crash costs one trial only. A notebook or
    a script needs no `if __name__ == "__main__"`.

    Args:
        study: A study file, its content as a mapping, or a validated study.
        runner: A Python function that trains once and returns the loss (nats per token). It is
            called with every axis and derived value by name, and with the folders `trial_dir` and
            `checkpoint_dir` if it has such parameters. Instead of the loss it may return a mapping
            with 'loss' and optionally 'curve', 'tokens', 'flops', 'parameters', 'diverged_at'.
            A loss that is not finite marks the trial as diverged. Results are stored under the
            function's name; results of an edited function are not mixed with those of its former
            version, but refused.
        store: Where results go; `runs/<name>` by default.
        executor: Where trials run: 'local', 'slurm', or an object with the contract of an executor.
        workers: Processes of the local executor, one thread each; 'auto' is one per GPU or core.
        only: Run these trials only, for example {"width": [64, 128]}.
        count: Run at most so many trials, and leave the others to other drivers of this store.
        retry_failed: Retry failed trials, however often they failed in former runs.
        stop: Once this event is set, no trial is started, and running trials are waited for.
        on_start: Called with all trials to run before the first one starts.
        on_outcome: Called with the outcome of each trial, those already in the store first.
        on_message: Called with lines of the executor for the user.

    Raises:
        StudyError: The study is invalid.
        UsageError: The executor is unknown or cannot run the study, or `count` is not positive.
        ClusterError: A cluster refuses the trials, or loses them again and again.
        StoreError: The store cannot be read or written.
        DataError: The lab's data cannot be read.

    Example:
        >>> axes = {"width": [8, 16], "lr": [1, 2]}
        >>> study = {"schema": 1, "study": {"name": "quadratic"}, "axes": axes}
        >>> def train(width, lr):
        ...     return 2.0 + (lr - 1) ** 2 / width
        >>> run = run_study(study, runner=train, store=getfixture("tmp_path"))
        >>> run.summary.done, run.summary.failed
        (4, {})
    """
    prepared = prepare_study(study, runner)
    trials = select_trials(prepared.study, prepared.trials, only or {})
    path = Path(store or prepared.default_store)
    # A wrong number of workers is refused before anything is printed or created.
    if isinstance(executor, str):
        file = Path(study) if isinstance(study, str | Path) else None
        executor = named_executor(
            executor,
            SweepRequest(
                prepared.study, file, path, workers, only or {}, count, retry_failed, on_message
            ),
        )
    if trials and not os.path.exists(path):
        prepared.options["check"](trials[0])  # a study that cannot run leaves no folder behind
    trial_store = TrialStore(path, create=True)
    num_others = len(set(trial_store.ids()) - {trial.id for trial in prepared.trials})
    if isinstance(prepared.runner, FunctionRun):
        check_function(
            prepared.runner.function,
            prepared.runner.name,
            trial_store.path,
            done=lambda: sum(trial_store.is_done(trial.id) for trial in prepared.trials),
        )

    def sweep(
        trials: list[TrialSpec], report: Callable[[Outcome], None], count: int | None
    ) -> SweepSummary:
        return run_sweep(
            trials,
            trial_store,
            runner=prepared.runner,
            executor=executor,
            count=count,
            retry_failed=retry_failed,
            stop=stop,
            on_outcome=report,
            **prepared.options,
        )

    cost = None
    if prepared.study.search.strategy == "bracket":
        # Only a bracket is planned by an analysis, which takes a second to import.
        from mutransfer.workflows.studies.bracket import BracketPlan, run_bracket

        plan = BracketPlan(prepared.study, prepared.trials)
        stop = stop or threading.Event()
        summary = run_bracket(
            plan,
            trial_store,
            sweep,
            select=lambda trials: select_trials(prepared.study, trials, only or {}),
            count=count,
            stop=stop,
            on_start=on_start,
            on_outcome=on_outcome,
        )
        cost = plan.cost()
    else:
        trial_store.write_study(prepared.study, prepared.trials)
        on_start(trials)
        summary = sweep(trials, on_outcome, count)
    summary.aside = num_others
    return StudyRun(trial_store.path, summary, cost)


def next_trials(prepared: PreparedStudy, store: Path) -> tuple[list[TrialSpec], int]:
    """Return the trials of a study so far, and how many a bracket has yet to plan at least.

    Args:
        prepared: The study.
        store: Its store, which need not exist.
    """
    if prepared.study.search.strategy != "bracket":
        return prepared.trials, 0
    from mutransfer.workflows.studies.bracket import BracketPlan

    plan = BracketPlan(prepared.study, prepared.trials)
    plan.advance(TrialStore(store) if os.path.exists(store) else None)
    return plan.trials, plan.least_trials


def _prepare_lab(study: StudySpec, where: str, folder: Path) -> PreparedStudy:
    """Prepare a study of the built-in trainer."""
    assert study.lab is not None
    source = lab_source(study.lab, folder)
    runner = lab_runner(
        study.lab, numerics=NUMERICS, data=source_hash(source), derived=dict(study.derived)
    )
    trials = lab_trials(study, runner)
    check_lab_trials(trials, where=where)
    check_vocabularies(trials)
    check_lengths(trials, where=where)
    run = LabRun(source, study.lab.device, study.lab.checkpoint_seconds)
    options = {"check": run.check, "same": same_training, "cost": relative_cost}
    return PreparedStudy(study, trials, run, options)


def _check_derived(trials: Sequence[TrialSpec], where: str) -> list[TrialSpec]:
    """Return the trials, or raise if a derived value is not a number somewhere on the grid."""
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
