"""Factors on the learning rates of roles: exact identities, and roles that a decoder lacks."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from test_switches import SWITCHES, curve, settings

from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.lab.trial import lab_plan, run_trial
from mutransfer.records import LabRunner, LabSettings, LabTable, TrialSpec
from mutransfer.sweep import lab_runner

ROLES = ("input", "vector", "hidden", "output", "bottleneck")
GROUPED: dict[str, Any] = {"norm_gains": "vector", "kv_heads": 1}  # a decoder with all of them


def multipliers(factor: float, *roles: str) -> dict[str, float]:
    return {f"lr_multiplier_{role}": factor for role in roles}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_a_factor_on_all_roles_is_that_factor_on_the_rate_bit_for_bit(optimizer: str) -> None:
    usual = {"width": 64, "optimizer": optimizer, "weight_decay": 0.5, "lr": 2**-8, **GROUPED}
    doubled = curve(**{**usual, "lr": 2**-7})
    assert curve(**usual, **multipliers(2.0, *ROLES)) == doubled
    for left_out in ROLES:  # negative control: every role counts
        others = [role for role in ROLES if role != left_out]
        assert curve(**usual, **multipliers(2.0, *others)) != doubled, left_out


def test_sp_with_the_embeddings_rate_times_the_width_ratio_is_sp_embd() -> None:
    """arXiv:2605.21486. The hybrid's rates are relative to that of the embedding."""
    raised = curve(width=128, parametrization="sp", **multipliers(4.0, "input"))
    assert curve(width=128, parametrization="sp+embd", lr=2**-4) == raised
    assert curve(width=128, parametrization="sp") != raised


def test_a_derived_factor_is_the_same_training_as_a_written_one() -> None:
    axes = settings(width=128, parametrization="sp").non_default_fields()
    derived = {"lr_multiplier_input": "(width / 32) ** power"}
    runner = LabRunner(numerics=1, data=corpus_hash(None), derived=derived)
    for power, factor in {0: 1.0, 0.5: 2.0, 1: 4.0}.items():
        trial = TrialSpec(runner=runner, axes={**axes, "power": power})
        written = curve(width=128, parametrization="sp", **multipliers(factor, "input"))
        assert run_trial(trial).curve == written


@pytest.mark.parametrize("switch", [*SWITCHES, {"heads": 4, "kv_heads": 1}], ids=str)
def test_exactly_the_multipliers_of_roles_without_parameters_are_refused(switch: Any) -> None:
    roles = {str(row.role) for row in lab_plan(settings(width=64, **switch)).rows}
    for role in ROLES:
        factors = multipliers(2.0, role)
        if role in roles:
            assert settings(**switch, **factors).lr_multipliers == {role: 2.0}
        else:
            with pytest.raises(ValidationError, match=f"no parameter has the role '{role}'"):
                settings(**switch, **factors)


def test_a_factor_of_one_is_not_part_of_an_identity() -> None:
    table = {"base_width": 32, **multipliers(1.0, *ROLES)}
    runner = lab_runner(LabTable.model_validate(table), numerics=1, data="", derived={})
    assert runner.settings == {"base_width": 32}
    assert LabSettings(width=32, lr=0.1, **table).lr_multipliers == {}
