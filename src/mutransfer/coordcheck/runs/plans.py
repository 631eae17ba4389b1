"""Plans of a check: those that are applied, and those that models are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import torch
from torch import nn

from mutransfer.coordcheck.runs.optimizers import (
    UNKNOWN,
    Kind,
    Rate,
    make_optimizers,
    names_of,
    rules_of,
)
from mutransfer.coordcheck.runs.probes import LAYERS
from mutransfer.errors import RoleError
from mutransfer.parametrize import make_plan
from mutransfer.parametrize.model.axes import growing_axes, raw_parameters
from mutransfer.parametrize.model.build import build_model, temporary_seed
from mutransfer.parametrize.model.multipliers import own_multipliers
from mutransfer.parametrize.model.roles import infer_roles
from mutransfer.parametrize.model.shapes import check_same_names, parameters_by_name
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow, Role
from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts
from mutransfer.rules.power import ONE
from mutransfer.rules.registry import get_parametrization
from mutransfer.tracing import Trace, trace_forward


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of a check.

    Args:
        applied: One per width; none where the user's own implementation is checked.
        judged: At the largest width: what each parameter is.
        comparable: What init and settings should be, if they can be compared with µP's.
        rules: The optimizer, as the rules name it, or by its class.
    """

    applied: Mapping[int, Plan] | None
    judged: Plan
    comparable: Plan | None
    rules: str


def plans_of(
    build: Callable[[int], nn.Module],
    widths: tuple[int, ...],
    optimizer: Kind,
    lr: Rate,
    *,
    parametrization: str | None,
    base: int,
    roles: Mapping[str, Role],
    example_inputs: object,
    form: str,
    run: Callable[[nn.Module], object],
) -> Plans:
    """Make the plans of a check; the arguments are those of `coord_check`.

    Args:
        build: A function from a width to a model.
        widths: Rising.
        optimizer: Name, class or factory.
        lr: Rate at the base width.
        parametrization: A table's name, or None.
        base: Width at which every factor is 1.
        roles: Roles that shapes do not tell.
        example_inputs: As for `make_plan`.
        form: The table's form.
        run: Calls the loss: where roles are open in the user's own implementation, what the model
            is called with is taken from there. A plan is made as the user's own is.
    """
    as_they_are = partial(own_plan, build, widths, roles, form)
    if parametrization is None:

        def held_by(model: nn.Module) -> Mapping[str, str]:
            return names_of(make_optimizers(optimizer, lr, model, None), model)

        try:
            own = as_they_are(example_inputs, held_by)
        except RoleError:
            inputs = called_with(build_model(build, widths[0]), run)
            if example_inputs is not None or not inputs:
                raise
            own = as_they_are(inputs, held_by)
        return Plans(None, own, own, own.optimizer)

    def plan_at(width: int, rules: str) -> Plan:
        return make_plan(
            build,
            base=base,
            target=width,
            parametrization=parametrization,
            optimizer=rules if rules in OPTIMIZERS else UNKNOWN,
            roles=roles,
            example_inputs=example_inputs,
            form=form,
        )

    rules = rules_of(
        optimizer, lr, lambda: build_model(build, base), lambda: plan_at(base, UNKNOWN)
    )
    applied = {width: plan_at(width, rules) for width in widths}
    judged = applied[widths[-1]]
    comparable = None
    if parametrization in ("mup", "sp"):  # others move the same powers elsewhere
        held = {row.name: row.optimizer for row in judged.rows}
        comparable = as_they_are(example_inputs, lambda model: held)
    return Plans(applied, judged, comparable, rules)


def called_with(model: nn.Module, run: Callable[[nn.Module], object]) -> object:
    """Find what a model is called with: a tuple, or a dict of keywords; None if it is both."""
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
    handle = model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    with temporary_seed(0), torch.no_grad(), suppress(Exception):
        run(model)  # one that fails will be told of when it is trained
    handle.remove()
    args, kwargs = calls[0] if calls else ((), {})
    return None if args and kwargs else args or kwargs


def own_plan(
    build: Callable[[int], nn.Module],
    widths: tuple[int, ...],
    roles: Mapping[str, Role],
    form: str,
    example_inputs: object,
    held_by: Callable[[nn.Module], Mapping[str, str]],
) -> Plan:
    """Work out what µP would give these models, from shapes alone; nothing of it is applied.

    The models are built for real: a build that prepares weights cannot run on the meta device.
    Each row names the optimizer that holds the parameter: by its class, if no rule knows it.

    Args:
        build: A function from a width to a model.
        widths: Rising.
        roles: Roles that shapes do not tell.
        form: The table's form that the implementation claims to be.
        example_inputs: As for `make_plan`.
        held_by: From the smallest model to its parameters' optimizers.
    """
    at_widths = (widths[0], widths[1], widths[-1])
    with temporary_seed(0):
        models = {width: build_model(build, width) for width in at_widths}
        owned = {width: parameters_by_name(model) for width, model in models.items()}
        check_same_names(owned)
        base, probe, target = owned.values()
        seen = Trace()
        if example_inputs is not None:
            first_two = {width: models[width] for width in at_widths[:2]}
            growing = growing_axes(base, probe, target)
            seen = trace_forward(first_two, growing, raw_parameters(base), example_inputs)
        smallest = models[at_widths[0]]
        names = held_by(smallest)
    axes = infer_roles(base, probe, target, roles, seen)
    ratio = Fraction(at_widths[1], at_widths[0])
    # The scale of attention is judged where it is, and put into no weight.
    multipliers = own_multipliers(seen, axes, get_parametrization("sp"), ratio)
    as_it_is = OwnInit(None, 0.0, Fraction(0), Fraction(1))
    facts = [
        ParameterFacts(
            name=name,
            shape=target[name].shape,
            base_shape=base[name].shape,
            role=found.role,
            r_in=found.r_in,
            r_out=found.r_out,
            init=as_it_is,
            reason=found.reason,
            readouts=target[name].readouts,
            # A layer's is measured with it, wherever it stands.
            own_multiplier=ONE if issubclass(target[name].kind, LAYERS) else multipliers[name][0],
            own_readout=ONE if target[name].readouts else None,
        )
        for name, found in axes.items()
    ]
    plans = {
        name: plan_from_facts(
            facts,
            base=widths[0],
            target=widths[-1],
            parametrization="mup",
            optimizer=name if name in OPTIMIZERS else UNKNOWN,
            form=form,
        )
        for name in dict.fromkeys([*names.values(), UNKNOWN])
    }

    def row(fact: ParameterFacts) -> PlanRow:
        holder = names.get(fact.name, UNKNOWN)
        found = plans[holder][fact.name]
        return found if holder in OPTIMIZERS else replace(found, optimizer=holder)

    several = ", ".join(dict.fromkeys(names.values()))
    return replace(plans[UNKNOWN], optimizer=several, rows=tuple(row(fact) for fact in facts))
