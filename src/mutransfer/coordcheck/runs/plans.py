"""Plans of a check: those that are applied, and those that models are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import torch
from torch import nn

from mutransfer.coordcheck.runs import optimizers as opt
from mutransfer.coordcheck.runs.probes import LAYERS
from mutransfer.errors import ModelError, MutransferError, RoleError
from mutransfer.parametrize import make_plan
from mutransfer.parametrize.model.axes import growing_axes, raw_parameters
from mutransfer.parametrize.model.build import build_model, temporary_seed
from mutransfer.parametrize.model.copies import equal_tensors, find_copies, fresh_values
from mutransfer.parametrize.model.init import add_to_pool
from mutransfer.parametrize.model.multipliers import own_multipliers
from mutransfer.parametrize.model.roles import infer_roles
from mutransfer.parametrize.model.scales import learned_scales, width_dependent_starts
from mutransfer.parametrize.model.shapes import check_same_names, parameters_by_name
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow, Role
from mutransfer.rules.plan import UNMEASURED_INIT, ParameterFacts, plan_from_facts
from mutransfer.rules.power import ONE
from mutransfer.rules.registry import get_parametrization
from mutransfer.tracing import Trace, trace_forward

# From a model to its optimizers by parameter, under the rules' names.
OptimizersOf = Callable[[nn.Module], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of a check.

    Args:
        applied: One plan per width, or None where the user's own implementation is checked.
        largest: The plan at the largest width, with the role of each parameter.
        comparable: A plan of µP, if init and settings of the models can be compared with it.
        rules: The optimizer by its name in the rules, or its class name where they have none.
        is_traced: Whether a forward pass was traced to infer roles and the author's multipliers.
    """

    applied: Mapping[int, Plan] | None
    largest: Plan
    comparable: Plan | None
    rules: str
    is_traced: bool


def plans_of(
    build: Callable[[int], nn.Module],
    widths: tuple[int, ...],
    optimizer: opt.Kind,
    lr: opt.Rate,
    *,
    parametrization: str | None,
    base: int,
    roles: Mapping[str, Role],
    example_inputs: object,
    probe: int | None,
    form: str,
    run: Callable[[nn.Module], object],
) -> Plans:
    """Make the plans of a check from the arguments of `coord_check`.

    `run` computes the loss of a model. Where shapes leave roles undetermined, or where an
    implementation of the user's own has scales that start at a power of width, it is called once
    per width to record the inputs of the model, and the plans are made again with them.
    """
    make = partial(
        _plans_with_inputs, build, widths, optimizer, lr,
        parametrization=parametrization, base=base, roles=roles, probe=probe, form=form,
    )  # fmt: skip

    def make_traced() -> Plans:
        return make(lambda width: _inputs_of(build_model(build, width), run))

    try:
        plans = make(example_inputs)
    except RoleError:
        if example_inputs is not None or not _inputs_of(build_model(build, widths[0]), run):
            raise
        return make_traced()
    has_scales = any(row.start_power != 0 for row in plans.largest.rows)
    if has_scales and plans.applied is None and example_inputs is None:
        with suppress(MutransferError):
            return make_traced()
    return plans


def _plans_with_inputs(
    build: Callable[[int], nn.Module],
    widths: tuple[int, ...],
    optimizer: opt.Kind,
    lr: opt.Rate,
    example_inputs: object,
    *,
    parametrization: str | None,
    base: int,
    roles: Mapping[str, Role],
    probe: int | None,
    form: str,
) -> Plans:
    """Make the plans of a check, with a traced forward pass if there are example inputs."""
    own_plan = partial(_own_plan, build, widths, roles, form)
    is_traced = example_inputs is not None
    if parametrization is None:

        def optimizers_of(model: nn.Module) -> Mapping[str, str]:
            return opt.names_of(opt.make_optimizers(optimizer, lr, model, None), model)

        own = own_plan(example_inputs, optimizers_of)
        return Plans(None, own, own, own.optimizer, is_traced)

    def plan_at(width: int, rules: str) -> Plan:
        return make_plan(
            build,
            base=base,
            target=width,
            probe=probe,
            parametrization=parametrization,
            optimizer=rules if rules in OPTIMIZERS else opt.FALLBACK,
            roles=roles,
            example_inputs=example_inputs,
            form=form,
        )

    rules = opt.rules_of(
        optimizer, lr, lambda: build_model(build, base), lambda: plan_at(base, opt.FALLBACK)
    )
    applied = {width: plan_at(width, rules) for width in widths}
    largest = applied[widths[-1]]
    comparable = None
    if parametrization in ("mup", "sp"):  # others split the same powers differently
        planned = {row.name: row.optimizer for row in largest.rows}
        comparable = own_plan(example_inputs, lambda model: planned)
    return Plans(applied, largest, comparable, rules, is_traced)


