"""The parts of a training step by themselves, forward and backward, at the shapes of a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutransfer.lab.data.batches import TrainingBatches
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.layers import apply_rotary, rotary_tables
from mutransfer.lab.optimizers import lab_optimizers
from mutransfer.lab.trial import inputs_and_targets, lab_model, lab_plan
from mutransfer.records import LabSettings

# Shape legend: B batch, T time, D width, N heads, H head width, V vocabulary.

CPU = torch.device("cpu")

Part = Callable[[], object]


def parts_of_step(s: LabSettings) -> dict[str, Part]:
    """Return the parts of a step of the baseline decoder, all but the residual additions.

    Each is a call that does what one step does in all blocks together.
    """
    plan = lab_plan(s)
    model = lab_model(s, plan)
    batches = TrainingBatches(load_tokens(None).train, s.batch, s.context, s.seed)
    table = model.embedding.weight
    inputs_BT, targets_BT = inputs_and_targets(batches.at(1), CPU)
    logits_BTV = leaves(1, s.batch, s.context, model.config.vocabulary)
    hidden = leaves(s.depth, s.batch, s.context, model.config.mlp_width)
    streams = leaves(2 * s.depth + 1, s.batch, s.context, s.width)

    def losses() -> list[Tensor]:
        return [F.cross_entropy(x.flatten(0, 1), targets_BT.flatten()) for x in logits_BTV]

    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    (optimizer,) = lab_optimizers(model, plan, s)
    return {
        "linear layers": linear_layers(model, s.batch * s.context),
        "attention": attention(s),
        "rotary positions": rotary_positions(s),
        "norms": with_gradients(lambda: [model.final_norm(x) for x in streams], streams),
        "activations": with_gradients(lambda: [F.relu(x) for x in hidden], hidden),
        "loss": with_gradients(losses, logits_BTV),
        "embedding": with_gradients(lambda: [model.embedding(inputs_BT)], [table]),
        "clipping": lambda: nn.utils.clip_grad_norm_(model.parameters(), s.clip),
        "optimizer": optimizer.step,
        "batch": lambda: inputs_and_targets(batches.at(1), CPU),
    }


def leaves(count: int, *shape: int) -> list[Tensor]:
    """Return random tensors whose gradients are computed."""
    return [torch.randn(shape, requires_grad=True) for _ in range(count)]


def with_gradients(outputs: Callable[[], list[Tensor]], variables: Sequence[Tensor]) -> Part:
    """Return a call that computes outputs, and then the gradients of variables."""
    grad_outputs = [torch.ones_like(output) for output in outputs()]
    return lambda: torch.autograd.grad(outputs(), variables, grad_outputs)


def linear_layers(model: nn.Module, tokens: int) -> Part:
    """Return a call of all linear layers with the gradients of their inputs and weights."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    inputs = [x for layer in layers for x in leaves(1, tokens, layer.in_features)]
    weights = [layer.weight for layer in layers]
    return with_gradients(
        lambda: [layer(x) for layer, x in zip(layers, inputs, strict=True)], inputs + weights
    )


def attention(s: LabSettings) -> Part:
    """Return a call of attention from queries, keys and values to mixed values."""
    q, k, v = (leaves(s.depth, s.batch, s.context, s.width) for _ in range(3))

    def split_heads(x_BTD: Tensor) -> Tensor:
        return x_BTD.view(s.batch, s.context, -1, s.head_width).transpose(1, 2)

    def mixed() -> list[Tensor]:
        blocks = [map(split_heads, block) for block in zip(q, k, v, strict=True)]
        return [F.scaled_dot_product_attention(*block, is_causal=True) for block in blocks]

    return with_gradients(mixed, q + k + v)


def rotary_positions(s: LabSettings) -> Part:
    """Return a call of the tables of a step and of their application to queries and keys."""
    heads = leaves(2 * s.depth, s.batch, s.context, s.width // s.head_width, s.head_width)

    def rotated() -> list[Tensor]:
        tables = rotary_tables(s.context, s.head_width, device=CPU)
        return [apply_rotary(x_BTNH, tables) for x_BTNH in heads]

    return with_gradients(rotated, heads)
