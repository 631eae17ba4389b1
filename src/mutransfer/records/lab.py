"""Settings of one trial of the built-in trainer (the lab), and its datasets."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mutransfer.records.architecture import architecture_problems
from mutransfer.records.base import InvalidValue, Problem, Record

NUMERICS = 1
"""Version of the lab's arithmetic, part of every lab trial's id. A change that alters a trial's
numbers increments it and is described under *Numerics* in the changelog."""

TOKEN_FILES = "token-files"
"""The setting `tokenizer` of trials on token files, whose tokenizer has no name."""


LR_MULTIPLIER = "lr_multiplier_"
"""Start of the names of the settings that multiply the learning rate of a role."""


class DatasetTable(Record):
    """`[lab.dataset]`: documents of a dataset of the Hugging Face hub, or of a folder."""

    name: str = Field(
        min_length=1, description="OWNER/NAME on the hub, or a folder of Parquet, JSON or text"
    )
    config: str | None = Field(None, description="configuration, such as 'en' of allenai/c4")
    revision: str | None = Field(None, description="commit on the hub; a folder has none")
    split: str = Field("train", description="split, from which 1 document in 20 is held out")
    column: str = Field("text", description="column of text")
    documents: int = Field(10_000, gt=0, description="documents from the beginning of the split")


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
    base_width: int = Field(
        gt=0, description="width at which every factor is exactly 1; 1 is the absolute form"
    )
    lr: float = Field(gt=0, description="peak learning rate at the base width")
    parametrization: str = Field("mup", description="a name that `mutransfer rules` lists")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of init and data order")

    # Factors on the learning rate of roles
    lr_multiplier_input: float = Field(1.0, gt=0, description="embeddings, and tied tables")
    lr_multiplier_vector: float = Field(1.0, gt=0, description="biases, and gains per channel")
    lr_multiplier_hidden: float = Field(1.0, gt=0, description="matrices of the blocks")
    lr_multiplier_output: float = Field(1.0, gt=0, description="the readout")
    lr_multiplier_bottleneck: float = Field(
        1.0, gt=0, description="keys and values of a fixed number of heads"
    )

    # The reference decoder
    depth: int = Field(3, gt=0, description="number of blocks")
    head_width: int = Field(16, gt=0, description="channels of one attention head")
    heads: int | None = Field(
        None,
        gt=0,
        description="number of heads at every width, so that larger widths have wider heads; by "
        "default they have more heads, of head_width channels each",
    )
    kv_heads: int | None = Field(
        None, gt=0, description="key and value heads; all by default, 1 is multi-query attention"
    )
    context: int = Field(64, gt=0, description="tokens of one sequence")
    tokenizer: str = Field("bytes", description="bytes, bpe-1024, or a tokenizer of the hub")
    vocabulary: int | None = Field(
        None, gt=1, description="rows of the embedding; by default the tokenizer's tokens"
    )
    biases: bool = Field(False, description="biases in every linear layer")
    norm: Literal["rms", "layer"] = Field("rms", description="RMSNorm or LayerNorm")
    norm_gains: Literal["none", "vector", "scalar"] = Field(
        "none", description="gains of the norms: none, one per channel, or one per norm"
    )
    query_init: Literal["normal", "zero"] = Field("normal", description="init of the query weights")
    readout_init: Literal["mup", "sp", "zero"] = Field(
        "mup", description="readout std at the base width: 1/width, width^-1/2, or 0"
    )
    residual_init: Literal["normal", "zero"] = Field(
        "normal", description="init of the layers that write to the residual stream"
    )
    attention_scale: Literal["1/d", "1/sqrt(d)"] = Field(
        "1/d",
        description="factor on attention logits, d channels per head; a study that leaves it out "
        "has the parametrization's own, 1/sqrt(d) under SP",
    )
    activation: Literal["relu", "gelu", "sqrelu", "swiglu", "geglu"] = Field(
        "relu", description="activation of the MLP; swiglu and geglu are gated"
    )
    mlp_ratio: float | None = Field(
        None, gt=0, description="hidden channels of the MLP over width; 4, or 2.5 if it is gated"
    )
    embedding_norm: bool = Field(False, description="a norm behind the embedding")
    qk_norm: bool = Field(False, description="a norm on queries and keys, in each head")
    tied: bool = Field(False, description="the readout shares the embedding's table")
    positions: Literal["rope", "learned", "none"] = Field(
        "rope", description="rotary positions, a learned embedding of them, or none"
    )
    init_std: float = Field(1.0, gt=0, description="factor on every init std")
    input_multiplier: float = Field(1.0, gt=0, description="factor on the embedding's output")
    output_multiplier: float = Field(1.0, gt=0, description="factor on the logits")

    # Training
    optimizer: Literal["adamw", "adam", "sgd", "lion", "adafactor", "muon"] = Field(
        "adamw",
        description="update rule; muon is torch's with the RMS of AdamW's updates, and AdamW for "
        "all but hidden matrices",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="first moment of Adam, AdamW and Lion")
    beta2: float = Field(
        0.95, ge=0, lt=1, description="second moment of Adam and AdamW, EMA of Lion"
    )
    eps: float = Field(1e-8, ge=0, description="epsilon of Adam and AdamW at the base width")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD and Muon")
    weight_decay: float = Field(0.0, ge=0, description="weight decay at the base width")
    decay_mode: Literal["constant-product", "coupled", "independent"] = Field(
        "constant-product", description="how weight decay scales with width"
    )
    steps: int = Field(150, gt=0, description="optimizer steps")
    tokens_per_parameter: float | None = Field(
        None, gt=0, description="length in tokens per non-embedding parameter, instead of steps"
    )
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

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        """Reject combinations of settings that no model or schedule can have."""
        if (
            self.heads is not None
            and self.head_width != type(self).model_fields["head_width"].default
        ):
            what = f"heads {self.heads} and head_width {self.head_width} are both set"
            fix = "write head_width alone for more heads at larger widths, or heads alone for wider"
            raise InvalidValue((what, f"{fix} ones"))
        if self.heads is not None and self.base_width == 1:
            what = f"heads {self.heads} have no width at base_width 1, the absolute form"
            raise InvalidValue((what, "write head_width instead, or a base_width of its own"))
        unit, factor = f"head_width {self.head_width}", self.head_width
        if self.heads is not None:
            unit, factor = f"heads {self.heads}", self.heads
            if self.positions == "rope":
                unit, factor = f"2 * {unit}, as rotary positions need pairs of channels", 2 * factor
        for name in ("width", "base_width"):
            width = getattr(self, name)
            if width % factor and (name, width) != ("base_width", 1):
                what = f"{name} {width} is not a multiple of {unit}"
                multiple = -(-width // factor) * factor
                fix = f"write a multiple of {factor}, such as {name} = {multiple}"
                raise InvalidValue((what, fix))
        for width in sorted({self.width, self.base_width} - {1}):
            if problems := architecture_problems(self, width, self.head_width_at(width)):
                raise InvalidValue(*problems)
        if self.tokens_per_parameter is None and (self.warmup or 0) >= self.steps:
            what = f"warmup {self.warmup} leaves no step at the peak rate of {self.steps} steps"
            raise InvalidValue((what, f"write a warmup below {self.steps}"))
        if problems := self._unused_multipliers():
            raise InvalidValue(*problems)
        return self

    def head_width_at(self, width: int) -> int:
        """Return the channels of one attention head at a width.

        Example:
            >>> LabSettings(width=64, base_width=32, lr=0.1, heads=2).head_width_at(64)
            32
        """
        return self.head_width if self.heads is None else width // self.heads

    @property
    def lr_multipliers(self) -> dict[str, float]:
        """The factors on learning rates that are not 1, by role."""
        changed = self.non_default_fields().items()
        return {
            name.removeprefix(LR_MULTIPLIER): value
            for name, value in changed
            if name.startswith(LR_MULTIPLIER)
        }

    def _unused_multipliers(self) -> list[Problem]:
        """Return the multipliers of roles that no parameter of the decoder has."""
        absent = {}
        if self.norm_gains != "vector" and not self.biases:
            absent["vector"] = 'norm_gains = "vector"'
        if self.tied:
            absent["output"] = "tied = false"
        if self.kv_heads is None or self.heads is not None:
            absent["bottleneck"] = "kv_heads = 1 without heads"
        return [
            Problem(
                f"{LR_MULTIPLIER}{role} is set, but no parameter has the role '{role}'",
                f"remove {LR_MULTIPLIER}{role}, or write {absent[role]}",
            )
            for role in self.lr_multipliers
            if role in absent
        ]
