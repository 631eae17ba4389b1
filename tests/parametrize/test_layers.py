"""Roles of every kind of layer, and the coordinate check of models made of them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
from zoo import Tied, error_text

import mutransfer as mt
from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.rules import Role


class Channels(nn.Module):
    """Convolutions: plain, depthwise, grouped, strided, transposed, and a depthwise transposed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.GroupNorm(4, width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.grouped = nn.Conv2d(width, width, 3, padding=1, groups=4)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.spread = nn.ConvTranspose2d(width, width, 1, groups=width)
        self.bend = nn.PReLU(width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.enter(x)))
        for layer in (self.depthwise, self.grouped, self.down, self.up, self.spread):
            x = self.bend(layer(x)) if layer is self.spread else F.relu(layer(x))
        return self.head(x.mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, width: int, kind: type[nn.Module] = nn.LSTM) -> None:
        super().__init__()
        self.table = nn.Embedding(32, width)
        self.body = kind(width, width, batch_first=True)
        self.head = nn.Linear(width, 32)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.table(tokens))[0])


class Encoder(nn.Module):
    """torch's own encoder layer: a fused projection for queries, keys and values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(32, width)
        self.layer = nn.TransformerEncoderLayer(
            width, width // 8, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.head = nn.Linear(width, 32)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.table(tokens)))


class Conv1D(nn.Module):
    """A linear layer stored as (in, out), as GPT-2's in Hugging Face's library."""

    def __init__(self, num_out: int, num_in: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_in, num_out) * num_in**-0.5)
        self.bias = nn.Parameter(torch.zeros(num_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


def transposed(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, width), nn.ReLU(), Conv1D(3 * width, width), nn.ReLU(),
        Conv1D(width, 3 * width), nn.ReLU(), nn.Linear(width, 7),
    )  # fmt: skip


class TiedAtBothEnds(nn.Module):
    """A language model whose readout is its embedding's table."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.head = nn.Linear(width, 32, bias=False)
        self.head.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=0.3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        x = x + self.down(F.relu(self.up(self.norm(x))))
        return self.head(x)


ROLES = {
    Channels: {
        "enter.weight": "input", "enter.bias": "vector", "norm.weight": "vector",
        "norm.bias": "vector", "depthwise.weight": "input", "depthwise.bias": "vector",
        "grouped.weight": "hidden", "grouped.bias": "vector", "down.weight": "hidden",
        "down.bias": "vector", "up.weight": "hidden", "up.bias": "vector",
        "spread.weight": "input", "spread.bias": "vector", "bend.weight": "vector",
        "head.weight": "output", "head.bias": "fixed",
    },
    Recurrent: {
        "table.weight": "input", "body.weight_ih_l0": "hidden", "body.weight_hh_l0": "hidden",
        "body.bias_ih_l0": "vector", "body.bias_hh_l0": "vector", "head.weight": "output",
        "head.bias": "fixed",
    },
    Encoder: {
        "table.weight": "input", "layer.self_attn.in_proj_weight": "hidden",
        "layer.self_attn.in_proj_bias": "vector", "layer.self_attn.out_proj.weight": "hidden",
        "layer.linear1.weight": "hidden", "head.weight": "output",
    },
    transposed: {
        "0.weight": "input", "2.weight": "hidden", "2.bias": "vector", "4.weight": "hidden",
        "6.weight": "output",
    },
    TiedAtBothEnds: {"embed.weight": "input", "up.weight": "hidden"},
}  # fmt: skip


@pytest.mark.parametrize("build", ROLES)
def test_every_layer_has_its_role(build) -> None:
    plan = make_plan(build, base=16, target=64)
    roles = {row.name: str(row.role) for row in plan.rows}
    assert {name: roles[name] for name in ROLES[build]} == ROLES[build]


