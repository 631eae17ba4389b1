"""Measured exponents of weights, gradients and updates in width, against those of the rules.

`test_plans.py` has the gradients and update responses of an MLP in SP and µP.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from zoo import mlp

from mutransfer.lab.decoder import Decoder
from mutransfer.lab.decoder_config import DecoderConfig
from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.rules import Plan

WIDTHS = (64, 128, 256, 512)


class Channels(nn.Module):
    """Plain, depthwise, grouped and transposed convolutions before a readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.grouped = nn.Conv2d(width, width, 1, groups=4)
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.head = nn.Linear(width, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.enter, self.depthwise, self.grouped, self.up):
            x = torch.relu(layer(x))
        return self.head(x.mean((2, 3)))


def decoder(width: int) -> nn.Module:
    return Decoder(DecoderConfig(width=width, depth=2, context=16, vocabulary=48, biases=True))


def features() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(64, 12), torch.randint(7, (64,))


def images() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(16, 3, 4, 4), torch.randint(7, (16,))


def text() -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.randint(48, (8, 17))
    return rows[:, :-1], rows[:, 1:]


def loss_of(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]).flatten(0, -2), batch[1].flatten())


MODELS = {"mlp": (mlp, features), "conv": (Channels, images), "decoder": (decoder, text)}
Measure = Callable[[nn.Module, Plan, tuple], dict[str, float]]


def slopes(build, batch, measure: Measure, seeds: int = 4, **settings: str) -> dict[str, float]:
    """Fit, against width, the exponent of a statistic of each parameter, pooled over seeds."""
    square: dict[str, list[float]] = {}
    for k, width in enumerate(WIDTHS):
        plan = make_plan(build, base=WIDTHS[0], target=width, **settings)
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = apply(build(width), plan)
            for name, value in measure(model, plan, batch()).items():
                square.setdefault(name, [0.0] * len(WIDTHS))[k] += value**2
    return {name: fitted_exponent(values) / 2 for name, values in square.items() if min(values) > 0}


def fitted_exponent(values: list[float]) -> float:
    """Fit the exponent of values at `WIDTHS`."""
    x_W = torch.tensor(WIDTHS).double().log2()
    x_W = x_W - x_W.mean()
    return float((x_W * torch.tensor(values).double().log2()).sum() / x_W.square().sum())


def gradient(model: nn.Module, plan: Plan, batch: tuple) -> dict[str, float]:
    """Return the RMS of each gradient at init."""
    loss_of(model, batch).backward()
    return {n: float(p.grad.square().mean().sqrt()) for n, p in model.named_parameters()}


def norm(weight: torch.Tensor) -> float:
    """Return the largest singular value of a matrix."""
    w = weight.detach().double()
    gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    return float(torch.linalg.eigvalsh(gram)[-1]) ** 0.5


def updates(lr: float, make: type[torch.optim.Optimizer], steps: int = 3) -> Measure:
    """Return a measure of the spectral norm of each matrix's change after a few steps."""

    def measure(model: nn.Module, plan: Plan, batch: tuple) -> dict[str, float]:
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.dim() == 2}
        optimizer = make(param_groups(model, plan, lr=lr))
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
        return {n: norm(p - before[n]) for n, p in model.named_parameters() if n in before}

    return measure


def approximately(expected: dict[str, float], tolerance: float) -> dict[str, object]:
    """Return the exponents with a tolerance."""
    return {name: pytest.approx(value, abs=tolerance) for name, value in expected.items()}


def epsilons(build, **settings: str) -> dict[str, float]:
    """Fit the exponent of each parameter's epsilon factor against width."""
    plans = [make_plan(build, base=WIDTHS[0], target=width, **settings) for width in WIDTHS]
    names = [row.name for row in plans[0].rows]
    return {name: fitted_exponent([plan[name].eps_factor for plan in plans]) for name in names}


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("table", ["mup", "umup", "mfp", "ntk", "sp-full-align"])
def test_gradients_shrink_as_each_tables_epsilon_does(table, form) -> None:
    """Adam's epsilon has no effect if it scales as the gradient, also for biases that grow.

    Widths 64 to 512; the largest deviation measured was 0.09.
    """
    slopes_by_name = slopes(mlp, features, gradient, parametrization=table, form=form)
    assert slopes_by_name == approximately(epsilons(mlp, parametrization=table, form=form), 0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "decoder"])
