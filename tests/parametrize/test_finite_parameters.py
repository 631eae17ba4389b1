"""A fresh parameter that holds NaN or inf is an error that names it, wherever the model goes."""

import math

import pytest
import torch
from torch import nn
from zoo import error_text

import mutransfer as mt
from mutransfer.parametrize import apply, make_plan
from mutransfer.rules import Role

BASE, TARGET = 16, 64
X = torch.randn(4, 5)


class Net(nn.Module):
    """A hidden layer with one parameter of each kind that layers do not own."""

    def __init__(self, width, **values):
        super().__init__()
        self.enter, self.hidden, self.head = nn.Linear(5, width), nn.Linear(width, width), None
        self.shift = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(()))
        self.head = nn.Linear(width, 3)
        with torch.no_grad():
            for name, value in values.items():
                self.get_parameter(name.replace("__", ".")).view(-1)[:1] = value

    def forward(self, x):
        return self.head(self.scale * torch.relu(self.hidden(self.enter(x)) + self.shift))


ROLES = {"shift": Role.VECTOR}
PLACES = {
    "hidden__weight": ("'hidden.weight' (1 {} of 256 entries)", math.inf),
    "shift": ("'shift' (1 {} of 16 entries)", math.nan),
    "scale": ("'scale' (1 {} of 1 entries)", math.nan),
    "enter__bias": ("'enter.bias' (1 {} of 16 entries)", -math.inf),
    "head__bias": ("'head.bias' (1 {} of 3 entries)", math.nan),
}


@pytest.mark.parametrize("parametrization", ["mup", "none"])
@pytest.mark.parametrize("options", [{"roles": ROLES}, {"example_inputs": X}])
@pytest.mark.parametrize("place", PLACES)
def test_a_plan_names_the_parameter(place, options, parametrization) -> None:
    text, value = PLACES[place]
    plan = {"base": BASE, "target": TARGET, "parametrization": parametrization, **options}
    make_plan(Net, **plan)  # control: the same model without that entry
    message = error_text(lambda: make_plan(lambda w: Net(w, **{place: value}), **plan))
    assert message.splitlines()[0] == (
        "InitError: fresh parameters of build(16) are not finite: "
        + text.format("NaN" if math.isnan(value) else "inf")
    )


def test_all_parameters_that_were_never_initialised_are_named() -> None:
    """Under deterministic algorithms torch.empty is filled with NaN."""

    def build(width):
        model = Net(width)
        model.shift, model.scale = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(()))
        return model

    torch.use_deterministic_algorithms(True)
    try:
        message = error_text(lambda: make_plan(build, base=BASE, target=TARGET, roles=ROLES))
    finally:
        torch.use_deterministic_algorithms(False)
    assert message == (
        "InitError: fresh parameters of build(16) are not finite: 'shift' (16 NaN of 16 entries), "
        "'scale' (1 NaN of 1 entries)\n"
        "  why: NaN and inf stay as they are whatever factor they get, and so the first loss is "
        "NaN\n"
        "  fix: initialise every parameter inside build, because torch.empty does not: "
        "nn.init.zeros_(model.get_parameter('shift')), or nn.init.normal_(...)"
    )


@pytest.mark.parametrize("parametrization", ["mup", "none"])
def test_apply_names_a_parameter_that_is_finite_at_the_base_only(parametrization) -> None:
    plan = make_plan(Net, base=BASE, target=TARGET, roles=ROLES, parametrization=parametrization)
    broken = Net(TARGET, head__weight=math.nan)
    message = error_text(lambda: apply(broken, plan))
    assert message.splitlines()[0] == (
        "InitError: fresh parameters of the model of width 64 are not finite: 'head.weight' "
        "(1 NaN of 192 entries)"
    )
    apply(broken, plan, init=False)  # a checkpoint may be loaded afterwards


def test_an_own_implementation_is_checked_before_its_loss_is_nan() -> None:
    def build(width):
        return Net(width, **({"scale": math.nan} if width == 64 else {}))

    def check():
        mt.coord_check(
            build, base=16, widths=[16, 32, 64], batch=X, loss=lambda m, x: m(x).square().mean(),
            parametrization=None, roles=ROLES, steps=3, optimizer="sgd", lr=0.01,
        )  # fmt: skip

    assert error_text(check).splitlines()[0] == (
        "InitError: fresh parameters of build(64) are not finite: 'scale' (1 NaN of 1 entries)"
    )


def test_a_frozen_mask_of_inf_is_no_fault() -> None:
    """Attention masks are kept as parameters without gradients; no factor changes them."""

    def build(width):
        model = Net(width)
        mask = torch.full((7, 7), -math.inf).triu(1)
        model.mask = nn.Parameter(mask, requires_grad=False)
        return model

    plan = make_plan(build, base=BASE, target=TARGET, roles=ROLES)
    assert torch.equal(apply(build(TARGET), plan).mask, build(TARGET).mask)
    plan = mt.Plan.from_json(plan.to_json())
    assert plan["mask"].fresh_rms is None
