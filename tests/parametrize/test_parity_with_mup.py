"""Parity with Microsoft's mup package, and the cases in which this library has to differ.

The package is installed into a temporary folder, without its dependencies: the compared parts
import torch and yaml only.
"""

import importlib
import math

import pytest
import torch
from pip_package import installed
from torch import nn
from torch.nn import functional as F
from zoo import error_text

from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.rules import Role

pytestmark = pytest.mark.slow

BASE = 16
TINY = 1e-30  # an epsilon without effect: mup never scales it, which a test below shows


@pytest.fixture(scope="session")
def mup(tmp_path_factory):
    pytest.importorskip("yaml", reason="microsoft/mup reads its base shapes with yaml")
    with installed("mup==1.0.0", tmp_path_factory.mktemp("mup")):
        yield importlib.import_module("mup")


class Perceptron(nn.Module):
    def __init__(self, width: int, readout=nn.Linear) -> None:
        super().__init__()
        self.enter = nn.Linear(12, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width, bias=False)
        self.readout = readout(width, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.readout(torch.relu(self.down(torch.relu(self.up(self.enter(x))))))

    @staticmethod
    def inputs() -> torch.Tensor:
        return torch.randn(32, 12)


class Text(nn.Module):
    """Embeddings and norms; torch draws an embedding with a constant deviation."""

    def __init__(self, width: int, readout=nn.Linear) -> None:
        super().__init__()
        self.table = nn.Embedding(11, width)
        self.first, self.second = nn.LayerNorm(width), nn.RMSNorm(width)
        self.mix = nn.Linear(width, width)
        self.readout = readout(width, 7, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens)
        return self.readout(self.second(x + torch.relu(self.mix(self.first(x)))))

    @staticmethod
    def inputs() -> torch.Tensor:
        return torch.randint(11, (32,))


class Images(nn.Module):
    """Convolutions: plain, depthwise, grouped, strided."""

    def __init__(self, width: int, readout=nn.Linear) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.GroupNorm(4, width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.grouped = nn.Conv2d(width, width, 3, padding=1, groups=4)
        self.wider = nn.Conv2d(width, 2 * width, 3, stride=2, bias=False)
        self.readout = readout(2 * width, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.grouped(torch.relu(self.depthwise(self.norm(torch.relu(self.enter(x))))))
        return self.readout(torch.relu(self.wider(x)).mean((2, 3)))

    @staticmethod
    def inputs() -> torch.Tensor:
        return torch.randn(8, 3, 6, 6)


MODELS = (Perceptron, Text, Images)
OPTIMIZERS = {
    "sgd": ("MuSGD", torch.optim.SGD, {"momentum": 0.9}, 2**-4),
    "adam": ("MuAdam", torch.optim.Adam, {}, 2**-7),
    "adamw": ("MuAdamW", torch.optim.AdamW, {}, 2**-7),
}


def mup_model(mup, build, width: int) -> nn.Module:
    torch.manual_seed(3)
    model = build(width, mup.MuReadout)
    base, delta = build(BASE, mup.MuReadout), build(2 * BASE, mup.MuReadout)
    return mup.set_base_shapes(model, base, delta=delta)


def our_model(plan, build) -> nn.Module:
    torch.manual_seed(3)
    return apply(build(plan.target), plan)


def mup_optimizer(mup, model: nn.Module, name: str, decay: float) -> torch.optim.Optimizer:
    make, _, more, lr = OPTIMIZERS[name]
    more = more if name == "sgd" else {"eps": TINY}
    return getattr(mup, make)(model.parameters(), lr=lr, weight_decay=decay, **more)


def our_optimizer(plan, model: nn.Module, name: str, decay: float) -> torch.optim.Optimizer:
    _, make, more, lr = OPTIMIZERS[name]
    eps = None if name == "sgd" else TINY
    return make(param_groups(model, plan, lr=lr, weight_decay=decay, eps=eps), **more)


def settings(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Return rate and decay of each parameter."""
    of = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    return {name: of[id(p)] for name, p in model.named_parameters()}


def training_losses(
    model: nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor
) -> list:
    labels, losses = torch.arange(len(inputs)) % 7, []
    for _ in range(8):
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def seeded_inputs(build) -> torch.Tensor:
    torch.manual_seed(0)
    return build.inputs()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("width", [16, 64, 80])
def test_rates_and_decays_equal_those_of_mup(mup, build, name, width) -> None:
    decay = 0.0 if name == "adam" else 0.125
    plan = make_plan(build, base=BASE, target=width, optimizer=name, form="table-8")
    model, other = our_model(plan, build), mup_model(mup, build, width)
    rates_and_decays = settings(model, our_optimizer(plan, model, name, decay))
    expected = settings(other, mup_optimizer(mup, other, name, decay))
    assert rates_and_decays == {n: pytest.approx(both, rel=1e-12) for n, both in expected.items()}


@pytest.mark.parametrize("build", MODELS)
def test_rates_equal_those_of_mup_where_an_axis_has_another_ratio(mup, build) -> None:
    """Adam's rate depends on the ratio of fan-in, SGD's on those of both axes."""

    class Wider(build):
        def __init__(self, width: int, readout=nn.Linear) -> None:
            super().__init__(width, readout)
            self.extra = nn.Linear(width, width + 16)

    for name in OPTIMIZERS:
        roles = {r"readout\.weight": Role.OUTPUT}
        plan = make_plan(Wider, base=BASE, target=64, optimizer=name, form="table-8", roles=roles)
        model, other = our_model(plan, Wider), mup_model(mup, Wider, 64)
        rates = settings(model, our_optimizer(plan, model, name, 0.0))["extra.weight"]
        expected = settings(other, mup_optimizer(mup, other, name, 0.0))["extra.weight"]
        assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("width", [16, 64, 256])
def test_weights_and_logits_equal_those_of_mup_bit_for_bit(mup, build, width) -> None:
    """Torch's own init, same seed; ratios 4 and 16 have roots that are powers of two."""
    plan = make_plan(build, base=BASE, target=width, form="table-8")
    model, other = our_model(plan, build), mup_model(mup, build, width)
    for (name, weight), expected in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(weight, expected), name
    assert torch.equal(model(seeded_inputs(build)), other(seeded_inputs(build)))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("build", MODELS)
def test_training_losses_equal_those_of_mup_bit_for_bit(mup, build, name) -> None:
    """With decay, except for torch's Adam, and also in the form of Table 3, which mup lacks."""
    decay = 0.0 if name == "adam" else 0.125
    other = mup_model(mup, build, 64)
    expected = training_losses(other, mup_optimizer(mup, other, name, decay), seeded_inputs(build))

    def losses(parametrization: str, form: str) -> list:
        plan = make_plan(
            build, base=BASE, target=64, optimizer=name, form=form, parametrization=parametrization
        )
        model = our_model(plan, build)
        return training_losses(model, our_optimizer(plan, model, name, decay), seeded_inputs(build))

    assert losses("mup", "table-8") == expected
    assert losses("mup", "table-3") == expected
    assert losses("sp", "table-3") != expected  # the control


INITS = {
    "normal_": {"std": 0.02},
    "uniform_": {"a": -0.1, "b": 0.1},
    "kaiming_normal_": {},
    "kaiming_uniform_": {"a": math.sqrt(5)},
}


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("width", [16, 64, 256])
def test_mups_init_functions_equal_torchs_with_a_plan_applied(mup, init, width) -> None:
    """A user of mup calls mup.init.normal_, ours calls torch's and applies a plan."""
    names = ("enter.weight", "up.weight", "down.weight", "readout.weight")

    def fill(model: nn.Module, functions) -> nn.Module:
        torch.manual_seed(5)
        for name in names:
            getattr(functions, init)(model.get_parameter(name), **INITS[init])
        return model

    def build(width: int) -> nn.Module:
        model = Perceptron(width)
        for name in names:
            getattr(nn.init, init)(model.get_parameter(name), **INITS[init])
        return model

    plan = make_plan(build, base=BASE, target=width, form="table-8")
    model = apply(fill(Perceptron(width), nn.init), plan)
    other = fill(mup_model(mup, Perceptron, width), mup.init)
    for name in names:
        weight, expected = model.get_parameter(name), other.get_parameter(name)
        assert torch.allclose(weight, expected, rtol=1e-6, atol=0), name


class Stacked(nn.Module):
    """Experts in one tensor (expert, in, out), as a grouped matrix product takes them."""

    def __init__(self, width: int, readout=nn.Linear) -> None:
        super().__init__()
        self.enter = nn.Linear(3, width)
        self.experts = nn.Parameter(torch.randn(4, width, width * width // 16) * width**-0.5)
        self.readout = readout(width * width // 16, 7)


class Listed(Stacked):
    """The same experts, each a layer of its own."""

    def __init__(self, width: int, readout=nn.Linear) -> None:
        super().__init__(width, readout)
        del self.experts
        self.experts = nn.ModuleList(nn.Linear(width, width * width // 16) for _ in range(4))


def mup_rate(mup, build, name: str, width: int = 64) -> float:
    """Return Adam's rate of a parameter in mup over that of the base."""
    model = mup_model(mup, build, width)
    return settings(model, mup_optimizer(mup, model, "adam", 0.0))[name][0] / 2**-7


def our_plan(build, width: int = 64, **more):
    return make_plan(build, base=BASE, target=width, optimizer="adam", **more)


def test_we_differ_on_experts_because_the_last_side_is_not_fan_in(mup) -> None:
    """Stored as (expert, in, out), the last side is fan-out, which grows 16 times, and fan-in 4.

    If each expert is a layer, both libraries have the factor 1/4.
    """
    assert mup_rate(mup, Stacked, "experts") == 1 / 16
    assert mup_rate(mup, Listed, "experts.0.weight") == 1 / 4
    assert our_plan(Listed)["experts.0.weight"].lr_factor == 1 / 4


class Upwards(nn.Module):
    """A transposed convolution is stored as (in, out, kernel)."""

    def __init__(self, width: int, readout=nn.Linear) -> None:
        super().__init__()
        self.enter = nn.Conv1d(3, width, 1)
        self.up = nn.ConvTranspose1d(width, width * width // 16, 2)
        nn.init.normal_(self.up.weight, std=width**-0.5)
        self.readout = readout(width * width // 16, 7)


def test_we_differ_on_transposed_convolutions_because_their_sides_are_swapped(mup) -> None:
    assert mup_rate(mup, Upwards, "up.weight") == 1 / 16
    assert our_plan(Upwards)["up.weight"].lr_factor == 1 / 4


class Tied(nn.Module):
    """A language model whose readout is its embedding's table."""

    def __init__(self, width: int, readout=nn.Linear, shared=None) -> None:
        super().__init__()
        self.table = nn.Embedding(11, width)
        self.mix = nn.Linear(width, width)
        if shared is None:
            self.readout = readout(width, 11, bias=False)
            self.readout.weight = self.table.weight
        else:
            self.readout = shared(self.table.weight, bias=False)


def test_we_differ_on_tied_tables_because_an_embedding_keeps_its_init(mup) -> None:
    """In mup, creating the shared readout multiplies the table by the root of the width ratio."""
    width = 64
    torch.manual_seed(3)
    fresh = Tied(width).table.weight.detach().clone()
    torch.manual_seed(3)
    other = Tied(width, shared=mup.MuSharedReadout)
    base, delta = (Tied(w, shared=mup.MuSharedReadout) for w in (BASE, 2 * BASE))
    mup.set_base_shapes(other, base, delta=delta)
    assert torch.equal(other.table.weight, 2 * fresh)
    for name in OPTIMIZERS:  # the rates are the same
        plan = make_plan(Tied, base=BASE, target=width, optimizer=name)
        model = our_model(plan, Tied)
        rates = settings(model, our_optimizer(plan, model, name, 0.0))
        assert rates == settings(other, mup_optimizer(mup, other, name, 0.0))
    assert torch.equal(model.table.weight, fresh)
    x = torch.randn(3, width)
    assert torch.equal(model.readout(x), F.linear(x / 4, fresh))  # the multiplier is the same
    assert torch.equal(other.readout(x), F.linear(x / 4, 2 * fresh))


def sizes(model: nn.Module) -> tuple[dict[str, float], dict[str, float]]:
    """Return the RMS of each matrix and of its first gradient."""
    inputs = torch.randn(256, 12, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(model(inputs), torch.arange(256) % 7).backward()
    matrices = [(n, p) for n, p in model.named_parameters() if p.dim() == 2]
    return (
        {n: float(p.detach().square().mean().sqrt()) for n, p in matrices},
        {n: float(p.grad.square().mean().sqrt()) for n, p in matrices},
    )


def test_we_differ_on_epsilon_because_gradients_shrink_as_the_width_grows(mup) -> None:
    """In Table 8 all gradients shrink as 1/m, so a constant epsilon grows m times relative to them.

    The ratio of epsilon to the gradient's size must be the same at base and target.
    """
    width, m = 1024, 16
    plan = make_plan(Perceptron, base=64, target=width, optimizer="adam", form="table-8")
    base = make_plan(Perceptron, base=64, target=64, optimizer="adam", form="table-8")
    small, large = sizes(our_model(base, Perceptron))[1], sizes(our_model(plan, Perceptron))[1]
    other = mup_model(mup, Perceptron, width)
    assert {g["eps"] for g in mup.MuAdam(other.parameters(), lr=1.0).param_groups} == {1e-8}
    for name in small:
        shrink = small[name] / large[name]
        assert plan[name].eps_factor * shrink == pytest.approx(1, rel=0.35), name
        assert shrink == pytest.approx(m, rel=0.35), name  # as a constant epsilon


def test_we_differ_on_l2_decay_under_adam_because_it_is_a_term_of_the_gradient(mup) -> None:
    """Adam normalises gradient + decay · weight, so the share decay · |w| / |g| must be constant.

    Mup multiplies a hidden decay by m, as for AdamW: the share grows as m^3/2, elsewhere as m.
    """
    width, m = 1024, 16
    plan = make_plan(Perceptron, base=64, target=width, optimizer="adam", form="table-8")
    base = make_plan(Perceptron, base=64, target=64, optimizer="adam", form="table-8")
    (weight, gradient), (weight_, gradient_) = (
        sizes(our_model(p, Perceptron)) for p in (base, plan)
    )
    torch.manual_seed(3)
    other = mup.set_base_shapes(
        Perceptron(width, mup.MuReadout),
        Perceptron(64, mup.MuReadout),
        delta=Perceptron(128, mup.MuReadout),
    )
    decays = settings(other, mup.MuAdam(other.parameters(), lr=1.0, weight_decay=1.0))
    expected = {"enter": m, "up": m**1.5, "down": m**1.5, "readout": m}
    for layer, power in expected.items():
        name = f"{layer}.weight"
        share = weight_[name] / gradient_[name] / (weight[name] / gradient[name])
        assert plan[name].decay_factor * share == pytest.approx(1, rel=0.35), name
        assert decays[name][1] * share == pytest.approx(power, rel=0.35), name


def test_we_differ_on_xavier_with_one_fixed_side_because_it_is_not_a_power_of_width(mup) -> None:
    """Mup keeps the base's deviation there; this library raises an error."""

    def build(width: int, readout=nn.Linear) -> nn.Module:
        model = nn.Sequential(nn.Linear(24, width), nn.ReLU(), readout(width, 7))
        nn.init.xavier_normal_(model[0].weight)
        return model

    other = mup_model(mup, build, 256)
    mup.init.xavier_normal_(other[0].weight)
    assert other[0].weight.std().item() == pytest.approx(math.sqrt(2 / (24 + BASE)), rel=0.05)
    # Between 16 and 32 the exponent is log2(40 / 56) / 2 = -0.243.
    assert "'0.weight' ∝ ratio^-0.2" in error_text(lambda: our_plan(build))
