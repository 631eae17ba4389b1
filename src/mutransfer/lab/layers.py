"""Layers of the reference decoder and their switches: norm, rotary positions, attention, MLP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutransfer.errors import ModelError

# Shape legend: B batch, T time, D width, N heads, H head width.

ROTARY_BASE = 10_000.0  # [derived: arXiv:2404.05728, code]
NORM_EPS = 1e-6  # [derived: arXiv:2404.05728, code of the published numbers]
MLP_RATIO = 4  # [derived: arXiv:2404.05728, the baseline]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderShape:
    """Sizes of a decoder in channels, blocks and tokens, and one switch per ablation.

    Args:
        biases: Whether linear layers have biases, which start at 0.
        norm_gains: Gains of the RMSNorms, which start at 1.
        query_init: Std of the query weights: fan_in^-1/2, as of all hidden weights, or 0.
        readout_init: Std of the readout: 1/width, width^-1/2, or 0. The embedding's is 1.
        attention_scale: Attention logits are divided by the head width, or by its root.

    Raises:
        ModelError: No decoder has these sizes.

    Source:
        The baseline of arXiv:2404.05728 and its ablations. The activation is fixed to ReLU:
        GELU, SwiGLU and GEGLU have no switch yet.

    Example:
        >>> DecoderShape(width=64).num_heads
        4
    """

    width: int
    depth: int = 3
    head_width: int = 16
    context: int = 64
    vocabulary: int = 256
    biases: bool = False
    norm_gains: Literal["none", "vector"] = "none"
    query_init: Literal["normal", "zero"] = "normal"
    readout_init: Literal["mup", "sp", "zero"] = "mup"
    attention_scale: Literal["1/d", "1/sqrt(d)"] = "1/d"

    def __post_init__(self) -> None:
        sizes = ("width", "depth", "head_width", "context", "vocabulary")
        if small := [name for name in sizes if getattr(self, name) < 1]:
            raise ModelError(
                f"{small[0]} is {getattr(self, small[0])}",
                why="a decoder has at least one of everything",
                fix=f"make {small[0]} 1 or more",
            )
        if self.width % self.head_width or self.head_width % 2:
            raise ModelError(
                f"width {self.width} does not split into heads of {self.head_width}",
                why="heads share the width equally, and rotary positions turn pairs of channels",
                fix=f"make head_width even and width a multiple of it, as {2 * self.head_width}",
            )

    @property
    def num_heads(self) -> int:
        """Heads of each attention layer; their number grows with width, their width does not."""
        return self.width // self.head_width


def make_norm(shape: DecoderShape) -> nn.RMSNorm:
    """Return a norm to unit RMS, with gains by the switch `norm_gains`."""
    return nn.RMSNorm(shape.width, eps=NORM_EPS, elementwise_affine=shape.norm_gains == "vector")


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

    Source:
        The scale 1/d instead of 1/√d: Tensor Programs V, arXiv:2203.03466, definition 4.1.
    """

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.head_width = shape.head_width
        scales = {"1/d": 1 / shape.head_width, "1/sqrt(d)": shape.head_width**-0.5}
        self.scale = scales[shape.attention_scale]
        self.query = nn.Linear(shape.width, shape.width, bias=shape.biases)
        self.key = nn.Linear(shape.width, shape.width, bias=shape.biases)
        self.value = nn.Linear(shape.width, shape.width, bias=shape.biases)
        self.out = nn.Linear(shape.width, shape.width, bias=shape.biases)

    def forward(self, x_BTD: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        """Mix the values of each token and of those before it."""
        heads = (*x_BTD.shape[:-1], -1, self.head_width)
        q_BTNH = apply_rotary(self.query(x_BTD).view(heads), tables)
        k_BTNH = apply_rotary(self.key(x_BTD).view(heads), tables)
        v_BTNH = self.value(x_BTD).view(heads)
        mixed_BNTH = F.scaled_dot_product_attention(
            q_BTNH.transpose(1, 2),
            k_BTNH.transpose(1, 2),
            v_BTNH.transpose(1, 2),
            is_causal=True,
            scale=self.scale,
        )
        out: Tensor = self.out(mixed_BNTH.transpose(1, 2).flatten(2))
        return out


class MLP(nn.Module):
    """Two linear layers with a ReLU between them, four times as wide inside."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.width, MLP_RATIO * shape.width, bias=shape.biases)
        self.down = nn.Linear(MLP_RATIO * shape.width, shape.width, bias=shape.biases)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each token by itself."""
        out: Tensor = self.down(F.relu(self.up(x_BTD)))
        return out


class Block(nn.Module):
    """Attention and MLP, each applied to a norm of the residual stream and added to it."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.attention_norm = make_norm(shape)
        self.attention = Attention(shape)
        self.mlp_norm = make_norm(shape)
        self.mlp = MLP(shape)

    def forward(self, x_BTD: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        """Add the outputs of attention and MLP to the residual stream."""
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), tables)
        out: Tensor = x_BTD + self.mlp(self.mlp_norm(x_BTD))
        return out
