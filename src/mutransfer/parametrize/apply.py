"""This file is `apply`: rescale a fresh model's weights in place, install multipliers."""

from __future__ import annotations

import torch
from torch import nn

from mutransfer.errors import CoverageError, InitError, RuleError, listed
from mutransfer.rules.plan import Plan, unwrapped
from mutransfer.rules.rows import PlanRow

MARK = "_mutransfer_applied"


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
    """Give a freshly built model its plan: rescale its init, install its multipliers.

    Every tensor is multiplied by one number; nothing is drawn again, zeros stay zeros.
    Nothing is stored on parameters, so copies, shards and checkpoints cannot lose it.

    Args:
        model: The model that the plan was made for, freshly initialised.
        plan: From `make_plan`.
        init: False to resume from a checkpoint: the weights stay, multipliers are installed.

    Returns:
        The same model.

    Raises:
        CoverageError: Plan and model do not have the same parameters.
        InitError: The weights are not fresh (pretrained, or rescaled before), or the plan
            was applied to this model before.

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
    parameters = covered(model, plan)
    if any(getattr(module, MARK, False) for module in model.modules()):
        raise InitError(
            "a plan was applied to this model before",
            why="a second rescaling would square every factor",
            fix="apply once, to a fresh build(width)",
        )
    if init:
        _check_fresh(parameters, plan)
        with torch.no_grad():
            for row in plan.rows:
                if row.init_factor != 1:
                    parameters[row.name].mul_(row.init_factor)
    multiplied = [row for row in plan.rows if row.multiplier != 1]
    for row in multiplied:
        for layer in _layers(model, row):
            layer.register_forward_pre_hook(ScaleInput(row.multiplier))
    if multiplied:
        _let_compile_see_hooks()
    for name, module in model.named_modules():
        if not name or not unwrapped(f"{name}."):
            setattr(module, MARK, True)  # on the model and its wrappers, never on a parameter
    return model


def _let_compile_see_hooks() -> None:
    """Stop torch.compile from running one model's code, silently, for another that has hooks.

    By default it does not look whether a module has hooks: code compiled for the plain model
    would drop the multiplier of an equally shaped one.
    """
    import torch._dynamo.config  # every optimizer loads it anyway

    if torch._dynamo.config.skip_nnmodule_hook_guards:
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        torch._dynamo.reset()  # what was compiled before did not look


def covered(model: nn.Module, plan: Plan) -> dict[str, nn.Parameter]:
    """Match a model's parameters with a plan's rows, each exactly once.

    Raises:
        CoverageError: A name or shape that only one of them has.
    """
    parameters = {unwrapped(name): p for name, p in model.named_parameters()}
    planned = {row.name: row for row in plan.rows}
    odd = [f"{name} (not in the plan)" for name in parameters if name not in planned]
    odd += [f"{name} (not in the model)" for name in planned if name not in parameters]
    odd += [
        f"{name} ({tuple(p.shape)}, planned {planned[name].shape})"
        for name, p in parameters.items()
        if name in planned and tuple(p.shape) != planned[name].shape
    ]
    if odd:
        raise CoverageError(
            f"plan and model disagree on {listed(odd)}",
            why="a parameter without its rule would train at the wrong rate, silently",
            fix=f"make the plan from this very model: make_plan(build, base={plan.base}, "
            f"target={plan.target}), then apply it to build({plan.target})",
        )
    return parameters


def _check_fresh(parameters: dict[str, nn.Parameter], plan: Plan) -> None:
    """Compare every tensor's RMS with what a fresh init gives."""
    stale = []
    for row in plan.rows:
        if row.fresh_rms is None:
            continue
        parameter = parameters[row.name]
        if parameter.is_meta:
            raise InitError(
                f"'{row.name}' is on the meta device, it has no weights to rescale",
                why="the plan multiplies the weights that your own init gives",
                fix="materialise and initialise the model first, then apply",
            )
        norm = torch.linalg.vector_norm(parameter.detach(), dtype=torch.float64)
        if hasattr(norm, "full_tensor"):  # a DTensor's norm is this process's until it is asked
            norm = norm.full_tensor()
        rms = float(norm) / max(1, parameter.numel()) ** 0.5
        # Six standard errors, and 2 % for an init that is a power only nearly.
        allowed = (6 * row.fresh_error + 0.02) * row.fresh_rms
        if not abs(rms - row.fresh_rms) <= allowed:
            stale.append(f"{row.name} (RMS {rms:.4g}, fresh {row.fresh_rms:.4g})")
    if stale:
        raise InitError(
            f"these weights are not a fresh init of width {plan.target}: {listed(stale)}",
            why="rescaling trained or already rescaled weights would destroy them silently",
            fix="apply the plan to build(width) before loading weights; to resume, "
            "apply(model, plan, init=False)",
        )


def _layers(model: nn.Module, row: PlanRow) -> list[nn.Module]:
    """Find the linear layers whose input is to be scaled."""
    # By their weights' names, since a prefix ends in a dot; the innermost of wrappers comes last.
    names = [_weight_of(layer) for layer in row.multiplier_at] or [row.name]
    modules = {_weight_of(name): module for name, module in model.named_modules()}
    layers = [modules.get(name) for name in names]
    found: list[nn.Module] = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if len(found) == len(names):
        return found
    raise RuleError(
        f"'{row.name}' needs the forward multiplier {row.multiplier:g}, but is not an nn.Linear",
        why="a multiplier is installed on the layer that uses the weight",
        fix="make_plan(..., form='table-3'), which needs no multipliers",
    )


def _weight_of(module: str) -> str:
    """Name a module's weight, without wrappers' prefixes."""
    return unwrapped(f"{module}.weight".removeprefix("."))
