"""The reference decoder against plain PyTorch, its loss at initialization, and its counts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mutransfer.errors import ModelError
from mutransfer.lab.counts import num_parameters, training_flops
from mutransfer.lab.decoder import Decoder
from mutransfer.lab.decoder_config import DecoderConfig

# Shape legend: B batch, T time, D width, N heads, H head width, V vocabulary, Q query, K key.

SWITCHES: list[dict[str, Any]] = [
    {},
    {"depth": 1, "head_width": 8, "context": 24},
    {"biases": True},
    {"norm_gains": "vector"},
    {"query_init": "zero"},
    {"readout_init": "sp"},
    {"attention_scale": "1/sqrt(d)"},
    {"readout_init": "zero", "biases": True, "norm_gains": "vector", "vocabulary": 65},
]


def decoder(seed: int = 0, **sizes: Any) -> Decoder:
    torch.manual_seed(seed)
    return Decoder(DecoderConfig(**{"width": 32, **sizes}))


def perturbed(model: Decoder) -> Decoder:
    """Perturb every weight, so that biases, gains and zero weights have an effect."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def some_tokens(config: DecoderConfig, batch: int = 2) -> Tensor:
    return torch.randint(config.vocabulary, (batch, config.context))


def plain_logits(model: Decoder, tokens_BT: Tensor) -> Tensor:
    """Compute the same network with functions only: explicit heads, mask, softmax and angles."""
    config, weights = model.config, dict(model.named_parameters())
    H, T = config.head_width, tokens_BT.shape[1]
    divisor = math.sqrt(H) if config.attention_scale == "1/sqrt(d)" else H

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def rms(name: str, x: Tensor) -> Tensor:
        unit = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return unit * weights.get(f"{name}.weight", torch.ones(()))

    angle_TH = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(H // 2) * 2 / H)
    turn_TH = torch.polar(torch.ones_like(angle_TH), angle_TH)

    def rotate(x_BTH: Tensor) -> Tensor:
        pairs = torch.complex(*(half.contiguous() for half in x_BTH.split(H // 2, -1))) * turn_TH
        return torch.cat((pairs.real, pairs.imag), -1)

    x_BTD = weights["embedding.weight"][tokens_BT]
    for k in range(config.depth):
        h = rms(f"blocks.{k}.attention_norm", x_BTD)
        q, key, v = (linear(f"blocks.{k}.attention.{n}", h) for n in ("query", "key", "value"))
        mixed = []
        for start in range(0, config.width, H):
            head = slice(start, start + H)
            logits_BQK = rotate(q[..., head]) @ rotate(key[..., head]).mT / divisor
            logits_BQK = logits_BQK + torch.full((T, T), -math.inf).triu(1)
            mixed.append(logits_BQK.softmax(-1) @ v[..., head])
        x_BTD = x_BTD + linear(f"blocks.{k}.attention.out", torch.cat(mixed, -1))
        up = linear(f"blocks.{k}.mlp.up", rms(f"blocks.{k}.mlp_norm", x_BTD))
        x_BTD = x_BTD + linear(f"blocks.{k}.mlp.down", up.clamp(min=0))
    return linear("readout", rms("final_norm", x_BTD))


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_the_network_equals_plain_pytorch(switches: dict[str, Any]) -> None:
    model = perturbed(decoder(**switches))
    tokens_BT = some_tokens(model.config)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens_BT), plain_logits(model, tokens_BT))


def test_a_later_token_never_changes_an_earlier_prediction() -> None:
    model = perturbed(decoder())
    tokens_BT = some_tokens(model.config)
    changed_BT = tokens_BT.clone()
    changed_BT[:, 40] = (changed_BT[:, 40] + 1) % 256
    with torch.no_grad():
        before, after = model(tokens_BT), model(changed_BT)
    torch.testing.assert_close(before[:, :40], after[:, :40], rtol=0, atol=1e-6)
    # The control: from the changed token on, predictions do change.
    assert ((before - after).abs().amax(-1) > 1e-3)[:, 40:].all()


def test_fewer_tokens_than_the_context_give_the_same_predictions() -> None:
    model = perturbed(decoder())
    tokens_BT = some_tokens(model.config)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens_BT[:, :17]), model(tokens_BT)[:, :17])


@pytest.mark.parametrize("width", [32, 128])
def test_a_zero_readout_scores_ln_v_exactly(width: int) -> None:
    model = decoder(width=width, readout_init="zero")
    tokens_BT = some_tokens(model.config)
    logits_BTV = model(tokens_BT)
    assert not logits_BTV.any()
    loss = F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT.flatten())
    assert loss.item() == pytest.approx(math.log(256), abs=1e-6)


