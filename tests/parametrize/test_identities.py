"""Exact identities: plain PyTorch at the base width, equivalent forms, groups, decay."""

import copy
import json
from functools import partial

import pytest
import torch
from lion_pytorch import Lion
from torch import nn
from torch.nn import functional as F

from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.rules import Role


class MuonAndAdamW:
    """Two optimizers that step together, each with its own groups."""

    def __init__(self, groups: dict[str, list]) -> None:
        self.both = torch.optim.Muon(groups["muon"]), torch.optim.AdamW(groups["adamw"])

    def zero_grad(self) -> None:
        for optimizer in self.both:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self.both:
            optimizer.step()


# What a plan calls it, how it is made, and its rate.
OPTIMIZERS = {
    "sgd": ("sgd", torch.optim.SGD, 2**-4),
    "momentum": ("sgd", partial(torch.optim.SGD, momentum=0.9), 2**-6),
    "adam": ("adam", torch.optim.Adam, 2**-7),
    "adamw": ("adamw", torch.optim.AdamW, 2**-7),
    "nadam": ("nadam", torch.optim.NAdam, 2**-8),
    "rmsprop": ("rmsprop", torch.optim.RMSprop, 2**-8),
    "lion": ("lion", Lion, 2**-8),
    "adafactor": ("adafactor", torch.optim.Adafactor, 2**-5),
    "muon": ("muon", MuonAndAdamW, {"muon": 2**-6, "adamw": 2**-7}),
    "muon-match-rms": ("muon-match-rms", MuonAndAdamW, 2**-7),
}
# torch's Adafactor compares its first epsilon with a gradient here, with a squared one there, so
# no factor is right for both: equality is exact where neither is reached.
EPS = {"adafactor": (2**-50, 2**-10)}
DECAY = 0.125


