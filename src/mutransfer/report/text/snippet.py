"""A prediction as code to copy: the rate, and a plan's factors if there is a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from keyword import iskeyword
from operator import attrgetter
from pathlib import Path
from typing import Any

from mutransfer.analysis import Estimate, PointPrediction, Prediction
from mutransfer.analysis.loading.names import ALIASES
from mutransfer.analysis.types.estimates import json_data
from mutransfer.errors import UsageError, listed, plain
from mutransfer.report.text.analysis import prediction_text, source_notes
from mutransfer.report.text.points import point_text
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow, Role, Update
from mutransfer.rules.optimizers import Optimizer

LAYER = re.compile(r"(?<=\.)\d+(?=\.)")
_factors = attrgetter("init_factor", "lr_factor", "eps_factor", "decay_factor")
LINE = 100  # characters
LR_MULTIPLIER = "lr_multiplier_"  # as in a study of the lab
# Names of hyperparameters -> the variable of the code. [assumed]
ARGUMENTS = {
    **dict.fromkeys(ALIASES["lr"], "lr"),
    **dict.fromkeys(("wd", "decay"), "weight_decay"),
    **dict.fromkeys(("epsilon", "adam_eps", "adam_epsilon"), "eps"),
    **{f"adam_beta{k}": f"beta{k}" for k in (1, 2)},
}
RESERVED = frozenset(  # names of the code itself
    {"Path", "epsilon", "factors", "groups", "model", "mt", "optimizer", "plan", "re", "torch"}
)
UNSCALED = ("sp", "none")  # parametrizations in which every parameter has the same rate


def snippet(
    prediction: Prediction | PointPrediction,
    plan: Plan | None = None,
    *,
    plan_file: str | Path = "plan.json",
) -> str:
    """Return the recommended values as code, which runs as it stands where `model` is defined.

    With a plan of the target it needs nothing but torch, unless the plan has forward multipliers,
    or factors of roles or betas were tuned: mutransfer then applies the plan of `plan_file`.

    Raises:
        UsageError: The plan is for another width, for Muon or Adafactor, or it has no parameter
            of a role whose rate was tuned.
    """
    target = ", ".join(f"{scale} {size:g}" for scale, size in prediction.at.items())
    comment = f"# {prediction.group}, {target}"
    if isinstance(prediction, PointPrediction):
        tuned = {value.name: value.recommended for value in prediction.values}
        ends = {value.name: _interval(value.best) for value in prediction.values}
        is_unscaled = False
    else:
        lr, name = prediction.lr, prediction.hyperparameter
        if lr.value is None:
            return f"# no recommendation: {_one_line(str(lr.undetermined))}"
        tuned, ends = {name: lr.value}, {name: ""}
        comment += f", {_interval(lr)}" if _interval(lr) else ""
        is_unscaled = name != "lr" or prediction.group in UNSCALED
    comment = _one_line(comment)
    if plan is not None:
        return f"{comment}\n{_plan_code(prediction, plan, plan_file, tuned, ends)}"
    variables = _variables(tuned)
    code = "\n".join(
        f"{variables[name]} = {value:.4g}" + (f"  # {ends[name]}" if ends[name] else "")
        for name, value in tuned.items()
    )
    rule = "# use it under the same rule as in your sweep; --plan writes the factors out"
    if isinstance(prediction, PointPrediction):
        rule = rule.replace("use it", "use them")
    return f"{comment}\n{code}" if is_unscaled else f"{comment}\n{rule}\n{code}"


def _interval(value: Estimate) -> str:
    """Format an interval; empty without one."""
    if value.low is None or value.high is None:
        return ""
    return f"90 % interval [{value.low:.4g}, {value.high:.4g}]"


def _variables(names: Iterable[str]) -> dict[str, str]:
    """Return the variable that holds each hyperparameter in the code.

    Example:
        >>> _variables(["learning_rate", "wd", "a b", "model", "init_std"])
        {'learning_rate': 'lr', 'wd': 'weight_decay', 'a b': 'value', 'model': 'value_2', \
'init_std': 'init_std'}
    """
    variables: dict[str, str] = {}
    for name in names:
        variable = ARGUMENTS.get(name, name)
        if not variable.isidentifier() or iskeyword(variable) or variable in RESERVED:
            variable = "value"
        count = 2
        while variable in variables.values():
            variable, count = f"value_{count}", count + 1
        variables[name] = variable
    return variables


def _one_line(text: str) -> str:
    """Return a text from a file such that it cannot end the comment that it stands in."""
    return plain(" ".join(text.split()))


def _plan_code(
    prediction: Prediction | PointPrediction,
    plan: Plan,
    plan_file: str | Path,
    tuned: Mapping[str, float],
    ends: Mapping[str, str],
) -> str:
    """Return code that applies a plan and every tuned value that parameter groups have."""
    optimizer = _optimizer(prediction, plan)
    variables = _variables(tuned)
    tuned_arguments = _arguments(variables.values(), plan, optimizer)
    lines = []
    for name, value in tuned.items():
        other = (
            ""
            if variables[name] in tuned_arguments
            else "no part of the optimizer: set it where you use it"
        )
        note = "; ".join(filter(None, (ends[name], other)))
        lines.append(f"{variables[name]} = {value:.4g}" + (f"  # {note}" if note else ""))
    defaults = {"lr": "1e-3", "weight_decay": "0.0"}
    if optimizer.eps is not None:
        defaults["eps"] = "1e-8"
    if {"beta1", "beta2"} & set(tuned_arguments):
        defaults |= {"beta1": "0.9", "beta2": "0.999"}
    rest = {name: default for name, default in defaults.items() if name not in tuned_arguments}
    if "lr" in rest:
        lines.append(f"lr = {rest.pop('lr')}  # yours, at the base width")
    if rest:
        values = ", ".join(rest.values())
        lines.append(f"{', '.join(rest)} = {values}  # yours, at the base width")
    multiplied = [row for row in plan.rows if row.multiplier != 1]
    if multiplied or tuned_arguments - {"lr", "weight_decay", "eps"}:
        imports = ["from pathlib import Path", "", "import mutransfer as mt", "import torch"]
        lines += _library_code(
            multiplied, plan_file, tuned_arguments, has_eps=optimizer.eps is not None
        )
    else:
        imports = ["import re", "", "import torch"]
        lines += _torch_code(plan, optimizer.eps is not None)
    return "\n".join([*imports, "", *lines, f"optimizer = {optimizer.path}(groups)"])


def _optimizer(prediction: Prediction | PointPrediction, plan: Plan) -> Optimizer:
    """Return the plan's optimizer; raise for a plan that a snippet cannot apply."""
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
    return optimizer


