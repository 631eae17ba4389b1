"""Configuration of the reference decoder: its sizes, and one switch per ablation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mutransfer.errors import ModelError
from mutransfer.records.architecture import architecture_problems, is_gated, mlp_width


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Sizes of a decoder in channels, blocks and tokens, and one switch per ablation.

    Args:
        kv_heads: Heads of keys and values, shared by equal groups of query heads; None is all.
        biases: Whether linear layers have biases, which start at 0; LayerNorms with vector gains
            then have them too.
        norm: RMSNorm or LayerNorm, in every place.
        norm_gains: Gains of the norms, which start at 1: one per channel, or one per norm.
        query_init: Std of the query weights: fan_in^-1/2, as of all hidden weights, or 0.
        readout_init: Std of the readout: 1/width, width^-1/2, or 0. The embedding's is 1.
        residual_init: Std of the two layers of a block that write to the residual stream:
            fan_in^-1/2, or 0.
        attention_scale: Attention logits are divided by the head width, or by its root.
        activation: Activation of the MLP; 'swiglu' and 'geglu' multiply SiLU or GELU of one
            projection by another.
        mlp_ratio: Hidden channels of the MLP over width; None is 4, or 2.5 if it is gated.
        embedding_norm: Whether a norm follows the embedding.
        qk_norm: Whether queries and keys are normalized in each head.
        tied: Whether the readout shares the embedding's table, and so its init.
        positions: Rotary positions (RoFormer, arXiv:2104.09864), a learned embedding, or none.
        init_std: Factor on every std above.
        input_multiplier: Factor on the embedding, behind its norm if it has one.
        output_multiplier: Factor on the logits.

    Raises:
        ModelError: No decoder has these sizes and switches.

    Source:
        The baseline of arXiv:2404.05728 and its ablations.

    Example:
        >>> DecoderConfig(width=64).num_heads
        4
    """

    width: int
    depth: int = 3
    head_width: int = 16
    kv_heads: int | None = None
    context: int = 64
    vocabulary: int = 256
    biases: bool = False
    norm: Literal["rms", "layer"] = "rms"
    norm_gains: Literal["none", "vector", "scalar"] = "none"
    query_init: Literal["normal", "zero"] = "normal"
    readout_init: Literal["mup", "sp", "zero"] = "mup"
    residual_init: Literal["normal", "zero"] = "normal"
    attention_scale: Literal["1/d", "1/sqrt(d)"] = "1/d"
    activation: Literal["relu", "gelu", "sqrelu", "swiglu", "geglu"] = "relu"
    mlp_ratio: float | None = None
    embedding_norm: bool = False
    qk_norm: bool = False
    tied: bool = False
    positions: Literal["rope", "learned", "none"] = "rope"
    init_std: float = 1.0
    input_multiplier: float = 1.0
    output_multiplier: float = 1.0

    def __post_init__(self) -> None:
        sizes = ("width", "depth", "head_width", "context", "vocabulary")
        if small := [name for name in sizes if getattr(self, name) < 1]:
            raise ModelError(
                f"{small[0]} is {getattr(self, small[0])}",
                why="a decoder has at least one of everything",
                fix=f"make {small[0]} 1 or more",
            )
        if self.width % self.head_width:
            raise ModelError(
                f"width {self.width} does not split into heads of {self.head_width}",
                why="heads share the width equally",
                fix=f"make width a multiple of head_width, as {2 * self.head_width}",
            )
        if problems := architecture_problems(self, self.width, self.head_width):
            raise ModelError(
                "; ".join(problem.what for problem in problems),
                why="no decoder has these sizes and switches",
                fix="; ".join(problem.fix for problem in problems),
            )

    @property
    def num_heads(self) -> int:
        """Query heads of each attention layer; their number grows with width, not their width."""
        return self.width // self.head_width

    @property
    def kv_width(self) -> int:
        """Channels of all keys, or of all values."""
        return self.head_width * (self.num_heads if self.kv_heads is None else self.kv_heads)

    @property
    def mlp_width(self) -> int:
        """Hidden channels of the MLP."""
        return int(mlp_width(self, self.width))

    @property
    def has_gate(self) -> bool:
        """Whether a second projection multiplies the MLP's activation."""
        return is_gated(self)
