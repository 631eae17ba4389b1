"""A prediction as code to copy: plain torch, with the factors of a plan if there is one."""

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
UNSCALED = ("sp", "none")  # parametrizations in which every parameter has the same rate


def snippet(prediction: Prediction, plan: Plan | None = None) -> str:
    """Return the recommended rate as code.

    Args:
        prediction: The prediction at the target.
        plan: The plan of the target: its factors are written out, so that the code needs
            nothing but torch.

    Raises:
        UsageError: The plan is for another width, or for Muon or Adafactor.
    """
    lr, tuned = prediction.lr, prediction.hyperparameter
    if lr.value is None:
        return f"# no recommendation: {lr.undetermined}"
    interval = ""
    if lr.low is not None and lr.high is not None:
        interval = f", 90 % interval [{lr.low:.4g}, {lr.high:.4g}]"
    # A name comes from a file and must not end the comment that it stands in.
    name = json.dumps(f"{prediction.group}, {prediction.scale}")[1:-1]
    comment = f"# {name} {prediction.width:g}{interval}"
    code = f"{tuned if tuned.isidentifier() else 'value'} = {lr.value:.4g}"
    if plan is not None:
        return "\n".join([comment, code, *_optimizer_code(prediction, plan)])
    if tuned != "lr" or prediction.group in UNSCALED:
        return f"{comment}\n{code}"
    rule = "# use it under the same rule as in your sweep; --plan writes the factors out"
    return f"{comment}\n{rule}\n{code}"


def _optimizer_code(prediction: Prediction, plan: Plan) -> list[str]:
    """Return code that applies a plan's factors; layers with equal factors share a pattern."""
    optimizer = OPTIMIZERS[plan.optimizer]
    if plan.target != prediction.width:
        raise UsageError(
            f"the plan is for width {plan.target}, the prediction for {prediction.width:g}",
            why="the factors of a plan are powers of the ratio of target to base width",
            fix=f"mutransfer plan PKG.MOD:BUILD --base {plan.base} --target "
            f"{prediction.width:g} -o plan.json",
        )
    if optimizer.update in (Update.SPECTRAL, Update.RELATIVE):
        raise UsageError(
            f"the plan is for '{plan.optimizer}', which a few lines of torch cannot set up",
            why="it needs two optimizers, or two epsilons",
            fix="leave --plan out, and make the groups with mutransfer.param_groups",
        )
    has_eps = optimizer.eps is not None
    factors = [
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
        *factors,
        "}",
        "groups = []",
        "for name, parameter in model.named_parameters():  # of a fresh, unwrapped model",
        "    init, rate, epsilon, decay = next(",
        "        row for pattern, row in factors.items() if re.fullmatch(pattern, name)",
        "    )",
        "    with torch.no_grad():",
        "        parameter.mul_(init)",
        '    group = {"params": [parameter], "lr": lr * rate}',
        '    group["weight_decay"] = weight_decay * decay',
        *(['    group["eps"] = eps * epsilon'] if has_eps else []),
        "    groups.append(group)",
        f"optimizer = {optimizer.path}(groups)",
    ]


def _factors(row: PlanRow) -> tuple[float, float, float, float]:
    """Return the factors of a parameter's init, rate, epsilon and weight decay."""
    return row.init_factor, row.lr_factor, row.eps_factor, row.decay_factor


def _patterns(rows: Sequence[PlanRow]) -> dict[str, PlanRow]:
    """Map patterns of names to rows; layer numbers fold into one where their factors agree."""
    folded: dict[str, list[PlanRow]] = {}
    for row in rows:
        folded.setdefault(LAYER.sub("*", row.name), []).append(row)
    patterns: dict[str, PlanRow] = {}
    for name, layers in folded.items():
        if len(layers) > 1 and len({_factors(row) for row in layers}) == 1:
            patterns[re.escape(name).replace(r"\*", r"\d+")] = layers[0]
        else:
            patterns |= {re.escape(row.name): row for row in layers}
    return patterns


def prediction_answer(
    predictions: Sequence[Prediction], plan: str | Path | None = None
) -> tuple[str, dict[str, Any]]:
    """Return predictions with their snippets: as text, and as data for JSON."""
    target_plan = None if plan is None else _load_plan(plan)
    texts, rows = [], []
    for prediction in predictions:
        code = snippet(prediction, target_plan)
        texts += [prediction_text(prediction), code]
        rows.append({**json_data(prediction), "snippet": code})
    return "\n\n".join(texts), {"schema": 1, "predictions": rows}


def _load_plan(path: str | Path) -> Plan:
    """Load a plan that `mutransfer plan -o` saved."""
    try:
        return Plan.from_json(Path(path).read_text(errors="replace"))
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}",
            why="the plan holds the factors of the target's parameter groups",
            fix="mutransfer plan PKG.MOD:BUILD --base 256 --target 4096 -o plan.json",
        ) from None
