"""Schedules against closed forms; ratios between groups against the rates that torch sees."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mutransfer.lab.loop import train
from mutransfer.lab.schedules import SCHEDULES, share_of_peak
from mutransfer.records import LabSettings

STEPS, WARMUP = 100, 20


def shares(schedule: str, **settings: float) -> list[float]:
    return [
        share_of_peak(schedule, step, **{"steps": STEPS, "warmup": WARMUP, **settings})  # type: ignore[arg-type]
        for step in range(1, STEPS + 1)
    ]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_warms_up_linearly_to_the_peak(schedule: str) -> None:
    assert shares(schedule)[:WARMUP] == [step / 20 for step in range(1, 21)]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 99])
def test_shares_stay_between_zero_and_one_and_never_rise_after_the_warmup(
    schedule: str, warmup: int
) -> None:
    whole_run = shares(schedule, warmup=warmup)
    assert all(0 <= share <= 1 for share in whole_run)
    after = whole_run[max(warmup - 1, 0) :]
    assert after == sorted(after, reverse=True)


def test_linear_ends_at_a_ten_thousandth_and_halves_half_way() -> None:
    assert shares("linear")[-1] == 1e-4
    assert shares("linear")[59] == pytest.approx(0.50005)
    drops = [a - b for a, b in zip(shares("linear")[20:], shares("linear")[21:], strict=False)]
    assert drops == pytest.approx([0.9999 / 80] * 79)


def test_cosine_is_a_half_period_above_a_ten_thousandth() -> None:
    expected = [1e-4 + 0.9999 * math.cos(math.pi * k / 160) ** 2 for k in range(1, 81)]
    assert shares("cosine")[20:] == pytest.approx(expected)


def test_constant_stays_at_the_peak() -> None:
    assert shares("constant")[19:] == [1.0] * 81


def test_wsd_stays_at_the_peak_and_then_falls_straight_to_zero() -> None:
    assert shares("wsd", cooldown=0.3)[19:70] == [1.0] * 51
    assert shares("wsd", cooldown=0.3)[70:] == pytest.approx([k / 30 for k in range(29, -1, -1)])


def test_wsd_never_jumps_down_from_the_warmup() -> None:
    """A cooldown over all steps begins where the warmup ends."""
    assert shares("wsd", cooldown=1.0)[19:22] == pytest.approx([1, 79 / 80, 78 / 80])


def test_the_ratio_between_groups_is_kept_at_every_step() -> None:
    settings = LabSettings(width=32, base_width=32, lr=1.0, steps=30, warmup=7, schedule="cosine")
    model = nn.Sequential(nn.Embedding(256, 4), nn.Linear(4, 256))
    peaks = [0.3, 0.3 / 16]
    groups = [{"params": part.parameters(), "lr": p} for part, p in zip(model, peaks, strict=True)]
    optimizer = torch.optim.SGD(groups)
    rates: list[list[float]] = []
    optimizer.register_step_pre_hook(
        lambda opt, args, kwargs: rates.append([g["lr"] for g in opt.param_groups])
    )
    tokens = torch.zeros(1, 2, dtype=torch.long)
    train(model, [optimizer], lambda step: (tokens, tokens), settings, torch.device("cpu"))
    expected = [
        share_of_peak("cosine", step, steps=30, warmup=7, cooldown=0.2) for step in range(1, 31)
    ]
    assert rates == [[peak * share for peak in peaks] for share in expected]
    assert all(big / small == pytest.approx(16) for big, small in rates)
