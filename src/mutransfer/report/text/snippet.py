"""This file is a prediction as code to copy: plain torch, with a plan's factors if there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mutransfer.analysis import Prediction
from mutransfer.analysis.types.estimates import json_data
from mutransfer.errors import UsageError
from mutransfer.report.text.analysis import prediction_text
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow, Update

LAYER = re.compile(r"(?<=\.)\d+(?=\.)")
SAME_EVERYWHERE = ("sp", "none")  # parametrizations in which every parameter has the same rate


def snippet(prediction: Prediction, plan: Plan | None = None) -> str:
    """Write the recommendation as code.

    Args:
        prediction: What to expect at the target.
        plan: The target's plan: its factors are written out, so that the code needs nothing
            but torch.

    Raises:
        UsageError: The plan is for another width, or for Muon or Adafactor.
    """
    lr, tuned = prediction.lr, prediction.hyperparameter
    if lr.value is None:
        return f"# no recommendation: {lr.undetermined}"
    interval = ""
    if lr.low is not None and lr.high is not None:
        interval = f", 90 % interval [{lr.low:.4g}, {lr.high:.4g}]"
    # A name from a file must not end the comment that it stands in.
    told = json.dumps(f"{prediction.group}, {prediction.scale}")[1:-1]
    head = [f"# {told} {prediction.width:g}{interval}"]
    head.append(f"{tuned if tuned.isidentifier() else 'value'} = {lr.value:.4g}")
    if plan is not None:
        return "\n".join([*head, *_with_plan(prediction, plan)])
    if tuned != "lr":
        return "\n".join(head)
    if prediction.group in SAME_EVERYWHERE:
        return "\n".join(head)
    rule = "the rate that your sweep was given, under the same rule; with --plan: its factors"
    return "\n".join([head[0], f"# {rule}", *head[1:]])


def _with_plan(prediction: Prediction, plan: Plan) -> list[str]:
    """Write a plan's factors out, with layers alike in one pattern."""
    if plan.target != prediction.width:
        raise UsageError(
            f"the plan is for width {plan.target}, the prediction for {prediction.width:g}",
            why="its factors are powers of how much wider the target is than the base",
            fix=f"mutransfer plan PKG.MOD:BUILD --base {plan.base} --target "
            f"{prediction.width:g} -o plan.json",
        )
    if OPTIMIZERS[plan.optimizer].update in (Update.SPECTRAL, Update.RELATIVE):
        raise UsageError(
            f"the plan is for '{plan.optimizer}', which a few lines of torch cannot set up",
            why="it takes two optimizers, or two epsilons",
            fix="leave --plan out, and make the groups with mutransfer.param_groups",
        )
    has_eps = OPTIMIZERS[plan.optimizer].eps is not None
    lines = [
        f"    {json.dumps(pattern)}: ({', '.join(f'{x:.10g}' for x in _factors(row))}),"
        for pattern, row in _patterns(plan.rows).items()
    ]
    multiplied = ", ".join(row.name for row in plan.rows if row.multiplier != 1)
    note = f"# {plan.form} has forward multipliers at {multiplied}: use mutransfer.apply for them"
    return [
        f"weight_decay{', eps' if has_eps else ''} = 0.0{', 1e-8' if has_eps else ''}"
        "  # yours, at the base width",
        *([note] if multiplied else []),
        f"factors = {{  # name: (init, lr, eps, weight_decay) of {plan.parametrization}",
        *lines,
        "}",
        "groups = []",
        "for name, parameter in model.named_parameters():  # of a fresh, unwrapped model",
        "    init, rate, epsilon, decay = next(",
        "        found for pattern, found in factors.items() if re.fullmatch(pattern, name)",
        "    )",
        "    with torch.no_grad():",
        "        parameter.mul_(init)",
        '    group = {"params": [parameter], "lr": lr * rate}',
        '    group["weight_decay"] = weight_decay * decay',
        *(['    group["eps"] = eps * epsilon'] if has_eps else []),
        "    groups.append(group)",
        f"optimizer = {OPTIMIZERS[plan.optimizer].path}(groups)",
    ]


def _factors(row: PlanRow) -> tuple[float, float, float, float]:
    """Give what a parameter's init and options are multiplied by."""
    return row.init_factor, row.lr_factor, row.eps_factor, row.decay_factor


def _patterns(rows: Sequence[PlanRow]) -> dict[str, PlanRow]:
    """Name parameters by patterns; numbers of layers are folded where their factors agree."""
    folded: dict[str, list[PlanRow]] = {}
    for row in rows:
        folded.setdefault(LAYER.sub("*", row.name), []).append(row)
    patterns: dict[str, PlanRow] = {}
    for name, alike in folded.items():
        if len(alike) > 1 and len({_factors(row) for row in alike}) == 1:
            patterns[re.escape(name).replace(r"\*", r"\d+")] = alike[0]
        else:
            patterns |= {re.escape(row.name): row for row in alike}
    return patterns


def prediction_answer(
    predictions: Sequence[Prediction], plan: str | Path | None = None
) -> tuple[str, dict[str, Any]]:
    """Say what to expect, with snippets to copy: text for people, data for programs."""
    made = None if plan is None else read_plan(plan)
    told, data = [], []
    for each in predictions:
        code = snippet(each, made)
        told += [prediction_text(each), code]
        data.append({**json_data(each), "snippet": code})
    return "\n\n".join(told), {"schema": 1, "predictions": data}


def read_plan(path: str | Path) -> Plan:
    """Read a plan that was saved."""
    try:
        return Plan.from_json(Path(path).read_text(errors="replace"))
    except OSError as problem:
        raise UsageError(
            f"cannot read {path}: {problem.strerror}",
            why="the plan holds the factors of the target's parameter groups",
            fix="mutransfer plan PKG.MOD:BUILD --base 256 --target 4096 -o plan.json",
        ) from None
