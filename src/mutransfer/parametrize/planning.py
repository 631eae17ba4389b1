"""Plans: from a function that builds a model to the scaling factors of every parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

from torch import nn

from mutransfer.errors import ModelError
from mutransfer.parametrize.model.axes import growing_axes, raw_parameters
from mutransfer.parametrize.model.build import Build, build_model, temporary_seed
from mutransfer.parametrize.model.copies import (
    Values,
    copied_readouts,
    copy_notes,
    equal_tensors,
    find_copies,
    fresh_values,
)
from mutransfer.parametrize.model.embeddings import check_max_norms, embedding_notes
from mutransfer.parametrize.model.fans import layout
from mutransfer.parametrize.model.init import Pool, add_to_pool, measure_init
from mutransfer.parametrize.model.multipliers import is_tied, own_multipliers
from mutransfer.parametrize.model.roles import infer_roles
from mutransfer.parametrize.model.shapes import ParameterInfo, check_same_names, parameters_by_name
from mutransfer.rules.optimizers import get_optimizer
from mutransfer.rules.plan import (
    SINGLE_RATE,
    UNMEASURED_INIT,
    ParameterFacts,
    Plan,
    plan_from_facts,
)
from mutransfer.rules.power import ONE
from mutransfer.rules.registry import get_parametrization
from mutransfer.rules.roles import COPY_OF, ROLE_OVERRIDE, Role
from mutransfer.rules.symmetry import in_form
from mutransfer.tracing import Trace, trace_forward

Infos = dict[int, dict[str, ParameterInfo]]  # by width and name


def make_plan(
    build: Build,
    *,
    base: int,
    target: int,
    probe: int | None = None,
    parametrization: str = "mup",
    optimizer: str = "adamw",
    roles: Mapping[str, Role] | None = None,
    example_inputs: object = None,
    form: str = "table-3",
) -> Plan:
    """Compute the factors of every parameter at `target`, from how its shape and init scale.

    The model is built with weights at `base` and `probe`, several times if it is small, and on
    the meta device at `target`. Your models and torch's random state are not modified.

    Args:
        build: Function from a width to a model. Width may change shapes only.
        base: Width at which every factor is exactly 1: the one you tuned at.
        target: Width of the model to train.
        probe: Another small width; twice the base by default.
        parametrization: A name that `mutransfer rules` lists: 'mup', 'sp', 'mfp', 'sp+embd'.
        optimizer: 'adamw', 'adam', 'nadam', 'rmsprop', 'lion', 'sgd', 'adafactor'; or 'muon',
            'muon-match-rms': torch's Muon for hidden matrices, with its 'original' or its
            'match_rms_adamw' factor, and AdamW for the rest.
        roles: Roles that shapes do not determine: {regular expression: Role}.
        example_inputs: Inputs of the model: a tensor, a tuple, a dict of keyword arguments, or a
            function from a width to one of these. Traced forward passes then determine how raw
            parameters are used, the readouts, your forward multipliers and the attention scale.
        form: 'table-3' (no forward multipliers) or 'table-8' (as published: for µP, a
            multiplier at the readout).

    Returns:
        A plan for `apply` and `param_groups`; `print` shows it as a table.

    Raises:
        RuleError: A name is unknown.
        RoleError: A role is undetermined, a layer is used in another direction than its type
            implies, or no weight can carry the attention scale.
        InitError: An init is not a power of width, or a fresh parameter is not finite.
        CoverageError: Parameters exist at some widths only.
        ModelError: The factory or the forward pass fails, or multiplies by what is not a power
            of width, or `max_norm` of an embedding does not grow as the norm of its rows.

    Source:
        Tensor Programs V, arXiv:2203.03466, Tables 3 and 8.

    Example:
        >>> from torch import nn
        >>> def build(width):
        ...     hidden = nn.Linear(width, width)
        ...     return nn.Sequential(nn.Linear(8, width), hidden, nn.Linear(width, 1))
        >>> plan = make_plan(build, base=64, target=1024)
        >>> plan["1.weight"].role, plan["1.weight"].lr_factor
        (<Role.HIDDEN: 'hidden'>, 0.0625)
    """
    probe = 2 * base if probe is None and isinstance(base, int) else probe
    _check_widths(base=base, target=target, probe=probe)
    assert probe is not None
    table = in_form(get_parametrization(parametrization), form)
    get_optimizer(optimizer)  # raises for an unknown name before anything is built
    infos, pools, values, trace = _inspect(build, (base, probe, target), example_inputs)
    infos_at_target = infos[target]
    equal = equal_tensors(values)
    copies = find_copies(equal, infos_at_target, trace)
    inferred = infer_roles(infos[base], infos[probe], infos_at_target, roles or {}, trace, copies)
    if table.keeps_init:
        inits = dict.fromkeys(inferred, UNMEASURED_INIT)
    else:
        sizes = {name: prod(info.shape) for name, info in infos_at_target.items()}
        inits = measure_init(build, pools, inferred, sizes)
    if table.name not in SINGLE_RATE:
        check_max_norms(infos, {n for n, role in inferred.items() if role.reason == ROLE_OVERRIDE})
    multipliers = own_multipliers(trace, inferred, table, Fraction(probe, base))
    facts = []
    for name, role in inferred.items():
        original = copies[name] if role.reason.startswith(COPY_OF) else name
        multiplier, at_readout = multipliers[original]
        readouts = copied_readouts(infos_at_target[name], infos_at_target[original])
        has_tie = is_tied(infos_at_target[original], trace) and bool(
            readouts or not infos_at_target[original].readouts
        )
        facts.append(
            ParameterFacts(
                name=name,
                shape=infos_at_target[name].shape,
                base_shape=infos[base][name].shape,
                role=role.role,
                # A multiplier that grows may follow a bias that does not.
                r_in=role.r_in * (role.r_layer if multiplier != ONE else 1),
                r_out=role.r_out,
                init=inits[name],
                reason=role.reason,
                readouts=readouts,
                own_multiplier=multiplier,
                own_readout=at_readout if has_tie else None,
                is_transposed=layout(infos_at_target[name]) == "in out",
            )
        )
    plan = plan_from_facts(
        facts,
        base=base,
        target=target,
        parametrization=parametrization,
        optimizer=optimizer,
        form=form,
    )
    on_embeddings = {row.name: embedding_notes(row, infos[base][row.name]) for row in plan.rows}
    return _with_notes(plan, on_embeddings, copy_notes(plan.rows, equal, copies))


def _with_notes(plan: Plan, *notes: Mapping[str, Sequence[str]]) -> Plan:
    """Add notes to the rows of a plan, by the names of their parameters."""
    rows = []
    for row in plan.rows:
        added = [note for by_name in notes for note in by_name.get(row.name, ())]
        rows.append(replace(row, notes=(*row.notes, *added)))
    return replace(plan, rows=tuple(rows))


def _inspect(
    build: Build, widths: tuple[int, int, int], example_inputs: object
) -> tuple[Infos, dict[int, Pool], list[Values], Trace]:
    """Build models at base, probe and target; return parameters, moments, values and traces."""
    base, probe, target = widths
    infos: Infos = {}
    pools: dict[int, Pool] = {}
    values: list[Values] = []
    models: dict[int, nn.Module] = {}
    for width in (base, probe):
        with temporary_seed(0):
            model = build_model(build, width)
        infos[width], pools[width] = parameters_by_name(model), add_to_pool(model, {}, width)
        values.append(fresh_values(model))
        if example_inputs is not None:
            models[width] = model
        del model  # one large model at a time
    with temporary_seed(0):
        if target not in infos:
            infos[target] = parameters_by_name(build_model(build, target, meta=True))
        check_same_names(infos)
        if example_inputs is None:
            return infos, pools, values, Trace()
        growing = growing_axes(*(infos[width] for width in widths))
        trace = trace_forward(models, growing, raw_parameters(infos[base]), example_inputs)
    return infos, pools, values, trace


def _check_widths(**widths: object) -> None:
    """Raise for widths that are not positive whole numbers, and for a probe equal to the base."""
    for name, width in widths.items():
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            raise ModelError(
                f"{name}={width!r} is not a width",
                why="only width scales in this version: a whole number of channels",
                fix=f"write {name}=256",
            )
    if widths["probe"] == widths["base"]:
        raise ModelError(
            f"probe and base are both {widths['base']}",
            why="growing axes, and how your init scales, are determined by comparing two widths",
            fix="leave probe= out, or choose another small width",
        )