@pytest.mark.parametrize("width", [16, 32, 64])
def test_the_untrained_loss_is_ln_v_plus_half_over_the_width(width: int) -> None:
    """ORACLE: unit-RMS features and a readout of std 1/n give logits of variance 1/n."""
    losses = []
    for seed in range(12):
        model = decoder(seed, width=width)
        tokens_BT = some_tokens(model.config, batch=8)
        # Targets that the input does not hold, over all of the vocabulary: no sampling of V.
        with torch.no_grad():
            losses.append(-model(tokens_BT).log_softmax(-1).mean().item())
    excess = sum(losses) / len(losses) - math.log(256)
    assert excess == pytest.approx(1 / (2 * width), rel=0.1)


def test_an_sp_readout_starts_half_a_nat_above_ln_v_at_every_width() -> None:
    """The control of the test above: variance 1 at every width."""
    for width in (32, 64):
        model = decoder(width=width, readout_init="sp")
        with torch.no_grad():
            loss = -model(some_tokens(model.config, batch=8)).log_softmax(-1).mean().item()
        assert loss - math.log(256) == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("width", [32, 128])
def test_weights_are_drawn_with_the_stated_deviations(width: int) -> None:
    model = decoder(width=width, biases=True, norm_gains="vector")
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            fan_in = parameter.shape[1]
            std = {"embedding.weight": 1.0, "readout.weight": 1 / width}.get(name, fan_in**-0.5)
            tolerance = 5 / math.sqrt(2 * parameter.numel())
            assert parameter.std().item() == pytest.approx(std, rel=tolerance), name


def test_zero_switches_leave_every_other_weight_as_it_was() -> None:
    plain = dict(decoder().named_parameters())
    switched = dict(decoder(query_init="zero", readout_init="zero").named_parameters())
    for name, weight in switched.items():
        zeroed = name.endswith("query.weight") or name == "readout.weight"
        assert torch.equal(weight, torch.zeros_like(weight) if zeroed else plain[name]), name


def test_only_torchs_default_generator_decides_the_weights() -> None:
    first, same, other = decoder(3), decoder(3), decoder(4)
    for a, b, c in zip(first.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_every_parameter_belongs_to_a_known_layer() -> None:
    model = decoder(biases=True, norm_gains="vector")
    for module in model.modules():
        if list(module.parameters(recurse=False)):
            assert isinstance(module, nn.Linear | nn.Embedding | nn.RMSNorm)


def test_a_decoder_is_built_on_the_meta_device_without_memory() -> None:
    with torch.device("meta"):
        model = Decoder(DecoderConfig(width=8192, depth=80, head_width=128, biases=True))
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert sum(p.numel() for p in model.parameters()) == num_parameters(model.config)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_closed_form_counts_equal_those_of_a_real_model(switches: dict[str, Any]) -> None:
    """ORACLE: torch's counter; it knows the products of explicit attention on a CPU."""
    model = perturbed(decoder(**switches))
    assert num_parameters(model.config) == sum(p.numel() for p in model.parameters())
    tokens_BT = some_tokens(model.config, batch=3)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens_BT).sum().backward()
    assert training_flops(model.config, tokens_BT.numel()) == counter.get_total_flops()


def test_impossible_shapes_are_errors_in_three_lines() -> None:
    with pytest.raises(ModelError) as no_depth:
        DecoderConfig(width=32, depth=0)
    assert str(no_depth.value) == (
        "depth is 0\n  why: a decoder has at least one of everything\n  fix: make depth 1 or more"
    )
    with pytest.raises(ModelError) as no_heads:
        DecoderConfig(width=40)
    assert str(no_heads.value) == (
        "width 40 does not split into heads of 16\n"
        "  why: heads share the width equally\n"
        "  fix: make width a multiple of head_width, as 32"
    )


def test_more_tokens_than_the_context_are_an_error() -> None:
    model = decoder()
    with pytest.raises(ModelError) as error:
        model(torch.zeros(1, 65, dtype=torch.long))
    assert str(error.value) == (
        "65 tokens in a context of 64\n"
        "  why: positions past the context were never trained\n"
        "  fix: pass 64 tokens, or build with context=65"
    )


def test_a_shape_cannot_change_under_its_model() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        decoder().config.width = 64  # type: ignore[misc] # the test
