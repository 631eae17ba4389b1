"""The reference decoder against plain PyTorch, its loss at initialization, and its counts."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mutransfer.errors import ModelError
from mutransfer.lab.counts import num_parameters, training_flops
from mutransfer.lab.decoder import Decoder
from mutransfer.lab.decoder_config import DecoderConfig
from mutransfer.records import LabSettings

# Shape legend: B batch, T time, D width, N heads, H head width, V vocabulary, Q query, K key.

SWITCHES: list[dict[str, Any]] = [
    {},
    {"depth": 1, "head_width": 8, "context": 24},
    {"biases": True},
    {"norm_gains": "vector"},
    {"norm_gains": "scalar"},
    {"norm": "layer"},
    {"norm": "layer", "norm_gains": "vector"},
    {"norm": "layer", "norm_gains": "scalar", "embedding_norm": True},
    {"query_init": "zero"},
    {"readout_init": "sp"},
    {"residual_init": "zero"},
    {"attention_scale": "1/sqrt(d)"},
    {"activation": "gelu", "mlp_ratio": 3},
    {"activation": "sqrelu"},
    {"activation": "swiglu", "biases": True},
    {"activation": "geglu", "mlp_ratio": 1.5},
    {"kv_heads": 1, "mlp_ratio": 5, "biases": True},
    {"kv_heads": 2, "width": 64},
    {"embedding_norm": True, "norm_gains": "vector", "input_multiplier": 3.0},
    {"qk_norm": True},
    {"qk_norm": True, "norm_gains": "vector", "norm": "layer", "biases": True, "kv_heads": 1},
    {"tied": True, "output_multiplier": 1 / 32},
    {"tied": True, "biases": True},
    {"positions": "learned", "head_width": 1},
    {"positions": "none", "init_std": 0.5, "output_multiplier": 2.0},
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


def plain_norm(config: DecoderConfig, weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Normalize the last axis, and apply the gain and the bias that there are."""
    if config.norm == "layer":
        x = x - x.mean(-1, keepdim=True)
    unit = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    gain = weights.get(f"{name}.weight", weights.get(f"{name}.1.gain", torch.ones(())))
    return unit * gain + weights.get(f"{name}.bias", torch.zeros(()))


def plain_mlp(activation: str, up: Tensor, gate: Tensor | None) -> Tensor:
    """Apply the activation of an MLP by its formula."""
    if gate is not None:
        cdf = gate.sigmoid() if activation == "swiglu" else (1 + torch.erf(gate / 2**0.5)) / 2
        return gate * cdf * up
    if activation == "gelu":
        return up * (1 + torch.erf(up / 2**0.5)) / 2
    return up.clamp(min=0) ** (2 if activation == "sqrelu" else 1)


