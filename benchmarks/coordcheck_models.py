"""Models that the coordinate check is benchmarked on, with their batches and losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutransfer.lab.decoder import Decoder
from mutransfer.lab.decoder_config import DecoderConfig

BASE = 32  # width at which every factor is 1

# Shape legend: B batch, T time, D width, N heads, H head width, V vocabulary.


def mlp(width: int) -> nn.Module:
    """Return an MLP with two hidden layers and biases."""
    sizes = [(16, width), (width, width), (width, width)]
    body = [layer for i, o in sizes for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*body, nn.Linear(width, 4))


def points(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw inputs, and classes that depend on them."""
    generator = torch.Generator().manual_seed(1000 + seed)
    x = torch.randn(64, 16, generator=generator)
    return x, (x @ torch.randn(16, 4, generator=generator)).argmax(1)


def classes(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def tokens(rows: int, length: int) -> Tensor:
    """Draw tokens of which 70 % are a fixed function of the one before."""
    generator = torch.Generator().manual_seed(7)
    successor = torch.randint(0, 256, (256,), generator=generator)
    text = torch.randint(0, 256, (rows, length + 1), generator=generator)
    for t in range(1, length + 1):
        is_successor = torch.rand(rows, generator=generator) < 0.7
        text[:, t] = torch.where(is_successor, successor[text[:, t - 1]], text[:, t])
    return text


def next_token(model: nn.Module, text_BT: Tensor) -> Tensor:
    logits_BTV = model(text_BT[:, :-1])
    return F.cross_entropy(logits_BTV.flatten(0, 1), text_BT[:, 1:].flatten())


def decoder(width: int, depth: int = 2) -> nn.Module:
    """Return the reference decoder, with two blocks so that the table takes minutes."""
    return Decoder(DecoderConfig(width=width, depth=depth))


class TiedGPT2(nn.Module):
    """One block, LayerNorm, learned positions, GELU, a table shared by embedding and readout.

    Four heads that grow with width.
    """

    def __init__(self, width: int, *, scale: str = "1/d") -> None:
        super().__init__()
        self.tokens = nn.Embedding(256, width)
        self.positions = nn.Embedding(64, width)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.last_norm = nn.LayerNorm(width)
        head, base_head = width // 4, BASE // 4
        self.scale = {"1/d": base_head**0.5 / head, "1/sqrt(d)": head**-0.5}[scale]
        self.readout_multiplier = BASE / width
        nn.init.normal_(self.positions.weight, std=0.5)

    def forward(self, text_BT: Tensor) -> Tensor:
        """Return the logits."""
        x_BTD = self.tokens(text_BT) + self.positions(torch.arange(text_BT.shape[1]))
        q, k, v = (
            part.unflatten(-1, (4, -1)).transpose(1, 2)
            for part in self.qkv(self.first_norm(x_BTD)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale)
        x_BTD = x_BTD + self.out(mixed.transpose(1, 2).flatten(2))
        x_BTD = x_BTD + self.down(F.gelu(self.up(self.second_norm(x_BTD))))
        scaled_BTD = self.last_norm(x_BTD) * self.readout_multiplier / BASE**0.5
        return F.linear(scaled_BTD, self.tokens.weight)
