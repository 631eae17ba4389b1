"""Hand-written µP, rule by rule: the decoder and optimizer that a ladder of checks examines."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mutransfer.lab import loop
from mutransfer.lab.data.batches import TrainingBatches
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.decoder import Decoder
from mutransfer.lab.decoder_config import DecoderConfig
from mutransfer.parametrize.apply import ScaleInput
from mutransfer.records.ladder import LadderSpec, Rule

# Shape legend: B batch, W window of context + 1 tokens.

BETAS = (0.9, 0.95)  # of nanoGPT [derived: its code]


def rung_model(spec: LadderSpec, rules: frozenset[Rule], width: int) -> Decoder:
    """Build a decoder whose weights share one standard deviation, unless a rule changes it."""
    model = Decoder(
        DecoderConfig(
            width=width,
            depth=spec.model.depth,
            head_width=spec.model.head_width,
            context=spec.model.context,
            attention_scale="1/d" if "attention" in rules else "1/sqrt(d)",
        )
    )
    ratio = width / spec.check.base
    hidden_std = spec.model.init_std * (ratio**-0.5 if "hidden init" in rules else 1.0)
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=hidden_std if _is_hidden(name) else spec.model.init_std)
    if "output multiplier" in rules:
        model.readout.register_forward_pre_hook(ScaleInput(1 / ratio))
    return model


def rung_optimizer(
    spec: LadderSpec, rules: frozenset[Rule], model: nn.Module
) -> torch.optim.Optimizer:
    """Make AdamW with one rate; the rule 'hidden rate' lowers it for hidden matrices."""
    assert isinstance(model, Decoder)
    ratio = model.config.width / spec.check.base
    hidden: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (hidden if _is_hidden(name) else others).append(parameter)
    rate = spec.check.lr
    groups = [
        {"params": others, "lr": rate},
        {"params": hidden, "lr": rate / ratio if "hidden rate" in rules else rate},
    ]
    return torch.optim.AdamW(groups, betas=BETAS, weight_decay=0.0)


def rung_batch(spec: LadderSpec) -> Tensor:
    """Return windows of the embedded text, of shape BW; they are the same for every rung."""
    text = TrainingBatches(
        load_tokens().train, batch=spec.model.rows, context=spec.model.context, seed=0
    )
    return torch.from_numpy(text.at(0)).long()


def next_token_loss(model: nn.Module, windows_BW: Tensor) -> Tensor:
    """Return the mean cross-entropy of the next token, in nats."""
    return loop.next_token_loss(model, (windows_BW[:, :-1], windows_BW[:, 1:]))


def _is_hidden(name: str) -> bool:
    """Return whether both axes of a matrix grow with width, as in the blocks."""
    return name.startswith("blocks.")
