"""Rates that passed through float32, or through a print of six digits, are one rate."""

from __future__ import annotations

import json
import random
import struct

import numpy as np
import pytest

from mutransfer.analysis import Results, analyze
from mutransfer.analysis.rounding import ROUNDING, without_rounding

DECIMALS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
HALF_OCTAVES = tuple(2 ** (k / 2) for k in range(-18, -4))


def float32(number: float) -> float:
    return float(struct.unpack("f", struct.pack("f", number))[0])


def six_digits(number: float) -> float:
    return float(f"{number:g}")


def sweep(rates: tuple[float, ...], widths: tuple[float, ...] = (64, 128, 256)) -> dict[str, list]:
    rng = random.Random(3)
    trials = [
        (w, lr, seed, 2 + 9 * w**-0.5 + 0.05 * (np.log2(lr) + 10 + rng.gauss(0, 0.02)) ** 2)
        for w in widths
        for lr in rates
        for seed in (0, 1, 2)
    ]
    return dict(
        zip(("width", "lr", "seed", "loss"), map(list, zip(*trials, strict=True)), strict=True)
    )


def report_json(columns: dict[str, list], **settings: object) -> str:
    return json.dumps(analyze(Results.from_columns(columns), **settings).to_json())


@pytest.mark.parametrize("rounded", [float32, six_digits])
def test_a_rounded_rate_of_one_seed_changes_nothing(rounded) -> None:
    """The oracle is the same table without rounding: every number of the report is equal."""
    columns = sweep(DECIMALS)
    mixed = [
        rounded(lr) if seed == 1 else lr
        for lr, seed in zip(columns["lr"], columns["seed"], strict=True)
    ]
    assert report_json({**columns, "lr": mixed}) == report_json(columns)


def test_the_order_of_the_rows_does_not_matter() -> None:
    columns = sweep(HALF_OCTAVES)
    columns["lr"] = [float32(lr) if k % 3 else lr for k, lr in enumerate(columns["lr"])]
    order = random.Random(0).sample(range(len(columns["lr"])), len(columns["lr"]))
    shuffled = {name: [cells[k] for k in order] for name, cells in columns.items()}
    assert report_json(shuffled) == report_json(columns)


def test_close_rates_of_a_chain_are_not_one_rate() -> None:
    """A set spans no more than the rounding, although each rate is close to the next one."""
    chain = 0.1 * (1 + 0.8 * ROUNDING) ** np.arange(10)
    assert len(np.unique(without_rounding(chain))) == 5
    assert np.abs(without_rounding(chain) / chain - 1).max() <= ROUNDING
    apart = 0.1 * (1 + 2 * ROUNDING) ** np.arange(10)
    assert without_rounding(apart) is apart


def test_a_rounded_setting_is_one_group_and_one_repetition() -> None:
    """Without a column of seeds, a weight decay of 0.1 in float32 is no other setting."""
    columns = sweep(DECIMALS)
    exact = {**columns, "decay": [0.1] * len(columns["lr"])}
    mixed = {**exact, "decay": [float32(0.1) if s == 1 else 0.1 for s in columns["seed"]]}
    assert report_json(mixed, group_by="decay") == report_json(exact, group_by="decay")
    del mixed["seed"], exact["seed"]
    assert report_json(mixed) == report_json(exact)


def test_the_largest_floats_do_not_overflow() -> None:
    largest = np.array([1.7976931348623157e308, 5e-324, 1.0])
    assert without_rounding(largest) is largest
