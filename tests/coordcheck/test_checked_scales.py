"""Learned scales that start at a power of width: correct networks pass, a wrong rate is named."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mutransfer.coordcheck import coord_check
from mutransfer.parametrize import apply, make_plan, param_groups

BASE, WIDTHS = 32, [32, 64, 128, 256]
TOKENS = torch.randint(17, (8, 9), generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """A residual network whose readout follows a norm, with an optional gain."""

    def __init__(self, width: int, make_gain) -> None:
        super().__init__()
        self.gain = make_gain(width)
        self.embed = nn.Embedding(17, width)
        self.up, self.down = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.head = nn.Linear(width, 17, bias=False)

    def forward(self, tokens):
        x = self.embed(tokens)
        x = x + self.down(torch.relu(self.up(x)))
        return self.head(x / x.norm(dim=-1, keepdim=True) * self.gain)


class Temperature(Network):
    def forward(self, tokens):
        x = self.embed(tokens)
        return self.head(x + self.down(torch.relu(self.up(x)))) * self.gain


class HeadTemperatures(Network):
    """One temperature for each of the heads, whose number grows."""

    def forward(self, tokens):
        x = self.embed(tokens)
        q, k, v = (
            f(x).unflatten(-1, (-1, 16)).transpose(1, 2)
            for f in (self.up, self.down, nn.Identity())
        )
        x = x + ((q @ k.mT * self.gain).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.head(x)


def learned(power: float, start: float):
    return lambda width: nn.Parameter(torch.tensor(start * (width / BASE) ** power))


NETWORKS = {
    "scale norm": partial(Network, make_gain=learned(0.5, BASE**0.5)),
    "gain per channel": partial(
        Network, make_gain=lambda width: nn.Parameter(torch.full((width,), width**0.5))
    ),
    "norm without a gain": partial(Network, make_gain=lambda width: width**0.5),
    "readout": partial(Temperature, make_gain=learned(-0.5, 1.0)),
    "heads": partial(
        HeadTemperatures, make_gain=lambda width: nn.Parameter(torch.ones(width // 16, 1, 1))
    ),
}


def loss(model, batch):
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def check(build, **options):
    options = {"lr": 2**-7, "steps": 5, "seeds": 3, "base": BASE, "widths": WIDTHS, **options}
    options = {"example_inputs": TOKENS[:, :-1], **options}
    return coord_check(build, batch=TOKENS, loss=loss, **options)


@pytest.mark.parametrize("name", [*NETWORKS])
def test_a_correct_network_passes(name):
    result = check(NETWORKS[name])
    assert result.passed, str(result)


def by_hand(build, factor: float) -> dict[str, object]:
    """Return an implementation of µP of one's own, whose scale has `factor` times its rate."""

    def plan_at(width: int):
        return make_plan(build, base=BASE, target=width, example_inputs=TOKENS)

    plans = {width: plan_at(width) for width in WIDTHS}

    def optimizer(model):
        width = model.embed.weight.shape[1]
        groups = param_groups(model, plans[width], lr=2**-7)
        for group in groups:
            if any(p is model.gain for p in group["params"]):
                group["lr"] *= (width / BASE) ** factor
        return torch.optim.AdamW([{**g, "lr": float(g["lr"])} for g in groups])

    return {
        "build": lambda width: apply(build(width), plans[width]),
        "parametrization": None,
        "optimizer": optimizer,
    }


@pytest.mark.parametrize("name", ["scale norm", "gain per channel", "readout"])
def test_an_own_implementation_passes_and_its_wrong_rate_is_named(name):
    """The negative control is the rate that forgets how the scale starts."""
    right, wrong = (check(**by_hand(NETWORKS[name], factor)) for factor in (0, -0.5))
    assert right.passed, str(right)
    assert wrong.outcome == "fail"
    assert any(f.name == "gain" and f.quantity == "step" for f in wrong.failures), str(wrong)


def gated(width: int) -> nn.Module:
    """A scale behind a nonlinearity, where no weight can make up for its start."""
    model = Network(width, learned(-0.5, 1.0))
    model.head.weight.data *= (width / BASE) ** -0.5
    model.body = lambda x: x + torch.relu(model.down(torch.relu(model.up(x)))) * model.gain
    model.forward = lambda tokens: model.head(model.body(model.embed(tokens)))
    return model


def gated_optimizer(model):
    ratio = model.embed.weight.shape[1] / BASE
    named = model.named_parameters()
    return torch.optim.AdamW(
        [
            {"params": [p], "lr": 2**-7 * (1 if n in ("gain", "embed.weight") else 1 / ratio)}
            for n, p in named
        ]
    )


def test_a_start_that_nothing_makes_up_for_is_named():
    """Its rate is right, and the inputs of the model are recorded where none are passed."""
    own = {"parametrization": None, "optimizer": gated_optimizer, "example_inputs": None}
    result = check(gated, **own)
    assert {f.quantity for f in result.failures if f.name == "gain"} == {"size"}, str(result)
    right = by_hand(NETWORKS["scale norm"], 0) | {"example_inputs": None}
    assert check(**right).passed
