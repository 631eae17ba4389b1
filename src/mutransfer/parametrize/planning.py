"""Plans: from a function that builds a model to the scaling factors of every parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from torch import nn

from mutransfer.errors import ModelError
from mutransfer.parametrize.model.axes import growing_axes, raw_parameters
from mutransfer.parametrize.model.build import Build, build_model, temporary_seed
from mutransfer.parametrize.model.copies import (
    Values,
    copy_notes,
    equal_tensors,
    find_copies,
    fresh_values,
    readouts_of_copy,
)
from mutransfer.parametrize.model.embeddings import check_max_norms, embedding_notes
from mutransfer.parametrize.model.fans import layout
from mutransfer.parametrize.model.init import Pool, add_to_pool, measure_init
from mutransfer.parametrize.model.multipliers import is_tied, own_multipliers
from mutransfer.parametrize.model.roles import infer_roles
from mutransfer.parametrize.model.scales import LearnedScale, learned_scales, width_dependent_starts
from mutransfer.parametrize.model.shapes import ParameterInfo, check_same_names, parameters_by_name
from mutransfer.parametrize.partly_fixed import partly_fixed_notes
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
    widths = base, probe, target
    models = _inspect(build, widths, example_inputs)
    equal = equal_tensors(models.values)
    copies = find_copies(equal, models.infos[target], models.trace)
    at_base, at_probe, at_target = (models.infos[width] for width in widths)
    inferred = infer_roles(at_base, at_probe, at_target, roles or {}, models.trace, copies)
    copies = {n: o for n, o in copies.items() if inferred[n].reason.startswith(COPY_OF)}
    inits = dict.fromkeys(inferred, UNMEASURED_INIT)
    scales: dict[str, LearnedScale] = {}
    if not table.keeps_init:
        starts = models.starts - copies.keys()
        inferred, scales = learned_scales(starts, inferred, models.trace, models.pools, widths)
        sizes = {name: prod(info.shape) for name, info in at_target.items()}
        measured = {n: r for n, r in inferred.items() if n not in scales or scales[n].is_power}
        measured = {n: r for n, r in measured.items() if n not in copies}
        inits |= measure_init(build, models.pools, measured, sizes, target)
    multipliers = own_multipliers(models.trace, inferred, table, Fraction(probe, base))
    if table.name not in SINGLE_RATE:
        accepted = {n for n, role in inferred.items() if role.reason == ROLE_OVERRIDE}
        powers = {n: own.fan_out for n, (own, _) in multipliers.items() if n not in accepted}
        check_max_norms(models.infos, powers)
    facts = []
    for name, role in inferred.items():
        original = copies.get(name, name)
        info, of_original = (at_target[n] for n in (name, original))
        multiplier, at_readout = multipliers[original]
        readouts = readouts_of_copy(info, of_original)
        has_tie = is_tied(of_original, models.trace) and (readouts or not of_original.readouts)
        facts.append(
            ParameterFacts(
                name=name,
                shape=info.shape,
                base_shape=at_base[name].shape,
                role=role.role,
                # A multiplier that grows may follow a bias that does not.
                r_in=inferred[original].r_in * (role.r_layer if multiplier != ONE else 1),
                r_out=role.r_out,
                init=inits[original],
                reason=role.reason,
                start_power=scales[original].power if original in scales else Fraction(0),
                readouts=readouts,
                own_multiplier=multiplier,
                own_readout=at_readout if has_tie else None,
                is_transposed=layout(info) == "in out",
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
    on_embeddings = {row.name: embedding_notes(row, at_base[row.name]) for row in plan.rows}
    on_copies, on_inputs = copy_notes(plan.rows, equal, copies), {}
    if table.name not in SINGLE_RATE:
        on_inputs = partly_fixed_notes(build, plan, facts, models.infos)
    return _with_notes(plan, on_embeddings, on_copies, on_inputs)


def _with_notes(plan: Plan, *notes: Mapping[str, Sequence[str]]) -> Plan:
    """Add notes to the rows of a plan, by the names of their parameters."""
    rows = []
    for row in plan.rows:
        added = [note for by_name in notes for note in by_name.get(row.name, ())]
        rows.append(replace(row, notes=(*row.notes, *added)))
    return replace(plan, rows=tuple(rows))


@dataclass(frozen=True, slots=True)
class _Models:
    """What the models at base, probe and target tell.

    Args:
        infos: Parameters by width.
        pools: Moments of the fresh parameters, by width; without the target.
        values: Equal tensors of each of these models.
        trace: Traced forward passes.
        starts: Parameters whose start depends on width and on nothing random.
    """

    infos: Infos
    pools: dict[int, Pool]
    values: list[Values]
    trace: Trace
    starts: frozenset[str]


def _inspect(build: Build, widths: tuple[int, int, int], example_inputs: object) -> _Models:
    """Build models at base, probe and target, and trace their forward passes."""
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
        growing = growing_axes(*(infos[width] for width in widths))
        raw = raw_parameters(infos[base])
        starts = width_dependent_starts(build, base, growing, raw, *pools.values())
        trace = Trace()
        if example_inputs is not None:
            trace = trace_forward(models, growing, raw, example_inputs, starts)
    return _Models(infos, pools, values, trace, starts)


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
