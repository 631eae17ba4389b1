"""Applied plans survive copies, wrappers, compilation, shards and checkpoints."""

import copy
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_identities import Network, training_losses
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

from mutransfer.errors import InitError
from mutransfer.parametrize import apply, guard, make_plan, param_groups
from mutransfer.rules import Plan, Role

HERE = Path(__file__).parent
TOKENS_B = torch.arange(11)
PLANS = {form: make_plan(Network, base=16, target=64, form=form) for form in ("table-3", "table-8")}


def network() -> Network:
    torch.manual_seed(3)
    return Network(64)


def ema(model: nn.Module) -> nn.Module:
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(model)
    return averaged


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, fullgraph=True, backend="aot_eager")


def with_assigned_state(model: nn.Module) -> nn.Module:
    """Replace the parameter objects, which loses whatever is stored on them."""
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    return model


def checkpointed(model: nn.Module) -> nn.Module:
    """Wrap layers inside the model, which adds a prefix to names."""
    for name in ("up", "head"):
        setattr(model, name, checkpoint_wrapper(getattr(model, name)))
    return model


def pickled(model: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def reloaded(model: nn.Module) -> nn.Module:
    """Load a checkpoint that holds weights as data and the plan as text."""
    buffer = io.BytesIO()
    plan = next(p for p in PLANS.values() if bool(hooks(model)) == (p.form == "table-8"))
    torch.save({"model": model.state_dict(), "plan": plan.to_json()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = apply(Network(64), Plan.from_json(saved["plan"]), init=False)
    resumed.load_state_dict(saved["model"])
    return resumed


def hooks(model: nn.Module) -> list[object]:
    return [hook for m in model.modules() for hook in m._forward_pre_hooks.values()]


def functional(model: nn.Module):
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    bare = copy.deepcopy(model).to("meta")
    return lambda tokens_B: torch.func.functional_call(bare, weights, (tokens_B,))


def exported(model: nn.Module):
    return torch.export.export(model, (TOKENS_B,)).module()


def recomputed(model: nn.Module):
    return lambda tokens_B: checkpoint(model, tokens_B, use_reentrant=False)


MODULES = [copy.deepcopy, ema, compiled, with_assigned_state, checkpointed, pickled, reloaded]
CALLABLES = [functional, exported, recomputed]


@pytest.mark.parametrize("form", PLANS)
@pytest.mark.parametrize("survival", MODULES + CALLABLES)
def test_an_applied_plan_survives(survival, form) -> None:
    """The logits are bit-identical, and every parameter has the same rate."""
    plan = PLANS[form]
    model = apply(network(), plan)
    logits_BV = model(TOKENS_B)
    survivor = survival(model)
    assert torch.equal(survivor(TOKENS_B), logits_BV)
    if survival in MODULES:
        groups = param_groups(survivor, plan, lr=1.0)
        assert [g["param_names"] for g in groups] == [
            g["param_names"] for g in param_groups(model, plan, lr=1.0)
        ]
        ids = {id(p) for p in survivor.parameters()}
        assert {id(p) for g in groups for p in g["params"]} == ids


def test_code_compiled_for_a_plain_model_does_not_run_a_model_with_multipliers() -> None:
    """torch.compile does so by default, for a hook on another model and for one added later."""
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=True):
        torch._dynamo.reset()
        model = network()
        fast = compiled(model)
        assert torch.equal(fast(TOKENS_B), model(TOKENS_B))
        other = apply(network(), PLANS["table-8"])
        assert torch.equal(compiled(other)(TOKENS_B), other(TOKENS_B))
        assert torch.equal(fast(TOKENS_B), model(TOKENS_B))
        apply(fast, PLANS["table-8"])
        assert torch.equal(fast(TOKENS_B), other(TOKENS_B))


def test_weights_without_their_plan_give_other_logits() -> None:
    """Negative control: a checkpoint without the plan loses its multipliers."""
    model = apply(network(), PLANS["table-8"])
    forgetful = Network(64)
    forgetful.load_state_dict(model.state_dict())
    assert not torch.allclose(forgetful(TOKENS_B), model(TOKENS_B), atol=1e-2)


@pytest.mark.parametrize("form", PLANS)
@pytest.mark.parametrize(
    "wrap", [compiled, checkpointed, with_assigned_state, nn.DataParallel, ema]
)
def test_applying_to_a_wrapped_model_is_the_same(wrap, form) -> None:
    expected = apply(network(), PLANS[form])
    wrapped = apply(wrap(network()), PLANS[form])
    pairs = zip(wrapped.parameters(), expected.parameters(), strict=True)
    assert all(torch.equal(weight, other) for weight, other in pairs)
    assert torch.equal(wrapped(TOKENS_B), expected(TOKENS_B))


@pytest.mark.parametrize("init", [True, False])
@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel])
def test_a_wrapper_does_not_hide_that_a_plan_was_applied(wrap, init) -> None:
    """A second multiplier would divide the logits again, even if init is not rescaled."""
    plan, model = PLANS["table-8"], network()
    apply(model, plan)
    with pytest.raises(InitError, match="has already been applied to this model"):
        apply(wrap(model), plan, init=init)
    inner = network()
    apply(wrap(inner), plan)
    with pytest.raises(InitError, match="has already been applied to this model"):
        apply(inner, plan, init=init)


