"""Number of hostile cases per property: some in every run, ten thousand in the slow tests."""

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


def cases(kind: str) -> pytest.MarkDecorator:
    """Parametrize a test by its number of cases: few, and many in the slow tests."""
    many = pytest.param(MANY[kind], marks=pytest.mark.slow)
    return pytest.mark.parametrize("cases", [FEW[kind], many])
