"""Fresh parameters that hold NaN or inf."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mutransfer.errors import InitError

MAX_NAMES = 4  # of the parameters that an error names


def check_finite(parameters: Mapping[str, nn.Parameter], owner: str) -> None:
    """Raise for fresh parameters that are not finite, except for frozen masks of -inf.

    Args:
        parameters: Parameters by name; those on the meta device are skipped.
        owner: The model in words, such as 'build(64)'.

    Raises:
        InitError: Some are not finite.
    """
    offenders = {}
    for name, parameter in parameters.items():
        if parameter.is_meta or torch.isfinite(norm(parameter)):
            continue
        kinds = {"NaN": parameter.isnan(), "inf": parameter.isinf()}
        counts = {kind: int(_whole(entries.sum())) for kind, entries in kinds.items()}
        if counts["NaN"] or (counts["inf"] and parameter.requires_grad):
            text = " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)
            offenders[name] = f"'{name}' ({text} of {parameter.numel()} entries)"
    if not offenders:
        return
    texts = list(offenders.values())
    more = f" and {len(texts) - MAX_NAMES} more" if len(texts) > MAX_NAMES else ""
    raise InitError(
        f"fresh parameters of {owner} are not finite: {', '.join(texts[:MAX_NAMES])}{more}",
        why="NaN and inf stay as they are whatever factor they get, and so the first loss is NaN",
        fix="initialise every parameter inside build, because torch.empty does not: "
        f"nn.init.zeros_(model.get_parameter('{next(iter(offenders))}')), or nn.init.normal_(...)",
    )


def norm(tensor: torch.Tensor) -> torch.Tensor:
    """Return the norm of a tensor in double precision, over all of its shards."""
    return _whole(torch.linalg.vector_norm(tensor.detach(), dtype=torch.float64))


def _whole(scalar: torch.Tensor) -> torch.Tensor:
    """Return a scalar of all processes: a DTensor holds the part of one."""
    full: torch.Tensor = scalar.full_tensor() if hasattr(scalar, "full_tensor") else scalar
    return full
