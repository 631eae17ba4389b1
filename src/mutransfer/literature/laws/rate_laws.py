"""Laws of the best learning rate from other papers: formulas as data, with their sources."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

INPUTS = ("params", "tokens", "batch", "flops")
FLOPS_PER_PARAMETER_AND_TOKEN = 6  # forward and backward pass of a dense model [assumed]


@dataclass(frozen=True, slots=True)
class PublishedLaw:
    """A published power law of the best learning rate.

    Args:
        name: Its name here.
        title: What it is called.
        source: arXiv number, or the address of the code.
        coefficient: The rate where all sizes are 1; None where the law gives ratios only.
        exponents: Size -> exponent. Sizes are `params` (without embeddings), `tokens`, `batch`
            and `flops` (6 · params · tokens where it has no value).
        batch_coefficient: As `coefficient`, for the best batch size in tokens.
        batch_exponents: Its exponents; empty where the source has no such law.
        fixed: Sizes that must not change.
        range: Size -> the smallest and the largest value of the fit.
        range_source: Where the range is from.
        setting: Optimizer, schedule and other conditions.
        certainty: 'read' in the source or in what its authors released, or 'recalled'.
    """

    name: str
    title: str
    source: str
    exponents: Mapping[str, float]
    setting: str
    certainty: str
    coefficient: float | None = None
    batch_coefficient: float | None = None
    batch_exponents: Mapping[str, float] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    range: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    range_source: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The sizes that the rate depends on."""
        return tuple(name for name in INPUTS if name in self.exponents or name in self.fixed)

    def missing(self, sizes: Mapping[str, float]) -> tuple[str, ...]:
        """Return the sizes that the rate depends on and that have no value."""
        available = with_flops(sizes)
        names = dict.fromkeys(name for name in self.inputs if name not in available)
        return tuple(
            part
            for name in names
            for part in (("params", "tokens") if name == "flops" else (name,))
            if part not in available
        )

    def log2_lr(self, sizes: Mapping[str, float]) -> float:
        """Return log2 of the rate; all inputs need a value, and the law needs a coefficient.

        Example:
            >>> round(2 ** published_laws()["step-law"].log2_lr({"params": 1e9, "tokens": 1e11}), 6)
            0.001632
        """
        assert self.coefficient is not None
        return math.log2(self.coefficient) + _log2_product(self.exponents, sizes)

    def log2_ratio(self, target: Mapping[str, float], base: Mapping[str, float]) -> float:
        """Return log2 of the ratio of the best rate at a target to that at a base.

        Example:
            >>> law = published_laws()["completed-p"]
            >>> law.log2_ratio({"tokens": 4e9, "batch": 64}, {"tokens": 1e9, "batch": 64})
            -1.0
        """
        return _log2_product(self.exponents, target) - _log2_product(self.exponents, base)

    def batch_tokens(self, sizes: Mapping[str, float]) -> float | None:
        """Return the best batch size in tokens, or None where the law or a size is missing."""
        available = with_flops(sizes)
        if self.batch_coefficient is None or not self.batch_exponents.keys() <= available.keys():
            return None
        log2_factor = _log2_product(self.batch_exponents, sizes)
        return self.batch_coefficient * math.exp2(log2_factor)


def with_flops(sizes: Mapping[str, float]) -> dict[str, float]:
    """Return sizes with the FLOPs of training, where they can be computed."""
    available = dict(sizes)
    if "flops" not in available and {"params", "tokens"} <= available.keys():
        product = available["params"] * available["tokens"]
        available["flops"] = FLOPS_PER_PARAMETER_AND_TOKEN * product
    return available


def _log2_product(exponents: Mapping[str, float], sizes: Mapping[str, float]) -> float:
    """Return log2 of the product of powers of sizes."""
    available = with_flops(sizes)
    return math.fsum(power * math.log2(available[name]) for name, power in exponents.items())


@cache
def published_laws() -> dict[str, PublishedLaw]:
    """Return the published laws by name.

    Source:
        Each law names its own; `data/rate-laws.toml` holds them.

    Example:
        >>> law = published_laws()["deepseek"]
        >>> law.source, law.missing({"tokens": 2e12})
        ('arXiv:2401.02954', ('params',))
    """
    text = files("mutransfer.literature").joinpath("data", "rate-laws.toml").read_text("utf-8")
    return {row["name"]: _law(row) for row in tomllib.loads(text)["law"]}


def _law(row: dict[str, object]) -> PublishedLaw:
    """Return a law from its table."""
    ranges = row.get("range", {})
    assert isinstance(ranges, dict)
    fixed = row.get("fixed", ())
    assert isinstance(fixed, list | tuple)
    pairs = {name: (float(ends[0]), float(ends[1])) for name, ends in ranges.items()}
    return PublishedLaw(**{**row, "range": pairs, "fixed": tuple(fixed)})  # type: ignore[arg-type]
