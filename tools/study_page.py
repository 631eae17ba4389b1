"""Text and figures of docs/lingle.md, from the results that ship."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from mutransfer.analysis.format import format_power, format_share
from mutransfer.report.figures.export import comparison_specs
from mutransfer.report.page.studies import in_order
from mutransfer.report.text.studies import (
    CAUSES,
    HEADINGS,
    SAYS,
    counted_causes,
    paper_cautions,
    paper_loss,
)

Data = Mapping[str, Any]

TEXT = Path(__file__).with_suffix(".md")


def pages(docs: Path, comparison: Data) -> dict[Path, str]:
    """Return the path and text of the page and of its figures.

    Args:
        docs: The folder of documents.
        comparison: The JSON data of the shipped trials' comparison.
    """
    data = {**comparison, "studies": in_order(comparison["studies"])}
    texts = {docs / "lingle.md": page(data)}
    for name, spec in comparison_specs(data).items():
        path = docs / "figures" / f"lingle-{name}.svg"
        texts[path] = svg(spec, path)
    return texts


def svg(spec: Data, path: Path) -> str:
    """Return a figure. One of the same numbers is kept: its layout depends on a machine's fonts."""
    numbers = hashlib.sha256(json.dumps(rounded(spec), sort_keys=True).encode()).hexdigest()
    mark = f"<!-- numbers: {numbers} -->"
    if path.exists() and (text := path.read_text(encoding="utf-8")).endswith(f"{mark}\n"):
        return text
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(spec)
    ids = dict.fromkeys(re.findall(r"\bclip\d+\b", drawn))
    renamed = {old: f"clip-{number}" for number, old in enumerate(ids)}
    return re.sub(r"\bclip\d+\b", lambda match: renamed[match[0]], drawn) + f"\n{mark}\n"


def rounded(value: Any) -> Any:  # noqa: ANN401 - JSON data
    """Return JSON data with three digits: another processor may change the last ones."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return f"{value:.3g}" if isinstance(value, float) else value


def page(data: Data) -> str:
    """Return the page."""
    rows = data["studies"]
    tables = []
    for outcome, heading in HEADINGS.items():
        chosen = [row for row in rows if row["agreement"]["outcome"] == outcome]
        if chosen:
            tables.append(f"## {heading}\n\n{table(chosen)}{reasons(chosen, outcome)}")
    return Template(TEXT.read_text(encoding="utf-8")).substitute(
        summary=summary(data),
        tables="\n".join(tables).rstrip("\n") + "\n",
        certainty=certainty(rows),
        **settings(),
        **origin(data),
    )


def summary(data: Data) -> str:
    """Return the counts, in sentences."""
    counts, causes = data["counts"], counted_causes(data["studies"])
    judged = counts["agrees"] + counts["disagrees"]
    explained = f" ({causes})" if causes else ""
    others = [
        f"{num} {'is' if num == 1 else 'are'} {name}"
        for name, num in (
            ("undetermined at this scale", counts["undetermined here"]),
            ("not reported by the paper", counts["not reported by the paper"]),
        )
        if num
    ]
    return (
        f"On {judged} experiments both have a verdict: {counts['agrees']} agree, and "
        f"{counts['disagrees']} disagree{explained}.\n"
        f"Of the others, {', and '.join(others)}.{not_run(data['not_run'])}"
    )


def not_run(names: Sequence[str]) -> str:
    """Return the studies without shipped results, in a sentence of its own line."""
    if not names:
        return ""
    listed = ", ".join(f"`{name}`" for name in names)
    return f"\nNot run yet: {listed}; `mutransfer studies run NAME` runs one."


def table(rows: Sequence[Data]) -> str:
    """Return a table of studies."""
    heads = (
        "study",
        "paper",
        "here",
        "seeds",
        "best rates",
        "same",
        "drift",
        "loss − baseline",
        "in the paper",
    )
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"]
    for row in rows:
        ours = row["ours"]
        rates = ", ".join(
            "?" if (value := rate["log2_lr"]["value"]) is None else format_power(value)
            for rate in ours["best_rates"]
        )
        same = {True: "yes", False: "no", None: "?"}[ours["same_best_on_grid"]]
        is_compared = row["loss_difference"]["width"] is not None
        cells = (
            f"`{row['name']}`", paper(row["paper"]), here(ours), seeds(row["study"]), rates, same,
            number(ours["drift"], "{:+z.2f}"), loss(row["loss_difference"]),
            (paper_loss(row["paper"]) if is_compared else "") or "–",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def paper(published: Data | None) -> str:
    """Format the paper's verdict and the regret of its cells."""
    if published is None:
        return "–"
    says = SAYS[published["verdict"]].replace("-", "–")
    if not published["regrets"]:
        return says
    return f"{says}, {format_share(published['regrets'][-1]['share'])}"


