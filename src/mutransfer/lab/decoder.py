"""The reference decoder: a plain pre-norm transformer that any parametrization can scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mutransfer.errors import ModelError
from mutransfer.lab.decoder_config import DecoderConfig
from mutransfer.lab.layers import Block, make_norm, rotary_tables

# Shape legend: B batch, T time, D width, V vocabulary.


class Decoder(nn.Module):
    """Next-token predictor: embedding, pre-norm blocks, a final norm, a readout.

    Weights are drawn from torch's default generator in the order of `named_modules`; a weight
    that starts at zero consumes its random numbers too, so that a switch leaves all other weights
    as they are.

    Args:
        config: Sizes and switches.

    Example:
        >>> model = Decoder(DecoderConfig(width=32))
        >>> model(torch.zeros(2, 64, dtype=torch.long)).shape
        torch.Size([2, 64, 256])
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.embedding_norm = make_norm(config) if config.embedding_norm else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_norm = make_norm(config)
        self.readout = nn.Linear(config.width, config.vocabulary, bias=config.biases)
        self.positions = None
        if config.positions == "learned":
            # The constructor of nn.Embedding would draw, and change all weights drawn after it.
            table = torch.empty(config.context, config.width)
            self.positions = nn.Embedding(config.context, config.width, _weight=table)
        if config.tied:
            self.readout.weight = self.embedding.weight
        self._init_weights()

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return the logits of every next token, of shape BTV.

        Raises:
            ModelError: There are more tokens than the context has.
        """
        num_tokens = tokens_BT.shape[1]
        if num_tokens > self.config.context:
            raise ModelError(
                f"{num_tokens} tokens in a context of {self.config.context}",
                why="positions past the context were never trained",
                fix=f"pass {self.config.context} tokens, or build with context={num_tokens}",
            )
        tables = None
        if self.config.positions == "rope":
            tables = rotary_tables(num_tokens, self.config.head_width, device=tokens_BT.device)
        x_BTD = self._embed(tokens_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, tables)
        logits_BTV: Tensor = self.readout(self.final_norm(x_BTD))
        if self.config.output_multiplier != 1:
            logits_BTV = logits_BTV * self.config.output_multiplier
        return logits_BTV

    def _embed(self, tokens_BT: Tensor) -> Tensor:
        """Return the input of the first block."""
        x_BTD: Tensor = self.embedding(tokens_BT)
        if self.positions is not None:
            steps_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
            x_BTD = x_BTD + self.positions(steps_T)
        if self.embedding_norm is not None:
            x_BTD = self.embedding_norm(x_BTD)
        if self.config.input_multiplier != 1:
            x_BTD = x_BTD * self.config.input_multiplier
        return x_BTD

    @torch.no_grad()
    def _init_weights(self) -> None:
        """Draw every weight and zero the biases; norms already set their gains to 1."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=self.config.init_std)
            elif isinstance(module, nn.Linear):
                if module.weight is not self.embedding.weight:
                    std = self.config.init_std * self._init_std(name, module.in_features)
                    nn.init.normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _init_std(self, name: str, fan_in: int) -> float:
        """Return the init std of a linear layer, which three switches change."""
        if name == "readout":
            stds = {"mup": 1 / fan_in, "sp": 1 / math.sqrt(fan_in), "zero": 0.0}
            return stds[self.config.readout_init]
        zero_init = {
            "query": self.config.query_init == "zero",
            "out": self.config.residual_init == "zero",
            "down": self.config.residual_init == "zero",
        }
        if zero_init.get(name.rpartition(".")[2]):
            return 0.0
        return 1 / math.sqrt(fan_in)
