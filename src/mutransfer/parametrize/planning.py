"""This file is `make_plan`: from a factory of models to one row per parameter."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import prod

from torch import nn

from mutransfer.errors import ModelError
from mutransfer.parametrize.model.axes import growing_axes, raw_parameters, read_axes
from mutransfer.parametrize.model.init import Pool, measured_init, pooled
from mutransfer.parametrize.model.layers import layout
from mutransfer.parametrize.model.multipliers import is_tied, own_multipliers
from mutransfer.parametrize.model.shapes import (
    Build,
    Owned,
    built,
    parameters_of,
    same_names,
    untouched_randomness,
)
from mutransfer.rules.optimizers import get_optimizer
from mutransfer.rules.plan import OwnInit, ParameterFacts, Plan, plan_from_facts
from mutransfer.rules.power import ONE
from mutransfer.rules.registry import get_parametrization
from mutransfer.rules.roles import Role
from mutransfer.rules.symmetry import in_form
from mutransfer.tracing import Seen, watched


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
    """Work out every factor of a model at `target`, from how its shapes and init grow.

    Builds the model for real at `base` and `probe`, a small one several times, to see how
    your own init scales, and once at `target` on the meta device, where it costs no memory.
    Your model is not edited and your random state is not touched.

    Args:
        build: A function from a width to a model. Width may change shapes only.
        base: Width at which every factor is exactly 1: the one you tuned at.
        target: Width of the model you want to train.
        probe: Another small width; twice the base by default.
        parametrization: A name that `mutransfer rules` lists: 'mup', 'sp', 'mfp', 'sp+embd'.
        optimizer: 'adamw', 'adam', 'nadam', 'rmsprop', 'lion', 'sgd', 'adafactor'; or 'muon',
            'muon-match-rms': torch's Muon for hidden matrices, with its 'original' or its
            'match_rms_adamw' factor, and AdamW for the rest.
        roles: Roles that cannot be told from shapes: {regular expression: Role}.
        example_inputs: What a model is called with: a tensor, a tuple, a dict of keywords, or
            a function from a width to one of these. Forward passes at base and probe then show
            what is contracted with raw parameters, which weights are readouts, your own
            forward multipliers, and the scale of attention.
        form: 'table-3' (no forward multipliers) or 'table-8' (as published: for µP, a
            multiplier at the readout).

    Returns:
        A plan for `apply` and `param_groups`; print it to read it.

    Raises:
        RuleError: An unknown name.
        RoleError: A parameter whose role cannot be told, or whose type and use disagree; an
            attention whose scale no weight can carry.
        InitError: An init that is no power of width.
        CoverageError: Parameters that exist at some widths only.
        ModelError: The factory or the forward pass failed, or multiplies by what is no power
            of width.

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
    get_optimizer(optimizer)
    owned, drawn, models = {}, {}, {}
    for width in (base, probe):
        owned[width], drawn[width], model = _first(build, width)
        if example_inputs is not None:
            models[width] = model
        del model  # one large model at a time
    with untouched_randomness(0):
        if target not in owned:
            owned[target] = parameters_of(built(build, target, meta=True))
        names = same_names(owned)
        at = owned[base], owned[probe], owned[target]
        seen = Seen()
        if example_inputs is not None:
            seen = watched(models, growing_axes(*at), raw_parameters(at[0]), example_inputs)
    axes = read_axes(*at, roles or {}, seen)
    sizes = {name: prod(owned[target][name].shape) for name in names}
    if table.keeps_init:
        inits = {name: OwnInit(None, 0.0, Fraction(0), Fraction(1)) for name in names}
    else:
        inits = measured_init(build, drawn, axes, sizes)
    multipliers = own_multipliers(seen, axes, table, Fraction(probe, base))
    facts = [
        ParameterFacts(
            name=name,
            shape=owned[target][name].shape,
            base_shape=owned[base][name].shape,
            role=axes[name].role,
            # A bias that does not grow may stand before a multiplier that does.
            r_in=axes[name].r_in * (axes[name].r_layer if multipliers[name][0] != ONE else 1),
            r_out=axes[name].r_out,
            init=inits[name],
            reason=axes[name].reason,
            readouts=owned[target][name].readouts,
            own_multiplier=multipliers[name][0],
            own_readout=multipliers[name][1] if is_tied(owned[target][name], seen) else None,
            is_transposed=layout(owned[target][name]) == "in out",
        )
        for name in names
    ]
    return plan_from_facts(
        facts,
        base=base,
        target=target,
        parametrization=parametrization,
        optimizer=optimizer,
        form=form,
    )


def _first(build: Build, width: int) -> tuple[dict[str, Owned], Pool, nn.Module]:
    """Build a first model for real: what it has, and how large its numbers are."""
    with untouched_randomness(0):
        model = built(build, width)
    return parameters_of(model), pooled(model, {}), model


def _check_widths(**widths: object) -> None:
    """Refuse widths that are not positive whole numbers, and a probe that shows nothing."""
    for name, width in widths.items():
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            raise ModelError(
                f"{name}={width!r} is not a width",
                why="only the width scales so far: a whole number of channels",
                fix=f"write {name}=256",
            )
    if widths["probe"] == widths["base"]:
        raise ModelError(
            f"probe and base are both {widths['base']}",
            why="which axes grow, and how your init scales, is seen between two widths",
            fix="leave probe= out, or choose another small width",
        )
