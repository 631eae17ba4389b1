"""Copies of trained parameters in a fresh model: teachers, moving averages, target networks.

A teacher that equals its student in a fresh model must still do so once a plan is applied, although
the forward pass may use it differently, as where only the student has a predictor behind it. So a
copy gets the factors of its original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import nn

from mutransfer.errors import listed
from mutransfer.parametrize.model.shapes import ParameterInfo
from mutransfer.rules.plan import unwrapped
from mutransfer.rules.rows import PlanRow
from mutransfer.tracing import Trace, Use

SAMPLE = 8  # entries that are compared before whole tensors are


@dataclass(frozen=True, slots=True)
class Value:
    """What the values of a fresh tensor share with the other tensors of its model.

    Args:
        first: Name of the first tensor with equal values.
        is_constant: Whether all entries are equal, as in zero biases and unit gains.
    """

    first: str
    is_constant: bool


Values = Mapping[str, Value]  # by name


@dataclass(frozen=True, slots=True)
class EqualTensors:
    """Two parameters or buffers of a fresh model, or more, that are equal at every width."""

    names: tuple[str, ...]
    is_constant: bool


def fresh_values(model: nn.Module) -> dict[str, Value]:
    """Compare the parameters and buffers of a model with one another, by name."""
    distinct: dict[object, list[tuple[str, torch.Tensor]]] = {}
    values = {}
    for wrapped, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point() or not tensor.numel() or tensor.is_meta:
            continue
        name, flat = unwrapped(wrapped), tensor.detach().flatten()
        sample = [*flat[:SAMPLE].tolist(), *flat[-SAMPLE:].tolist()]
        others = distinct.setdefault((tensor.shape, tensor.dtype, *sample), [])
        first = next((other for other, value in others if torch.equal(value, flat)), name)
        if first == name:
            others.append((name, flat))
        values[name] = Value(first, len(set(sample)) == 1 and bool((flat == flat[0]).all()))
    return values


def equal_tensors(values: Sequence[Values]) -> list[EqualTensors]:
    """Return the tensors that are equal in each of several models of different widths."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in values[0]:
        if all(name in of_model for of_model in values):
            groups.setdefault(tuple(of_model[name].first for of_model in values), []).append(name)
    return [
        EqualTensors(tuple(names), all(of_model[names[0]].is_constant for of_model in values))
        for names in groups.values()
        if len(names) > 1
    ]


def find_copies(
    groups: Sequence[EqualTensors], parameters: Mapping[str, ParameterInfo], trace: Trace
) -> dict[str, str]:
    """Return the original of each parameter that is a copy of a trained one.

    A copy is frozen, or the forward pass does not use it. Constant tensors are equal everywhere, so
    they are copies only where another tensor of the same module is.
    """

    def is_unused(name: str) -> bool:  # or does not grow: a trace records axes that grow only
        return trace.readouts is not None and trace.uses.get(name, Use()) == Use()

    copies: dict[str, str] = {}
    modules: set[tuple[str, str, bool]] = set()  # prefixes of a copy and its original; frozen?
    members = {group: [n for n in group.names if n in parameters] for group in groups}
    for group, names in members.items():
        originals = [n for n in names if not parameters[n].is_frozen and not is_unused(n)]
        for name in names if originals and not group.is_constant else ():
            if name not in originals:
                suffixes = [_shared_suffix(name, original) for original in originals]
                suffix = max(suffixes, key=len)
                original = copies[name] = originals[suffixes.index(suffix)]
                prefixes = name.removesuffix(suffix), original.removesuffix(suffix)
                modules.add((*prefixes, parameters[name].is_frozen))
    for names in members.values():
        for name in names:
            candidates = {
                second + name.removeprefix(first)
                for first, second, is_frozen in modules
                if name.startswith(first) and is_frozen == parameters[name].is_frozen
            }
            originals = [n for n in names if n in candidates and not parameters[n].is_frozen]
            if originals and (parameters[name].is_frozen or is_unused(name)):
                copies.setdefault(name, originals[0])
    return copies


def readouts_of_copy(copy: ParameterInfo, original: ParameterInfo) -> tuple[str, ...]:
    """Return the readouts of a table, where its original is tied and the copies may be two."""
    if original.readouts and not copy.readouts and issubclass(copy.kind, nn.Linear):
        return (copy.module,)
    return copy.readouts


def copy_notes(
    rows: Sequence[PlanRow], groups: Sequence[EqualTensors], copies: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return notes on tensors that are equal in a fresh model and will differ after `apply`."""
    by_name = {row.name: row for row in rows}
    notes: dict[str, list[str]] = {}
    for group in groups:
        own = [by_name[n] for n in group.names if n in by_name and n not in copies]
        if group.is_constant or not own:
            continue
        first, buffers = own[0], [n for n in group.names if n not in by_name]
        if first.init_factor != 1 and buffers:
            notes.setdefault(first.name, []).append(
                f"after apply not equal to {listed(buffers)}, because buffers are not rescaled: "
                "copy the values again"
            )
        for row in own[1:]:
            if (row.init_factor, row.multiplier) != (first.init_factor, first.multiplier):
                notes.setdefault(row.name, []).append(
                    f"after apply not equal to '{first.name}', unlike in your fresh model: if it "
                    "is a copy, freeze it with requires_grad_(False)"
                )
    return notes


def _shared_suffix(first: str, second: str) -> str:
    """Return the last parts that two names share.

    Example:
        >>> _shared_suffix("teacher.4.weight", "student.4.weight")
        '4.weight'
    """
    pairs = zip(reversed(first.split(".")), reversed(second.split(".")), strict=False)
    shared = [part for part, other in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return ".".join(reversed(shared))