def test_gradients_of_other_models_shrink_as_epsilon_does(name) -> None:
    """Largest deviations measured: 0.14 (conv, positive features on average), 0.08 (decoder)."""
    build, batch = MODELS[name]
    slopes_by_name = slopes(build, batch, gradient)
    assert slopes_by_name == approximately(epsilons(build), 0.2)
    control = slopes(build, batch, gradient, parametrization="sp")
    matrices = [n for n, exponent in epsilons(build).items() if exponent == -1]
    assert {n: control[n] for n in matrices} == approximately(dict.fromkeys(matrices, -0.5), 0.2)


# Std of a fresh weight, as an exponent of width: Tensor Programs V, Table 3.
STDS = {"0.weight": 0.0, "2.weight": -0.5, "4.weight": -1.0}


def test_norms_of_fresh_weights_equal_those_of_random_matrices() -> None:
    """‖W‖ = std (√fan_in + √fan_out); widths up to 512 are far from the limit √(fan_out/fan_in)."""
    slopes_by_name = slopes(mlp, features, lambda model, plan, batch: weight_norms(model))
    shapes = {width: {n: p.shape for n, p in mlp(width).named_parameters()} for width in WIDTHS}
    expected = {
        name: fitted_exponent(
            [w**power * sum(math.sqrt(side) for side in shapes[w][name]) for w in WIDTHS]
        )
        for name, power in STDS.items()
    }
    assert slopes_by_name == approximately(expected, 0.05)
    limits = {"0.weight": 0.5, "2.weight": 0.0, "4.weight": -0.5}
    assert slopes_by_name == approximately(limits, 0.16)


def weight_norms(model: nn.Module) -> dict[str, float]:
    """Return the spectral norm of each matrix."""
    return {n: norm(p) for n, p in model.named_parameters() if p.dim() == 2}


OPTIMIZERS = {"adam": (torch.optim.Adam, 2**-8), "sgd": (torch.optim.SGD, 2**-4)}


def limit(name: str) -> float:
    """Return the exponent of the spectral condition: ‖ΔW‖ ∝ √(fan_out/fan_in)."""
    entering, leaving = ("0.weight", "embedding.weight"), ("4.weight", "readout.weight")
    return 0.5 if name in entering else -0.5 if name in leaving else 0.0


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_of_an_mlp_have_the_norm_of_the_spectral_condition(optimizer) -> None:
    """In SP the RMS of a change is n^0 (Adam) or the gradient's (SGD); ‖ΔW‖ is √(in·out) larger."""
    make, lr = OPTIMIZERS[optimizer]
    slopes_by_name = slopes(mlp, features, updates(lr, make), seeds=8, optimizer=optimizer)
    assert slopes_by_name == approximately({name: limit(name) for name in STDS}, 0.2)
    control = slopes(
        mlp, features, updates(lr, make), seeds=8, optimizer=optimizer, parametrization="sp"
    )
    expected = {"adam": (0.5, 1.0, 0.5), "sgd": (0.0, 0.5, 0.5)}[optimizer]
    assert control == approximately(dict(zip(STDS, expected, strict=True)), 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_of_a_decoder_have_the_norm_of_the_spectral_condition(optimizer) -> None:
    """Logits vanish at init, so the updates of queries and keys are smaller."""
    make, lr = OPTIMIZERS[optimizer]
    slopes_by_name = slopes(decoder, text, updates(lr, make), optimizer=optimizer)
    slow = {n: v for n, v in slopes_by_name.items() if n.endswith(("query.weight", "key.weight"))}
    rest = {n: v for n, v in slopes_by_name.items() if n not in slow}
    assert rest == approximately({name: limit(name) for name in rest}, 0.2)
    assert slow == approximately(dict.fromkeys(slow, -0.2), 0.25)
    control = slopes(decoder, text, updates(lr, make), optimizer=optimizer, parametrization="sp")
    assert (
        min(control[name] - slopes_by_name[name] for name in slopes_by_name if limit(name) < 0.5)
        > 0.35
    )
