"""Parameter and FLOP counts of the decoder and the length of its training, in closed form."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction

from mutransfer.lab.data.vocabulary import vocabulary_size
from mutransfer.lab.decoder_config import DecoderConfig
from mutransfer.records import LabSettings


def decoder_config(settings: LabSettings, width: int) -> DecoderConfig:
    """Return the decoder of a trial at a width."""
    shared = {f.name for f in fields(DecoderConfig)} & set(LabSettings.model_fields)
    switches = {name: getattr(settings, name) for name in shared}
    sizes = {
        "width": width,
        "head_width": settings.head_width_at(width),
        "vocabulary": vocabulary_size(settings.tokenizer, settings.vocabulary),
    }
    return DecoderConfig(**{**switches, **sizes})


def num_parameters(config: DecoderConfig) -> int:
    """Return the number of trained parameters.

    With width n, depth L and vocabulary V, the baseline has `2·V·n + 12·L·n²`; biases add
    `9·L·n + V`, vector gains `(2·L + 1)·n`.

    Example:
        >>> num_parameters(DecoderConfig(width=64))
        180224
    """
    n = config.width
    tables = config.vocabulary * n * (1 if config.tied else 2)
    tables += config.context * n if config.positions == "learned" else 0
    tables += config.vocabulary if config.biases else 0
    return tables + num_non_embedding_parameters(config)


def num_non_embedding_parameters(config: DecoderConfig) -> int:
    """Return the number of parameters outside the embeddings and the readout.

    They are those of the blocks and of all norms: `12·L·n²` in the baseline.

    Example:
        >>> num_non_embedding_parameters(DecoderConfig(width=64))
        147456
    """
    count = config.depth * _block_weights(config)
    if config.biases:
        hidden = config.mlp_width * (2 if config.has_gate else 1)
        count += config.depth * (3 * config.width + 2 * config.kv_width + hidden)
    return count + _norm_parameters(config)


def training_flops(config: DecoderConfig, num_tokens: int) -> int:
    """Return the floating-point operations of matrix products, forward and backward.

    Per token each weight takes two operations forward and four backward, except the embeddings,
    which are looked up. Attention adds two products of T by T by n, counted in full although
    causal. Norms, activations and the optimizer are not counted, because the count is compared
    with the peak speed of matrix products.

    Args:
        config: The decoder.
        num_tokens: Tokens trained on, in whole sequences of `config.context`.

    Example:
        >>> training_flops(DecoderConfig(width=64), 64)
        72351744
    """
    n, depth = config.width, config.depth
    weights = depth * _block_weights(config) + config.vocabulary * n
    attention = 2 * depth * config.context * n
    return 6 * num_tokens * (weights + attention)


def num_steps(settings: LabSettings) -> int:
    """Return the optimizer steps of a trial, from its steps or its tokens per parameter.

    Example:
        >>> settings = LabSettings(width=64, base_width=64, lr=0.1, tokens_per_parameter=20)
        >>> num_steps(settings) == math.ceil(20 * 147456 / (16 * 64))
        True
    """
    if settings.tokens_per_parameter is None:
        return settings.steps
    parameters = num_non_embedding_parameters(decoder_config(settings, settings.width))
    tokens = Fraction(settings.tokens_per_parameter) * parameters  # a float could overflow
    return max(1, math.ceil(tokens / (settings.batch * settings.context)))


def num_warmup_steps(settings: LabSettings) -> int:
    """Return the steps of linear warmup; a tenth of all steps by default."""
    return num_steps(settings) // 10 if settings.warmup is None else settings.warmup


def _block_weights(config: DecoderConfig) -> int:
    """Return the entries of all matrices of one block."""
    n = config.width
    mlp = (3 if config.has_gate else 2) * n * config.mlp_width
    return 2 * n**2 + 2 * n * config.kv_width + mlp


def _norm_parameters(config: DecoderConfig) -> int:
    """Return the number of gains and biases of all norms."""
    num_norms = 2 * config.depth + 1 + (1 if config.embedding_norm else 0)
    num_head_norms = 2 * config.depth if config.qk_norm else 0
    if config.norm_gains == "none":
        return 0
    if config.norm_gains == "scalar":
        return num_norms + num_head_norms
    gains = num_norms * config.width + num_head_norms * config.head_width
    return gains * (2 if config.norm == "layer" and config.biases else 1)
