"""This file is a coordinate check on the page: card, diagnoses, panels, and all numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from mutransfer.report.figures.drawing.specs import alone, filled
from mutransfer.report.figures.export import MOST_PANELS
from mutransfer.report.figures.numbers.check import (
    MEANINGS,
    WORST_FIRST,
    CheckFrame,
    CheckPanel,
    aim_and_tolerance,
    aim_text,
    check_rows,
    exponent_text,
    frame_of_check,
    panels_of,
)
from mutransfer.report.figures.numbers.check_sizes import (
    SizePanel,
    num_steps,
    size_domain,
    size_panels,
    size_rows,
)
from mutransfer.report.format import SYMBOLS, escaped, sentence, shortened
from mutransfer.report.page.charts import Charts, legend
from mutransfer.report.page.tables import table
from mutransfer.report.theme import page_theme

CHECK_QUESTION = "Do outputs and updates keep their size as width grows?"
CHECK_MARKS = {"pass": "✓", "fail": "✗", "undetermined": "?"}
CHECK_CLASSES = {"pass": "yes", "fail": "no", "undetermined": "open"}
SAID = {"pass": "<b>passes</b>", "fail": "<b>fails</b>", "undetermined": "is <b>undetermined</b>"}
NUMBERS = "The table of findings has the numbers."
USUAL = (
    "The usual picture of a coordinate check: like layers together, one line per step. The"
    " dashed line has the slope that is right."
)
HEIGHT = 220
MOST_NAMES = 12  # of parameters with one fault

Facts = Mapping[str, Any]


def check_headline(check: Facts) -> str:
    """Say the outcome in a sentence, and which rules are broken, as HTML.

    Example:
        >>> check_headline({"outcome": "pass", "diagnoses": []})
        'The coordinate check <b>passes</b>.'
        >>> check_headline({"outcome": "fail", "diagnoses": [{"fault": "rate", "role": "hidden"}]})
        'The coordinate check <b>fails</b>: rate of hidden.'
    """
    faults = [
        f"{one['fault']} of {one['role']}" if one["role"] else one["fault"]
        for one in check["diagnoses"]
    ]
    told = f": {escaped(', '.join(dict.fromkeys(faults)))}" if faults else ""
    return f"The coordinate check {SAID[check['outcome']]}{told}."


def check_sections(check: Facts, charts: Charts) -> list[tuple[str, str, str]]:
    """Write a check as sections: title, note and body, as HTML."""
    panels = panels_of(check["findings"])
    judged = (
        "An exponent of width is fitted to each layer's sizes. It <b>passes</b> if its 90 %"
        " interval lies within the band around what is expected, <b>fails</b> if it lies outside,"
        " and is <b>undetermined</b> otherwise."
    )
    across = (
        "Each line is one layer or parameter. If the parametrization is right, every line stays in"
        " its band. All panels have the same scale."
    )
    sections = [("Coordinate check", judged, _card(check))]
    if panels:
        body = f"{_panels(panels, charts)}{_asset('key_check.html')}{_findings(check['findings'])}"
        sections.append(("Exponents of width", across, body))
    if sizes := size_panels(check):
        sections.append(("Sizes against width", USUAL, _sizes(sizes, charts)))
    return [*sections, ("How to read the coordinate check", "", _asset("glossary_check.html"))]


def _asset(name: str) -> str:
    """Read a file of this package."""
    return (files("mutransfer.report.page") / name).read_text(encoding="utf-8")


def _card(check: Facts) -> str:
    """Write the verdict: what was found, what is broken, what was run."""
    outcome, settings = check["outcome"], check["settings"]
    given = settings.get("parametrization")
    title = SYMBOLS.get(given, given) if given else "your own implementation"
    if optimizer := settings.get("optimizer"):
        title = f"{title}, {optimizer}"
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{escaped(value)}</dd></div>"
        for name, value in _facts(check).items()
        if value
    )
    return (
        f'<div class="cards"><article class="card {CHECK_CLASSES[outcome]}">'
        f"<h3>{escaped(shortened(str(title), 80))}</h3>"
        f'<p class="verdict"><span aria-hidden="true">{CHECK_MARKS[outcome]}</span> {outcome}</p>'
        f'<p class="reason">{escaped(_counted(check["findings"]))}</p>'
        f"{_diagnoses(check['diagnoses'])}{_reasons(check['reasons'])}"
        f"{_diagnoses(check.get('notes', ()), css='notes')}"
        f"<dl>{rows}</dl></article></div>"
    )


def _counted(findings: Sequence[Facts]) -> str:
    """Count outcomes."""
    if not findings:
        return "Nothing could be measured."
    counts = Counter(one["outcome"] for one in findings)
    parts = [f"{counts[one]} {one}" for one in WORST_FIRST if counts[one]]
    told = "all pass" if counts["pass"] == len(findings) else ", ".join(parts)
    return f"{len(findings)} exponents: {told}."


def _diagnoses(found: Sequence[Facts], *, css: str = "diagnoses") -> str:
    """List the broken rules: fault, role, what to look at, and whose they are."""
    if not found:
        return ""
    items = []
    for one in found:
        names = [str(name) for name in one["names"]]
        shown = ", ".join(names[:MOST_NAMES])
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        whose = f"<small>{escaped(shown)}{more}</small>" if len(names) > 1 else ""
        title = f"{one['fault']}, {one['role']}" if one["role"] else one["fault"]
        text = sentence(str(one["text"]))
        items.append(f"<li><b>{escaped(title)}</b>{escaped(text)}{whose}</li>")
    return f'<ul class="{css}">{"".join(items)}</ul>'


def _reasons(reasons: Sequence[str]) -> str:
    """List what is not decided."""
    items = "".join(f"<li>{escaped(sentence(str(reason)))}</li>" for reason in reasons)
    return f"<ul>{items}</ul>" if items else ""


def _facts(check: Facts) -> dict[str, str]:
    """Say what was run, and what the check is known to see."""
    settings, power = check["settings"], check["power"]
    seen = [str(role) for role, caught in power.items() if caught]
    blind = [str(role) for role, caught in power.items() if not caught]
    ran = [
        f"{settings[name]} {name}" for name in ("seeds", "steps") if settings.get(name) is not None
    ]
    rate = settings.get("lr")
    rates = rate if isinstance(rate, Mapping) else {} if rate is None else {"": rate}
    ran += [f"learning rate {value:g} {name}".strip() for name, value in rates.items()]
    ran += [str(settings[name]) for name in ("form", "dtype", "device") if settings.get(name)]
    return {
        "Widths": ", ".join(map(str, settings.get("widths", ()))),
        "Ran with": ", ".join(ran),
        "A planted fault of half a power is caught in": ", ".join(seen),
        # Where a role fails already, a fault on top of it need not show.
        "It is not seen in": ", ".join(blind) if check["outcome"] != "fail" else "",
    }


def _panels(panels: Sequence[CheckPanel], charts: Charts) -> str:
    """Draw the panels."""
    frame = frame_of_check(panels)
    most = len(charts.specs) + MOST_PANELS
    drawn = "".join(_panel(panel, frame, charts, most) for panel in panels[:MOST_PANELS])
    more = ""
    if len(panels) > MOST_PANELS:
        more = f'<p class="note">{len(panels) - MOST_PANELS} more are in the table only.</p>'
    return f'<div class="panels three check">{drawn}</div>{more}'


def _panel(panel: CheckPanel, frame: CheckFrame, charts: Charts, most: int) -> str:
    """Draw one quantity of one role."""
    from mutransfer.report.figures.drawing.check import check_template

    theme = page_theme(0)
    template = check_template(panel, frame, theme, size=("container", HEIGHT))
    drawing = alone(filled(template, check_rows(panel, frame, HEIGHT)), theme)
    aim = aim_and_tolerance(panel)
    label = f"{panel.title}: exponent of width, {aim}; {panel.outcome}. {NUMBERS}"
    place = charts.place(drawing, label, numbers=NUMBERS, most=most)
    mark = f"{CHECK_MARKS[panel.outcome]} {panel.outcome}"
    dotted = "Hollow: SP." if panel.once else "Dotted: SP."
    beside = dotted if any(line.under_sp for line in panel.lines) else ""
    note = f"{MEANINGS.get(panel.quantity, '')} {sentence(aim)} {beside}".strip()
    return (
        f'<figure class="panel {CHECK_CLASSES[panel.outcome]}"><h3>{escaped(panel.title)}'
        f'<span>{mark}</span></h3><p class="note">{note}</p>{place}</figure>'
    )


def _sizes(panels: Sequence[SizePanel], charts: Charts) -> str:
    """Draw sizes against width, with a legend of steps."""
    from mutransfer.report.figures.drawing.check import sizes_template

    steps = num_steps(panels)
    theme = page_theme(steps, "step")
    most = len(charts.specs) + MOST_PANELS
    drawn = []
    for panel in panels[:MOST_PANELS]:
        template = sizes_template(
            panel.widths, steps, size_domain(panel), theme, size=("container", HEIGHT)
        )
        label = f"{panel.title}: size against width, one line per step; {panel.exponents}."
        place = charts.place(
            alone(filled(template, size_rows(panel)), theme), label, numbers="", most=most
        )
        note = f"{panel.meaning} {sentence(panel.exponents)}".strip()
        drawn.append(
            f'<figure class="panel"><h3>{escaped(panel.title)}</h3>'
            f'<p class="note">{escaped(note)}</p>{place}</figure>'
        )
    named = legend([f"step {k}" for k in range(steps)], theme.ramp)
    return f'{named}<div class="panels three">{"".join(drawn)}</div>'


def _findings(findings: Sequence[Facts]) -> str:
    """Write every number, the worst first, folded."""
    heads = ["Quantity", "Layer or parameter", "Role", "Steps", "Expected", "Exponent", "Outcome"]
    ranked = sorted(findings, key=lambda one: WORST_FIRST.index(one["outcome"]))
    rows = [_finding_row(one) for one in ranked]
    return (
        f"<details><summary>All {len(rows)} findings in numbers</summary>"
        f"{table(heads, rows, 'findings')}</details>"
    )


def _finding_row(one: Facts) -> list[str]:
    """Write one finding; cells are HTML."""
    first, last = one["steps"]
    outcome = one["outcome"]
    ends = f"[{exponent_text(one['low'])}, {exponent_text(one['high'])}]"
    return [
        escaped(one["quantity"]),
        escaped(one["name"]),
        escaped(one["role"] or "–"),
        str(int(first)) if first == last else f"{int(first)} to {int(last)}",
        aim_text(one["expected"]),
        f'{exponent_text(one["slope"])} <span class="interval">{ends}</span>',
        f'<span class="verdict {CHECK_CLASSES[outcome]}">{CHECK_MARKS[outcome]} {outcome}</span>',
    ]
