"""Guard: an error at the first optimizer step whose learning rates no longer match the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from mutransfer.errors import RuleError, check_type, listed
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
REBUILD = "pass param_groups(model, plan, lr=...) unchanged to the optimizer, and guard it then"

Group = dict[str, Any]


def guard(optimizer: torch.optim.Optimizer, plan: Plan) -> RemovableHandle:
    """Raise at the first step at which an optimizer's groups no longer match the plan.

    The guard detects schedulers that write absolute rates (OneCycleLR with one `max_lr`,
    `eta_min`, `min_lr`), rates written by hand, one tensor shared by groups, an engine that
    merges groups, and a state dict of another width. A schedule may scale all rates in
    proportion, even to zero. Weight decay is not checked: its ratios depend on the decay mode,
    which groups do not store.

    A check takes microseconds. It reads rates that are tensors on an accelerator at steps 1, 2,
    4, 8 and so on only, because reading waits for the device, and never while a CUDA graph is
    captured.

    Args:
        optimizer: Optimizer of groups from `param_groups`. It may be wrapped afterwards; copies
            of it are not guarded.
        plan: The plan of these groups.

    Returns:
        A handle; `handle.remove()` ends the guard.

    Raises:
        RuleError: Parameters of the groups do not match the plan; later, from
            `optimizer.step()`: rates, epsilons or parameters do not.

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
    check_type("plan", plan, Plan, fix="pass the plan whose param_groups the optimizer has")
    if not hasattr(optimizer, "param_groups"):  # optimizers of other libraries may have them, too
        check_type("optimizer", optimizer, torch.optim.Optimizer, fix="pass the optimizer")
    check = _Guard(optimizer, plan).check
    hook = torch.compiler.disable(check)  # type: ignore[no-untyped-call] # torch's own; in compiled steps, too
    return optimizer.register_step_pre_hook(hook)


