"""This file is one rung of a ladder: a decoder with some of µP's rules, written by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutransfer.coordcheck import CoordCheck, coord_check
from mutransfer.lab.data.batches import TrainingBatches
from mutransfer.lab.data.tokens import tokens_of
from mutransfer.lab.decoder import Decoder
from mutransfer.lab.layers import DecoderShape
from mutransfer.parametrize.apply import ScaleInput
from mutransfer.records.ladder import LadderSpec, Rule

# Shape legend: B batch, T time, W window of context + 1 tokens, V vocabulary.

FORM = "table-8"  # the rules of nanoGPT-mup are those of this form [derived: its code]
BETAS = (0.9, 0.95)  # of nanoGPT [derived: its code]


def check_rung(spec: LadderSpec, rules: frozenset[Rule]) -> CoordCheck:
    """Check the implementation that has these rules, as anybody's own: nothing is applied."""
    return coord_check(
        lambda width: rung_model(spec, rules, width),
        base=spec.check.base,
        widths=spec.check.widths,
        batch=rung_batch(spec),
        loss=next_token_loss,
        parametrization=None,
        optimizer=lambda model: rung_optimizer(spec, rules, model),
        lr=spec.check.lr,
        steps=spec.check.steps,
        seeds=spec.check.seeds,
        form=FORM,
    )


def rung_model(spec: LadderSpec, rules: frozenset[Rule], width: int) -> Decoder:
    """Build the decoder: one standard deviation for every weight, but for what the rules say."""
    model = Decoder(
        DecoderShape(
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
    """Make AdamW: one rate for everything, but for hidden matrices where the rules say so."""
    assert isinstance(model, Decoder)
    ratio = model.shape.width / spec.check.base
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
    """Cut windows of the embedded text, of shape BW; the same for every rung."""
    text = TrainingBatches(
        tokens_of().train, batch=spec.model.rows, context=spec.model.context, seed=0
    )
    return torch.from_numpy(text.at(0)).long()


def next_token_loss(model: nn.Module, windows_BW: Tensor) -> Tensor:
    """Give the cross-entropy of each next token, in nats."""
    logits_BTV: Tensor = model(windows_BW[:, :-1])
    return F.cross_entropy(logits_BTV.flatten(0, 1), windows_BW[:, 1:].flatten())


def _is_hidden(name: str) -> bool:
    """Tell the matrices whose both sides grow with width: all those of the blocks."""
    return name.startswith("blocks.")
