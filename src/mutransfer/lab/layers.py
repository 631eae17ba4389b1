"""Layers of the reference decoder: norm, rotary positions, attention, MLP."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutransfer.lab.decoder_config import DecoderConfig

# Shape legend: B batch, T time, D width, N heads, H head width, F hidden channels.

ROTARY_BASE = 10_000.0  # [derived: arXiv:2404.05728, code]
NORM_EPS = 1e-6  # [derived: arXiv:2404.05728, code of the published numbers]


def make_norm(config: DecoderConfig, size: int | None = None) -> nn.Module:
    """Return a norm of `size` channels, by default of all, with the switches of the norms."""
    size = config.width if size is None else size
    has_vector = config.norm_gains == "vector"
    norm: nn.Module
    if config.norm == "rms":
        norm = nn.RMSNorm(size, eps=NORM_EPS, elementwise_affine=has_vector)
    else:
        norm = nn.LayerNorm(
            size, eps=NORM_EPS, elementwise_affine=has_vector, bias=has_vector and config.biases
        )
    return nn.Sequential(norm, ScalarGain()) if config.norm_gains == "scalar" else norm


class ScalarGain(nn.Module):
    """One trained factor for all channels, which starts at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Multiply by the gain."""
        return x_BTD * self.gain


def rotary_tables(
    num_tokens: int, head_width: int, *, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the cosines and signed sines of `apply_rotary`, of shape T1H each.

    They are computed in each forward pass (about 30 µs), because a buffer would be lost between
    the meta device and a real one.

    Source:
        RoFormer, arXiv:2104.09864, in the half-split layout.
    """
    half = head_width // 2
    steps = torch.arange(half, dtype=torch.float32, device=device) / half
    angles_TH = torch.arange(num_tokens, device=device)[:, None] * ROTARY_BASE**-steps
    cosines_TH, sines_TH = angles_TH.cos(), angles_TH.sin()
    return (
        torch.cat((cosines_TH, cosines_TH), dim=-1)[:, None],
        torch.cat((-sines_TH, sines_TH), dim=-1)[:, None],
    )


def apply_rotary(x_BTNH: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate channel pairs (h, h + H/2) by an angle that grows with the position.

    Norms are kept, and a query's product with a key depends on their distance only.

    Example:
        >>> x = torch.ones(1, 3, 1, 2)
        >>> apply_rotary(x, rotary_tables(3, 2, device=x.device))[0, :, 0].norm(dim=-1)
        tensor([1.4142, 1.4142, 1.4142])
    """
    cosines_T1H, sines_T1H = tables
    return x_BTNH * cosines_T1H + x_BTNH.roll(x_BTNH.shape[-1] // 2, dims=-1) * sines_T1H


class Attention(nn.Module):
    """Causal self-attention with logits q·k / head_width, or q·k / √head_width by a switch.

    Groups of query heads share a key head and a value head if there are fewer of those.

    Source:
        The scale 1/d instead of 1/√d: Tensor Programs V, arXiv:2203.03466, definition 4.1.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.head_width = config.head_width
        scales = {"1/d": 1 / config.head_width, "1/sqrt(d)": config.head_width**-0.5}
        self.scale = scales[config.attention_scale]
        self.num_shares = config.width // config.kv_width
        self.query = nn.Linear(config.width, config.width, bias=config.biases)
        self.key = nn.Linear(config.width, config.kv_width, bias=config.biases)
        self.value = nn.Linear(config.width, config.kv_width, bias=config.biases)
        self.out = nn.Linear(config.width, config.width, bias=config.biases)
        self.query_norm = make_norm(config, config.head_width) if config.qk_norm else None
        self.key_norm = make_norm(config, config.head_width) if config.qk_norm else None

    def forward(self, x_BTD: Tensor, tables: tuple[Tensor, Tensor] | None) -> Tensor:
        """Mix the values of each token and of those before it."""
        heads = (*x_BTD.shape[:-1], -1, self.head_width)
        q_BTNH, k_BTNH = self.query(x_BTD).view(heads), self.key(x_BTD).view(heads)
        if self.query_norm is not None and self.key_norm is not None:
            q_BTNH, k_BTNH = self.query_norm(q_BTNH), self.key_norm(k_BTNH)
        if tables is not None:
            q_BTNH, k_BTNH = apply_rotary(q_BTNH, tables), apply_rotary(k_BTNH, tables)
        v_BTNH = self.value(x_BTD).view(heads)
        if self.num_shares > 1:
            k_BTNH = k_BTNH.repeat_interleave(self.num_shares, dim=2)
            v_BTNH = v_BTNH.repeat_interleave(self.num_shares, dim=2)
        mixed_BNTH = F.scaled_dot_product_attention(
            q_BTNH.transpose(1, 2),
            k_BTNH.transpose(1, 2),
            v_BTNH.transpose(1, 2),
            is_causal=True,
            scale=self.scale,
        )
        out: Tensor = self.out(mixed_BNTH.transpose(1, 2).flatten(2))
        return out


def squared_relu(x: Tensor) -> Tensor:
    """Return the square of ReLU.

    Source:
        Primer, arXiv:2109.08668.
    """
    return F.relu(x).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "sqrelu": squared_relu,
    "swiglu": F.silu,
    "geglu": F.gelu,
}


class MLP(nn.Module):
    """Two linear layers with an activation between them, which a third one may gate.

    Source:
        SwiGLU and GEGLU: arXiv:2002.05202.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = nn.Linear(config.width, config.mlp_width, bias=config.biases)
        self.gate = (
            nn.Linear(config.width, config.mlp_width, bias=config.biases)
            if config.has_gate
            else None
        )
        self.down = nn.Linear(config.mlp_width, config.width, bias=config.biases)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each token by itself."""
        if self.gate is None:
            hidden_BTF = self.activation(self.up(x_BTD))
        else:
            hidden_BTF = self.activation(self.gate(x_BTD)) * self.up(x_BTD)
        out: Tensor = self.down(hidden_BTF)
        return out


class Block(nn.Module):
    """Attention and MLP, each applied to a norm of the residual stream and added to it."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = Attention(config)
        self.mlp_norm = make_norm(config)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, tables: tuple[Tensor, Tensor] | None) -> Tensor:
        """Add the outputs of attention and MLP to the residual stream."""
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), tables)
        out: Tensor = x_BTD + self.mlp(self.mlp_norm(x_BTD))
        return out