class _Guard:
    """A step pre-hook that identifies parameters by `id`, so that groups may lose every key."""

    def __init__(self, optimizer: torch.optim.Optimizer, plan: Plan) -> None:
        self.rows = {row.name: row for row in plan.rows}
        self.has_eps = get_optimizer(plan.optimizer).eps is not None
        # Rates include the multipliers that the groups had when they were guarded. The tensors are
        # kept alive because Python reuses the id of a freed object.
        self.rows_by_id: dict[int, tuple[PlanRow, torch.Tensor]] = {}
        self.steps = 0
        self.layout = _layout(optimizer)
        self.group_rows = self._first_rows(optimizer)

    def check(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Raise if the groups do not match the plan."""
        self.steps += 1
        layout = _layout(optimizer)
        if layout != self.layout:
            self.group_rows = self._first_rows(optimizer)
            self.layout = layout
        groups = _nonempty_groups(optimizer)
        _check_lr_factors(groups, self.group_rows)
        self._check_rates(groups)
        if self.has_eps:
            _check_eps(groups, self.group_rows)

    def _first_rows(self, optimizer: torch.optim.Optimizer) -> list[PlanRow]:
        """Return a row for each group; raise for unknown, missing or mixed parameters."""
        trained: set[str] = set()
        first_rows: list[PlanRow] = []
        for group in _nonempty_groups(optimizer):
            rows = [self._row(group, position) for position in range(len(group["params"]))]
            trained.update(row.name for row in rows)
            names: dict[tuple[float, float], str] = {}
            for row in rows:
                eps_factor = row.eps_factor if self.has_eps else 1.0
                names.setdefault((row.lr_factor, eps_factor), row.name)
            if len(names) > 1:
                raise RuleError(
                    f"one group holds {listed(names.values())}, whose factors differ",
                    why="a group has one rate and one epsilon: merging groups discards the plan's",
                    fix=REBUILD,
                )
            first_rows.append(rows[0])
        # Next to Muon another optimizer, with its own guard, trains the rest.
        kinds = {self.rows[name].optimizer for name in trained}
        missing = [n for n, r in self.rows.items() if n not in trained and r.optimizer in kinds]
        if missing or not trained:
            raise RuleError(
                f"the optimizer does not train {listed(missing)}",
                why="a parameter in no group silently stays at its init",
                fix=f"{REBUILD}; freeze a parameter with requires_grad_(False)",
            )
        return first_rows

    def _row(self, group: Group, position: int) -> PlanRow:
        """Return a parameter's row, found by name at first and by `id` afterwards, or raise."""
        parameter = group["params"][position]
        names = group.get("param_names", ())
        name = unwrapped(names[position]) if len(names) == len(group["params"]) else None
        if id(parameter) in self.rows_by_id:
            row = self.rows_by_id[id(parameter)][0]
            if name not in (None, row.name):
                raise RuleError(
                    f"the state of '{name}' was loaded into '{row.name}'",
                    why="torch matches a state dict's parameters by position, and these groups "
                    "are in another order",
                    fix="load a state that was saved with this plan: Plan.from_json(...) of the "
                    "checkpoint",
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
        row = replace(row, lr_factor=row.lr_factor * group.get("lr_multiplier", 1.0))
        self.rows_by_id[id(parameter)] = row, parameter
        return row

    def _check_rates(self, groups: list[Group]) -> None:
        """Raise if the rate over its factor is not the same in every group."""
        rates = [group["lr"] for group in groups]
        tensors = [rate for rate in rates if isinstance(rate, torch.Tensor)]
        if tensors:
            _check_shared_tensors(rates, self.group_rows)
            if not self._may_read(tensors):
                return
        pairs = zip(rates, self.group_rows, strict=True)
        shares = [float(rate) / row.lr_factor for rate, row in pairs]
        index = _first_differing(shares, TENSOR_TOLERANCE if tensors else TOLERANCE)
        if index is not None:
            first, other = self.group_rows[0], self.group_rows[index]
            has_max_lr = any("max_lr" in group for group in groups)
            raise RuleError(
                f"'{other.name}' trains at {float(rates[index]):.6g} where '{first.name}' trains "
                f"at {float(rates[0]):.6g}: the plan says {shares[0] * other.lr_factor:.6g}",
                why="a schedule that writes absolute rates erases the plan's ratios, so nothing "
                "transfers",
                fix=BY_GROUP if has_max_lr else BY_FACTOR,
            )

    def _may_read(self, tensors: list[torch.Tensor]) -> bool:
        """Return whether to read rates at this step, which waits for an accelerator."""
        if all(tensor.device.type == "cpu" for tensor in tensors):
            return True
        if any(tensor.is_cuda for tensor in tensors) and torch.cuda.is_current_stream_capturing():
            return False
        return self.steps & (self.steps - 1) == 0  # steps 1, 2, 4, 8


def _nonempty_groups(optimizer: torch.optim.Optimizer) -> list[Group]:
    """Return the groups that hold parameters."""
    return [group for group in optimizer.param_groups if group["params"]]


def _layout(optimizer: torch.optim.Optimizer) -> list[tuple[list[int], object]]:
    """Return the tensors of each group and their names, which must not change between steps."""
    return [(list(map(id, g["params"])), g.get("param_names")) for g in optimizer.param_groups]


def _check_lr_factors(groups: list[Group], rows: list[PlanRow]) -> None:
    """Raise if a group's `lr_factor`, which state dicts store, differs from the plan's."""
    for group, row in zip(groups, rows, strict=True):
        if group.get("lr_factor", row.lr_factor) != row.lr_factor:
            raise RuleError(
                f"the group of '{row.name}' has lr_factor {group['lr_factor']:g} where "
                f"{row.lr_factor:g} is expected: its state is of another width, plan or "
                "lr_multiplier",
                why="load_state_dict restores the rates, epsilons and moments that were saved",
                fix="create a new optimizer at this width: "
                "torch.optim.AdamW(param_groups(model, plan, lr=...))",
            )


def _check_shared_tensors(rates: list[Any], rows: list[PlanRow]) -> None:
    """Raise if groups with different factors share one tensor as their rate; reads no tensor."""
    first_rows: dict[int, PlanRow] = {}
    for rate, row in zip(rates, rows, strict=True):
        first = first_rows.setdefault(id(rate), row) if isinstance(rate, torch.Tensor) else row
        if first.lr_factor != row.lr_factor:
            raise RuleError(
                f"'{first.name}' and '{row.name}' share one tensor as their rate, and their "
                f"factors are {first.lr_factor:g} and {row.lr_factor:g}",
                why="a tensor has one value, so both train at the same rate",
                fix="for g in optimizer.param_groups: g['lr'] = lr * g['lr_factor'], which makes "
                "a tensor for each group",
            )


def _check_eps(groups: list[Group], rows: list[PlanRow]) -> None:
    """Raise if epsilon over its factor is not the same in every group."""
    pairs = [
        (float(group["eps"]), row)
        for group, row in zip(groups, rows, strict=True)
        if isinstance(group.get("eps"), float | int)  # Adafactor has a pair
    ]
    shares = [eps / row.eps_factor for eps, row in pairs]
    index = _first_differing(shares, TOLERANCE)
    if index is not None:
        (first_eps, first), (eps, other) = pairs[0], pairs[index]
        raise RuleError(
            f"'{other.name}' has eps {eps:.6g} where '{first.name}' has {first_eps:.6g}: the plan "
            f"says {shares[0] * other.eps_factor:.6g}",
            why="gradients shrink with width, so an epsilon that does not stops the updates",
            fix="param_groups(model, plan, lr=..., eps=...), and leave eps unchanged afterwards",
        )


def _first_differing(shares: list[float], tolerance: float) -> int | None:
    """Return the index of the first share that differs from the first one; NaN always differs."""
    for index, share in enumerate(shares):
        if not abs(share - shares[0]) <= tolerance * abs(shares[0]):
            return index
    return None
