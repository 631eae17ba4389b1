"""This file is `guard`: an optimizer that lost the plan's ratios stops at its next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from mutransfer.errors import RuleError, listed
from mutransfer.rules.optimizers import get_optimizer
from mutransfer.rules.plan import Plan, unwrapped
from mutransfer.rules.rows import PlanRow

# Schedulers multiply rates recursively. Over 20,000 steps of eight of torch's, ratios drift by
# 1e-14, and by 1e-4 where rates are float32 tensors [measured: test_guard.py].
TOLERANCE = 1e-6
TENSOR_TOLERANCE = 1e-2
BY_FACTOR = (
    "torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: ...), which multiplies each "
    "group's own rate; by hand: for g in optimizer.param_groups: g['lr'] = lr * g['lr_factor']"
)
BY_GROUP = (
    "max_lr=[lr * g['lr_factor'] for g in optimizer.param_groups] in place of max_lr=lr, or "
    "torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: ...)"
)
REBUILD = "give the optimizer param_groups(model, plan, lr=...) as they are, and guard it then"


def guard(optimizer: torch.optim.Optimizer, plan: Plan) -> RemovableHandle:
    """Raise at the first step at which an optimizer's groups are no longer the plan's.

    What breaks them: schedulers that write absolute rates (OneCycleLR with one `max_lr`,
    `eta_min`, `min_lr`), rates written by hand, one tensor shared by groups, an engine that
    merges groups, a state dict of another width. A schedule may do what it likes with all
    rates in proportion; all may be zero. Weight decay is not judged: what is right depends on
    the decay mode, which groups do not tell.

    A step costs microseconds. A rate that is a tensor on an accelerator is read at steps
    1, 2, 4, 8 and so on only, because reading it waits for the device, and never while a
    CUDA graph is captured.

    Args:
        optimizer: Made from `param_groups`. It may be wrapped afterwards; copies of it are not
            guarded.
        plan: What the groups were made with.

    Returns:
        A handle; `handle.remove()` ends it.

    Raises:
        RuleError: The groups' parameters cannot be matched with the plan; later, from
            `optimizer.step()`: rates, epsilons or parameters are not the plan's.

    Example:
        >>> from torch import nn
        >>> from mutransfer.parametrize import make_plan, param_groups
        >>> def build(width):
        ...     return nn.Sequential(nn.Linear(8, width), nn.Linear(width, width))
        >>> plan = make_plan(build, base=64, target=256)
        >>> optimizer = torch.optim.AdamW(param_groups(build(256), plan, lr=2**-6))
        >>> handle = guard(optimizer, plan)
        >>> for group in optimizer.param_groups:
        ...     group["lr"] = 0.01
        >>> optimizer.step()
        Traceback (most recent call last):
        mutransfer.errors.RuleError: '1.weight' trains at 0.01 where '0.weight' trains at 0.01: ...
    """
    check = _Guard(optimizer, plan).check
    hook = torch.compiler.disable(check)  # type: ignore[no-untyped-call] # torch's own; in compiled steps, too
    return optimizer.register_step_pre_hook(hook)


@dataclass(frozen=True, slots=True)
class _Factors:
    """What a group's parameters have in common."""

    name: str  # the first of them, for messages
    lr: float
    eps: float


