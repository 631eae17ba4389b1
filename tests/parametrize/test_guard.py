"""`guard` raises where the plan's ratios are lost, and nowhere else."""

import copy
import warnings

import pytest
import torch
from lion_pytorch import Lion
from test_identities import Network
from torch.optim import lr_scheduler as schedules
from zoo import error_text

from mutransfer.errors import RuleError
from mutransfer.parametrize import guard, make_plan, param_groups

LR, STEPS = 0.01, 20
# Width 16 to 48: factors of a third are not exact in binary, so tolerances are needed.
PLAN = make_plan(Network, base=16, target=48)


def adamw(plan=PLAN, **settings) -> torch.optim.AdamW:
    return torch.optim.AdamW(param_groups(Network(plan.target), plan, **{"lr": LR, **settings}))


def run(optimizer: torch.optim.Optimizer, scheduler, steps: int = STEPS) -> None:
    for parameter in (p for g in optimizer.param_groups for p in g["params"]):
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [LR * g["lr_factor"] for g in optimizer.param_groups]


def warmup_cosine(o):
    parts = [schedules.LinearLR(o, 1e-9, 1, 5), schedules.CosineAnnealingLR(o, STEPS - 5)]
    return schedules.SequentialLR(o, parts, milestones=[5])


KEEPS_RATIOS = {
    "linear": lambda o: schedules.LinearLR(o, 0.01, 1, 10),
    "cosine": lambda o: schedules.CosineAnnealingLR(o, STEPS),
    "warm restarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 7),
    "exponential": lambda o: schedules.ExponentialLR(o, 0.9),
    "polynomial": lambda o: schedules.PolynomialLR(o, STEPS, 2.0),
    "steps": lambda o: schedules.MultiStepLR(o, [3, 6]),
    "warmup, then cosine": warmup_cosine,
    "lambda from zero": lambda o: schedules.LambdaLR(o, lambda t: t / STEPS),
    "one cycle, per group": lambda o: schedules.OneCycleLR(o, rates(o), total_steps=STEPS + 1),
    "cyclic, per group": lambda o: schedules.CyclicLR(
        o, [r / 10 for r in rates(o)], rates(o), cycle_momentum=False
    ),
}
LOSES_RATIOS = {
    "one cycle": (lambda o: schedules.OneCycleLR(o, LR, total_steps=STEPS + 1), 1),
    "cosine with a floor": (lambda o: schedules.CosineAnnealingLR(o, 4, eta_min=1e-3), 2),
    "restarts with a floor": (
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 7, eta_min=1e-3),
        2,
    ),
    "cyclic": (lambda o: schedules.CyclicLR(o, LR / 10, LR, cycle_momentum=False), 1),
    "a lambda per group": (
        lambda o: schedules.LambdaLR(o, [lambda t, i=i: 1 + i * t for i in range(4)]),
        2,
    ),
}


@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("name", KEEPS_RATIOS)
def test_a_schedule_that_keeps_ratios_passes(name, tensor) -> None:
    optimizer = adamw(lr=torch.tensor(LR) if tensor else LR)
    guard(optimizer, PLAN)
    run(optimizer, KEEPS_RATIOS[name](optimizer))
    shares = [float(g["lr"]) / g["lr_factor"] for g in optimizer.param_groups]
    assert shares == pytest.approx([shares[0]] * 4, rel=1e-4)


@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("name", LOSES_RATIOS)
def test_a_schedule_that_loses_ratios_raises_at_that_step(name, tensor) -> None:
    """It raises at the first step that would use the wrong rate, and not before."""
    make, step = LOSES_RATIOS[name]
    optimizer = adamw(lr=torch.tensor(LR) if tensor else LR)
    guard(optimizer, PLAN)
    scheduler = make(optimizer)
    run(optimizer, scheduler, steps=step - 1)
    with pytest.raises(RuleError, match="trains at"):
        optimizer.step()


