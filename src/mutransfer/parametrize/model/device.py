"""The device on which models are trained, checked for availability."""

from __future__ import annotations

import torch

from mutransfer.errors import ModelError


def available_device(name: str, *, fix: str = "set device = 'cpu' in [lab]") -> torch.device:
    """Return a device by name, or raise before anything is trained if it is not available."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # fails on the meta device, which stores no numbers
    except (RuntimeError, AssertionError) as problem:
        raise ModelError(
            f"no device '{name}': {str(problem).splitlines()[0]}",
            why="models would be trained on this device",
            fix=fix,
        ) from None
    return device