class _Guard:
    """A step pre-hook. It knows parameters by identity, so groups may lose every key."""

    def __init__(self, optimizer: torch.optim.Optimizer, plan: Plan) -> None:
        self.plan = plan
        self.rows = {row.name: row for row in plan.rows}
        self.has_eps = get_optimizer(plan.optimizer).eps is not None
        # Keeping tensors alive keeps their identities from being reused.
        self.known: dict[int, tuple[PlanRow, torch.Tensor]] = {}
        self.steps = 0
        self.layout = _layout(optimizer)
        self.factors = self._factors(optimizer)

    def check(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Judge the groups as they are now."""
        self.steps += 1
        layout = _layout(optimizer)
        if layout != self.layout:
            self.factors = self._factors(optimizer)
            self.layout = layout
        groups = _trained(optimizer)
        _check_state(groups, self.factors)
        self._check_rates(groups)
        if self.has_eps:
            _check_eps(groups, self.factors)

    def _factors(self, optimizer: torch.optim.Optimizer) -> list[_Factors]:
        """Find the factors of every group through its parameters.

        Raises:
            RuleError: Parameters are unknown, missing, or in a group with others' factors.
        """
        found: set[str] = set()
        every: list[_Factors] = []
        for group in _trained(optimizer):
            rows = [self._row(group, position) for position in range(len(group["params"]))]
            found.update(row.name for row in rows)
            distinct: dict[tuple[float, float], str] = {}
            for row in rows:
                eps_factor = row.eps_factor if self.has_eps else 1.0
                distinct.setdefault((row.lr_factor, eps_factor), row.name)
            if len(distinct) > 1:
                raise RuleError(
                    f"one group holds {listed(distinct.values())}, whose factors differ",
                    why="a group has one rate and one epsilon: whoever merged groups erased "
                    "the plan's",
                    fix=REBUILD,
                )
            every.append(_Factors(rows[0].name, *next(iter(distinct))))
        # Beside Muon another optimizer trains the rest, and is guarded by itself.
        takes = {self.rows[name].optimizer for name in found}
        missing = [n for n, row in self.rows.items() if n not in found and row.optimizer in takes]
        if missing or not found:
            raise RuleError(
                f"the optimizer does not train {listed(missing)}",
                why="a parameter that no group holds stays at its init, silently",
                fix=f"{REBUILD}; freeze a parameter with requires_grad_(False)",
            )
        return every

    def _row(self, group: dict[str, Any], position: int) -> PlanRow:
        """Find a parameter's row: by identity if it was seen before, else by its name.

        Raises:
            RuleError: It has neither, or its name changed.
        """
        parameter = group["params"][position]
        names = group.get("param_names", ())
        name = unwrapped(names[position]) if len(names) == len(group["params"]) else None
        if id(parameter) in self.known:
            row = self.known[id(parameter)][0]
            if name not in (None, row.name):
                raise RuleError(
                    f"the state of '{name}' was loaded into '{row.name}'",
                    why="torch matches a state dict's parameters by position, and these groups "
                    "are in another order",
                    fix="load a state that was saved with this very plan: Plan.from_json(...) "
                    "of the checkpoint",
                )
            return row
        if name not in self.rows:
            shape = tuple(parameter.shape)
            raise RuleError(
                f"the plan has no row for '{name}', shape {shape}"
                if name
                else f"a group holds a parameter without a name, shape {shape}",
                why="a parameter without its rule trains at a rate that does not transfer",
                fix=REBUILD,
            )
        row = self.rows[name]
        self.known[id(parameter)] = row, parameter
        return row

    def _check_rates(self, groups: list[dict[str, Any]]) -> None:
        """Compare every group's rate over its factor with the first group's."""
        rates = [group["lr"] for group in groups]
        tensors = [rate for rate in rates if isinstance(rate, torch.Tensor)]
        if tensors:
            _check_sharing(rates, self.factors)
            if not self._may_read(tensors):
                return
        shares = [
            float(rate) / factors.lr for rate, factors in zip(rates, self.factors, strict=True)
        ]
        off = _differing(shares, TENSOR_TOLERANCE if tensors else TOLERANCE)
        if off is not None:
            first, other = self.factors[0], self.factors[off]
            by_group = any("max_lr" in group for group in groups)
            raise RuleError(
                f"'{other.name}' trains at {float(rates[off]):.6g} where '{first.name}' trains at "
                f"{float(rates[0]):.6g}: the plan says {shares[0] * other.lr:.6g}",
                why="a schedule that writes absolute rates erases the plan's ratios, so nothing "
                "transfers",
                fix=BY_GROUP if by_group else BY_FACTOR,
            )

    def _may_read(self, tensors: list[torch.Tensor]) -> bool:
        """Say whether to read rates now: on an accelerator, that waits for it."""
        if all(tensor.device.type == "cpu" for tensor in tensors):
            return True
        if any(tensor.is_cuda for tensor in tensors) and torch.cuda.is_current_stream_capturing():
            return False
        return self.steps & (self.steps - 1) == 0  # steps 1, 2, 4, 8


def _trained(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """List the groups that hold parameters."""
    return [group for group in optimizer.param_groups if group["params"]]


def _layout(optimizer: torch.optim.Optimizer) -> list[tuple[list[int], object]]:
    """Give what must not change from step to step, cheaply: which tensors, called what."""
    return [
        (list(map(id, group["params"])), group.get("param_names"))
        for group in optimizer.param_groups
    ]


def _check_state(groups: list[dict[str, Any]], every: list[_Factors]) -> None:
    """Compare the groups' own `lr_factor`, which a state dict brings along, with the plan's."""
    for group, factors in zip(groups, every, strict=True):
        if group.get("lr_factor", factors.lr) != factors.lr:
            raise RuleError(
                f"the group of '{factors.name}' has lr_factor {group['lr_factor']:g}, the plan "
                f"says {factors.lr:g}: its state is of another width or plan",
                why="load_state_dict brings the other width's rates, epsilons and moments along",
                fix="start the optimizer afresh at this width: "
                "torch.optim.AdamW(param_groups(model, plan, lr=...))",
            )


def _check_sharing(rates: list[Any], every: list[_Factors]) -> None:
    """Refuse one tensor as the rate of groups with different factors; nothing is read."""
    owner: dict[int, _Factors] = {}
    for rate, factors in zip(rates, every, strict=True):
        if not isinstance(rate, torch.Tensor):
            continue
        other = owner.setdefault(id(rate), factors)
        if other.lr != factors.lr:
            raise RuleError(
                f"'{other.name}' and '{factors.name}' share one tensor as their rate, and their "
                f"factors are {other.lr:g} and {factors.lr:g}",
                why="a tensor has one value, so both train at the same rate",
                fix="for g in optimizer.param_groups: g['lr'] = lr * g['lr_factor'], which makes "
                "a tensor for each group",
            )


def _check_eps(groups: list[dict[str, Any]], every: list[_Factors]) -> None:
    """Compare every group's epsilon over its factor with the first group's."""
    pairs = [
        (float(group["eps"]), factors)
        for group, factors in zip(groups, every, strict=True)
        if isinstance(group.get("eps"), float | int)  # Adafactor has two
    ]
    shares = [eps / factors.eps for eps, factors in pairs]
    off = _differing(shares, TOLERANCE)
    if off is not None:
        (first_eps, first), (eps, other) = pairs[0], pairs[off]
        raise RuleError(
            f"'{other.name}' has eps {eps:.6g} where '{first.name}' has {first_eps:.6g}: the plan "
            f"says {shares[0] * other.eps:.6g}",
            why="gradients shrink with width, so an epsilon that does not stops the updates",
            fix="param_groups(model, plan, lr=..., eps=...), and no write of eps afterwards",
        )


def _differing(shares: list[float], tolerance: float) -> int | None:
    """Give the first share that is not the first one's equal; NaN is nobody's equal."""
    for index, share in enumerate(shares):
        if not abs(share - shares[0]) <= tolerance * abs(shares[0]):
            return index
    return None
