"""Comparison of a prediction with published laws: their rates for the same target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mutransfer.analysis.format import format_power, format_size
from mutransfer.literature.laws.rate_laws import PublishedLaw, published_laws, with_flops

SAME_SIZE = 1e-6  # relative difference of sizes that differ by rounding only


@dataclass(frozen=True, slots=True)
class Anchor:
    """The optimum that a law of ratios starts from.

    Args:
        sizes: Size -> value.
        log2_lr: log2 of the best rate there.
    """

    sizes: Mapping[str, float]
    log2_lr: float


@dataclass(frozen=True, slots=True)
class ComparedLaw:
    """One published law for one target.

    Args:
        name: The law's name here.
        title: What it is called.
        source: arXiv number, or the address of the code.
        setting: Optimizer, schedule and other conditions of the law.
        certainty: 'read' or 'recalled', as for `PublishedLaw`.
        log2_lr: log2 of its rate, or None.
        missing: Sizes that it needs and that the target lacks.
        anchor: The optimum that it starts from, where the law gives ratios.
        batch_tokens: Its best batch size in tokens, or None.
        warnings: Why the rate may not apply.
    """

    name: str
    title: str
    source: str
    setting: str
    certainty: str
    log2_lr: float | None
    missing: tuple[str, ...]
    anchor: Anchor | None
    batch_tokens: float | None
    warnings: tuple[str, ...]


def compare_laws(target: Mapping[str, float], anchors: Sequence[Anchor]) -> tuple[ComparedLaw, ...]:
    """Evaluate every published law at a target.

    None of them enters our prediction: they are other people's optimizers, data and schedules.

    Args:
        target: The target's sizes by the names of `PublishedLaw.exponents`.
        anchors: The optima of the sweep. A law of ratios starts from the last of those with the
            sizes that it needs, so that the nearest to the target should be last.

    Example:
        >>> laws = compare_laws({"params": 7e9, "tokens": 1.4e12}, ())
        >>> [(law.name, law.missing) for law in laws if law.log2_lr is None][:2]
        [('horizon-0.32', ('batch',)), ('hyperp', ('batch',))]
    """
    return tuple(_compare(law, target, anchors) for law in published_laws().values())


def _compare(
    law: PublishedLaw, target: Mapping[str, float], anchors: Sequence[Anchor]
) -> ComparedLaw:
    """Evaluate one law."""
    missing = law.missing(target)
    log2_lr, anchor = None, None
    warnings = list(_range_warnings(law, target))
    if law.coefficient is None:
        anchor = next((a for a in reversed(anchors) if not law.missing(a.sizes)), None)
        if not missing and anchor is not None:
            log2_lr = anchor.log2_lr + law.log2_ratio(target, anchor.sizes)
            warnings += _anchor_warnings(law, target, anchor)
        elif not missing:
            sizes = " and ".join(law.inputs)
            warnings.append(f"no optimum of the sweep has {sizes}: name them with --scale")
    elif not missing:
        log2_lr = law.log2_lr(target)
    return ComparedLaw(
        name=law.name,
        title=law.title,
        source=law.source,
        setting=law.setting,
        certainty=law.certainty,
        log2_lr=log2_lr,
        missing=missing,
        anchor=None if log2_lr is None else anchor,
        batch_tokens=law.batch_tokens(target),
        warnings=tuple(warnings) if log2_lr is not None or not missing else (),
    )


def _range_warnings(law: PublishedLaw, target: Mapping[str, float]) -> list[str]:
    """Return the sizes of the target at which the law was not fitted."""
    sizes = with_flops(target)
    return [
        f"{name} {format_size(sizes[name])} is outside {format_size(low)} to {format_size(high)}, "
        f"where it was fitted ({law.range_source})"
        for name, (low, high) in law.range.items()
        if name in sizes and not low <= sizes[name] <= high
    ]


def _anchor_warnings(law: PublishedLaw, target: Mapping[str, float], anchor: Anchor) -> list[str]:
    """Return the sizes that change from the anchor to the target although the law ignores them."""
    warnings = []
    for name, size in target.items():
        base = anchor.sizes.get(name)
        if base is None or name in law.exponents or abs(size / base - 1) <= SAME_SIZE:
            continue
        reason = "it is for a fixed one" if name in law.fixed else "it says nothing about this"
        change = f"{format_size(base)} to {format_size(size)}"
        warnings.append(f"{name} changes from {change}, and {reason}")
    return warnings


def format_anchor(anchor: Anchor) -> str:
    """Format an anchor as a clause.

    Example:
        >>> format_anchor(Anchor({"tokens": 1e9}, -6.0))
        '2^-6 at tokens 1e+09'
    """
    sizes = ", ".join(f"{name} {format_size(size)}" for name, size in anchor.sizes.items())
    return f"{format_power(anchor.log2_lr)} at {sizes}"
