"""Parameter and FLOP counts of the decoder, in closed form."""

from __future__ import annotations

from mutransfer.lab.layers import MLP_RATIO, DecoderShape


def num_parameters(shape: DecoderShape) -> int:
    """Return the number of trained parameters.

    With width n, depth L and vocabulary V: `2·V·n + 12·L·n²`; biases add `9·L·n + V`, gains
    `(2·L + 1)·n`.

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
    """Return the floating-point operations of matrix products, forward and backward.

    Per token each weight takes two operations forward and four backward, except the embedding,
    which is looked up. Attention adds two products of T by T by n, counted in full although
    causal. Norms, activations and the optimizer are not counted, because the count is compared
    with the peak speed of matrix products.

    Args:
        shape: The decoder.
        num_tokens: Tokens trained on, in whole sequences of `shape.context`.

    Example:
        >>> training_flops(DecoderShape(width=64), 64)
        72351744
    """
    n, depth = shape.width, shape.depth
    weights = depth * (4 + 2 * MLP_RATIO) * n**2 + shape.vocabulary * n
    attention = 2 * depth * shape.context * n
    return 6 * num_tokens * (weights + attention)
