"""This file is what a decoder costs: its parameters and training FLOPs, in closed form."""

from __future__ import annotations

from mutransfer.lab.layers import MLP_RATIO, DecoderShape


def num_parameters(shape: DecoderShape) -> int:
    """Count the trained parameters.

    With width n, depth L and vocabulary V: `2·V·n + 12·L·n²` plain; biases add
    `9·L·n + V`, gains `(2·L + 1)·n`.

    Example:
        >>> num_parameters(DecoderShape(width=64))
        180224
    """
    n, depth = shape.width, shape.depth
    count = 2 * shape.vocabulary * n + depth * (4 + 2 * MLP_RATIO) * n**2
    if shape.biases:
        count += depth * (5 + MLP_RATIO) * n + shape.vocabulary
    if shape.norm_gains == "vector":
        count += (2 * depth + 1) * n
    return count


def training_flops(shape: DecoderShape, num_tokens: int) -> int:
    """Count the floating-point operations of matrix products, forward and backward.

    Two operations per weight and token forward, four backward; looking up an embedding is no
    product. Attention logits and their use are two products of T by T by n, counted in full
    although causal. Norms, activations and the optimizer are left out: they are small, and
    a share of the matmul rate is what the count is for.

    Args:
        shape: The decoder.
        num_tokens: Tokens trained on, whole sequences of `shape.context`.

    Example:
        >>> training_flops(DecoderShape(width=64), 64)
        72351744
    """
    n, depth = shape.width, shape.depth
    weights = depth * (4 + 2 * MLP_RATIO) * n**2 + shape.vocabulary * n
    attention = 2 * depth * shape.context * n
    return 6 * num_tokens * (weights + attention)