def _arguments(variables: Iterable[str], plan: Plan, optimizer: Optimizer) -> set[str]:
    """Return the variables that parameter groups take; raise for roles that the plan lacks."""
    possible = {"lr", "weight_decay"}
    possible |= {"eps"} if optimizer.eps is not None else set()
    possible |= {"beta1", "beta2"} if optimizer.has_betas else set()
    roles = {f"{LR_MULTIPLIER}{role}": role for role in Role}
    tuned_arguments = {name for name in variables if name in possible or name in roles}
    present = {row.role for row in plan.rows}
    if missing := sorted(
        name for name in tuned_arguments & roles.keys() if roles[name] not in present
    ):
        raise UsageError(
            f"{listed(missing)} was tuned, and the plan has no parameter of this role",
            why="its value would have no effect on this model",
            fix="make the plan from the model that was tuned: mutransfer plan PKG.MOD:BUILD "
            f"--base {plan.base} --target {plan.target} -o plan.json",
        )
    return tuned_arguments


def _library_code(
    multiplied: Sequence[PlanRow],
    plan_file: str | Path,
    tuned_arguments: Set[str],
    *,
    has_eps: bool,
) -> list[str]:
    """Return code that applies a plan by mutransfer; factors beside it would apply twice."""
    arguments = ["lr=lr", "weight_decay=weight_decay"] + (["eps=eps"] if has_eps else [])
    if {"beta1", "beta2"} & tuned_arguments:
        arguments.append("betas=(beta1, beta2)")
    if roles := sorted(name for name in tuned_arguments if name.startswith(LR_MULTIPLIER)):
        pairs = [f'"{name.removeprefix(LR_MULTIPLIER)}": {name}' for name in roles]
        arguments.append(f"lr_multiplier={{{', '.join(pairs)}}}")
    comment = "# Once, on a fresh model"
    if multiplied:
        names = listed(name for row in multiplied for name in row.multiplier_at or [row.name])
        comment += f"; it also multiplies the input of {_one_line(names)}"
    call = f"groups = mt.param_groups(model, plan, {', '.join(arguments)})"
    if len(call) > LINE:
        call = "\n    ".join(
            ["groups = mt.param_groups(", "model, plan,", *(f"{a}," for a in arguments)]
        )
        call += "\n)"
    return [
        f"plan = mt.Plan.from_json(Path({json.dumps(str(plan_file))}).read_text())",
        f"{comment}.",
        "mt.apply(model, plan)",
        call,
    ]


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
    predictions: Sequence[Prediction | PointPrediction],
    plan: str | Path | None = None,
    unfinished: int = 0,
) -> tuple[str, dict[str, Any]]:
    """Return predictions with their snippets, below the notes: as text, and as data for JSON."""
    target_plan = None if plan is None else _load_plan(plan)
    notes = predictions[0].notes  # those of the source, the same for all groups
    texts, rows = source_notes(notes, unfinished), []
    for prediction in predictions:
        code = snippet(prediction, target_plan, plan_file=plan or "")
        if isinstance(prediction, PointPrediction):
            texts += [point_text(prediction), code]
        else:
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
