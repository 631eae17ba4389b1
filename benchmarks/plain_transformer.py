"""A plain transformer and its training loop in the style of nanoGPT, to compare the trainer with.

The loop is nanoGPT's on a CPU: random windows that are stacked one by one, a cosine schedule,
clipping, and AdamW without a fused kernel. Queries, keys and values are one product. The other
layers are nanoGPT's (LayerNorm, GELU, learned positions, a tied readout) or those of the lab's
decoder (RMSNorm, ReLU, rotary positions), so that both sides compute the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Shape legend: B batch, T time, D width, N heads, H head width, V vocabulary.

BETAS = (0.9, 0.95)
CLIP = 1.0
PEAK_RATE, LAST_RATE = 6e-4, 6e-5
WEIGHT_DECAY = 0.1  # on matrices only


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes of a plain transformer, and whether its layers are nanoGPT's or the lab's."""

    width: int
    depth: int
    head_width: int
    context: int
    vocabulary: int
    is_nanogpt: bool

    def norm(self) -> nn.Module:
        """Return a norm over the channels of a token."""
        if self.is_nanogpt:
            return nn.LayerNorm(self.width, bias=False)
        return nn.RMSNorm(self.width, eps=1e-6, elementwise_affine=False)


class Block(nn.Module):
    """Causal self-attention, then an MLP, each behind a norm."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.sizes = sizes
        self.attention_norm, self.mlp_norm = sizes.norm(), sizes.norm()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.activation = F.gelu if sizes.is_nanogpt else F.relu
        pairs_H = torch.arange(0, sizes.head_width, 2).repeat(2)
        angles_TH = torch.arange(sizes.context)[:, None] * 1e4 ** (-pairs_H / sizes.head_width)
        self.register_buffer("cosines_TH", angles_TH.cos())
        self.register_buffer("sines_TH", angles_TH.sin())

    def rotate(self, x_BNTH: Tensor) -> Tensor:
        """Apply rotary positions as the code of Llama does."""
        first, second = x_BNTH.chunk(2, dim=-1)
        return x_BNTH * self.cosines_TH + torch.cat((-second, first), dim=-1) * self.sines_TH

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Add the outputs of attention and MLP to the residual stream."""
        parts = self.qkv(self.attention_norm(x_BTD)).split(self.sizes.width, dim=2)
        heads = (*x_BTD.shape[:2], -1, self.sizes.head_width)
        q_BNTH, k_BNTH, v_BNTH = (part.view(heads).transpose(1, 2) for part in parts)
        if not self.sizes.is_nanogpt:
            q_BNTH, k_BNTH = self.rotate(q_BNTH), self.rotate(k_BNTH)
        mixed_BNTH = F.scaled_dot_product_attention(q_BNTH, k_BNTH, v_BNTH, is_causal=True)
        x_BTD = x_BTD + self.out(mixed_BNTH.transpose(1, 2).flatten(2))
        out: Tensor = x_BTD + self.down(self.activation(self.up(self.mlp_norm(x_BTD))))
        return out


class PlainTransformer(nn.Module):
    """A decoder-only transformer."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        self.positions = nn.Embedding(sizes.context, sizes.width) if sizes.is_nanogpt else None
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.depth))
        self.final_norm = sizes.norm()
        self.readout = nn.Linear(sizes.width, sizes.vocabulary, bias=False)
        if sizes.is_nanogpt:
            self.readout.weight = self.embedding.weight
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return the logits of every next token, of shape BTV."""
        x_BTD = self.embedding(tokens_BT)
        if self.positions is not None:
            x_BTD = x_BTD + self.positions(torch.arange(tokens_BT.shape[1]))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        logits_BTV: Tensor = self.readout(self.final_norm(x_BTD))
        return logits_BTV


def plain_training(sizes: Sizes, tokens: Tensor, *, batch: int, steps: int) -> Iterator[float]:
    """Train a plain transformer, and yield the loss of each step."""
    model, context = PlainTransformer(sizes), sizes.context
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    gains = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=BETAS, weight_decay=WEIGHT_DECAY)
    for step in range(steps):
        share = 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = LAST_RATE + (PEAK_RATE - LAST_RATE) * share
        starts = torch.randint(len(tokens) - context, (batch,)).tolist()
        inputs_BT = torch.stack([tokens[k : k + context].long() for k in starts])
        targets_BT = torch.stack([tokens[k + 1 : k + 1 + context].long() for k in starts])
        logits_BTV = model(inputs_BT)
        loss = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item()
