"""Terminal text of a comparison with a paper: one study after the other, or one study alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from mutransfer.analysis.format import format_power, format_share
from mutransfer.errors import counted
from mutransfer.report.text.claims import format_claims

COLUMNS = 100  # of the terminal
NAME = 24
HEADINGS = {
    "agrees": "Agrees with the paper",
    "disagrees": "Disagrees with the paper",
    "undetermined here": "Undetermined at this scale",
    "not reported by the paper": "Not reported by the paper",
}
SAYS = {"transfers": "yes", "does not transfer": "no", "undetermined": "?", None: "-"}
SAME = {True: "yes", False: "no", None: "?"}

# What explains a disagreement.
CAUSES = {
    "": "",
    "criterion": " by criterion",
    "widths": " by widths",
    "results": " in the result itself",
}

Data = Mapping[str, Any]


def format_comparison(data: Data) -> str:
    """Format a comparison's JSON data: a table, grouped by whether our trials agree.

    Args:
        data: What `StudyComparison.to_json` returns.
    """
    parts = [_studies(data)] if data["studies"] else []
    parts += [format_claims(data["claims"])] if data["claims"] else []
    if data["left_out"]:
        parts.append("\n".join(["Left out", *map(_left_out, data["left_out"])]))
    return "\n\n".join(parts)


def _studies(data: Data) -> str:
    """Format the table of studies that are compared verdict by verdict."""
    blocks = [_head(data)]
    for outcome, heading in HEADINGS.items():
        rows = [row for row in data["studies"] if row["agreement"]["outcome"] == outcome]
        if rows:
            blocks.append("\n".join([f"{heading}: {counted_studies(len(rows))}", *map(_row, rows)]))
    if data["not_run"]:
        names = ", ".join(data["not_run"])
        blocks.append(_wrap(f"Not run yet: {names}: mutransfer studies run NAME", "  "))
    blocks.append(_legend(data))
    return "\n\n".join(blocks)


def format_compared_study(row: Data) -> str:
    """Format our verdict on one study beside the paper's.

    Args:
        row: One of the `studies` of a comparison's JSON data.
    """
    paper, ours, agreement = row["paper"], row["ours"], row["agreement"]
    lines = [("here", f"{ours['verdict']}: {ours['reason']}")]
    if paper is None:
        lines.insert(0, ("the paper", "has no such experiment"))
    elif paper["verdict"] is None:
        lines.insert(0, ("the paper", paper["certainty"]))
    else:
        lines.insert(0, ("the paper", f"{paper['verdict']} ({paper['certainty']})"))
        if paper["regrets"]:
            rates = ", ".join(map(format_power, paper["grid_log2_lr"]))
            costs = ", ".join(
                f"{regret['nats']:.3f} nats ({format_share(regret['share'])}) at width "
                f"{regret['width']:g}"
                for regret in paper["regrets"]
            )
            lines.insert(1, ("", f"best rates {rates}; regret {costs}"))
        if remarks := "; ".join(filter(None, (paper["remark"], paper_cautions(paper)))):
            lines.insert(1, ("", remarks))
    cause = CAUSES[agreement["cause"]]
    lines.append(("together", f"{agreement['outcome']}{cause}: {agreement['why']}"))
    if difference := _difference(row["loss_difference"], long=True):
        theirs = paper_loss(paper)
        lines.append(("loss", f"{difference}; in the paper {theirs}" if theirs else difference))
    return "\n".join(_named(name, text, 11) for name, text in lines)


def counted_studies(num: int) -> str:
    """Format a number of studies."""
    return "1 study" if num == 1 else f"{num} studies"


def paper_loss(paper: Data | None) -> str:
    """Return the loss of an experiment of the paper beside its baseline; empty where unpublished.

    Example:
        >>> paper_loss({"loss_difference": 0.042, "loss_in_words": "", "widths": [128, 2048]})
        '+0.042 at width 2048'
        >>> paper_loss({"loss_difference": None, "loss_in_words": "better", "widths": [128]})
        'better'
    """
    if paper is None or paper["loss_difference"] is None:
        return "" if paper is None else str(paper["loss_in_words"])
    return f"{paper['loss_difference']:+z.3f} at width {paper['widths'][-1]:g}"


def summary(data: Data) -> str:
    """Return how many studies agree, in one sentence.

    Example:
        >>> counts = {"agrees": 2, "disagrees": 1, "undetermined here": 0}
        >>> study = {"agreement": {"cause": "widths"}}
        >>> summary({"counts": {**counts, "not reported by the paper": 0}, "studies": [study]})
        '2 agree with the paper; 1 disagrees (1 by widths).'
    """
    counts = data["counts"]
    explained = counted_causes(data["studies"])
    verbs = {
        "agrees": ("agrees with the paper", "agree with the paper"),
        "disagrees": ("disagrees", "disagree"),
        "undetermined here": ("is undetermined at this scale", "are undetermined at this scale"),
        "not reported by the paper": ("is not reported by it", "are not reported by it"),
    }
    parts = []
    for outcome, (one, many) in verbs.items():
        if num := counts[outcome]:
            part = f"{num} {one if num == 1 else many}"
            if outcome == "disagrees" and explained:
                part += f" ({explained})"
            parts.append(part)
    return "; ".join(parts) + "."


def counted_causes(rows: Sequence[Data]) -> str:
    """Return how many disagreements have each cause; empty without any.

    Example:
        >>> causes = ("results", "widths", "", "widths")
        >>> counted_causes([{"agreement": {"cause": cause}} for cause in causes])
        '2 by widths, 1 in the result itself'
    """
    causes = [row["agreement"]["cause"] for row in rows]
    numbers = {text: causes.count(cause) for cause, text in CAUSES.items() if text}
    return ", ".join(f"{num}{text}" for text, num in numbers.items() if num)


def paper_cautions(paper: Data | None) -> str:
    """Return what limits the regret of an experiment of the paper; empty without such limits."""
    return "; ".join(paper["cautions"]) if paper is not None else ""


def _head(data: Data) -> str:
    """Format the sources, the counts, and the names of the columns."""
    head = (
        f"{'':{NAME}}{'paper':<11}{'here':<19}{'same':<5}{'drift of the':<22}{'loss':<10}"
        f"{'core':>7}\n"
        f"{'study':<{NAME}}{'':<11}{'':<19}{'best':<5}{'best rate':<22}{'- baseline':<10}"
        f"{'minutes':>8}"
    )
    lines = [
        _wrap(f"Paper: {data['paper']}", "  "),
        _wrap(f"Trials: {data['source']}{_cost(data)}", "  "),
        _wrap(summary(data), "  "),
        "",
        *(line.rstrip() for line in head.splitlines()),
    ]
    return "\n".join(lines)


def _cost(data: Data) -> str:
    """Format the cost of all studies; several groups of a study share one cost."""
    costs = {row["study"]: row["cost"] for row in data["studies"]}
    minutes = sum(cost["core_minutes"] for cost in costs.values())
    trials = sum(cost["trials"] for cost in costs.values())
    flops = sum(cost["flops"] for cost in costs.values())
    return f"; {counted(trials, 'trial')}, {minutes:.0f} core minutes, {flops:.2g} FLOPs"


def _row(row: Data) -> str:
    """Format one study: its numbers, its best rates, and why it agrees or not."""
    ours, cost = row["ours"], row["cost"]
    numbers = (
        f"{row['name']:<{NAME - 1}} {_paper(row['paper']):<11}{_here(ours):<19}"
        f"{SAME[ours['same_best_on_grid']]:<5}{_drift(ours['drift']):<22}"
        f"{_difference(row['loss_difference']):<10}{cost['core_minutes']:>8.1f}"
    )
    rates = ", ".join(
        "?" if (value := rate["log2_lr"]["value"]) is None else format_power(value)
        for rate in ours["best_rates"]
    )
    widths = ", ".join(f"{width:g}" for width in ours["widths"])
    cause = CAUSES[row["agreement"]["cause"]].strip()
    mark = f"{cause}: " if cause else ""
    theirs = paper_loss(row["paper"]) if row["loss_difference"]["width"] is not None else ""
    loss = f"; loss in the paper: {theirs}" if theirs else ""
    lines = [
        numbers,
        _wrap(f"  {mark}{row['agreement']['why']}", "  "),
        _wrap(f"  best rates {rates} at widths {widths}{loss}", "  "),
    ]
    if cautions := paper_cautions(row["paper"]):
        lines.append(_wrap(f"  in the paper: {cautions}", "  "))
    return "\n".join(lines)


def _paper(paper: Data | None) -> str:
    """Format the paper's verdict and regret."""
    if paper is None:
        return "-"
    share = format_share(paper["regrets"][-1]["share"]) if paper["regrets"] else ""
    return f"{SAYS[paper['verdict']]} {share}".rstrip()


