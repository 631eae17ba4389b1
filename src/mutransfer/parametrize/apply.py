"""Application of a plan to a model: rescaled weights and forward multipliers."""

from __future__ import annotations

import torch
from torch import nn

from mutransfer.errors import CoverageError, InitError, RuleError, check_type, listed
from mutransfer.parametrize.model.finite import check_finite, norm
from mutransfer.rules.plan import Plan, unwrapped
from mutransfer.rules.rows import PlanRow

# Set on the model, never on a parameter: a second `apply` raises even if every factor is 1.
APPLIED_FLAG = "_mutransfer_applied"


class ScaleInput:
    """A forward pre-hook that multiplies a layer's input: `multiplier · W · x`, bias untouched."""

    def __init__(self, multiplier: float) -> None:
        self.multiplier = multiplier

    def __call__(
        self, module: nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Scale the first argument."""
        return (inputs[0] * self.multiplier, *inputs[1:])


def apply(model: nn.Module, plan: Plan, *, init: bool = True) -> nn.Module:
    """Rescale the weights of a freshly built model in place and install its multipliers.

    Every tensor is multiplied by one number: nothing is drawn again, and zeros stay zeros.
    Nothing is stored on parameters, so copies, shards and checkpoints cannot lose it.

    Args:
        model: The model that the plan was made for, freshly initialised.
        plan: Plan from `make_plan`.
        init: False to resume from a checkpoint: multipliers are installed, weights are kept.

    Returns:
        The same model.

    Raises:
        CoverageError: Plan and model do not have the same parameters.
        InitError: The weights are not finite or not fresh (pretrained, or rescaled before), or a
            plan has already been applied to this model.

    Example:
        >>> from torch import nn
        >>> from mutransfer.parametrize import make_plan
        >>> def build(width):
        ...     return nn.Sequential(nn.Linear(8, width), nn.Linear(width, 2, bias=False))
        >>> plan = make_plan(build, base=64, target=256)
        >>> model = apply(build(256), plan)
        >>> plan["1.weight"].init_factor  # torch's own init supplies 1/2 of the missing 1/4
        0.5
    """
    parameters = match_parameters(model, plan)
    if any(getattr(module, APPLIED_FLAG, False) for module in model.modules()):
        raise InitError(
            "a plan has already been applied to this model",
            why="a second rescaling would square every factor",
            fix="apply once, to a fresh build(width)",
        )
    if init:
        check_finite(parameters, f"the model of width {plan.target}")
        _check_fresh(parameters, plan)
        with torch.no_grad():
            for row in plan.rows:
                if row.init_factor != 1:
                    parameters[row.name].mul_(row.init_factor)
    multiplied = [row for row in plan.rows if row.multiplier != 1]
    for row in multiplied:
        for layer in _multiplied_layers(model, row):
            layer.register_forward_pre_hook(ScaleInput(row.multiplier))
    if multiplied:
        _make_compile_guard_hooks()
    for name, module in model.named_modules():
        if not name or not unwrapped(f"{name}."):  # the model itself and its wrappers
            setattr(module, APPLIED_FLAG, True)
    return model


def _make_compile_guard_hooks() -> None:
    """Make torch.compile recompile for hooks, a setting of the whole process."""
    # By default code compiled for a plain model would silently serve a model with multipliers.
    import torch._dynamo.config  # every optimizer loads it anyway

    if torch._dynamo.config.skip_nnmodule_hook_guards:
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        torch._dynamo.reset()  # code compiled so far has no such guard


def match_parameters(model: nn.Module, plan: Plan) -> dict[str, nn.Parameter]:
    """Return a model's parameters by their names in the plan.

    Raises:
        CoverageError: Names or shapes of the parameters differ between plan and model.
    """
    check_type("plan", plan, Plan, fix="plan = make_plan(build, base=256, target=4096)")
    check_type("model", model, nn.Module, fix="pass the model that the plan was made for")
    parameters = {unwrapped(name): p for name, p in model.named_parameters()}
    planned = {row.name: row for row in plan.rows}
    mismatches = [f"{name} (not in the plan)" for name in parameters if name not in planned]
    mismatches += [f"{name} (not in the model)" for name in planned if name not in parameters]
    mismatches += [
        f"{name} ({tuple(p.shape)}, planned {planned[name].shape})"
        for name, p in parameters.items()
        if name in planned and tuple(p.shape) != planned[name].shape
    ]
    if mismatches:
        raise CoverageError(
            f"plan and model disagree on {listed(mismatches)}",
            why="a parameter without its rule would silently train at the wrong rate",
            fix=f"make the plan from this model: make_plan(build, base={plan.base}, "
            f"target={plan.target}), then apply it to build({plan.target})",
        )
    return parameters


def _check_fresh(parameters: dict[str, nn.Parameter], plan: Plan) -> None:
    """Raise if a tensor's RMS differs from that of a fresh init."""
    stale = []
    for row in plan.rows:
        if row.fresh_rms is None:
            continue
        parameter = parameters[row.name]
        if parameter.is_meta:
            raise InitError(
                f"'{row.name}' is on the meta device and has no weights to rescale",
                why="the plan multiplies the weights that your own init produces",
                fix="materialise and initialise the model first, then apply",
            )
        rms = float(norm(parameter)) / max(1, parameter.numel()) ** 0.5
        # Six standard errors, and 2 % for an init that is only nearly a power of width [assumed].
        tolerance = (6 * row.fresh_error + 0.02) * row.fresh_rms
        if not abs(rms - row.fresh_rms) <= tolerance:
            stale.append(f"{row.name} (RMS {rms:.4g}, fresh {row.fresh_rms:.4g})")
    if stale:
        raise InitError(
            f"these weights are not a fresh init of width {plan.target}: {listed(stale)}",
            why="rescaling trained or already rescaled weights would silently destroy them",
            fix="apply the plan to build(width) before loading weights; to resume, "
            "apply(model, plan, init=False)",
        )


def _multiplied_layers(model: nn.Module, row: PlanRow) -> list[nn.Module]:
    """Return the linear layers whose input a row multiplies."""
    names = [_weight_name(layer) for layer in row.multiplier_at] or [row.name]
    # Wrappers share the name of what they wrap; the innermost module comes last and wins.
    modules = {_weight_name(name): module for name, module in model.named_modules()}
    layers = [modules[name] for name in names if isinstance(modules.get(name), nn.Linear)]
    if len(layers) == len(names):
        return layers
    raise RuleError(
        f"'{row.name}' needs the forward multiplier {row.multiplier:g}, but is not an nn.Linear",
        why="a multiplier is installed on the layer that uses the weight",
        fix="make_plan(..., form='table-3'), which needs no multipliers",
    )


def _weight_name(module: str) -> str:
    """Return the name of a module's weight, without prefixes of wrappers."""
    # The suffix is added first, because a wrapper's prefix is recognised by its trailing dot.
    return unwrapped(f"{module}.weight".removeprefix("."))
