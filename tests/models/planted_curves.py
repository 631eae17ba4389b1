"""Synthetic training curves: a trend, the noise of the batch, and what a run adds of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from mutransfer.records import CallableRunner, TrialResult, TrialSpec

STEPS = 120
# A run's own part of its losses after the trend and the batch: (axes, generator) -> one per step.
Own = Callable[[dict[str, object], np.random.Generator], np.ndarray]


def batch_noise(seed: int, sd: float = 0.06) -> np.ndarray:
    """The noise of the batches of a seed, which all of its runs see."""
    return np.random.default_rng([7, seed]).normal(0.0, sd, STEPS)


def curve(axes: dict[str, object], own: Own, *, level: float = 2.0, sd_batch: float = 0.06):
    """Rows (step, loss): a falling trend, batch noise that a worse model has more of, own part."""
    key = [hash_free(value) for value in axes.values()]
    rng = np.random.default_rng(key)
    steps = np.arange(1, STEPS + 1)
    trend = level + 3.0 * np.exp(-steps / 8.0)
    noise = batch_noise(int(axes["seed"]), sd_batch) * (1.0 + 0.3 * (level - 2.0))
    return np.stack([steps, trend + noise + own(axes, rng)], axis=1)


def hash_free(value: object) -> int:
    """A number of a value that is the same in every process."""
    return int.from_bytes(repr(value).encode(), "little") % 2**63


def trials(
    groups: Iterable[str], own: Own, *, widths=(64, 128, 256), log2_lr=range(-10, -2), seeds=2,
    sd_batch: float = 0.06,
) -> list[TrialResult]:  # fmt: skip
    """Trials whose best rate is 2^-6.2 at every width, with their training curves."""
    results = []
    for group in groups:
        for width in widths:
            for log2 in log2_lr:
                for seed in range(seeds):
                    axes = {"parametrization": group, "width": width, "lr": 2.0**log2, "seed": seed}
                    loss = 2.0 + 0.05 * (log2 + 6.2) ** 2 + 0.001 * seed
                    spec = TrialSpec(runner=CallableRunner(name="planted"), axes=axes)
                    rows = curve(axes, own, level=loss, sd_batch=sd_batch)
                    points = tuple((int(k), float(x)) for k, x in rows)
                    results.append(
                        TrialResult(
                            id=spec.id, spec=spec, loss=loss, curve=points, seconds=1.0,
                            finished="2026-01-01T00:00:00Z", untrained_loss=math.log(256.0),
                        )
                    )  # fmt: skip
    return results
