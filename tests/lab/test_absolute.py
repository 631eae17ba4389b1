"""The absolute form: rates of arXiv:2404.05728's `abs_mup`, and training as in the relative one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mutransfer.lab.trial import lab_model, lab_plan
from mutransfer.records import LabSettings


def settings(**changes: Any) -> LabSettings:
    return LabSettings(**{"width": 64, "base_width": 1, "lr": 0.5, "depth": 1, **changes})


def test_rates_are_those_of_the_table_of_the_paper() -> None:
    """ORACLE: the column `abs_mup`; F = 4M, and SwiGLU's second layer has 2.5M inputs."""
    plan = lab_plan(settings(biases=True, norm_gains="vector"))
    M = 64
    rates = {
        "embedding.weight": 1, "readout.weight": 1 / M, "blocks.0.mlp.up.weight": 1 / M,
        "blocks.0.mlp.down.weight": 1 / (4 * M), "blocks.0.mlp.up.bias": 1, "readout.bias": 1,
        "final_norm.weight": 1,
        **{f"blocks.0.attention.{n}.weight": 1 / M for n in ("query", "key", "value", "out")},
    }  # fmt: skip
    assert {name: plan[name].lr_factor for name in rates} == rates
    gated = lab_plan(settings(activation="swiglu"))
    assert gated["blocks.0.mlp.gate.weight"].lr_factor == 1 / M
    assert gated["blocks.0.mlp.down.weight"].lr_factor == 1 / (2.5 * M)


@pytest.mark.parametrize("switch", [{}, {"kv_heads": 1}, {"readout_init": "zero"},
    {"positions": "learned", "norm": "layer", "norm_gains": "vector"}], ids=str)  # fmt: skip
def test_the_init_is_that_of_the_relative_form(switch: dict[str, Any]) -> None:
    """At base width 64 every factor of the relative form is 1, so weights are the author's."""
    absolute, relative = settings(**switch), settings(base_width=64, **switch)
    models = [lab_model(s, lab_plan(s)) for s in (absolute, relative)]
    pairs = zip(*(model.named_parameters() for model in models), strict=True)
    for (name, weight), (_, same) in pairs:
        torch.testing.assert_close(weight, same, rtol=1e-6, atol=0, msg=name)


def test_an_sp_readout_becomes_mups_at_every_width() -> None:
    """Relative to a width of 1, both start with the std 1/width."""
    sp, mup = (settings(readout_init=name) for name in ("sp", "mup"))
    weights = [lab_model(s, lab_plan(s)).readout.weight for s in (sp, mup)]
    torch.testing.assert_close(*weights, rtol=1e-6, atol=0)


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "sgd", "muon", "adafactor"])
def test_doubling_the_width_scales_rates_as_in_the_relative_form(optimizer: str) -> None:
    """Sizes and ratios differ by constants; the relative plan is computed independently."""
    small, large = (lab_plan(settings(width=n, optimizer=optimizer)) for n in (64, 128))
    relative = lab_plan(settings(base_width=64, width=128, optimizer=optimizer))
    for row in relative.rows:
        ratio = large[row.name].lr_factor / small[row.name].lr_factor
        assert ratio == pytest.approx(row.lr_factor), row.name
        eps = large[row.name].eps_factor / small[row.name].eps_factor
        assert eps == pytest.approx(row.eps_factor), row.name


def test_a_tied_table_has_one_over_the_width_at_its_readout() -> None:
    plan = lab_plan(settings(tied=True))
    assert plan["embedding.weight"].multiplier == 1 / 64
    assert plan["embedding.weight"].lr_factor == 1
