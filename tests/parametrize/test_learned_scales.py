"""Learned scales that start at a power of width: gains of ScaleNorm, temperatures, residual scales.

The oracle is a twin of equal function: a power of width as a constant, times a constant start.
"""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from lion_pytorch import Lion
from torch import nn
from torch.nn import functional as F

from mutransfer.errors import InitError, ModelError
from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.parametrize.model import init
from mutransfer.rules import Plan, Role, explain

BASE, TARGET = 16, 64  # powers of 4, so that their square roots are exact
TOKENS = torch.randint(11, (4, 6), generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """A residual network with one learned scale, `s`; `c` is the constant of the twin.

    A network sets the power of width, the shape of the scale and where it multiplies.
    """

    power, start, shape = 0.5, 1.0, ()

    def __init__(self, width: int, twin: bool = False) -> None:
        super().__init__()
        ratio, base = width / BASE, self.start * BASE**self.power
        self.twin, self.c = twin, ratio**self.power if twin else 1.0
        shape = tuple(size or width for size in self.shape)
        self.s = nn.Parameter(torch.full(shape, base * (1.0 if twin else ratio**self.power)))
        self.embed = nn.Embedding(11, width)
        self.up, self.down = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.head = nn.Linear(width, 11, bias=False)

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.c * self.s

    def branch(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(x)))

    def read(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        return self.read(x + self.branch(x))


class ScaleNorm(Network):
    def read(self, x):
        return self.head(self.scaled(x / x.norm(dim=-1, keepdim=True)))


class ScaleNormVector(ScaleNorm):
    shape = (0,)  # one entry per channel


class ScaleNormTokenShaped(ScaleNorm):
    shape = (1, 1, 0)


class ScaledSize(Network):
    """The gain over the norm, as in the code of arXiv:1910.05895."""

    def read(self, x):
        size = x.norm(dim=-1, keepdim=True).clamp(min=1e-5)
        return self.head(x * (self.c / size * self.s if self.twin else self.s / size))


class ScaledFirst(Network):
    def read(self, x):
        return self.head(self.s * (self.c * x) / x.norm(dim=-1, keepdim=True))


class ReadoutTemperature(Network):
    power, start = -0.5, 2.0

    def read(self, x):
        return self.scaled(self.head(x))


class Divisor(Network):
    def read(self, x):
        return self.head(x) / self.c / self.s


class ResidualScale(Network):
    power, shape = -0.5, (1,)

    def branch(self, x):
        return self.scaled(super().branch(x))


class Weight(Network):
    """The scale multiplies a weight."""

    power = -0.5

    def branch(self, x):
        return F.linear(torch.relu(self.up(x)), self.scaled(self.down.weight))


class Attention(Network):
    """Two heads that widen, and one temperature for each."""

    power, start, shape = -0.5, 2.0, (2, 1, 1)

    def branch(self, x):
        q, k = (f(x).unflatten(-1, (2, -1)).transpose(1, 2) for f in (self.up, self.down))
        weights = self.scaled(q @ k.mT).softmax(-1)
        return (weights @ x.unflatten(-1, (2, -1)).transpose(1, 2)).transpose(1, 2).flatten(2)


class OneTemperature(Attention):
    """One temperature, on the queries of a fused attention."""

    shape = ()

    def branch(self, x):
        q, k, v = (
            f(x).unflatten(-1, (2, -1)).transpose(1, 2) for f in (self.up, self.down, nn.Identity())
        )
        x = F.scaled_dot_product_attention(self.scaled(q), k, v, scale=1.0)
        return x.transpose(1, 2).flatten(2)


NETWORKS = [
    ScaleNorm,
    ScaleNormVector,
    ScaleNormTokenShaped,
    ScaledSize,
    ScaledFirst,
    ReadoutTemperature,
    Divisor,
    ResidualScale,
    Weight,
    Attention,
    OneTemperature,
]


def plan_of(build, optimizer: str = "adamw", **options) -> Plan:
    options = {"example_inputs": TOKENS, **options}
    return make_plan(build, base=BASE, target=TARGET, optimizer=optimizer, **options)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_plan_is_that_of_a_twin_with_a_constant(network):
    plan, twin = plan_of(network), plan_of(partial(network, twin=True))
    ratio, row = 4**network.power, plan["s"]
    factors = (row.init_factor, row.lr_factor, row.eps_factor, row.decay_factor)
    assert factors == (1, ratio, twin["s"].eps_factor / ratio, 1 / ratio)
    assert [replace(r, name="") for r in plan.rows if r.name != "s"] == [
        replace(r, name="") for r in twin.rows if r.name != "s"
    ]
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("network", [ScaledSize, ScaledFirst])
def test_a_norm_has_one_plan_however_it_is_written(network):
    """A multiplier in front of the division is behind the norm, and changes no other weight."""
    assert plan_of(network) == plan_of(ScaleNorm)


SIZES = {
    "clamp": lambda x: x.norm(dim=-1, keepdim=True).clamp(min=1e-5),
    "maximum": lambda x: torch.maximum(x.norm(dim=-1, keepdim=True), torch.tensor(1e-5)),
    "power": lambda x: (x.square().sum(-1, keepdim=True) + 1e-6) ** 0.5,
    "without NaN": lambda x: x.norm(dim=-1, keepdim=True).abs().nan_to_num(),
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_norm_is_recognized_however_its_size_is_kept_from_zero(size):
    class Guarded(Network):
        def read(self, x):
            return self.head(self.s * x / size(x))

    assert plan_of(Guarded) == plan_of(ScaleNorm)


OPTIMIZERS = {
    "adamw": (torch.optim.AdamW, {"eps": 2**-12}),
    "adam": (torch.optim.Adam, {"eps": 2**-12}),
    "sgd": (partial(torch.optim.SGD, momentum=0.5), {}),
    "lion": (Lion, {}),
    "adafactor": (torch.optim.Adafactor, {"eps": (2**-50, 2**-10)}),
}


def losses(build, optimizer: str, plan: Plan | None = None) -> list[float]:
    """Train in double precision under a plan; return the loss of every step."""
    torch.manual_seed(1)
    model, (make, settings) = build(TARGET), OPTIMIZERS[optimizer]
    plan = plan or plan_of(build, optimizer)
    apply(model, plan).double()
    groups = param_groups(model, plan, lr=2**-5, weight_decay=0.125, **settings)
    steps, values = make(groups), []
    for _ in range(8):
        loss = F.cross_entropy(model(TOKENS).flatten(0, 1), TOKENS.roll(1).flatten())
        steps.zero_grad()
        loss.backward()
        steps.step()
        values.append(loss.item())
    return values


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", [ScaleNorm, ScaleNormVector, ReadoutTemperature, Attention])
def test_it_trains_bit_for_bit_like_its_twin(network, optimizer):
    """All factors are powers of two, so equality is exact; each of them is needed."""
    assert losses(network, optimizer) == losses(partial(network, twin=True), optimizer)
    plan = plan_of(network, optimizer)
    settings = ["lr_factor", "decay_factor", *["eps_factor"] * (optimizer in ("adam", "adamw"))]
    for setting in settings:  # negative controls
        rows = [replace(r, **{setting: 1.0}) if r.name == "s" else r for r in plan.rows]
        if rows != list(plan.rows):
            broken = replace(plan, rows=tuple(rows))
            assert losses(network, optimizer, broken) != losses(network, optimizer)


@pytest.mark.parametrize("traced", [True, False])
def test_a_fresh_scale_is_accepted_and_a_trained_one_is_not(traced):
    plan = plan_of(Attention, example_inputs=TOKENS if traced else None)
    model = apply(Attention(TARGET), plan)
    assert model.s.flatten().tolist() == [2 * TARGET**-0.5] * 2
    trained = Attention(TARGET)
    trained.s.data *= 2
    with pytest.raises(InitError, match=r"not a fresh init of width 64: 's \(RMS 0.5, fresh 0.25"):
        apply(trained, plan)


@pytest.mark.parametrize(
    ("parametrization", "factor"), [("sp", 1), ("none", 1), ("mfp", 0.5), ("mup-ln", 0.5)]
)
@pytest.mark.parametrize("form", ["table-3", "table-8"])
def test_every_parametrization_and_form_keeps_the_start(parametrization, factor, form):
    options = {"parametrization": parametrization, "form": form}
    plan = make_plan(Attention, base=BASE, target=TARGET, example_inputs=TOKENS, **options)
    row = plan["s"]
    assert (row.init_factor, row.lr_factor, row.multiplier) == (1, factor, 1)
    apply(Attention(TARGET), plan)


class LogTemperature(Network):
    """The logarithm of a temperature, as in CLIP."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.s = nn.Parameter(torch.tensor(math.log(3 * width**-0.5)))

    def read(self, x):
        return self.head(x) * self.s.clamp(max=4.0).exp()


def test_a_logarithm_keeps_start_and_rate_and_its_exponential_counts_as_a_multiplier():
    plan, twin = plan_of(LogTemperature), plan_of(partial(ReadoutTemperature, twin=True))
    row = plan["s"]
    assert (row.init_factor, row.lr_factor, row.start_power) == (1, 1, None)
    assert plan["head.weight"] == twin["head.weight"]
    assert Plan.from_json(plan.to_json()) == plan
    apply(LogTemperature(TARGET), plan)


class Bias(Network):
    """Raw, and added to the logits."""

    power = -0.5

    def read(self, x):
        return self.head(x) + self.s


def test_a_bias_is_corrected_as_those_of_layers_are():
    row = plan_of(Bias)["s"]
    assert (row.init_factor, row.lr_factor, row.start_power) == (2, 1, 0)
    assert apply(Bias(TARGET), plan_of(Bias)).s.item() == BASE**-0.5


class ChannelScale(ResidualScale):
    """A vector that shrinks a branch: like the fill of a norm's gain, it is corrected."""

    shape = (0,)


def test_a_vector_that_undoes_no_norm_is_corrected():
    row = plan_of(ChannelScale)["s"]
    assert (row.init_factor, row.lr_factor) == (2, 1)


class Softplus(Network):
    power = -0.5

    def read(self, x):
        return self.head(x) * F.softplus(self.s)


class Harmonic(Network):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.s = nn.Parameter(torch.tensor(1 - 8 / width))

    read = ReadoutTemperature.read


class BehindNonlinearity(Network):
    power = -0.5

    def branch(self, x):
        return self.scaled(torch.relu(self.up(x)))


def test_a_start_that_no_rule_covers_is_refused_with_the_reason():
    with pytest.raises(InitError) as error:
        plan_of(Softplus)
    assert str(error.value) == (
        "'s' starts at an RMS of 0.25 at width 16 and of 0.1768 at width 32, and the forward pass "
        "applies 'softplus' to it\n"
        "  why: its rate follows from its start only if it starts at a power of width and "
        "multiplies directly, or if it is the logarithm of a scale\n"
        "  fix: start it at the same value at every width, and multiply by the power of width as a "
        "number: x * width**-0.5 * s"
    )
    with pytest.raises(InitError, match=r"which grows as ratio\^0.585, not as a power 1/2, 1 ..."):
        plan_of(Harmonic)
    with pytest.raises(InitError, match=r"of a scale, pass example_inputs=x, the inputs"):
        plan_of(LogTemperature, example_inputs=None)
    with pytest.raises(ModelError, match=r"by 0.0625, the start of 's', at width 256 and by 0.044"):
        make_plan(BehindNonlinearity, base=256, target=1024, example_inputs=TOKENS)


def test_a_scale_that_does_not_depend_on_width_is_no_special_case():
    """The factory is not even called once more."""

    def builds_of(network) -> int:
        calls = []
        plan_of(lambda width: calls.append(width) or network(width))
        return len(calls)

    class Constant(ReadoutTemperature):
        power = 0.0

    row = plan_of(Constant)["s"]
    assert (row.role, row.r_in, row.lr_factor, row.start_power) == (Role.FIXED, 1, 1, 0)
    assert builds_of(ReadoutTemperature) == builds_of(Constant) + 1


def test_the_plan_says_why():
    plan = plan_of(ScaleNorm)
    assert "fixed  a scale that starts at ratio^1/2: it keeps its start" in str(plan)
    text = explain(plan, "s")
    assert "init x    1: your own init starts there, fan_in^1/2 = 4^1/2 = 2, and stays" in text
    assert "lr x      2: fan_in^1/2 = 4^1/2 = 2 (entrywise update)" in text


@pytest.mark.parametrize("network", [ScaleNorm, partial(ReadoutTemperature, twin=True)])
def test_a_large_model_may_have_a_scalar(network, monkeypatch):
    """Such a model is built twice, and a scalar that stays the same was taken for a fixed seed."""
    plan = plan_of(network)
    monkeypatch.setattr(init, "CHEAP_ENTRIES", 1000)
    assert plan_of(network)["s"] == plan["s"]

    def seeded(width: int) -> nn.Module:
        torch.manual_seed(0)
        model = network(width)
        model.extra = nn.Linear(width, 1)  # one random number, the same in every build
        return model

    with pytest.raises(InitError, match=r"fix: remove torch.manual_seed from build"):
        plan_of(seeded, roles={"extra.weight": Role.OUTPUT})


class FixedLayer(Network):
    """A layer that does not grow, whose weight starts at a power of width or at a constant."""

    def __init__(self, width: int, power: float = 0.0) -> None:
        super().__init__(width)
        self.mix = nn.Linear(11, 11)
        nn.init.normal_(self.mix.weight, std=width**power)

    def read(self, x):
        return self.mix(self.head(x))


@pytest.mark.parametrize("power", [-0.5, 0.0, 0.5])
def test_the_init_of_a_layer_that_does_not_grow_is_corrected(power):
    """It was refused as not fresh. The rule of a fixed weight is the same init at every width."""
    plan = plan_of(partial(FixedLayer, power=power))
    assert (plan["mix.weight"].init_factor, plan["mix.weight"].lr_factor) == (4**-power, 1)
    assert plan["mix.bias"].init_factor == 1
    std = apply(FixedLayer(TARGET, power), plan).mix.weight.std().item()
    assert std == pytest.approx(BASE**power, rel=0.3)