def seeds(study: str) -> str:
    """Return the number of seeds of a study at mini scale."""
    from mutransfer.workflows.studies.catalog import expand

    return str(len(expand(study, "mini").axes["seed"]))


def here(ours: Data) -> str:
    """Format our verdict and the regret with its bounds."""
    share, says = ours["regret_share"], SAYS[ours["verdict"]]
    if share["low"] is not None and share["high"] is not None:
        return f"{says}, {format_share(share['low'])} to {format_share(share['high'])}"
    return f"{says}, ≥ {format_share(share['low'])}" if share["low"] else says


def number(estimate: Data, form: str) -> str:
    """Format a value with its interval."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return "?"
    if low is None or high is None:
        return form.format(value)
    return f"{form.format(value)} [{form.format(low)}, {form.format(high)}]"


def loss(difference: Data) -> str:
    """Format the loss minus that of the baseline."""
    if difference["width"] is None:
        return "–" if difference["difference"]["undetermined"] else "0"
    size = difference["parameters"]
    more = f", {size:.2g} × its parameters" if size is not None and abs(size - 1) >= 0.02 else ""
    return number(difference["difference"], "{:+z.3f}") + more


def reasons(rows: Sequence[Data], outcome: str) -> str:
    """Return what limits the paper's regrets, and why studies disagree or are undetermined."""
    lines = []
    for row in rows:
        if cautions := paper_cautions(row["paper"]):
            lines.append(f"- `{row['name']}` in the paper: {cautions}.")
        if outcome not in ("disagrees", "undetermined here"):
            continue
        cause = CAUSES[row["agreement"]["cause"]].strip()
        start = f"{cause}, " if cause else ""
        lines.append(f"- `{row['name']}`: {start}{row['agreement']['why']}.")
    return "\n".join(["", *lines]) + "\n" if lines else ""


def certainty(rows: Sequence[Data]) -> str:
    """Return how certain the paper's verdicts are."""
    evidence: dict[str, list[str]] = {}
    for row in rows:
        if row["paper"] is not None:
            evidence.setdefault(row["paper"]["certainty"], []).append(f"`{row['study']}`")
    lines = [
        f"- {text[:1].upper()}{text[1:]}: {', '.join(names)}." for text, names in evidence.items()
    ]
    return "\n".join(lines)


def settings() -> dict[str, str]:
    """Return the settings of the mini scale, from the baseline's study file."""
    from mutransfer.literature import published_experiment
    from mutransfer.workflows.studies.catalog import expand

    study = expand("baseline", "mini")
    assert study.lab is not None
    lab, axes = study.lab.settings, study.axes
    rates = axes["lr"]
    near = published_experiment("sp").regret_within(4)
    assert near is not None
    return {
        "widths": ", ".join(map(str, axes["width"])),
        "seeds": str(len(axes["seed"])),
        "ratio": f"{axes['width'][-1] / axes['width'][0]:g}",
        "rate_step": f"{rates[1] / rates[0]:.3g}",
        "tokens": f"{lab['steps'] * lab['batch'] * lab['context']:,}",
        "sp_near": format_share(near.share),
        **{name: str(lab[name]) for name in ("depth", "head_width", "steps", "batch", "context")},
    }


def origin(data: Data) -> dict[str, str]:
    """Return where the numbers are from."""
    costs = {row["study"]: row["cost"] for row in data["studies"]}
    studies = [row for name, row in data["provenance"]["studies"].items() if name in costs]
    torch = {version for row in studies for version in row["versions"].get("torch", ())}
    return {
        "trials": f"{sum(cost['trials'] for cost in costs.values()):,}",
        "minutes": f"{sum(cost['core_minutes'] for cost in costs.values()):,.0f}",
        "machines": "; ".join(sorted({row["machine"] for row in studies})),
        "torch": ", ".join(sorted(torch)),
    }