def test_a_transposed_convolution_stores_fan_in_first() -> None:
    """By hand; microsoft/mup takes the other axis for fan-in, which gives 1/16."""

    def build(width: int) -> nn.Module:
        up = nn.ConvTranspose1d(width, 64 * width * width // 1024, 3)
        nn.init.normal_(up.weight, std=width**-0.5)
        return nn.Sequential(nn.Conv1d(2, width, 3), up)

    row = make_plan(build, base=16, target=64)["1.weight"]
    assert (row.r_in, row.r_out) == (4, 16)
    assert row.lr_factor == 1 / 4


def test_fan_in_of_a_grouped_convolution_is_that_of_one_group() -> None:
    """Groups of four channels: fan-in does not grow, although the number of channels does."""
    plan = make_plan(
        lambda w: nn.Sequential(nn.Conv1d(2, w, 1), nn.Conv1d(w, w, 3, groups=w // 4)),
        base=16,
        target=64,
    )
    assert (plan["1.weight"].r_in, plan["1.weight"].r_out) == (1, 4)


def test_a_tied_table_has_the_embeddings_rule_and_its_readout_a_multiplier() -> None:
    """ORACLE: Table 8; logits = E x / r_in, and the table's init is not touched."""
    plan = make_plan(TiedAtBothEnds, base=16, target=64)
    row = plan["embed.weight"]
    assert (row.init_factor, row.lr_factor, row.eps_factor) == (1.0, 1.0, 0.25)
    assert (row.multiplier, row.multiplier_at) == (0.25, ("head",))
    assert mt.Plan.from_json(plan.to_json()) == plan
    assert "forward x 0.25: fan_in^-1 = 4^-1 = 0.25; the readout's, whose" in mt.explain(
        plan, "embed.weight"
    )
    torch.manual_seed(0)
    plain = TiedAtBothEnds(64)
    torch.manual_seed(0)
    model = apply(TiedAtBothEnds(64), plan)
    x = torch.randn(3, 64)
    assert torch.equal(model.embed.weight, plain.embed.weight)
    assert model.head.weight is model.embed.weight
    assert torch.equal(model.head(x), plain.head(x / 4))
    groups = param_groups(model, plan, lr=1.0)
    assert sum(p.numel() for g in groups for p in g["params"]) == sum(
        p.numel() for p in model.parameters()
    )


def test_a_tied_table_at_the_base_is_plain_pytorch() -> None:
    plan = make_plan(Tied, base=16, target=16)
    assert all((r.init_factor, r.lr_factor, r.multiplier) == (1, 1, 1) for r in plan.rows)


@pytest.mark.parametrize("name", ["sp", "none"])
def test_a_tied_table_without_rules_stays_as_it_is(name) -> None:
    row = make_plan(TiedAtBothEnds, base=16, target=64, parametrization=name)["embed.weight"]
    assert (row.init_factor, row.lr_factor, row.multiplier) == (1, 1, 1)


@pytest.mark.parametrize("name", ["sp-full-align", "sp+last", "ntk"])
def test_a_tied_table_cannot_have_two_rules(name) -> None:
    assert error_text(
        lambda: make_plan(TiedAtBothEnds, base=16, target=64, parametrization=name)
    ) == (
        f"RuleError: 'embed.weight' is shared with the readout, and '{name}' gives a readout "
        "another init or rate than an embedding\n"
        "  why: one tensor has one init and one rate\n"
        "  fix: untie them, or make_plan(..., parametrization='mup')"
    )


def test_layers_of_different_kinds_that_share_a_tensor_are_an_error() -> None:
    def build(width: int) -> nn.Module:
        model = nn.Sequential(nn.Linear(width, width), nn.LSTMCell(width, width))
        model[0].weight = model[1].weight_hh = nn.Parameter(torch.randn(4 * width, width))
        return model

    assert error_text(lambda: make_plan(build, base=16, target=64)) == (
        "RoleError: layers of different kinds share one tensor: '0.weight (Linear)', "
        "'1.weight_hh (LSTMCell)'\n"
        "  why: different layers have different rules, except for a tied embedding and readout\n"
        "  fix: share it between nn.Embedding and nn.Linear, or give each its own weight"
    )


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(16, 3, 6, 6, generator=generator), torch.randint(
        0, 5, (16,), generator=generator
    )


def text() -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.randint(0, 32, (8, 13), generator=torch.Generator().manual_seed(0))
    return rows[:, :-1], rows[:, 1:]


def features() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(64, 12, generator=generator), torch.randint(0, 7, (64,), generator=generator)


def normed(width: int) -> nn.Module:
    hidden = parametrizations.weight_norm(nn.Linear(width, width))
    return nn.Sequential(nn.Linear(12, width), nn.ReLU(), hidden, nn.ReLU(), nn.Linear(width, 7))


def test_weight_norm_leaves_a_direction_and_a_gain() -> None:
    plan = make_plan(normed, base=16, target=64)
    direction, gain = (plan[f"2.parametrizations.weight.original{k}"] for k in (1, 0))
    assert (direction.role, direction.lr_factor) == (Role.HIDDEN, 0.25)
    assert (gain.role, gain.init_factor, gain.lr_factor) == (Role.VECTOR, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "batch"),
    [
        (Channels, images()),
        (Recurrent, text()),
        (lambda width: Recurrent(width, nn.GRU), text()),
        (Encoder, text()),
        (transposed, features()),
        (TiedAtBothEnds, text()),
        (normed, features()),
    ],
)
def test_the_coordinate_check_passes_for_every_layer(build, batch) -> None:
    def loss(model, batch):
        logits = model(batch[0])
        return F.cross_entropy(logits.flatten(0, -2), batch[1].flatten())

    check = mt.coord_check(
        build, base=32, widths=[32, 64, 128, 256], batch=batch, loss=loss, lr=2**-7, steps=5
    )
    assert check.outcome == "pass", str(check)
