"""This file is the role of a parameter: which of its axes grow with width."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a parameter is to a scaling rule.

    Source:
        Tensor Programs V, arXiv:2203.03466, Table 8: "input weights & all biases",
        "hidden weights", "output weights". A *bottleneck* is a weight from a growing
        axis to a fixed one that is not the model's readout (a router, say).
    """

    INPUT = "input"
    VECTOR = "vector"
    HIDDEN = "hidden"
    OUTPUT = "output"
    BOTTLENECK = "bottleneck"
    FIXED = "fixed"


def role_of_matrix(*, fan_in_scales: bool, fan_out_scales: bool, is_readout: bool) -> Role:
    """Read the role of a weight matrix from the axes that scale.

    Example:
        >>> role_of_matrix(fan_in_scales=True, fan_out_scales=True, is_readout=False)
        <Role.HIDDEN: 'hidden'>
        >>> role_of_matrix(fan_in_scales=True, fan_out_scales=False, is_readout=True)
        <Role.OUTPUT: 'output'>
    """
    if fan_in_scales and fan_out_scales:
        return Role.HIDDEN
    if fan_out_scales:
        return Role.INPUT
    if fan_in_scales:
        return Role.OUTPUT if is_readout else Role.BOTTLENECK
    return Role.FIXED


REASONS = {
    Role.INPUT: "only fan-out grows with width",
    Role.VECTOR: "one axis, applied elementwise: a bias or a gain",
    Role.HIDDEN: "fan-in and fan-out grow with width",
    Role.OUTPUT: "only fan-in grows with width, and it is the model's readout",
    Role.BOTTLENECK: "only fan-in grows with width, and it is not the readout",
    Role.FIXED: "no axis grows with width",
}

TOLD = "as told by roles="
"""The reason of a role that the user gave."""
