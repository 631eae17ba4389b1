"""Terminal text of the named studies: the list with costs, and the cost of one or of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mutransfer.errors import counted
from mutransfer.rules.formatting.columns import align_columns

MINUTES = "minutes on two cores"
DURATIONS = {"mini": "minutes_on_two_cores", "paper": "gpu_hours"}  # keys by scale


def format_studies(
    studies: Sequence[Mapping[str, Any]], sources: Mapping[str, str], gpu: str
) -> str:
    """Format the list of studies: those of each source with their costs and questions.

    Args:
        studies: JSON data of the studies, with 'cost' by scale.
        sources: Name and title of each source, in order.
        gpu: The assumption behind GPU hours.
    """
    head = ("study", "mini, min", "paper, GPU h", "question")
    rows = {
        study["name"]: (
            study["name"],
            _cost(study["cost"].get("mini"), "minutes_on_two_cores"),
            _cost(study["cost"].get("paper"), "gpu_hours"),
            study["question"],
        )
        for study in studies
    }
    lines = dict(zip(("", *rows), align_columns([head, *rows.values()]), strict=True))
    text = [lines[""]]
    for source, title in sources.items():
        names = [study["name"] for study in studies if study["source_name"] == source]
        text += ["", f"{title}: {source}", *(lines[name] for name in names)]
    text += ["", f"mini: {MINUTES}; ~ is estimated from FLOPs. paper: hours of {gpu}."]
    return "\n".join(text)


def format_cost(study: str, cost: Mapping[str, Any], scale: str, gpu: str) -> str:
    """Format what a study would train: trials, tokens and FLOPs at each width."""
    rows = [("width", "trials", "parameters", "tokens each", "FLOPs")]
    for row in cost["widths"]:
        size, tokens = _large(row["parameters"]), _large(row["tokens"])
        rows.append((str(row["width"]), str(row["trials"]), size, tokens, _flops(row["flops"])))
    return "\n".join([*align_columns(rows), "", f"{study}: {_total(cost, scale, gpu)}"])


def format_source_cost(
    costs: Mapping[str, Mapping[str, Any]], total: Mapping[str, Any], scale: str, gpu: str
) -> str:
    """Format what each study of a source would train, and all of them together."""
    rows = [("study", "trials", "FLOPs", "GPU hours" if scale == "paper" else MINUTES)]
    for name, cost in costs.items():
        flops = _flops(cost["flops"])
        rows.append((name, str(cost["trials"]), flops, _cost(cost, DURATIONS[scale])))
    return "\n".join([*align_columns(rows), "", f"all studies: {_total(total, scale, gpu)}"])


def _total(cost: Mapping[str, Any], scale: str, gpu: str) -> str:
    """Format the sum over all widths."""
    trials = counted(cost["trials"], "trial")
    if cost["trainings"] < cost["trials"]:
        trials += f", of which {cost['trainings']} are trained because the others coincide"
    duration = _cost(cost, DURATIONS[scale])
    unit = f"hours of {gpu}" if scale == "paper" else MINUTES
    return f"{trials}; {_flops(cost['flops'])} FLOPs; {duration} {unit}"


def _cost(cost: Mapping[str, Any] | None, key: str) -> str:
    """Format a duration; minutes that were not measured are marked as an estimate."""
    if cost is None:
        return "–"
    mark = "~" if key == "minutes_on_two_cores" and not cost["is_measured"] else ""
    return f"{mark}{float(f'{cost[key]:.2g}'):,g}"


def _flops(count: float) -> str:
    """Format a number of operations, such as 1.4e21."""
    return f"{count:.1e}".replace("e+", "e")


def _large(count: int) -> str:
    """Format a count with thousands, millions or billions."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
