"""This file is where a model can be put: a device, checked before anything is trained."""

from __future__ import annotations

import torch

from mutransfer.errors import ModelError


def checked_device(name: str, *, fix: str = "set device = 'cpu' in [lab]") -> torch.device:
    """Refuse a device that is not there, before anything is trained."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the meta device exists, but holds nothing
    except (RuntimeError, AssertionError) as problem:
        raise ModelError(
            f"no device '{name}': {str(problem).splitlines()[0]}",
            why="models were to be trained there",
            fix=fix,
        ) from None
    return device