def _here(ours: Data) -> str:
    """Format our verdict with the bound that it rests on, or both bounds."""
    share, says = ours["regret_share"], SAYS[ours["verdict"]]
    if ours["verdict"] == "transfers":
        return f"{says} <= {format_share(share['high'])}"
    if ours["verdict"] == "does not transfer":
        return f"{says} >= {format_share(share['low'])}"
    if share["low"] is not None and share["high"] is not None:
        return f"{says} {_brief(100 * share['low'])} to {_brief(100 * share['high'])} %"
    return f"{says} >= {format_share(share['low'])}" if share["low"] else says


def _drift(drift: Data) -> str:
    """Format a drift with its interval."""
    if drift["value"] is None:
        return "?"
    if drift["low"] is None or drift["high"] is None:
        return f"{drift['value']:+z.2f}"
    return f"{drift['value']:+z.2f} [{_signed(drift['low'])}, {_signed(drift['high'])}]"


def _signed(value: float) -> str:
    """Format an end of an interval; of a vast one, only its sign and size."""
    return f"{value:+z.2f}" if abs(value) < 10 else f"{value:+.0e}"


def _brief(value: float) -> str:
    """Format a percentage of an undetermined regret."""
    return f"{value:.2g}" if value < 100 else ">100"


def _difference(loss: Data, *, long: bool = False) -> str:
    """Format the loss minus that of the baseline; a star where the interval excludes zero."""
    difference = loss["difference"]
    value, low, high = (difference[name] for name in ("value", "low", "high"))
    if value is None or loss["width"] is None:
        return str(difference["undetermined"] or "") if long else ""
    bounds = "" if low is None or high is None else f" [{low:+z.4f}, {high:+z.4f}]"
    if long:
        size = loss["parameters"]
        more = "" if size is None or abs(size - 1) < 0.02 else f"; {size:.2f} x its parameters"
        return (
            f"{value:+z.4f}{bounds} nats beside the baseline at width {loss['width']:g}, each at "
            f"its own best rate{more}"
        )
    is_clear = low is not None and high is not None and not low <= 0 <= high
    return f"{value:+z.4f}{'*' if is_clear else ''}"


