"""Inputs of a layer of which a part does not grow, such as a hidden state next to raw features.

The weights of both parts are one matrix with one rate, which suits neither: with the whole fan-in,
a plan takes the rate at which the sum of both parts is stable. Two layers have a rate for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

from torch import nn
from torch.nn.modules.rnn import RNNCellBase

from mutransfer.errors import MutransferError
from mutransfer.parametrize.model.build import Build, build_model, temporary_seed
from mutransfer.parametrize.model.fans import layout
from mutransfer.parametrize.model.shapes import (
    ParameterInfo,
    check_same_names,
    parameters_by_name,
)
from mutransfer.rules.plan import ParameterFacts, Plan, plan_from_facts
from mutransfer.rules.roles import Role

Infos = Mapping[int, dict[str, ParameterInfo]]  # by width and name

# Roles of a layer whose fan-in grows, and of the same layer on inputs that do not.
FIXED_PART = {Role.HIDDEN: Role.INPUT, Role.OUTPUT: Role.FIXED, Role.BOTTLENECK: Role.FIXED}


def partly_fixed_notes(
    build: Build, plan: Plan, facts: Sequence[ParameterFacts], infos: Infos
) -> dict[str, list[str]]:
    """Return a note for each weight whose fan-in is a part that grows and a part that does not.

    Args:
        build: The user's factory; it is called on the meta device where the target is the probe.
        plan: The plan of these facts.
        facts: What the rules need to know about each parameter.
        infos: Parameters at base, probe and target.
    """
    parts = dict(_fixed_parts(facts, infos))
    if parts and len(infos) < 3:  # any two sizes lie on a line
        if plan.target == plan.base:
            return {}  # every factor is 1
        with suppress(MutransferError), temporary_seed(0):
            width = 2 * max(infos)
            wider = dict(infos)
            wider[width] = parameters_by_name(build_model(build, width, meta=True))
            check_same_names(wider)
            parts = dict(_fixed_parts(facts, wider))
    by_name = {fact.name: fact for fact in facts}
    return {
        name: [_note(by_name[name], infos[plan.base][name], fixed, plan)]
        for name, fixed in parts.items()
    }


def _fixed_parts(facts: Sequence[ParameterFacts], infos: Infos) -> Iterator[tuple[str, int]]:
    """Yield each weight whose fan-in is affine in width, with the part that does not grow."""
    first, second, *others = infos
    for fact in facts:
        info = infos[first][fact.name]
        axis = _input_axis(info)
        if fact.role not in FIXED_PART or axis is None or info.groups > 1:
            continue
        sizes = {width: of_model[fact.name].shape[axis] for width, of_model in infos.items()}
        slope = Fraction(sizes[second] - sizes[first], second - first)
        fixed = sizes[first] - slope * first
        is_affine = all(sizes[width] == fixed + slope * width for width in others)
        if is_affine and slope > 0 and fixed > 0 and fixed.denominator == 1:
            yield fact.name, int(fixed)


def _input_axis(info: ParameterInfo) -> int | None:
    """Return the axis of a layer's inputs; None for tables and for unknown owners."""
    if issubclass(info.kind, nn.Embedding | nn.EmbeddingBag):
        return None
    return {"out in": 1, "in out": 0, None: None}[layout(info)]


def _note(fact: ParameterFacts, at_base: ParameterInfo, fixed: int, plan: Plan) -> str:
    """Return the rates that two layers would have, and how to write them."""
    axis = _input_axis(at_base)
    assert axis is not None, "only weights with an input axis have a fixed part"
    size, ratio = at_base.shape[axis], Fraction(plan.target, plan.base)
    plain = replace(fact, readouts=(), own_readout=None)
    growing = replace(plain, shape=_resized(fact.shape, axis, -fixed), r_in=ratio)
    others = replace(
        plain, shape=_resized(fact.shape, axis, fixed - fact.shape[axis]), r_in=Fraction(1)
    )
    rows = plan_from_facts(
        [growing, replace(others, role=FIXED_PART[fact.role])],
        base=plan.base,
        target=plan.target,
        parametrization=plan.parametrization,
        optimizer=plan.optimizer,
        form=plan.form,
    ).rows
    factors = [
        f"lr x {row.lr_factor:.6g}" + f" and forward x {row.multiplier:.6g}" * (row.multiplier != 1)
        for row in rows
    ]
    is_recurrent = issubclass(at_base.kind, nn.RNNBase | RNNCellBase)
    kind = "Linear" if is_recurrent else at_base.kind.__name__
    form = f"nn.{kind}({size - fixed}, ...)(h) + nn.{kind}({fixed}, ..., bias=False)(x)"
    place = ", before the recurrent layer" if is_recurrent else ""
    return (
        f"{fixed} of its {size} inputs at the base do not grow; the others should have "
        f"{factors[0]}, and these {factors[1]}, which takes two layers: in place of "
        f"cat([h, x]) write {form}{place}"
    )


def _resized(shape: tuple[int, ...], axis: int, change: int) -> tuple[int, ...]:
    """Return a shape with another size of one axis."""
    return (*shape[:axis], shape[axis] + change, *shape[axis + 1 :])