def test_a_model_from_the_meta_device_is_initialised_and_then_applied() -> None:
    with torch.device("meta"):
        model = Network(64)
    with pytest.raises(InitError, match="meta device"):
        apply(model, PLANS["table-3"])
    model.to_empty(device="cpu")
    torch.manual_seed(3)
    for layer in model.children():  # in the order in which the constructor draws
        layer.reset_parameters()
    apply(model, PLANS["table-3"])
    expected = apply(network(), PLANS["table-3"])
    pairs = zip(model.parameters(), expected.parameters(), strict=True)
    assert all(torch.equal(weight, other) for weight, other in pairs)


def session(plan: Plan, model: nn.Module):
    optimizer = torch.optim.AdamW(param_groups(model, plan, lr=2**-7, weight_decay=0.1))
    guard(optimizer, plan)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)


def steps(model, optimizer, scheduler, count: int) -> list[float]:
    losses = []
    for _ in range(count):
        losses += training_losses(model, optimizer, steps=1)
        scheduler.step()
    return losses


@pytest.mark.parametrize("form", PLANS)
def test_a_resumed_run_continues_bit_for_bit(form) -> None:
    """Model, optimizer and scheduler as data, the plan as JSON; nothing else is needed."""
    plan = PLANS[form]
    model = apply(network(), plan)
    optimizer, scheduler = session(plan, model)
    steps(model, optimizer, scheduler, 5)
    buffer = io.BytesIO()
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    saved = {name: part.state_dict() for name, part in parts.items()}
    torch.save({**saved, "plan": plan.to_json()}, buffer)
    expected = steps(model, optimizer, scheduler, 5)

    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    plan = Plan.from_json(state["plan"])
    resumed = apply(Network(plan.target), plan, init=False)
    optimizer, scheduler = session(plan, resumed)
    for part, name in ((resumed, "model"), (optimizer, "optimizer"), (scheduler, "scheduler")):
        part.load_state_dict(state[name])
    assert steps(resumed, optimizer, scheduler, 5) == expected


def test_torch_itself_rejects_a_state_of_another_width_where_all_factors_are_one() -> None:
    """Under SP the guard has nothing to compare, but the shapes of the moments differ."""
    states = {}
    for width in (32, 64):
        plan = make_plan(Network, base=16, target=width, parametrization="sp")
        optimizer = torch.optim.AdamW(param_groups(model := Network(width), plan, lr=0.1))
        training_losses(model, optimizer, steps=1)
        states[width] = optimizer, model
    optimizer, model = states[64]
    optimizer.load_state_dict(states[32][0].state_dict())
    with pytest.raises(RuntimeError, match="size"):
        training_losses(model, optimizer, steps=1)


def test_the_users_own_objects_are_never_changed() -> None:
    plan = PLANS["table-8"]
    own = {
        "lr": torch.tensor(0.01),
        "weight_decay": {Role.HIDDEN: 0.1},
        "betas": [0.9, 0.95],
        "eps": 1e-6,
    }
    before, text = copy.deepcopy(own), plan.to_json()
    model = apply(network(), plan)
    optimizer = torch.optim.AdamW(param_groups(model, plan, **own))
    guard(optimizer, plan)
    rates = [0.01 * g["lr_factor"] for g in optimizer.param_groups]
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=9)
    steps(model, optimizer, scheduler, 4)
    assert own == before
    assert plan.to_json() == text


@pytest.mark.slow
@pytest.mark.parametrize("form", PLANS)
def test_inductor_compiles_the_model_without_a_graph_break(form) -> None:
    plan = PLANS[form]
    model = apply(network(), plan)
    expected = model(TOKENS_B)
    fast = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(fast(TOKENS_B), expected)


@pytest.mark.slow
def test_a_compiled_step_is_guarded() -> None:
    """Rates must be tensors there, or each would be compiled anew."""
    plan, model = PLANS["table-3"], network()
    optimizer = torch.optim.AdamW(param_groups(model, plan, lr=torch.tensor(0.01)))
    guard(optimizer, plan)
    step = torch.compile(lambda: optimizer.step(), backend="aot_eager")
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    step()
    for group in optimizer.param_groups:
        group["lr"].mul_(0.5)
    step()
    for group in optimizer.param_groups:
        group["lr"].fill_(0.01)
    with pytest.raises(Exception, match="trains at"):
        step()


@pytest.mark.slow
def test_another_process_loads_a_pickled_model(tmp_path) -> None:
    model = apply(network(), PLANS["table-8"])
    torch.save((model, model(TOKENS_B)), tmp_path / "model.pt")
    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[2]); "
        "model, logits = torch.load(sys.argv[1], weights_only=False); "
        "assert torch.equal(model(torch.arange(11)), logits)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "model.pt", HERE], check=True)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> dict[str, dict]:
    """Return the results of two processes, started once for all tests below."""
    folder = tmp_path_factory.mktemp("sharded")
    subprocess.run([sys.executable, HERE / "sharding.py", folder], check=True, timeout=280)
    return json.loads((folder / "facts.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("form", PLANS)
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("way", ["fsdp", "ddp", "tensor parallel"])
def test_sharded_training_equals_unsharded_training(sharded, way, order, form) -> None:
    """Whether applied before or after sharding, weights and guarded losses are the same."""
    facts = sharded[f"{way}, applied {order}, {form}"]
    assert facts["weights equal"]
    # Tensor parallelism adds up in another order.
    off = 1e-6 if way == "tensor parallel" else 0.0
    assert facts["losses"] == pytest.approx(facts["expected losses"], rel=off, abs=off)


@pytest.mark.slow
def test_a_shard_from_the_meta_device_gets_the_plans_factors(sharded) -> None:
    for name, factor in sharded["from meta"].items():
        if name != "norm.bias":  # zeros
            assert factor == PLANS["table-3"][name].init_factor, name