class Network(nn.Module):
    """An embedding, a norm, hidden layers of two shapes, biases, an untied readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.head = nn.Linear(width, 11)

    def forward(self, tokens_B: torch.Tensor) -> torch.Tensor:
        h_BD = self.norm(self.embed(tokens_B))
        return self.head(h_BD + self.down(torch.relu(self.up(h_BD))))


def seeded_network(width: int) -> nn.Module:
    torch.manual_seed(3)
    return Network(width)


def training_losses(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 20
) -> list[float]:
    torch.manual_seed(0)
    tokens_B, losses = torch.randint(11, (64,)), []
    for _ in range(steps):
        loss = F.cross_entropy(model(tokens_B), tokens_B.roll(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def planned_losses(
    width: int, name: str, parametrization: str, form: str = "table-3", **changed: object
) -> list[float]:
    optimizer, make, lr = OPTIMIZERS[name]
    plan = make_plan(
        Network,
        base=16,
        target=width,
        parametrization=parametrization,
        optimizer=optimizer,
        form=form,
    )
    model = apply(seeded_network(width), plan)
    options = {"lr": lr, "weight_decay": DECAY, "eps": EPS.get(name)} | changed
    return training_losses(model, make(param_groups(model, plan, **options)))


def plain_groups(model: nn.Module, name: str) -> object:
    """Return the groups that a user of plain torch would write."""
    optimizer, _, lr = OPTIMIZERS[name]
    options = {"weight_decay": DECAY} | ({"eps": EPS[name]} if name in EPS else {})
    if not optimizer.startswith("muon"):
        return [{"params": model.parameters(), "lr": lr, **options}]
    matrices = [model.up.weight, model.down.weight]
    rest = [p for p in model.parameters() if all(p is not m for m in matrices)]
    adjust = "original" if optimizer == "muon" else "match_rms_adamw"
    rates = lr if isinstance(lr, dict) else {"muon": lr, "adamw": lr}
    muon = {"params": matrices, "lr": rates["muon"], "adjust_lr_fn": adjust, **options}
    return {"muon": [muon], "adamw": [{"params": rest, "lr": rates["adamw"], **options}]}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("parametrization", ["none", "sp", "mup"])
def test_at_the_base_width_training_is_plain_pytorch(name, parametrization) -> None:
    model = seeded_network(16)
    plain = training_losses(model, OPTIMIZERS[name][1](plain_groups(model, name)))
    assert planned_losses(16, name, parametrization) == plain


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("parametrization", ["mup", "mfp"])
def test_a_table_with_multipliers_trains_the_same_function(name, parametrization) -> None:
    """A ratio of 4 and its root are powers of two, so the two forms agree bit for bit.

    µP's has a multiplier at the readout, the mean-field table's at hidden layers too.
    """
    table_3, table_8 = (
        planned_losses(64, name, parametrization, f) for f in ("table-3", "table-8")
    )
    assert table_3 == table_8
    assert table_3[-1] < table_3[0]


def test_adafactors_own_first_epsilon_breaks_the_equality_a_little() -> None:
    """Negative control of the exactness: torch's default is the data type's, and not scaled."""
    table_3, table_8 = (
        planned_losses(64, "adafactor", "mfp", f, eps=None) for f in ("table-3", "table-8")
    )
    assert table_3 != table_8
    assert table_3 == pytest.approx(table_8, abs=0.01)


def test_sp_trains_another_function() -> None:
    """Negative control of the equality above."""
    assert planned_losses(64, "adamw", "sp") != planned_losses(64, "adamw", "mup")


def test_every_parameter_is_in_exactly_one_group_at_its_own_rate() -> None:
    plan = make_plan(Network, base=16, target=64)
    model = Network(64)
    groups = param_groups(model, plan, lr=0.5, weight_decay=DECAY)
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    rate = {id(p): g["lr"] for g in groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        assert rate[id(parameter)] == 0.5 * plan[name].lr_factor
    assert len(groups) <= 4


def test_a_scheduler_keeps_the_ratios_and_a_tensor_rate_is_not_modified() -> None:
    """microsoft/mup divides a tensor rate in place, which changes every group that shares it."""
    plan, lr = make_plan(Network, base=16, target=64), torch.tensor(0.5)
    optimizer = torch.optim.AdamW(param_groups(Network(64), plan, lr=lr))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for _ in range(7):
        optimizer.step()
        scheduler.step()
    shares = [float(g["lr"]) / g["lr_factor"] for g in optimizer.param_groups]
    assert shares == pytest.approx([shares[0]] * len(shares))
    assert shares[0] < 0.2
    assert lr == 0.5


def test_wrapped_copied_and_meta_models_take_the_same_plan() -> None:
    plan, model = make_plan(Network, base=16, target=64), Network(64)

    class Wrapper(nn.Module):  # what DDP does to names
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

    with torch.device("meta"):
        meta = Network(64)
    for other in (Wrapper(model), torch.compile(model), copy.deepcopy(model), meta):
        groups = param_groups(other, plan, lr=1.0)
        assert [g["lr_factor"] for g in groups] == [
            g["lr_factor"] for g in param_groups(model, plan, lr=1.0)
        ]


def test_a_copy_keeps_its_multiplier_and_so_does_a_checkpoint() -> None:
    plan = make_plan(Network, base=16, target=64, form="table-8")
    model, tokens_B = apply(seeded_network(64), plan), torch.arange(11)
    copied = copy.deepcopy(model)
    resumed = apply(Network(64), plan, init=False)
    resumed.load_state_dict(model.state_dict())
    assert torch.equal(copied(tokens_B), model(tokens_B))
    assert torch.equal(resumed(tokens_B), model(tokens_B))
    assert model.state_dict().keys() == Network(64).state_dict().keys()


@pytest.mark.parametrize("mode", ["constant-product", "coupled", "independent"])
def test_decay_alone_shrinks_weights_as_the_mode_says(mode) -> None:
    """50 steps at zero gradient: (1 - 2^-5 * 0.1)^50 = 0.8551 wherever rate * decay is kept."""
    plan = make_plan(Network, base=16, target=256)
    model = Network(256)
    groups = param_groups(model, plan, lr=2**-5, weight_decay=0.1, decay_mode=mode)
    before = {name: p.norm().item() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(groups)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(50):
        optimizer.step()
    remaining = {
        name: p.norm().item() / before[name] for name, p in model.named_parameters() if before[name]
    }
    expected = {
        "constant-product": {"up.weight": 0.8551, "embed.weight": 0.8551},
        "coupled": {"up.weight": (1 - 2**-9 * 0.1) ** 50, "embed.weight": 0.8551},
        "independent": {"up.weight": 0.9**50, "embed.weight": 0.9**50},
    }[mode]
    for name, ratio in expected.items():
        assert remaining[name] == pytest.approx(ratio, rel=1e-4)


def test_decay_per_role_reaches_those_roles_only() -> None:
    plan, model = make_plan(Network, base=16, target=64), Network(64)
    groups = param_groups(model, plan, lr=1.0, weight_decay={Role.HIDDEN: 0.1})
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert decay[id(model.up.weight)] == pytest.approx(0.4)
    assert decay[id(model.embed.weight)] == decay[id(model.norm.weight)] == 0.0


def test_making_a_plan_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_plan(Network, base=16, target=64)
    assert torch.equal(torch.rand(3), expected)


def test_a_plan_is_json_that_gives_the_same_groups() -> None:
    plan = make_plan(Network, base=16, target=48)
    again = type(plan).from_json(json.dumps(json.loads(plan.to_json())))
    assert again == plan
    groups, same = (param_groups(Network(48), p, lr=1.0) for p in (plan, again))
    assert [g["lr"] for g in groups] == [g["lr"] for g in same]
