"""Every switch of the decoder: roles, identity at the base width, and a coordinate check."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mutransfer.coordcheck import coord_check
from mutransfer.lab.data.batches import TrainingBatches
from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.ladder_model import next_token_loss
from mutransfer.lab.optimizers import rule_name
from mutransfer.lab.trial import build_decoder, lab_plan, run_trial
from mutransfer.records import LabRunner, LabSettings, TrialSpec
from mutransfer.rules import Role

SWITCHES: list[dict[str, Any]] = [
    {"biases": True},
    {"norm": "layer"},
    {"norm": "layer", "norm_gains": "vector", "biases": True},
    {"norm_gains": "vector"},
    {"norm_gains": "scalar"},
    {"query_init": "zero"},
    {"readout_init": "zero"},
    {"residual_init": "zero"},
    {"attention_scale": "1/sqrt(d)"},
    {"activation": "gelu"},
    {"activation": "sqrelu"},
    {"activation": "swiglu"},
    {"activation": "geglu"},
    {"mlp_ratio": 2.0},
    {"heads": 4},
    {"kv_heads": 1},
    {"kv_heads": 2},
    {"embedding_norm": True},
    {"qk_norm": True},
    {"tied": True, "output_multiplier": 2**-5},
    {"positions": "learned"},
    {"positions": "none"},
    {"init_std": 0.5},
    {"input_multiplier": 4.0},
    {"output_multiplier": 2.0},
]
OPTIMIZERS = ["adam", "adamw", "sgd", "lion", "adafactor", "muon"]
SMALL: dict[str, Any] = {
    "base_width": 32, "lr": 2**-6, "depth": 1, "context": 16, "batch": 4, "steps": 6, "warmup": 1,
}  # fmt: skip


def settings(**changes: Any) -> LabSettings:
    return LabSettings(**{**SMALL, "width": 32, **changes})


def curve(**changes: Any) -> tuple[tuple[int, float], ...]:
    """Train a few steps, and return the loss curve."""
    axes = settings(**changes).non_default_fields()
    runner = LabRunner(numerics=1, data=corpus_hash(None))
    return run_trial(TrialSpec(runner=runner, axes=axes)).curve


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_every_parametrization_is_one_network_at_the_base_width(switch: dict[str, Any]) -> None:
    curves = {curve(parametrization=name, **switch) for name in ("none", "sp", "mup")}
    assert len(curves) == 1
    # Controls: the switch has an effect, and so have parametrizations at another width.
    assert switch == {"kv_heads": 2} or curves != {curve()}  # the base has two heads
    wider = {curve(parametrization=name, width=64, **switch) for name in ("none", "sp", "mup")}
    # `sp` differs from `none` in the std of the readout only, which these do not have.
    has_std = not switch.keys() & {"tied"} and switch != {"readout_init": "zero"}
    assert len(wider) == (3 if has_std else 2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_is_one_optimizer_at_the_base_width(optimizer: str) -> None:
    curves = {
        curve(parametrization=p, optimizer=optimizer, weight_decay=0.1)
        for p in ("none", "sp", "mup")
    }
    assert len(curves) == 1
    ((*_, (_, last)),) = curves
    assert last < curve(optimizer=optimizer, lr=2**-20)[-1][1], "it trains"


# Roles as an expert assigns them, by the end of a parameter's name.
MATRICES = {
    "embedding.weight": Role.INPUT, "readout.weight": Role.OUTPUT, "query.weight": Role.HIDDEN,
    "key.weight": Role.HIDDEN, "value.weight": Role.HIDDEN, "out.weight": Role.HIDDEN,
    "up.weight": Role.HIDDEN, "gate.weight": Role.HIDDEN, "down.weight": Role.HIDDEN,
    "positions.weight": Role.INPUT,
}  # fmt: skip
VECTORS = {"norm.weight": Role.VECTOR, "norm.bias": Role.VECTOR, "gain": Role.FIXED,
           "readout.bias": Role.FIXED, "bias": Role.VECTOR}  # fmt: skip


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_roles_are_those_that_an_expert_gives(switch: dict[str, Any]) -> None:
    roles = {**MATRICES, **VECTORS}
    if "kv_heads" in switch:  # a fixed number of key channels
        roles |= {"key.weight": Role.BOTTLENECK, "value.weight": Role.BOTTLENECK}
    for row in lab_plan(settings(width=128, **switch)).rows:
        end = next(end for end in roles if row.name.endswith(end))
        assert row.role is roles[end], row.name


def test_gains_of_a_head_do_not_grow() -> None:
    plan = lab_plan(settings(width=128, qk_norm=True, norm_gains="vector", kv_heads=1))
    assert plan["blocks.0.attention.query_norm.weight"].role is Role.FIXED
    assert plan["blocks.0.attention_norm.weight"].role is Role.VECTOR


def check(lr: float = 2**-7, *, optimizer: str = "adamw", parametrization: str = "mup",
          **switch: Any) -> Any:  # fmt: skip
    """Check the coordinates of a decoder of two blocks on the embedded text."""
    s = settings(depth=2, context=32, **switch)
    batch = TrainingBatches(load_tokens().train, batch=4, context=32, seed=0).at(0)
    roles = {r".*\.(key|value)\.weight": Role.BOTTLENECK} if s.kv_heads else None
    return coord_check(
        lambda width: build_decoder(s, width),
        base=32,
        widths=[32, 64, 128, 256],
        batch=torch.from_numpy(batch).long(),
        loss=next_token_loss,
        parametrization=parametrization,
        optimizer=rule_name(optimizer),
        lr=lr,
        roles=roles,
    )


@pytest.mark.slow
@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_the_coordinate_check_passes_under_mup(switch: dict[str, Any]) -> None:
    result = check(**switch)
    assert result.outcome == "pass", result.table()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "lr"),
    [("adam", 2**-7), ("lion", 2**-9), ("sgd", 2**-3), ("muon", 2**-7)],
)
def test_the_coordinate_check_passes_under_mup_with(optimizer: str, lr: float) -> None:
    result = check(lr, optimizer=optimizer)
    assert result.outcome == "pass", result.table()


@pytest.mark.slow
def test_only_the_embedding_is_undetermined_under_adafactor() -> None:
    """Its second moment is factored over rows that few tokens update: exponents near +0.25."""
    result = check(optimizer="adafactor")
    assert result.outcome == "undetermined"
    assert "'embedding.weight (effect)', 'embedding.weight (update)'" in result.reasons[0]


@pytest.mark.slow
@pytest.mark.parametrize("switch", [{"activation": "swiglu"}, {"kv_heads": 1}, {"tied": True}])
def test_the_coordinate_check_fails_under_sp(switch: dict[str, Any]) -> None:
    assert check(parametrization="sp", **switch).outcome == "fail"
