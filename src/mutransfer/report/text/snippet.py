"""A prediction as code to copy: the rate, and a plan's factors if there is a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from keyword import iskeyword
from operator import attrgetter
from pathlib import Path
from typing import Any

from mutransfer.analysis import Prediction
from mutransfer.analysis.loading.names import ALIASES
from mutransfer.analysis.types.estimates import json_data
from mutransfer.errors import UsageError, listed, plain
from mutransfer.report.text.analysis import prediction_text, source_notes
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow, Update

LAYER = re.compile(r"(?<=\.)\d+(?=\.)")
_factors = attrgetter("init_factor", "lr_factor", "eps_factor", "decay_factor")
UNSCALED = ("sp", "none")  # parametrizations in which every parameter has the same rate


def snippet(
    prediction: Prediction, plan: Plan | None = None, *, plan_file: str | Path = "plan.json"
) -> str:
    """Return the recommended rate as code, which runs as it stands where `model` is defined.

    With a plan of the target it needs nothing but torch, unless the plan has forward multipliers:
    mutransfer installs them, and loads the plan from `plan_file`.

    Raises:
        UsageError: The plan is for another width, or for Muon or Adafactor.
    """
    lr, tuned = prediction.lr, prediction.hyperparameter
    if lr.value is None:
        return f"# no recommendation: {_one_line(str(lr.undetermined))}"
    interval = ""
    if lr.low is not None and lr.high is not None:
        interval = f", 90 % interval [{lr.low:.4g}, {lr.high:.4g}]"
    target = ", ".join(f"{scale} {size:g}" for scale, size in prediction.at.items())
    comment = _one_line(f"# {prediction.group}, {target}{interval}")
    name = "lr" if tuned in ALIASES["lr"] else tuned
    name = name if name.isidentifier() and not iskeyword(name) else "value"
    code = f"{name} = {lr.value:.4g}"
    if plan is not None:
        code += "" if name == "lr" else "\nlr = 1e-3  # yours, at the base width"
        return f"{comment}\n{_plan_code(prediction, plan, plan_file, code)}"
    if tuned != "lr" or prediction.group in UNSCALED:
        return f"{comment}\n{code}"
    rule = "# use it under the same rule as in your sweep; --plan writes the factors out"
    return f"{comment}\n{rule}\n{code}"


def _one_line(text: str) -> str:
    """Return a text from a file such that it cannot end the comment that it stands in."""
    return plain(" ".join(text.split()))


def _plan_code(prediction: Prediction, plan: Plan, plan_file: str | Path, code: str) -> str:
    """Return code that applies a plan, with the lines `code` after its imports."""
    if plan.target != prediction.width:
        raise UsageError(
            f"the plan is for width {plan.target}, the prediction for {prediction.width:g}",
            why="the factors of a plan are powers of the ratio of target to base width",
            fix=f"mutransfer plan PKG.MOD:BUILD --base {plan.base} --target "
            f"{prediction.width:g} -o plan.json",
        )
    optimizer = OPTIMIZERS[plan.optimizer]
    if optimizer.update in (Update.SPECTRAL, Update.RELATIVE):
        raise UsageError(
            f"the plan is for '{plan.optimizer}', which a few lines of torch cannot set up",
            why="it needs two optimizers, or two epsilons",
            fix="leave --plan out, and make the groups with mutransfer.param_groups",
        )
    has_eps, multiplied = optimizer.eps is not None, [r for r in plan.rows if r.multiplier != 1]
    imports = ["from pathlib import Path", "", "import mutransfer as mt", "import torch"]
    settings = "weight_decay, eps = 0.0, 1e-8" if has_eps else "weight_decay = 0.0"
    if multiplied:
        # Factors printed next to `apply` would rescale the weights twice, so they are left out.
        names = listed(name for row in multiplied for name in row.multiplier_at or [row.name])
        eps = ", eps=eps" if has_eps else ""
        lines = [
            f"plan = mt.Plan.from_json(Path({json.dumps(str(plan_file))}).read_text())",
            f"# Once, on a fresh model; it also multiplies the input of {_one_line(names)}.",
            "mt.apply(model, plan)",
            f"groups = mt.param_groups(model, plan, lr=lr, weight_decay=weight_decay{eps})",
        ]
    else:
        imports, lines = ["import re", "", "import torch"], _torch_code(plan, has_eps)
    settings += "  # yours, at the base width"
    optimizer_code = f"optimizer = {optimizer.path}(groups)"
    return "\n".join([*imports, "", code, settings, *lines, optimizer_code])


def _torch_code(plan: Plan, has_eps: bool) -> list[str]:
    """Return code that applies a plan's factors by torch alone."""
    eps = ', "eps": eps * epsilon' if has_eps else ""
    return [
        f"factors = {{  # name: (init, lr, eps, weight_decay) of {_one_line(plan.parametrization)}",
        *(
            f"    {json.dumps(pattern)}: ({', '.join(f'{x:.10g}' for x in _factors(row))}),"
            for pattern, row in _patterns(plan.rows).items()
        ),
        "}",
        "groups = []",
        "for name, parameter in model.named_parameters():  # of a fresh, unwrapped model",
        "    matches = [row for pattern, row in factors.items() if re.fullmatch(pattern, name)]",
        "    if not matches:",
        '        raise KeyError(f"the plan has no parameter {name}")',
        "    init, rate, epsilon, decay = matches[0]",
        "    with torch.no_grad():",
        "        parameter.mul_(init)",
        f'    options = {{"lr": lr * rate, "weight_decay": weight_decay * decay{eps}}}',
        '    groups.append({"params": [parameter], **options})',
    ]


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
    predictions: Sequence[Prediction], plan: str | Path | None = None, unfinished: int = 0
) -> tuple[str, dict[str, Any]]:
    """Return predictions with their snippets, below the notes: as text, and as data for JSON."""
    target_plan = None if plan is None else _load_plan(plan)
    notes = predictions[0].notes  # those of the source, the same for all groups
    texts, rows = source_notes(notes, unfinished), []
    for prediction in predictions:
        code = snippet(prediction, target_plan, plan_file=plan or "")
        texts += [prediction_text(prediction), code]
        rows.append({**json_data(prediction), "snippet": code})
    return "\n\n".join(texts), {"schema": 1, "notes": list(notes), "predictions": rows}


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