def _left_out(entry: Data) -> str:
    """Format a folder that is not compared, with the command that completes it."""
    lines = [_wrap(f"  {entry['folder']}: {entry['reason']}", "  ")]
    return "\n".join([*lines, f"  next: {entry['command']}"] if entry["command"] else lines)


def _legend(data: Data) -> str:
    """Explain the columns."""
    limit = " and ".join(map(format_share, data["thresholds"]))
    return "\n".join(
        _wrap(line, "  ")
        for line in (
            f"here: yes if the rate of the smallest width costs at most {limit} of the loss at the "
            "largest with 95 % confidence, no if it costs more with the same confidence, else ?.",
            "paper: yes if the best rate on a grid of factors of four is the same at every width; "
            "behind it the regret of its printed cells, where there are any (one seed).",
            "same best: the paper's criterion for our trials, on their own grid. Disagrees by "
            "criterion: equal if both are judged by the paper's, or both by ours. By widths: equal "
            "over widths as far apart as ours. In the result itself: neither explains it.",
            "drift: octaves of rate per octave of width, 90 % interval. loss: in nats, each at its "
            "own best rate, at the largest width that both have; * marks a 90 % interval without "
            "zero.",
        )
    )


def _named(name: str, text: str, size: int) -> str:
    """Format a named line that continues under its text."""
    filled = textwrap.fill(text, COLUMNS - size, break_on_hyphens=False)
    return textwrap.indent(filled, " " * size).replace(" " * size, f"{name:<{size}}", 1)


def _wrap(text: str, indent: str) -> str:
    """Break a paragraph into lines."""
    return textwrap.fill(
        text, COLUMNS, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True
    )