def _inputs_of(model: nn.Module, run: Callable[[nn.Module], object]) -> object:
    """Return the inputs that the loss passes to a model, a tuple or a dict; None if both."""
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
    handle = model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    with temporary_seed(0), torch.no_grad(), suppress(Exception):
        run(model)  # an error is reported when the model is trained
    handle.remove()
    args, kwargs = calls[0] if calls else ((), {})
    return None if args and kwargs else args or kwargs


def _own_plan(
    build: Callable[[int], nn.Module],
    widths: tuple[int, ...],
    roles: Mapping[str, Role],
    form: str,
    example_inputs: object,
    optimizers_of: OptimizersOf,
) -> Plan:
    """Return µP's plan for models that implement it themselves; it is not applied."""
    facts, names = _facts(build, widths, roles, example_inputs, optimizers_of)
    plans = {
        name: plan_from_facts(
            facts,
            base=widths[0],
            target=widths[-1],
            parametrization="mup",
            optimizer=name if name in OPTIMIZERS else opt.FALLBACK,
            form=form,
        )
        for name in dict.fromkeys([*names.values(), opt.FALLBACK])
    }

    def row_of(name: str) -> PlanRow:  # with the class of an optimizer that has no rules
        optimizer = names.get(name, opt.FALLBACK)
        row = plans[optimizer][name]
        return row if optimizer in OPTIMIZERS else replace(row, optimizer=optimizer)

    several = ", ".join(dict.fromkeys(names.values()))
    rows = tuple(row_of(fact.name) for fact in facts)
    return replace(plans[opt.FALLBACK], optimizer=several, rows=rows)


def _facts(
    build: Callable[[int], nn.Module],
    widths: tuple[int, ...],
    roles: Mapping[str, Role],
    example_inputs: object,
    optimizers_of: OptimizersOf,
) -> tuple[list[ParameterFacts], Mapping[str, str]]:
    """Return the facts of each parameter of models that no plan changes, and its optimizer."""
    smallest, second, largest = widths = widths[0], widths[1], widths[-1]
    with temporary_seed(0):
        # With weights, because a build that prepares them cannot run on the meta device.
        models = {width: build_model(build, width) for width in (smallest, second, largest)}
        parameters = {width: parameters_by_name(model) for width, model in models.items()}
        check_same_names(parameters)
        equal = equal_tensors([fresh_values(models[width]) for width in (smallest, second)])
        base, probe, target = parameters.values()
        trace, traced = Trace(), {width: models[width] for width in (smallest, second)}
        growing, raw = growing_axes(base, probe, target), raw_parameters(base)
        pools = {width: add_to_pool(model, {}, width) for width, model in traced.items()}
        starts = width_dependent_starts(build, smallest, growing, raw, *pools.values())
        if example_inputs is not None:
            run = partial(trace_forward, traced, growing, raw, example_inputs)
            try:
                trace = run(starts)
            except ModelError:
                # Where no weight can make up for a scale, its start is judged as any other.
                trace, starts = run(), frozenset()
        names = optimizers_of(models[smallest])
    copies = find_copies(equal, target, trace)
    axes = infer_roles(base, probe, target, roles, trace, copies)
    axes, scales = learned_scales(starts, axes, trace, pools, widths, strict=False)
    # The scale of attention is judged where it is applied. SP keeps it, so no weight corrects it.
    sp = get_parametrization("sp")
    multipliers = own_multipliers(trace, axes, sp, Fraction(second, smallest))
    facts = [
        ParameterFacts(
            name=name,
            shape=target[name].shape,
            base_shape=base[name].shape,
            role=axis.role,
            r_in=axis.r_in,
            r_out=axis.r_out,
            init=UNMEASURED_INIT,
            start_power=scales[name].power if name in scales else Fraction(0),
            reason=axis.reason,
            readouts=target[name].readouts,
            # The multiplier of a layer is measured with it, before or behind.
            own_multiplier=ONE if issubclass(target[name].kind, LAYERS) else multipliers[name][0],
            own_readout=ONE if target[name].readouts else None,
        )
        for name, axis in axes.items()
    ]
    return facts, names