@pytest.mark.slow
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("name", KEEPS_RATIOS)
def test_rounding_over_a_long_run_stays_a_hundred_times_below_the_tolerance(name, tensor) -> None:
    optimizer, steps = adamw(lr=torch.tensor(LR) if tensor else LR), 20_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler, worst = KEEPS_RATIOS[name](optimizer), 0.0
        if name == "linear":
            scheduler = schedules.LinearLR(optimizer, 0.001, 1, steps)
        if name == "cosine":
            scheduler = schedules.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps if "one cycle" not in name else STEPS):
            shares = [float(g["lr"]) / g["lr_factor"] for g in optimizer.param_groups]
            worst = max(worst, abs(shares[1] / shares[0] - 1) if shares[0] > 1e-12 else 0.0)
            scheduler.step()
    assert worst < (1e-2 if tensor else 1e-6) / 50


def test_the_fixes_that_messages_suggest_work() -> None:
    """The code in a fix must pass in place of the code that raised."""
    for fix in (
        lambda o: schedules.OneCycleLR(o, rates(o), total_steps=STEPS + 1),
        lambda o: schedules.LambdaLR(o, lambda step: 1 - step / STEPS),
    ):
        optimizer = adamw()
        guard(optimizer, PLAN)
        run(optimizer, fix(optimizer))
    optimizer, lr = adamw(), torch.tensor(0.5)
    guard(optimizer, PLAN)
    for g in optimizer.param_groups:
        g["lr"] = lr * g["lr_factor"]
    optimizer.step()


def schedule_one_cycle(optimizer) -> None:
    schedules.OneCycleLR(optimizer, 0.1, total_steps=9)


def schedule_with_floor(optimizer) -> None:
    scheduler = schedules.CosineAnnealingLR(optimizer, 2, eta_min=1e-3)
    optimizer.step()
    scheduler.step()


def write_absolute_rate(optimizer) -> None:
    optimizer.param_groups[1]["lr"] = 0.01


def write_nan(optimizer) -> None:
    optimizer.param_groups[1]["lr"] = float("nan")


def share_one_tensor(optimizer) -> None:
    rate = torch.tensor(0.0)  # of any value: nothing is read
    for group in optimizer.param_groups:
        group["lr"] = rate


