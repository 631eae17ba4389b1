"""Planning is cheap: how often a model is built, and that meta tensors are not filled."""

import pytest
import torch
from torch import nn

from mutransfer.parametrize import make_plan
from mutransfer.parametrize.model import init


@pytest.fixture
def build(monkeypatch):
    """Return a factory that records its builds; even a small model counts as expensive."""
    monkeypatch.setattr(init, "CHEAP_ENTRIES", 0)

    def build(width: int, bias: bool = False) -> nn.Module:
        table = nn.Embedding(64, width)
        build.real += [] if table.weight.is_meta else [width]
        layers = [nn.Linear(width, width, bias=bias), nn.RMSNorm(width)]
        return nn.Sequential(table, *layers, nn.Linear(width, 5, bias=bias))

    build.real = []
    return build


def test_an_expensive_model_without_small_tensors_is_built_once_at_each_width(build) -> None:
    """Many entries determine an RMS in one draw; torch's init of a matrix is fan_in**-1/2."""
    plan = make_plan(build, base=128, target=512)
    assert build.real == [128, 256]
    assert [row.init_exponent for row in plan.rows] == [0, -0.5, 0, -0.5]
    assert [row.init_factor for row in plan.rows] == [1, 1, 1, 0.5]


def test_a_model_with_small_tensors_is_built_until_their_exponents_are_settled(build) -> None:
    """Control: one draw of a readout's five biases does not determine how they scale."""
    plan = make_plan(lambda width: build(width, bias=True), base=128, target=512)
    assert build.real.count(128) >= init.MIN_BUILDS
    assert plan["3.bias"].init_exponent == -0.5


def test_the_error_of_a_single_entry_is_not_reliable() -> None:
    """Its error from one draw is 0, as is that of a constant gain, which is reliable."""
    entry, gain = init.Moments(1), init.Moments(64)
    entry.add(torch.randn(1))
    gain.add(torch.full((64,), 0.3))
    assert (entry.error(1), entry.has_reliable_error) == (0.0, False)
    assert gain.has_reliable_error


@pytest.mark.parametrize("fill", [nn.init.normal_, nn.init.kaiming_uniform_, torch.Tensor.normal_])
def test_meta_tensors_are_not_filled(fill, monkeypatch) -> None:
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