def plain_logits(model: Decoder, tokens_BT: Tensor) -> Tensor:
    """Compute the same network with functions only: explicit heads, mask, softmax and angles."""
    config = model.config
    weights = dict(model.named_parameters(remove_duplicate=False))
    H, T = config.head_width, tokens_BT.shape[1]
    divisor = math.sqrt(H) if config.attention_scale == "1/sqrt(d)" else H
    sharing = config.width // H // (config.kv_heads or config.width // H)

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(name: str, x: Tensor) -> Tensor:
        return plain_norm(config, weights, name, x)

    angle_TH = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(H // 2) * 2 / H)
    turn_TH = torch.polar(torch.ones_like(angle_TH), angle_TH)

    def head(name: str, x_BTD: Tensor, number: int) -> Tensor:
        x_BTH = x_BTD[..., number * H : (number + 1) * H]
        if config.qk_norm:
            x_BTH = norm(f"{name}_norm", x_BTH)
        if config.positions != "rope":
            return x_BTH
        pairs = torch.complex(*(half.contiguous() for half in x_BTH.split(H // 2, -1))) * turn_TH
        return torch.cat((pairs.real, pairs.imag), -1)

    x_BTD = weights["embedding.weight"][tokens_BT]
    if config.positions == "learned":
        x_BTD = x_BTD + weights["positions.weight"][:T]
    if config.embedding_norm:
        x_BTD = norm("embedding_norm", x_BTD)
    x_BTD = x_BTD * config.input_multiplier
    for k in range(config.depth):
        h, layer = norm(f"blocks.{k}.attention_norm", x_BTD), f"blocks.{k}.attention"
        q, key, v = (linear(f"{layer}.{n}", h) for n in ("query", "key", "value"))
        mixed = []
        for number in range(config.width // H):
            shared = number // sharing
            q_BQH, k_BKH = head(f"{layer}.query", q, number), head(f"{layer}.key", key, shared)
            logits_BQK = q_BQH @ k_BKH.mT / divisor + torch.full((T, T), -math.inf).triu(1)
            mixed.append(logits_BQK.softmax(-1) @ v[..., shared * H : (shared + 1) * H])
        x_BTD = x_BTD + linear(f"{layer}.out", torch.cat(mixed, -1))
        h, layer = norm(f"blocks.{k}.mlp_norm", x_BTD), f"blocks.{k}.mlp"
        gate = linear(f"{layer}.gate", h) if config.activation in ("swiglu", "geglu") else None
        hidden = plain_mlp(config.activation, linear(f"{layer}.up", h), gate)
        x_BTD = x_BTD + linear(f"{layer}.down", hidden)
    return linear("readout", norm("final_norm", x_BTD)) * config.output_multiplier


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


@pytest.mark.parametrize(
    ("switches", "per_block", "others"),
    [
        ({"activation": "swiglu"}, 4 * 64**2 + 3 * 64 * 160, 0),
        ({"activation": "geglu", "mlp_ratio": 2}, 4 * 64**2 + 3 * 64 * 128, 0),
        ({"kv_heads": 1, "mlp_ratio": 5}, 2 * 64**2 + 2 * 64 * 16 + 2 * 64 * 320, 0),
        ({"tied": True}, 12 * 64**2, -256 * 64),
        ({"positions": "learned"}, 12 * 64**2, 64 * 64),
        ({"norm_gains": "scalar", "qk_norm": True}, 12 * 64**2 + 4, 1),
        ({"norm": "layer", "norm_gains": "vector", "biases": True},
         12 * 64**2 + 9 * 64 + 4 * 64, 256 + 2 * 64),
    ],
    ids=str,
)  # fmt: skip
def test_parameters_are_those_of_the_papers_tables(
    switches: dict[str, Any], per_block: int, others: int
) -> None:
    """ORACLE: sums by hand at width 64, hidden size 160 of gated MLPs as in arXiv:2404.05728."""
    config = DecoderConfig(width=64, depth=2, **switches)
    assert num_parameters(config) == 2 * per_block + 2 * 256 * 64 + others


@pytest.mark.parametrize(
    "switch",
    [{"residual_init": "zero"}, {"tied": True}, {"positions": "learned"}, {"embedding_norm": True},
     {"qk_norm": True}, {"norm_gains": "scalar"}],
    ids=str,
)  # fmt: skip
def test_a_switch_leaves_the_weights_of_other_layers_as_they_were(switch: dict[str, Any]) -> None:
    plain = dict(decoder().named_parameters())
    changed = ("attention.out.weight", "mlp.down.weight") if "residual_init" in switch else ()
    for name, weight in decoder(**switch).named_parameters():
        if name in plain:
            is_zero = name.endswith(changed) if changed else False
            assert torch.equal(weight, plain[name] * (0 if is_zero else 1)), name


def test_the_init_std_multiplies_every_weight() -> None:
    """A power of two: the same random numbers, exactly halved."""
    plain, halved = decoder(positions="learned"), decoder(positions="learned", init_std=0.5)
    for weight, half in zip(plain.parameters(), halved.parameters(), strict=True):
        assert torch.equal(half, weight / 2)


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str, str]] = {
    "odd heads": (
        {"width": 40, "head_width": 5},
        "head_width 5 is odd, but rotary positions need pairs of channels",
        "write head_width = 6",
    ),
    "more key heads than heads": (
        {"width": 64, "kv_heads": 8},
        "kv_heads 8 does not divide the 4 heads of width 64",
        "write kv_heads = 4, or widths whose number of heads is a multiple of 8",
    ),
    "heads in unequal groups": (
        {"width": 64, "kv_heads": 3},
        "kv_heads 3 does not divide the 4 heads of width 64",
        "write kv_heads = 2, or widths whose number of heads is a multiple of 3",
    ),
    "an uneven gated MLP": (
        {"width": 64, "activation": "swiglu", "mlp_ratio": 2.67},
        "mlp_ratio 2.67 does not give an even number of hidden channels at width 64: 170.88",
        "write mlp_ratio = 2.65625",
    ),
    "a broken MLP": (
        {"width": 64, "mlp_ratio": 0.001},
        "mlp_ratio 0.001 does not give a whole number of hidden channels at width 64: 0.064",
        "write mlp_ratio = 0.015625",
    ),
    "a tied readout with an init": (
        {"width": 64, "tied": True, "readout_init": "zero"},
        "readout_init 'zero', but a tied readout has the embedding's init",
        "leave readout_init out, or write tied = false",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_switches_are_errors_in_three_lines(case: str) -> None:
    switches, what, fix = IMPOSSIBLE[case]
    with pytest.raises(ModelError) as refused:
        DecoderConfig(**switches)
    assert str(refused.value) == (
        f"{what}\n  why: no decoder has these sizes and switches\n  fix: {fix}"
    )
    # Trials refuse the same, before any of them starts; what is proposed is possible.
    with pytest.raises(ValidationError, match=re.escape(what)):
        LabSettings(**{"base_width": switches["width"], "lr": 0.1, **switches})
    ((key, value),) = re.findall(r"(\w+) = (\S+?)(?:,|$)", fix)
    if key != "head_width":  # another width is needed too
        DecoderConfig(**{**switches, key: json.loads(value)})


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


@pytest.mark.parametrize("width", [16, 16 * (10**400 + 1)])
def test_absurd_numbers_are_problems_and_never_crash(width: int) -> None:
    for ratio in (1e308, 1e-300, 2.3):
        settings = {"width": width, "base_width": width, "lr": 0.1, "mlp_ratio": ratio}
        with contextlib.suppress(ValidationError):  # and no OverflowError
            LabSettings(**settings, tokens_per_parameter=1e308)


def test_a_ratio_is_taken_as_it_is_written() -> None:
    assert DecoderConfig(width=100, head_width=10, mlp_ratio=2.67).mlp_width == 267


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
