"""Stores and tables of named studies with planted losses; nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mutransfer.records import StudySpec, TrialResult, TrialSpec, lab_settings
from mutransfer.sweep import TrialStore
from mutransfer.workflows.comparison.studies import FinishedStudy, scaled_studies
from mutransfer.workflows.comparison.table import StudyTable, table_of
from mutransfer.workflows.studies.catalog import describe, named_study
from mutransfer.workflows.studies.run import prepare_study
from mutransfer.workflows.studies.scales import Scale

BASE = 32
LN2 = math.log(2.0)

Loss = Callable[[float, float], float]  # of width and log2 lr


def planted(
    *, shift: float = 0.0, drift: float = 0.0, curvature: float = 0.2, log2_best: float = -5.1
) -> Loss:
    """Return a parabola in ln lr whose minimum moves by `drift` octaves per octave of width."""

    def loss(width: float, log2_lr: float) -> float:
        best = log2_best + drift * math.log2(width / BASE)
        return 2.0 + 4.0 * width**-0.5 + shift + 0.5 * curvature * ((log2_lr - best) * LN2) ** 2

    return loss


def planted_results(
    trials: list[TrialSpec], loss: Loss, noise: float = 0.002, random_seed: int = 0
) -> list[TrialResult]:
    """Return a result per trial: the planted loss, an effect of the seed, and noise."""
    rng = np.random.default_rng(random_seed)
    results = []
    for trial in trials:
        width, lr, seed = (trial.axes[name] for name in ("width", "lr", "seed"))
        # Every study has the same seeds, whatever its rates.
        effect = float(np.random.default_rng([int(width), int(seed)]).normal(0.0, 0.01))
        value = loss(float(width), math.log2(float(lr))) + effect
        settings = lab_settings(trial)
        results.append(
            TrialResult(
                id=trial.id,
                spec=trial,
                loss=value + float(rng.normal(0.0, noise)),
                untrained_loss=5.545,
                tokens=settings.steps * settings.batch * settings.context,
                flops=1e10 * float(width),
                parameters=100 * int(width),
                seconds=0.1 * float(width),
                finished="2026-01-30T12:00:00+00:00",
                commit="0123456789abcdef",
            )
        )
    return results


def study_of(name: str, scale: Scale = "mini", text: str | None = None) -> StudySpec:
    """Return a named study, on another text if there is one."""
    study = named_study(name, scale if describe(name).has_scales else None)
    assert isinstance(study, StudySpec)
    assert study.lab is not None
    if text is None:
        return study
    return study.model_copy(update={"lab": study.lab.model_copy(update={"text": text})})


def planted_table(name: str, loss: Loss, **settings: float) -> StudyTable:
    """Return the table of a named study with planted losses."""
    study = study_of(name)
    return table_of(
        planted_results(prepare_study(study).trials, loss, **settings), list(study.axes)
    )


def planted_studies(losses: Mapping[str, Loss]) -> list[FinishedStudy]:
    """Return named studies with planted losses."""
    studies = []
    for description in scaled_studies():
        if description.name in losses:
            table = planted_table(description.name, losses[description.name])
            results = table.results(description.name, study_of(description.name))
            studies.append(FinishedStudy(description, "mini", table, results))
    assert len(studies) == len(losses)
    return studies


def planted_store(folder: Path, study: StudySpec, loss: Loss, *, without: int = 0) -> Path:
    """Write a store of a study with planted losses; the last trials may be without a result."""
    trials = prepare_study(study).trials
    return stored(folder, study, planted_results(trials, loss)[: len(trials) - without])


def stored(folder: Path, study: StudySpec, results: Sequence[TrialResult]) -> Path:
    """Write a store of a study with these results."""
    store = TrialStore(folder, create=True)
    store.write_study(study, prepare_study(study).trials)
    for result in results:
        claim = store.claim(result.spec)
        assert claim is not None
        store.publish(result, store.new_attempt(result.id))
        claim.release()
    return folder


def planted_hybrids(study: StudySpec, losses: Mapping[str, Loss]) -> list[TrialResult]:
    """Return results of a study of hybrids, which share the trials of the base width."""
    assert study.lab is not None
    base = study.lab.settings["base_width"]
    at_base: dict[tuple[object, object], float | None] = {}
    results = []
    for name, loss in losses.items():
        trials = [t for t in prepare_study(study).trials if t.axes["parametrization"] == name]
        for result in planted_results(trials, loss, 2e-4, random_seed=sum(name.encode())):
            axes = result.spec.axes
            if axes["width"] == base:
                first = at_base.setdefault((axes["lr"], axes["seed"]), result.loss)
                result = result.model_copy(update={"loss": first})
            results.append(result)
    return results
