"""Fan-in and fan-out of the weights of known layers, and which tensors are vectors."""

from __future__ import annotations

import re
from math import prod

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.rnn import RNNCellBase
from torch.nn.utils.parametrize import ParametrizationList

from mutransfer.parametrize.model.shapes import ParameterInfo

# Class, pattern of the attribute's name, and layout of the weight; further axes are a kernel.
# The first match counts: a transposed convolution is a _ConvNd too, and has the other layout.
WEIGHT_LAYOUTS: tuple[tuple[type[nn.Module], str, str], ...] = (
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
    ParametrizationList,  # holds the norms that `weight_norm` splits off
)


def fans(weight: ParameterInfo) -> tuple[int, int] | None:
    """Return a weight's fan-in and fan-out, or None if its owner is not a known layer.

    A channel of a grouped convolution receives the channels of its group only, so the fan-in of a
    depthwise convolution does not grow.

    Example:
        >>> fans(ParameterInfo("w", (64, 3, 5, 5), "", nn.Conv2d, "weight"))
        (75, 64)
        >>> fans(ParameterInfo("w", (64, 1, 5), "", nn.ConvTranspose1d, "weight", groups=64))
        (5, 64)
    """
    shape, stored = weight.shape, layout(weight)
    if stored is None:
        return None
    kernel = prod(shape[2:])
    if stored == "out in":
        return shape[1] * kernel, shape[0]
    return shape[0] // weight.groups * kernel, shape[1] * weight.groups


def layout(weight: ParameterInfo) -> str | None:
    """Return how a weight is stored, 'out in' or 'in out', or None for an unknown owner.

    Example:
        >>> layout(ParameterInfo("w", (64, 3), "", nn.Linear, "weight"))
        'out in'
    """
    for kind, pattern, stored in WEIGHT_LAYOUTS:
        if issubclass(weight.kind, kind) and re.fullmatch(pattern, weight.attribute):
            return stored
    is_weight = weight.attribute == "weight" and len(weight.shape) == 2
    return "in out" if is_weight and _is_transposed_linear(weight.kind) else None


def is_elementwise(parameter: ParameterInfo) -> bool:
    """Return whether the owner applies the parameter to each channel: biases and norm gains."""
    if issubclass(parameter.kind, ELEMENTWISE):
        return True
    is_known = any(issubclass(parameter.kind, kind) for kind, _, _ in WEIGHT_LAYOUTS)
    is_known = is_known or _is_transposed_linear(parameter.kind)
    return is_known and BIASES.fullmatch(parameter.attribute) is not None


def _is_transposed_linear(kind: type[nn.Module]) -> bool:
    """Return whether a class is Hugging Face's `Conv1D`, a linear layer stored as (in, out)."""
    return kind.__name__ == "Conv1D" and not issubclass(kind, _ConvNd)
