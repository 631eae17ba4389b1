"""The abc-symmetry on real training runs: exact, with controls that must fail."""

from fractions import Fraction

import pytest
import torch
from lion_pytorch import Lion
from torch import nn
from torch.nn import functional as F

from mutransfer.rules import shift
from mutransfer.rules.decay import constant_product
from mutransfer.rules.optimizers import OPTIMIZERS
from mutransfer.rules.power import FAN_IN, ONE, Ratios
from mutransfer.rules.tables import Rates, Rule

PLAIN = Rule(ONE, ONE, Rates(ONE, ONE, ONE, ONE), ONE)
TWICE = Ratios(fan_in=Fraction(2))
CASES = {
    "sgd": ("sgd", lambda g: torch.optim.SGD(g), 2**-5),
    "momentum": ("sgd", lambda g: torch.optim.SGD(g, momentum=0.9), 2**-6),
    "adam with L2": ("adam", lambda g: torch.optim.Adam(g), 2**-6),
    "adamw": ("adamw", lambda g: torch.optim.AdamW(g), 2**-6),
    "lion": ("lion", lambda g: Lion(g), 2**-8),
}


def train(case: str, octaves: tuple[int, int, int], *, scale_lr: bool = True) -> list[float]:
    """Train a three-layer network 50 steps, its layers shifted by θ = 2^octaves each."""
    name, make, lr = CASES[case]
    torch.manual_seed(0)
    weights_L = [nn.Parameter(torch.randn(o, i) / i**0.5) for i, o in ((8, 32), (32, 32), (32, 5))]
    x_BD, y_B = torch.randn(64, 8), torch.randint(5, (64,))
    groups, multipliers = [], []
    for weight, k in zip(weights_L, octaves, strict=True):
        rule = shift(PLAIN, FAN_IN**k)  # evaluated at ratio 2: θ = 2^k
        multipliers.append(rule.multiplier.at(TWICE))
        with torch.no_grad():
            weight.mul_(rule.init_std.at(TWICE))
        rate = rule.lr(OPTIMIZERS[name].update).at(TWICE) if scale_lr else 1.0
        decay = constant_product(rule, OPTIMIZERS[name]).at(TWICE)
        group = {"params": [weight], "lr": lr * rate, "weight_decay": 0.1 * decay}
        if OPTIMIZERS[name].eps is not None:
            group["eps"] = 1e-4 * rule.eps.at(TWICE)
        groups.append(group)
    optimizer, losses = make(groups), []
    for _ in range(50):
        h = x_BD
        for k, (weight, multiplier) in enumerate(zip(weights_L, multipliers, strict=True)):
            h = multiplier * F.linear(torch.relu(h) if k else h, weight)
        loss = F.cross_entropy(h, y_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("octaves", [(1, 1, 1), (-2, 0, 5), (3, -4, 2)])
def test_a_shifted_network_trains_bit_for_bit_the_same(case, octaves) -> None:
    """Powers of two only move exponents in fp32, so equality is exact, not approximate."""
    plain = train(case, (0, 0, 0))
    assert plain[-1] < plain[0]
    assert train(case, octaves) == plain


@pytest.mark.parametrize("case", CASES)
def test_forgetting_the_rate_is_caught(case) -> None:
    """Negative control: the check above must fail when a part of the shift is missing."""
    assert train(case, (1, 1, 1), scale_lr=False) != train(case, (0, 0, 0))