def write_tensor_rates(optimizer) -> None:
    """Write the same number to a tensor per group, as a division in place can."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(0.01)


def merge_all_groups(optimizer) -> None:
    """Merge all parameters into one new group without our keys, as some engines do."""
    params = [p for g in optimizer.param_groups for p in g["params"]]
    optimizer.param_groups = [{**optimizer.defaults, "params": params}]


def merge_two_groups(optimizer) -> None:
    first, second = optimizer.param_groups[:2]
    first["params"] += second.pop("params")
    first.pop("param_names")
    second["params"] = []


def drop_keys_and_rates(optimizer) -> None:
    optimizer.param_groups = [
        {**optimizer.defaults, "params": g["params"]} for g in optimizer.param_groups
    ]


def load_other_width(optimizer) -> None:
    plan = make_plan(Network, base=16, target=32)
    optimizer.load_state_dict(adamw(plan).state_dict())


def load_other_order(optimizer) -> None:
    state = copy.deepcopy(adamw().state_dict())
    state["param_groups"][0]["param_names"].reverse()
    optimizer.load_state_dict(state)


def add_parameter(optimizer) -> None:
    extra = torch.nn.Parameter(torch.ones(3))
    optimizer.add_param_group({"params": [("temperature", extra)], "lr": 0.01})


def remove_group(optimizer) -> None:
    del optimizer.param_groups[1]


def write_one_eps(optimizer) -> None:
    for group in optimizer.param_groups:
        group["eps"] = 1e-8


ABSOLUTE = (
    "\n  why: a schedule that writes absolute rates erases the plan's ratios, so nothing transfers"
    "\n  fix: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: ...), which multiplies "
    "each group's own rate; by hand: for g in optimizer.param_groups: g['lr'] = lr * "
    "g['lr_factor']"
)
REBUILD = (
    "\n  fix: pass param_groups(model, plan, lr=...) unchanged to the optimizer, and guard it then"
)
BROKEN = {
    schedule_one_cycle: "RuleError: 'up.weight' trains at 0.004 where 'embed.weight' trains at "
    "0.004: the "
    "plan says 0.00133333"
    "\n  why: a schedule that writes absolute rates erases the plan's ratios, so nothing transfers"
    "\n  fix: max_lr=[lr * g['lr_factor'] for g in optimizer.param_groups] in place of max_lr=lr, "
    "or torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: ...)",
    schedule_with_floor: "RuleError: 'up.weight' trains at 0.00216667 where 'embed.weight' "
    "trains at 0.0055: "
    "the plan says 0.00183333" + ABSOLUTE,
    write_absolute_rate: "RuleError: 'up.weight' trains at 0.01 where 'embed.weight' trains at "
    "0.01: the "
    "plan says 0.00333333" + ABSOLUTE,
    write_nan: "RuleError: 'up.weight' trains at nan where 'embed.weight' trains at 0.01: the "
    "plan says "
    "0.00333333" + ABSOLUTE,
    share_one_tensor: "RuleError: 'embed.weight' and 'up.weight' share one tensor as their rate, "
    "and their "
    "factors are 1 and 0.333333"
    "\n  why: a tensor has one value, so both train at the same rate"
    "\n  fix: for g in optimizer.param_groups: g['lr'] = lr * g['lr_factor'], which makes a tensor "
    "for each group",
    write_tensor_rates: "RuleError: 'up.weight' trains at 0.01 where 'embed.weight' trains at "
    "0.01: "
    "the plan says 0.00333333" + ABSOLUTE,
    merge_all_groups: "RuleError: one group holds 'embed.weight', 'up.weight', 'head.weight', "
    "'head.bias', "
    "whose factors differ"
    "\n  why: a group has one rate and one epsilon: merging groups discards the plan's" + REBUILD,
    merge_two_groups: "RuleError: one group holds 'embed.weight', 'up.weight', whose factors differ"
    "\n  why: a group has one rate and one epsilon: merging groups discards the plan's" + REBUILD,
    drop_keys_and_rates: "RuleError: 'up.weight' trains at 0.001 where 'embed.weight' trains at "
    "0.001: the plan says 0.000333333" + ABSOLUTE,
    load_other_width: "RuleError: the group of 'up.weight' has lr_factor 0.5 where 0.333333 "
    "is expected: its state is of another width, plan or lr_multiplier"
    "\n  why: load_state_dict restores the rates, epsilons and moments that were saved"
    "\n  fix: create a new optimizer at this width: torch.optim.AdamW(param_groups(model, "
    "plan, lr=...))",
    load_other_order: "RuleError: the state of 'down.bias' was loaded into 'embed.weight'"
    "\n  why: torch matches a state dict's parameters by position, and these groups are in "
    "another order"
    "\n  fix: load a state that was saved with this plan: Plan.from_json(...) of the checkpoint",
    add_parameter: "RuleError: the plan has no row for 'temperature', shape (3,)"
    "\n  why: a parameter without its rule trains at a rate that does not transfer" + REBUILD,
    remove_group: "RuleError: the optimizer does not train 'up.weight', 'down.weight'"
    "\n  why: a parameter in no group silently stays at its init"
    + REBUILD
    + "; freeze a parameter with requires_grad_(False)",
    write_one_eps: "RuleError: 'head.weight' has eps 1e-08 where 'embed.weight' has 1e-08: the "
    "plan says "
    "3e-08",
}


@pytest.mark.parametrize("break_plan", BROKEN)
def test_every_way_to_break_a_plan_raises_with_its_message(break_plan) -> None:
    """A step before the break passes, so the break is what raises; weights do not move."""
    optimizer = adamw()
    guard(optimizer, PLAN)
    optimizer.step()
    break_plan(optimizer)
    before = [p.clone() for g in optimizer.param_groups for p in g["params"]]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    assert error_text(optimizer.step).startswith(BROKEN[break_plan])
    assert all(map(torch.equal, before, (p for g in optimizer.param_groups for p in g["params"])))


def test_removing_the_handle_ends_the_guard_and_copies_have_none() -> None:
    optimizer = adamw()
    handle = guard(optimizer, PLAN)
    write_absolute_rate(optimizer)
    copy.deepcopy(optimizer).step()
    with pytest.raises(RuleError):
        optimizer.step()
    handle.remove()
    optimizer.step()


def test_groups_without_names_raise_at_once() -> None:
    model = Network(48)
    assert error_text(lambda: guard(torch.optim.AdamW(model.parameters()), PLAN)) == (
        "RuleError: a group holds a parameter without a name, shape (11, 48)"
        "\n  why: a parameter without its rule trains at a rate that does not transfer" + REBUILD
    )
    # Names from torch itself are as good as ours.
    named = torch.optim.AdamW(model.named_parameters())
    assert "whose factors differ" in error_text(lambda: guard(named, PLAN))


def test_lost_keys_do_no_harm_if_rates_are_right() -> None:
    """The guard identifies parameters by `id` after the first step."""
    optimizer = adamw()
    guard(optimizer, PLAN)
    for group in optimizer.param_groups:
        del group["lr_factor"], group["param_names"]
    run(optimizer, schedules.LinearLR(optimizer))
    optimizer.param_groups.append({**optimizer.defaults, "params": []})  # an empty group is ignored
    optimizer.step()


def test_a_state_of_this_width_loads_even_without_names() -> None:
    optimizer, state = adamw(), adamw().state_dict()
    guard(optimizer, PLAN)
    optimizer.load_state_dict(state)
    optimizer.step()
    for group in state["param_groups"]:
        del group["param_names"]
    optimizer.load_state_dict(state)
    optimizer.step()


@pytest.mark.parametrize(
    ("name", "make"), [("sgd", torch.optim.SGD), ("lion", Lion), ("rmsprop", torch.optim.RMSprop)]
)
def test_other_optimizers_are_guarded(name, make) -> None:
    plan = make_plan(Network, base=16, target=48, optimizer=name)
    optimizer = make(param_groups(Network(48), plan, lr=LR))
    guard(optimizer, plan)
    run(optimizer, schedules.LinearLR(optimizer))
    schedule_one_cycle(optimizer) if name != "lion" else write_absolute_rate(optimizer)
    with pytest.raises(RuleError, match="trains at"):
        optimizer.step()


class AcceleratorRate(torch.Tensor):
    """A rate that pretends to be on an accelerator and counts how often it is read."""

    reads = 0

    @property
    def device(self) -> torch.device:
        return torch.device("meta")

    def __float__(self) -> float:
        AcceleratorRate.reads += 1
        return super().__float__()


def test_a_rate_on_an_accelerator_is_read_at_powers_of_two_only() -> None:
    optimizer = adamw()
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"]).as_subclass(AcceleratorRate)
    check = next(iter(guard_hooks(optimizer)))
    AcceleratorRate.reads = 0
    steps = []
    for step in range(1, 20):
        before = AcceleratorRate.reads
        check(optimizer, (), {})
        steps += [step] if AcceleratorRate.reads > before else []
    assert steps == [1, 2, 4, 8, 16]


def guard_hooks(optimizer: torch.optim.Optimizer) -> list:
    guard(optimizer, PLAN)
    return list(optimizer._optimizer_step_pre_hooks.values())


def test_muon_and_adamw_of_one_plan_have_a_guard_each() -> None:
    plan = make_plan(Network, base=16, target=48, optimizer="muon")
    groups = param_groups(Network(48), plan, lr={"muon": 0.02, "adamw": LR})
    muon, rest = torch.optim.Muon(groups["muon"]), torch.optim.AdamW(groups["adamw"])
    for optimizer in (muon, rest):
        guard(optimizer, plan)
        run(optimizer, schedules.LinearLR(optimizer, 0.1, 1, 10))
    half = torch.optim.Muon([{**groups["muon"][0], "params": groups["muon"][0]["params"][:1],
                              "param_names": groups["muon"][0]["param_names"][:1]}])  # fmt: skip
    message = error_text(lambda: guard(half, plan))
    assert message.startswith("RuleError: the optimizer does not train 'down.weight'")
