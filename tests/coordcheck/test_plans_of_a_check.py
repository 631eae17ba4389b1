"""Plans that a check makes: where shapes leave roles open, the loss's own inputs are traced."""

import pytest
import torch
from check_models import BASE, cross_entropy, points
from torch import nn

import mutransfer as mt
from mutransfer.errors import ModelError, RoleError

OPTIONS = {
    "base": BASE, "widths": [16, 32, 64], "batch": points(), "loss": cross_entropy, "steps": 3,
    "seeds": [0, 1],
}  # fmt: skip


class Gained(nn.Module):
    """A raw gain, whose role shapes do not determine."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.a, self.b = nn.Linear(16, width), nn.Linear(width, 4)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)) * self.gain)


def test_a_plan_needs_no_example_inputs_inside_a_check() -> None:
    with pytest.raises(RoleError, match="the role of 'gain' is undetermined"):
        mt.make_plan(Gained, base=16, target=64)
    traced = mt.coord_check(Gained, **OPTIONS)
    assert {f.role for f in traced.findings if f.name == "gain"} == {"vector"}
    explicit = mt.coord_check(Gained, example_inputs=points()[0], **OPTIONS)
    assert traced.to_json() == explicit.to_json()


def test_a_role_that_no_forward_pass_determines_is_still_an_error() -> None:
    """The loss does not call the model, so there is nothing to trace."""

    def loss(model, batch):
        return (model.b.weight.sum() + model.gain.sum() + model.a.weight.sum()).square()

    with pytest.raises(RoleError, match="the role of 'gain' is undetermined"):
        mt.coord_check(Gained, **OPTIONS | {"loss": loss})


def test_the_probe_of_a_plan_is_passed_on() -> None:
    with pytest.raises(ModelError, match="probe and base are both 32"):
        mt.coord_check(Gained, probe=BASE, **OPTIONS)
