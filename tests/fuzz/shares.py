"""How many hostile cases each property is tried on: some in every run, ten thousand in all."""

from __future__ import annotations

import pytest

FEW = {"losses": 160, "tables": 100, "commands": 120, "studies": 90, "stores": 40, "pages": 2}
MANY = {
    "losses": 3200,
    "tables": 1700,
    "commands": 2900,
    "studies": 1500,
    "stores": 680,
    "pages": 20,
}


def cases(what: str) -> pytest.MarkDecorator:
    """Try a property on a few cases, and on many in the slow tests."""
    many = pytest.param(MANY[what], marks=pytest.mark.slow)
    return pytest.mark.parametrize("cases", [FEW[what], many])
