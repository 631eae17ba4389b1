"""Roles of parameters: which of their axes grow with width."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Role of a parameter in a rule table.

    Source:
        Tensor Programs V, arXiv:2203.03466, Table 8: "input weights & all biases",
        "hidden weights", "output weights". A *bottleneck* maps a growing axis to a fixed
        one without being the model's readout, as a router does.
    """

    INPUT = "input"
    VECTOR = "vector"
    HIDDEN = "hidden"
    OUTPUT = "output"
    BOTTLENECK = "bottleneck"
    FIXED = "fixed"


def role_of_matrix(*, fan_in_scales: bool, fan_out_scales: bool, is_readout: bool) -> Role:
    """Return the role of a weight matrix from the axes that scale.

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


# Plans save these texts as `reason`; error messages of `parametrize` quote them.
REASONS = {
    Role.INPUT: "only fan-out grows with width",
    Role.VECTOR: "one axis, applied elementwise: a bias or a gain",
    Role.HIDDEN: "fan-in and fan-out grow with width",
    Role.OUTPUT: "only fan-in grows with width, and it is the model's readout",
    Role.BOTTLENECK: "only fan-in grows with width, and it is not the readout",
    Role.FIXED: "no axis grows with width",
}

COPY_OF = "copy of "
"""Start of the reason of a parameter that has the role of its original, whose name follows."""

ROLE_OVERRIDE = "set by roles="
"""Reason of a role that the user chose."""
