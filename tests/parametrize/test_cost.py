"""Planning is cheap: what a large model is built for, and how often."""

import pytest
import torch
from torch import nn

from mutransfer.parametrize import make_plan
from mutransfer.parametrize.model import init as own_init


@pytest.fixture
def build(monkeypatch):
    """Give a factory that notes its builds; a model this small is taken for an expensive one."""
    monkeypatch.setattr(own_init, "CHEAP_ENTRIES", 0)

    def build(width: int, bias: bool = False) -> nn.Module:
        table = nn.Embedding(64, width)
        build.real += [] if table.weight.is_meta else [width]
        layers = [nn.Linear(width, width, bias=bias), nn.RMSNorm(width)]
        return nn.Sequential(table, *layers, nn.Linear(width, 5, bias=bias))

    build.real = []
    return build


def test_an_expensive_model_without_small_tensors_is_built_once_at_each_width(build) -> None:
    """Its tensors' own entries tell their RMS: torch's init of a matrix is fan_in**-1/2."""
    plan = make_plan(build, base=128, target=512)
    assert build.real == [128, 256]
    assert [row.init_exponent for row in plan.rows] == [0, -0.5, 0, -0.5]
    assert [row.init_factor for row in plan.rows] == [1, 1, 1, 0.5]


def test_a_few_entries_are_drawn_again_until_they_tell(build) -> None:
    """Control: five biases of a readout do not tell by one draw how they scale."""
    plan = make_plan(lambda width: build(width, bias=True), base=128, target=512)
    assert build.real.count(128) >= own_init.MIN_BUILDS
    assert plan["3.bias"].init_exponent == -0.5


def test_a_single_entry_has_no_spread_and_is_not_believed_for_it() -> None:
    """Its error from one draw is 0, as that of a constant gain is, which is believed."""
    one, gain = own_init.Moments(1), own_init.Moments(64)
    one.add(torch.randn(1))
    gain.add(torch.full((64,), 0.3))
    assert (one.error(1), one.has_reliable_error) == (0.0, False)
    assert gain.has_reliable_error


@pytest.mark.parametrize("fill", [nn.init.normal_, nn.init.kaiming_uniform_, torch.Tensor.normal_])
def test_nothing_is_drawn_on_the_meta_device(fill, monkeypatch) -> None:
    """A random fill of a meta tensor takes torch a millisecond, times 10,000 tensors."""
    from mutransfer.parametrize.model.build import build_model

    def build(width: int) -> nn.Module:
        layer = nn.Linear(width, width)
        with torch.no_grad():
            fill(layer.weight)
        return layer

    state = torch.get_rng_state()
    with torch.profiler.profile() as profile:
        assert build_model(build, 64, meta=True).weight.is_meta
    assert not [e.key for e in profile.key_averages() if "normal" in e.key or "uniform" in e.key]
    assert torch.equal(state, torch.get_rng_state())
    assert build_model(build, 64).weight.std() > 0
