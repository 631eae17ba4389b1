"""Combinations of the lab decoder's switches that no model can have."""

# ruff: noqa: D102 - the decoder's configuration documents its switches

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

from mutransfer.errors import counted
from mutransfer.records.base import Problem

MLP_RATIO = 4.0  # [derived: arXiv:2404.05728, the baseline]
GATED_MLP_RATIO = 2.5  # [derived: arXiv:2404.05728, SwiGLU of the published numbers]


class Architecture(Protocol):
    """Switches of the decoder that restrict each other."""

    @property
    def kv_heads(self) -> int | None: ...
    @property
    def activation(self) -> str: ...
    @property
    def mlp_ratio(self) -> float | None: ...
    @property
    def positions(self) -> str: ...
    @property
    def tied(self) -> bool: ...
    @property
    def readout_init(self) -> str: ...


def is_gated(architecture: Architecture) -> bool:
    """Return whether the activation of the MLP is the product of two projections."""
    return architecture.activation in ("swiglu", "geglu")


def mlp_width(architecture: Architecture, width: int) -> Fraction:
    """Return the hidden channels of the MLP, a whole number in every model that can be built.

    The ratio is taken as it is written, so 2.67 of 100 channels are 267, and no number overflows.
    """
    default = GATED_MLP_RATIO if is_gated(architecture) else MLP_RATIO
    ratio = default if architecture.mlp_ratio is None else architecture.mlp_ratio
    return width * Fraction(repr(float(ratio)))


def architecture_problems(architecture: Architecture, width: int, head_width: int) -> list[Problem]:
    """Return what is impossible about a decoder of a width, whose heads divide it."""
    a, problems = architecture, []
    heads = width // head_width
    if a.positions == "rope" and head_width % 2:
        what = f"head_width {head_width} is odd, but rotary positions need pairs of channels"
        problems.append(Problem(what, f"write head_width = {head_width + 1}"))
    if a.kv_heads is not None and (a.kv_heads > heads or heads % a.kv_heads):
        num_heads = counted(heads, "head")
        what = f"kv_heads {a.kv_heads} does not divide the {num_heads} of width {width}"
        divisors = [k for k in range(1, min(a.kv_heads, heads) + 1) if heads % k == 0]
        wider = f"widths whose number of heads is a multiple of {a.kv_heads}"
        problems.append(Problem(what, f"write kv_heads = {divisors[-1]}, or {wider}"))
    hidden = mlp_width(a, width)
    multiple = 2 if is_gated(a) else 1
    if hidden % multiple:
        kind = "an even number of" if multiple == 2 else "a whole number of"
        what = f"mlp_ratio {a.mlp_ratio or GATED_MLP_RATIO:g} does not give {kind} hidden channels "
        what += f"at width {width}: {format_number(hidden)}"
        nearest = Fraction(max(multiple, round(hidden / multiple) * multiple))
        problems.append(Problem(what, f"write mlp_ratio = {format_number(nearest / width)}"))
    if a.tied and a.readout_init != "mup":
        what = f"readout_init '{a.readout_init}', but a tied readout has the embedding's init"
        problems.append(Problem(what, "leave readout_init out, or write tied = false"))
    return problems


def format_number(value: Fraction) -> str:
    """Format a number in a few digits, or as it is if no float can hold it."""
    return f"{float(value):g}" if value < 10**15 else str(value)
