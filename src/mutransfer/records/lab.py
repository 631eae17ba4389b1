"""This file is every setting of one trial of the built-in trainer: the lab."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mutransfer.records.base import Record

NUMERICS = 1
"""Version of the lab's arithmetic, part of every lab trial's identity. A change of the numbers
that a trial gives raises it and goes into the changelog's *Numerics*."""


class LabSettings(Record):
    """One training run of the reference decoder: model, parametrization, optimizer, data order.

    Defaults are frozen: a setting at its default is left out of a trial's identity, so a
    setting that a later version adds does not change the identity of old trials.

    Sizes are in channels, layers, tokens, sequences and steps; rates are dimensionless;
    `lr` is the rate at the base width, which the parametrization scales to `width`.

    Example:
        >>> LabSettings(width=64, base_width=32, lr=2**-5).changed()
        {'width': 64, 'base_width': 32, 'lr': 0.03125}
    """

    # What a study asks about
    width: int = Field(gt=0, description="channels of the residual stream")
    base_width: int = Field(gt=0, description="width at which every factor is exactly 1")
    lr: float = Field(gt=0, description="peak learning rate at the base width")
    parametrization: str = Field("mup", description="a name that `mutransfer rules` lists")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of init and data order")

    # The reference decoder
    depth: int = Field(3, gt=0, description="number of blocks")
    head_width: int = Field(16, gt=0, description="channels of one attention head")
    context: int = Field(64, gt=0, description="tokens of one sequence")
    biases: bool = Field(False, description="biases in every linear layer")
    norm_gains: Literal["none", "vector"] = Field("none", description="gains of the RMSNorms")
    query_init: Literal["normal", "zero"] = Field("normal", description="init of the query weights")
    readout_init: Literal["mup", "sp", "zero"] = Field(
        "mup", description="readout std at the base width: 1/width, width^-1/2, or 0"
    )

    # Training
    optimizer: Literal["adamw", "sgd", "lion"] = Field("adamw", description="update rule")
    beta1: float = Field(0.9, ge=0, lt=1, description="first moment of AdamW and Lion")
    beta2: float = Field(0.95, ge=0, lt=1, description="second moment of AdamW, EMA of Lion")
    eps: float = Field(1e-8, ge=0, description="AdamW's epsilon at the base width")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(0.0, ge=0, description="decay at the base width")
    decay_mode: Literal["constant-product", "coupled", "independent"] = Field(
        "constant-product", description="how decay scales with width"
    )
    steps: int = Field(150, gt=0, description="optimizer steps")
    batch: int = Field(16, gt=0, description="sequences per step")
    schedule: Literal["linear", "cosine", "constant", "wsd"] = Field(
        "linear", description="decay of the rate after warmup"
    )
    warmup: int | None = Field(
        None, ge=0, description="steps of linear warmup; a tenth of all steps by default"
    )
    cooldown: float = Field(0.2, gt=0, le=1, description="share of steps that wsd decays over")
    clip: float = Field(1.0, ge=0, description="global gradient norm limit; 0 is no clipping")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision of the matmuls")

    @property
    def warmup_steps(self) -> int:
        """Steps of linear warmup."""
        return self.steps // 10 if self.warmup is None else self.warmup

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Refuse combinations that no model or schedule can have."""
        for name in ("width", "base_width"):
            if getattr(self, name) % self.head_width:
                raise ValueError(
                    f"{name} {getattr(self, name)} is not a multiple of head_width "
                    f"{self.head_width}"
                )
        if self.head_width % 2:
            raise ValueError(f"head_width {self.head_width} is odd, rotary positions need pairs")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup {self.warmup} leaves none of {self.steps} steps at the peak")
        return self
