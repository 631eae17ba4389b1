"""Any init of the author scales by the rule after `apply`, or is an error."""

import math

import pytest
import torch
from torch import nn
from zoo import error_text, mlp

from mutransfer.parametrize import apply, make_plan
from mutransfer.rules import Role

BASE, TARGET, SIDE, DEPTH = 32, 256, 24, 12
MATRICES = ("enter.weight", "hidden.weight", "router.weight", "head.weight")
ROLES = {r"router\.weight": Role.BOTTLENECK, r"head\.weight": Role.OUTPUT}
# Tensor Programs V, Table 3: how µP's init scales with width; a bottleneck's as a hidden weight's.
RULE = {
    "enter.weight": 0.0,
    "hidden.weight": -0.5,
    "router.weight": -0.5,
    "head.weight": -1.0,
    "hidden.bias": 0.0,
    "norm.weight": 0.0,
}


class Net(nn.Module):
    """One matrix of each role, a gain, biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(SIDE, width)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, width)
        self.router = nn.Linear(width, SIDE, bias=False)
        self.head = nn.Linear(width, SIDE)


def kaiming(mode):
    return lambda weight: nn.init.kaiming_normal_(weight, mode=mode)


def residual(weight):
    """As in GPT-2: fan-in init over the root of twice the number of blocks."""
    return nn.init.normal_(weight, std=(2 * DEPTH * weight.shape[1]) ** -0.5)


INITS = {
    "constant": lambda weight: nn.init.constant_(weight, 0.3),
    "normal": lambda weight: nn.init.normal_(weight, std=0.02),
    "normal with a mean": lambda weight: nn.init.normal_(weight, mean=0.5, std=0.1),
    "uniform": lambda weight: nn.init.uniform_(weight, -0.1, 0.1),
    "uniform about 1/2": nn.init.uniform_,
    "truncated": lambda weight: nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04),
    "kaiming fan_in": kaiming("fan_in"),
    "kaiming fan_out": kaiming("fan_out"),
    "kaiming uniform": nn.init.kaiming_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "1/sqrt(2L)": residual,
    "0.02/sqrt(2L)": lambda weight: nn.init.normal_(weight, std=0.02 / math.sqrt(2 * DEPTH)),
    "mean field": lambda weight: nn.init.normal_(weight, std=1 / weight.shape[1]),
}


def initialised(init, names=MATRICES):
    def build(width: int) -> nn.Module:
        model = Net(width)
        for name in names:
            init(model.get_parameter(name))
        return model

    return build


def rms_by_name(build, width: int, plan=None) -> dict[str, float]:
    """Return the RMS of each parameter, pooled over 8 fresh models."""
    square: dict[str, float] = {}
    for seed in range(8):
        torch.manual_seed(seed)
        model = build(width) if plan is None else apply(build(width), plan)
        for name, parameter in model.named_parameters():
            square[name] = square.get(name, 0.0) + float(parameter.detach().square().mean()) / 8
    return {name: math.sqrt(value) for name, value in square.items()}


@pytest.mark.parametrize("name", INITS)
def test_every_init_scales_as_the_rule_says(name) -> None:
    """Measured weights against the base's own and the paper's exponent.

    At 8 times the width the next half step is a factor 2.8 away.
    """
    build = initialised(INITS[name])
    plan = make_plan(build, base=BASE, target=TARGET, roles=ROLES)
    base, target = rms_by_name(build, BASE), rms_by_name(build, TARGET, plan)
    growth = {n: target[n] / base[n] for n in RULE}
    assert growth == pytest.approx({n: 8.0**power for n, power in RULE.items()}, rel=0.1)


@pytest.mark.parametrize("form", ["table-3", "table-8"])
def test_zeros_stay_zeros_without_an_error(form) -> None:
    build = initialised(nn.init.zeros_)
    plan = make_plan(build, base=BASE, target=TARGET, roles=ROLES, form=form)
    assert {plan[name].init_factor for name in MATRICES} == {1.0}
    assert not apply(build(TARGET), plan).head.weight.any()


def test_xavier_is_a_power_between_two_growing_sides_only() -> None:
    """With one fixed side of 24: sqrt((24 + 32) / (24 + 64)) is ratio^-0.326, which no rule has."""
    hidden_only = initialised(nn.init.xavier_normal_, names=("hidden.weight",))
    plan = make_plan(hidden_only, base=BASE, target=TARGET, roles=ROLES)
    assert plan["hidden.weight"].init_factor == 1.0
    message = error_text(
        lambda: make_plan(
            initialised(nn.init.xavier_normal_), base=BASE, target=TARGET, roles=ROLES
        )
    )
    what, why, fix = message.split("\n")
    assert what.startswith(
        "InitError: the init between widths 32 and 64 is not clearly a power 0, 1/2, 1 ... "
        "of width: 'enter.weight' ∝ ratio^-0."
    )
    exponent = float(what.split("'enter.weight' ∝ ratio^")[1].split(" ± ")[0])
    assert exponent == pytest.approx(math.log2(56 / 88) / 2, abs=0.05)
    assert "hidden.weight" not in what
    assert why == (
        "  why: the plan corrects your init, so it must know how your init scales with width"
    )
    assert fix == (
        "  fix: initialise with std = c or c / fan_in**0.5; if the ± is large, compare widths "
        "further apart: make_plan(..., probe=256)"
    )
    for init in (INITS["normal"], INITS["kaiming fan_in"]):  # what the fix suggests
        make_plan(initialised(init), base=BASE, target=TARGET, roles=ROLES)


def test_an_identity_matrix_stays_one_and_needs_a_wider_probe() -> None:
    """A share 1/width of its entries is 1, so its RMS is width^-1/2, as µP requires."""
    build = initialised(nn.init.eye_, names=("hidden.weight",))
    message = error_text(lambda: make_plan(build, base=BASE, target=TARGET, roles=ROLES))
    assert "'hidden.weight' ∝ ratio^-0.500 ± 0.1" in message
    assert message.endswith("make_plan(..., probe=256)")
    plan = make_plan(build, base=BASE, target=TARGET, roles=ROLES, probe=256)
    assert torch.equal(apply(build(TARGET), plan).hidden.weight, torch.eye(TARGET))


def headed(entries: int, init=None):
    def build(width: int) -> nn.Module:
        model = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, entries))
        if init is not None:
            init(model[2].bias)
        return model

    return build


@pytest.mark.parametrize("entries", [1, 2, 3])
def test_a_readouts_bias_of_few_entries_is_measured(entries) -> None:
    """Torch draws it with std 1/sqrt(fan_in), which µP keeps constant: a factor 4 is missing."""
    plan = make_plan(headed(entries), base=256, target=4096)
    assert plan["2.bias"].init_factor == 4.0
    redrawn = headed(entries, lambda bias: nn.init.normal_(bias, std=0.02))
    assert make_plan(redrawn, base=256, target=4096)["2.bias"].init_factor == 1.0


def test_one_draw_of_few_entries_does_not_determine_an_exponent() -> None:
    """Negative control: a factory that sets its own seed draws the same three numbers each time."""

    def build(width: int) -> nn.Module:
        torch.manual_seed(width)
        return headed(3)(width)

    assert "'2.bias' ∝ ratio^" in error_text(lambda: make_plan(build, base=256, target=4096))


def test_a_rescaled_weight_has_the_authors_distribution() -> None:
    """Shapes survive: a truncated weight is still cut at two of its own standard deviations."""
    build = initialised(INITS["truncated"])
    plan = make_plan(build, base=BASE, target=TARGET, roles=ROLES)
    weight = apply(build(TARGET), plan).hidden.weight.detach()
    assert float(weight.abs().max()) <= 0.04 * 8**-0.5 * (1 + 1e-6)
    assert float(weight.std()) == pytest.approx(0.88 * 0.02 * 8**-0.5, rel=0.02)


def test_an_init_that_is_left_alone_does_not_scale_by_the_rule() -> None:
    """Negative control: torch's own readout init is not µP's."""
    plan = make_plan(mlp, base=BASE, target=TARGET, parametrization="none")
    base, target = rms_by_name(mlp, BASE), rms_by_name(mlp, TARGET, plan)
    assert target["4.weight"] / base["4.weight"] == pytest.approx(8**-0.5, rel=0.1)
