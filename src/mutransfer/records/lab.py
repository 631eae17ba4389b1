"""Settings of one trial of the built-in trainer (the lab)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mutransfer.records.base import InvalidValue, Record

NUMERICS = 1
"""Version of the lab's arithmetic, part of every lab trial's id. A change that alters a trial's
numbers increments it and is described under *Numerics* in the changelog."""


class LabSettings(Record):
    """One training run of the reference decoder: model, parametrization, optimizer, data order.

    Defaults never change: a setting at its default is left out of the trial's id, so a setting
    that a later version adds does not change the ids of old trials. `lr` is the learning rate at
    the base width, which the parametrization scales to `width`.

    Example:
        >>> LabSettings(width=64, base_width=32, lr=2**-5).non_default_fields()
        {'width': 64, 'base_width': 32, 'lr': 0.03125}
    """

    # The usual axes of a study
    width: int = Field(gt=0, description="channels of the residual stream")
    base_width: int = Field(gt=0, description="width at which every factor is exactly 1")
    lr: float = Field(gt=0, description="peak learning rate at the base width")
    parametrization: str = Field("mup", description="a name that `mutransfer rules` lists")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of init and data order")

    # The reference decoder
    depth: int = Field(3, gt=0, description="number of blocks")
    head_width: int = Field(16, gt=0, description="channels of one attention head")
    context: int = Field(64, gt=0, description="tokens of one sequence")
    tokenizer: str = Field("bytes", description="bytes, bpe-1024, or a tokenizer of the hub")
    vocabulary: int | None = Field(
        None, gt=1, description="rows of the embedding; by default the tokenizer's tokens"
    )
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
    weight_decay: float = Field(0.0, ge=0, description="weight decay at the base width")
    decay_mode: Literal["constant-product", "coupled", "independent"] = Field(
        "constant-product", description="how weight decay scales with width"
    )
    steps: int = Field(150, gt=0, description="optimizer steps")
    batch: int = Field(16, gt=0, description="sequences per step")
    schedule: Literal["linear", "cosine", "constant", "wsd"] = Field(
        "linear", description="decay of the learning rate after warmup"
    )
    warmup: int | None = Field(
        None, ge=0, description="steps of linear warmup; a tenth of all steps by default"
    )
    cooldown: float = Field(0.2, gt=0, le=1, description="share of the steps over which wsd decays")
    clip: float = Field(1.0, ge=0, description="global gradient norm limit; 0 is no clipping")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision of the matmuls")

    @property
    def warmup_steps(self) -> int:
        """Number of steps of linear warmup."""
        return self.steps // 10 if self.warmup is None else self.warmup

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        """Reject combinations of settings that no model or schedule can have."""
        for name in ("width", "base_width"):
            if getattr(self, name) % self.head_width:
                width, heads = getattr(self, name), self.head_width
                what = f"{name} {width} is not a multiple of head_width {heads}"
                fix = f"write a multiple of {heads}, such as {name} = {-(-width // heads) * heads}"
                raise InvalidValue((what, fix))
        if self.head_width % 2:
            what = (
                f"head_width {self.head_width} is odd, but rotary positions need pairs of channels"
            )
            raise InvalidValue((what, f"write head_width = {self.head_width + 1}"))
        if self.warmup_steps >= self.steps:
            what = f"warmup {self.warmup} leaves no step at the peak rate of {self.steps} steps"
            raise InvalidValue((what, f"write a warmup below {self.steps}"))
        return self
