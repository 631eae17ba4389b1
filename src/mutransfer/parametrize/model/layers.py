"""This file is the layers that plans know: where fan-in and fan-out stand in their weights."""

from __future__ import annotations

import re
from math import prod

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.rnn import RNNCellBase
from torch.nn.utils.parametrize import ParametrizationList

from mutransfer.parametrize.model.shapes import Owned

# The first that fits: class, the attribute's name, and how its weight is laid out. What follows
# the two sides is a kernel. A transposed convolution is stored the other way round.
WEIGHTS: tuple[tuple[type[nn.Module], str, str], ...] = (
    (nn.Linear, "weight", "out in"),
    (nn.Embedding, "weight", "in out"),
    (nn.EmbeddingBag, "weight", "in out"),
    (_ConvTransposeNd, "weight", "in out"),
    (_ConvNd, "weight", "out in"),
    (nn.MultiheadAttention, "in_proj_weight|[qkv]_proj_weight", "out in"),
    (nn.RNNBase, "weight_.*", "out in"),
    (RNNCellBase, "weight_.*", "out in"),
)
BIASES = re.compile("bias|in_proj_bias|bias_.*")
ELEMENTWISE = (
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.PReLU,
    nn.modules.batchnorm._NormBase,
    ParametrizationList,  # the norms that weight_norm takes apart
)


def fans(weight: Owned) -> tuple[int, int] | None:
    """Give a weight's fan-in and fan-out; None if its owner is no layer that we know.

    A channel of a grouped convolution sees the channels of its group only, so that a depthwise
    one has a fan-in that does not grow.

    Example:
        >>> fans(Owned("w", (64, 3, 5, 5), "", nn.Conv2d, "weight"))
        (75, 64)
        >>> fans(Owned("w", (64, 1, 5), "", nn.ConvTranspose1d, "weight", groups=64))
        (5, 64)
    """
    shape, stored = weight.shape, layout(weight)
    if stored is None:
        return None
    kernel = prod(shape[2:])
    if stored == "out in":
        return shape[1] * kernel, shape[0]
    return shape[0] // weight.groups * kernel, shape[1] * weight.groups


def layout(weight: Owned) -> str | None:
    """Tell how a weight is stored: 'out in' or 'in out'; None if its owner is not known.

    Example:
        >>> layout(Owned("w", (64, 3), "", nn.Linear, "weight"))
        'out in'
    """
    known = next((how for kind, name, how in WEIGHTS if _fits(weight, kind, name)), None)
    return "in out" if known is None and _is_transposed_linear(weight) else known


def is_elementwise(parameter: Owned) -> bool:
    """Tell what its owner adds to, or multiplies with, each channel: biases, and norms' gains."""
    if issubclass(parameter.kind, ELEMENTWISE):
        return True
    known = any(issubclass(parameter.kind, kind) for kind, _, _ in WEIGHTS)
    known = known or parameter.kind.__name__ == "Conv1D"
    return known and BIASES.fullmatch(parameter.attribute) is not None


def _fits(weight: Owned, kind: type[nn.Module], name: str) -> bool:
    return issubclass(weight.kind, kind) and re.fullmatch(name, weight.attribute) is not None


def _is_transposed_linear(weight: Owned) -> bool:
    """Tell Hugging Face's Conv1D of GPT-2, a linear layer stored as (in, out)."""
    named = weight.kind.__name__ == "Conv1D" and not issubclass(weight.kind, _ConvNd)
    return named and weight.attribute == "weight" and len(weight.shape) == 2
