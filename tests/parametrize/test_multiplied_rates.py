"""Multipliers of roles on the learning rate: exact identities, rates by hand, the guard, errors."""

import copy

import pytest
import torch
from test_identities import OPTIMIZERS, Network, planned_losses
from torch.optim import lr_scheduler as schedules
from zoo import Tied, error_text, mlp

from mutransfer.parametrize import guard, make_plan, param_groups
from mutransfer.rules import Role

WIDTH, RATIO = 64, 4  # from a base of 16
LR = 2**-6


def times(lr, factor: float):
    return {k: v * factor for k, v in lr.items()} if isinstance(lr, dict) else lr * factor


DOUBLED = {role: 2.0 for role in Role if role is not Role.BOTTLENECK}  # the network has none


@pytest.mark.parametrize("mode", ["constant-product", "coupled", "independent"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_factor_of_all_roles_is_that_factor_of_the_rate_bit_for_bit(name, mode) -> None:
    optimizer, _, lr = OPTIMIZERS[name]
    if mode == "independent" and optimizer in ("adam", "nadam", "rmsprop"):
        pytest.skip("no such decay")
    doubled = planned_losses(WIDTH, name, "mup", lr_multiplier=DOUBLED, decay_mode=mode)
    assert doubled == planned_losses(WIDTH, name, "mup", lr=times(lr, 2), decay_mode=mode)


@pytest.mark.parametrize("role", DOUBLED)
def test_no_role_is_left_out_of_that_equality(role) -> None:
    """Negative control of the test above."""
    for name in ("adamw", "muon"):
        factors = {other: 2.0 for other in DOUBLED if other is not role}
        doubled = planned_losses(WIDTH, name, "mup", lr_multiplier=factors)
        assert doubled != planned_losses(WIDTH, name, "mup", lr=times(OPTIMIZERS[name][2], 2))


@pytest.mark.parametrize("mode", ["coupled", "independent"])
@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_sp_with_another_embedding_rate_is_a_hybrid_in_the_other_gauge(name, mode) -> None:
    """arXiv:2605.21486: SP and SP+Embd differ in the embedding's rate only, by the width ratio.

    The hybrid's rates are relative to that of the embedding, so its lr is r times as large. The
    readout's bias does not grow and has the user's rate in both.
    """

    def losses(parametrization: str, lr_factor: float, **factors: float) -> list[float]:
        lr = lr_factor * OPTIMIZERS[name][2]
        options = {"lr": lr, "lr_multiplier": factors, "decay_mode": mode}
        return planned_losses(WIDTH, name, parametrization, **options)

    raised, plain = losses("sp", 1, input=RATIO), losses("sp", 1)
    assert losses("sp+embd", RATIO, fixed=1 / RATIO) == raised
    assert losses("sp+embd", RATIO, input=1 / RATIO, fixed=1 / RATIO) == plain
    assert raised != plain


def rates(optimizer: str, lr: object, factors: dict, build=mlp) -> dict[str, float]:
    plan = make_plan(build, base=16, target=WIDTH, optimizer=optimizer)
    lists = param_groups(build(WIDTH), plan, lr=lr, lr_multiplier=factors)
    groups = [g for own in lists.values() for g in own] if isinstance(lists, dict) else lists
    for group in groups:
        assert float(group["lr"]) == LR * group["lr_factor"]
    names = [name for group in groups for name in group["param_names"]]
    assert len(names) == len(set(names)) == len(plan.rows)
    return {name: float(g["lr"]) / LR for g in groups for name in g["param_names"]}


@pytest.mark.parametrize(
    ("optimizer", "lr", "expected"),
    [
        # Of input, hidden and readout weights and a hidden bias, at r = 4 under µP.
        ("adamw", LR, (8, 1 / 2, 1 / 4, 1)),
        ("adamw", torch.tensor(LR), (8, 1 / 2, 1 / 4, 1)),
        ("sgd", LR, (8 * 4, 2, 1 / 4, 4)),
        ("muon", {"muon": LR, "adamw": LR}, (8, 2, 1 / 4, 1)),
        ("muon-match-rms", LR, (8, 1, 1 / 4, 1)),
    ],
)
def test_rates_of_groups_are_those_by_hand(optimizer, lr, expected) -> None:
    by_name = rates(optimizer, lr, {"input": 8, Role.HIDDEN: 2.0})
    names = ("0.weight", "2.weight", "4.weight", "2.bias")
    assert tuple(by_name[name] for name in names) == expected
    assert not isinstance(lr, torch.Tensor) or lr == LR


def test_a_table_that_the_readout_shares_is_an_input() -> None:
    assert rates("adamw", LR, {"input": 8.0}, Tied)["embed.weight"] == 8
    message = error_text(lambda: rates("adamw", LR, {"output": 8.0}, Tied))
    assert message.startswith("RuleError: lr_multiplier= names roles that no parameter of the plan")


# A ratio of 3: the embedding's factor of a third makes its rate that of hidden weights.
PLAN = make_plan(Network, base=16, target=48)


def adamw(factors: dict | None = None, **settings) -> torch.optim.AdamW:
    groups = param_groups(Network(48), PLAN, lr=0.01, lr_multiplier=factors, **settings)
    return torch.optim.AdamW(groups)


@pytest.mark.parametrize("factors", [{"input": 4.0}, {"input": 1 / 3}, {"input": 0.1, "hidden": 7}])
@pytest.mark.parametrize("rate", [0.01, torch.tensor(0.01)])
def test_the_guard_accepts_multiplied_groups_and_still_protects_them(factors, rate) -> None:
    plan, factor = PLAN, factors["input"]
    groups = param_groups(Network(48), plan, lr=rate, lr_multiplier=factors)
    optimizer = torch.optim.AdamW(groups)
    guard(optimizer, plan)
    scheduler = schedules.LinearLR(optimizer, 0.1, 1, 10)
    for _ in range(12):
        optimizer.step()
        scheduler.step()
    optimizer.load_state_dict(copy.deepcopy(adamw(factors).state_dict()))
    for group in optimizer.param_groups:
        group["lr"] = 0.01 * group["lr_factor"]
        group.pop("lr_multiplier", None)  # an engine may drop keys
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.01  # the rate that the plan alone gives
    assert error_text(optimizer.step).startswith(
        f"RuleError: 'norm.weight' trains at 0.01 where 'embed.weight' trains at 0.01: the plan "
        f"says {0.01 / factor:.6g}\n"
    )


def test_the_guard_refuses_a_state_and_groups_of_other_multipliers() -> None:
    optimizer = adamw({"input": 4.0})
    guard(optimizer, PLAN)
    optimizer.load_state_dict(adamw({"input": 2.0}).state_dict())
    assert error_text(optimizer.step) == (
        "RuleError: the group of 'embed.weight' has lr_factor 2 where 4 is expected: its state is "
        "of another width, plan or lr_multiplier"
        "\n  why: load_state_dict restores the rates, epsilons and moments that were saved"
        "\n  fix: create a new optimizer at this width: torch.optim.AdamW(param_groups(model, "
        "plan, lr=...))"
    )
    groups = param_groups(Network(48), PLAN, lr=0.01, lr_multiplier={"input": 4.0})
    unmarked = [{**g, "lr_multiplier": 1.0} for g in groups]
    optimizer = torch.optim.AdamW(unmarked)
    guard(optimizer, PLAN)
    assert "lr_factor 4 where 1 is expected" in error_text(optimizer.step)


ROLES = "'input', 'vector', 'hidden', 'output', 'bottleneck', 'fixed'"
ERRORS = {
    "an unknown role": (
        {"lr_multiplier": {"embedding": 4.0, "input": 2.0}},
        "RuleError: lr_multiplier= names roles that do not exist: 'embedding'\n"
        "  why: a setting without effect hides a misunderstanding\n"
        f"  fix: embeddings have the role 'input', readouts 'output'; choose from {ROLES}",
    ),
    "an unknown role of decay": (
        {"weight_decay": {"embedding": 4.0}},
        "RuleError: weight_decay= names roles that do not exist: 'embedding'\n"
        "  why: a setting without effect hides a misunderstanding\n"
        f"  fix: embeddings have the role 'input', readouts 'output'; choose from {ROLES}",
    ),
    "a role without parameters": (
        {"lr_multiplier": {"bottleneck": 1.0, "input": 2.0}},
        "RuleError: lr_multiplier= names roles that no parameter of the plan has: 'bottleneck'\n"
        "  why: a setting without effect hides a misunderstanding\n"
        "  fix: choose from 'input', 'vector', 'hidden', 'output', 'fixed'; print(plan) shows each "
        "parameter's role",
    ),
    "factors that are no rates": (
        {"lr_multiplier": {"input": 0, Role.HIDDEN: float("nan"), "output": float("inf")}},
        "RuleError: lr_multiplier={'input': 0.0, 'hidden': nan, 'output': inf} has a factor that "
        "is not positive and finite\n"
        "  why: a learning rate is positive and finite\n"
        "  fix: lr_multiplier={'input': 1.0, 'hidden': 1.0, 'output': 1.0}; freeze a parameter "
        "with requires_grad_(False)",
    ),
    "a negative factor": (
        {"lr_multiplier": {"input": -1.0}},
        "RuleError: lr_multiplier={'input': -1.0} has a factor that is not positive and finite\n"
        "  why: a learning rate is positive and finite\n"
        "  fix: lr_multiplier={'input': 1.0}; freeze a parameter with requires_grad_(False)",
    ),
    "text": (
        {"lr_multiplier": {"input": "4"}},
        "RuleError: lr_multiplier['input'] is '4', which is not a number\n"
        "  why: the plan multiplies it by a factor for each parameter group\n"
        "  fix: lr_multiplier={'input': 4.0}",
    ),
    "one factor": (
        {"lr_multiplier": 4.0},
        "RuleError: lr_multiplier=4.0 is not a mapping from roles to factors\n"
        "  why: a factor on all rates is part of lr\n"
        "  fix: lr_multiplier={'input': 4.0}",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_multipliers_that_would_be_ignored_or_stop_training_are_errors(case) -> None:
    options, message = ERRORS[case]
    assert error_text(lambda: param_groups(Network(48), PLAN, lr=0.01, **options)) == message
