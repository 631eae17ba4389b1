"""Configuration of the reference decoder: its sizes, and one switch per ablation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mutransfer.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Sizes of a decoder in channels, blocks and tokens, and one switch per ablation.

    Args:
        biases: Whether linear layers have biases, which start at 0.
        norm_gains: Gains of the RMSNorms, which start at 1.
        query_init: Std of the query weights: fan_in^-1/2, as of all hidden weights, or 0.
        readout_init: Std of the readout: 1/width, width^-1/2, or 0. The embedding's is 1.
        attention_scale: Attention logits are divided by the head width, or by its root.

    Raises:
        ModelError: No decoder has these sizes.

    Source:
        The baseline of arXiv:2404.05728 and its ablations. The activation is fixed to ReLU:
        GELU, SwiGLU and GEGLU have no switch yet.

    Example:
        >>> DecoderConfig(width=64).num_heads
        4
    """

    width: int
    depth: int = 3
    head_width: int = 16
    context: int = 64
    vocabulary: int = 256
    biases: bool = False
    norm_gains: Literal["none", "vector"] = "none"
    query_init: Literal["normal", "zero"] = "normal"
    readout_init: Literal["mup", "sp", "zero"] = "mup"
    attention_scale: Literal["1/d", "1/sqrt(d)"] = "1/d"

    def __post_init__(self) -> None:
        sizes = ("width", "depth", "head_width", "context", "vocabulary")
        if small := [name for name in sizes if getattr(self, name) < 1]:
            raise ModelError(
                f"{small[0]} is {getattr(self, small[0])}",
                why="a decoder has at least one of everything",
                fix=f"make {small[0]} 1 or more",
            )
        if self.width % self.head_width or self.head_width % 2:
            raise ModelError(
                f"width {self.width} does not split into heads of {self.head_width}",
                why="heads share the width equally, and rotary positions turn pairs of channels",
                fix=f"make head_width even and width a multiple of it, as {2 * self.head_width}",
            )

    @property
    def num_heads(self) -> int:
        """Heads of each attention layer; their number grows with width, their width does not."""
        return self.width // self.head_width
