"""Coordinate check on the page: card, diagnoses, panels, and all numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mutransfer.analysis.format import format_rate
from mutransfer.report.figures.drawing.specs import Size
from mutransfer.report.figures.numbers.exponents import (
    MEANINGS,
    WORST_FIRST,
    CheckPanel,
    check_panels,
)
from mutransfer.report.figures.numbers.sizes import SizePanel, num_steps, size_panels
from mutransfer.report.figures.panels import MOST_PANELS, exponent_panels, sizes_panels
from mutransfer.report.format import (
    SYMBOLS,
    as_sentence,
    escape,
    format_expected,
    format_exponent,
    format_number,
    shorten,
)
from mutransfer.report.page.charts import Charts, legend, panel_grid
from mutransfer.report.page.elements import asset, bullets, fact, listed, table
from mutransfer.report.theme import page_theme

QUESTION = "Do outputs and updates keep their size as width grows?"
MARKS = {"pass": "✓", "fail": "✗", "undetermined": "?"}
CLASSES = {"pass": "yes", "fail": "no", "undetermined": "open"}
VERBS = {"pass": "<b>passes</b>", "fail": "<b>fails</b>", "undetermined": "is <b>undetermined</b>"}
CRITERION = (
    "An exponent of width is fitted to the sizes of each layer. It <b>passes</b> if its 90 %"
    " interval lies within the band around the expected exponent, <b>fails</b> if it lies outside,"
    " and is <b>undetermined</b> otherwise."
)
FAILURE_NOTE = (
    "A failed check need not mean that nothing transfers: the best rate can transfer although some"
    " sizes change with width (arXiv:2610.01172). A sweep of the rate decides."
)
EXPONENTS_NOTE = (
    "Each line is one layer or parameter. With a correct parametrization every line stays in its"
    " band. All panels have the same scale. Steps are counted from 0: step 0 is the untrained model"
    " and its first update."
)
SIZES_NOTE = (
    "The usual picture of a coordinate check, one line per step, averaged over layers of one role."
    " The dashed line has the expected slope."
)
SIZE: Size = ("container", 220)
MOST_NAMES = 12  # of parameters with one fault

Data = Mapping[str, Any]


def check_headline(check: Data) -> str:
    """Return the outcome and the broken rules in a sentence, as HTML.

    Example:
        >>> check_headline({"outcome": "pass", "diagnoses": []})
        'The coordinate check <b>passes</b>.'
        >>> check_headline({"outcome": "fail", "diagnoses": [{"fault": "rate", "role": "hidden"}]})
        'The coordinate check <b>fails</b>: rate of hidden.'
    """
    faults = [
        f"{diagnosis['fault']} of {diagnosis['role']}" if diagnosis["role"] else diagnosis["fault"]
        for diagnosis in check["diagnoses"]
    ]
    text = f": {escape(', '.join(dict.fromkeys(faults)))}" if faults else ""
    return f"The coordinate check {VERBS[check['outcome']]}{text}."


def check_sections(check: Data, charts: Charts) -> list[tuple[str, str, str]]:
    """Return the sections of a check, each with title, note and body, as HTML."""
    sections = [("Coordinate check", CRITERION, _card(check))]
    if panels := check_panels(check["findings"]):
        body = _exponents(panels, charts) + asset("key_check.html") + _table(check["findings"])
        sections.append(("Exponents of width", EXPONENTS_NOTE, body))
    if sizes := size_panels(check):
        sections.append(("Sizes against width", SIZES_NOTE, _sizes(sizes, charts)))
    return [*sections, ("How to read the coordinate check", "", asset("glossary_check.html"))]


def _card(check: Data) -> str:
    """Return the verdict with the broken rules and the settings."""
    outcome, settings = check["outcome"], check["settings"]
    parametrization = settings.get("parametrization")
    title = SYMBOLS.get(parametrization, parametrization) or "your own implementation"
    if optimizer := settings.get("optimizer"):
        title = f"{title}, {optimizer}"
    facts = [fact(name, escape(value)) for name, value in _settings(check).items() if value]
    note = f'<p class="note">{FAILURE_NOTE}</p>' if outcome == "fail" else ""
    second = [check["second_check"]] if check.get("second_check") else []
    reasons = [escape(as_sentence(str(reason))) for reason in (*second, *check["reasons"])]
    return (
        f'<div class="cards"><article class="card {CLASSES[outcome]}">'
        f"<h3>{escape(shorten(str(title), 80))}</h3>"
        f'<p class="verdict"><span aria-hidden="true">{MARKS[outcome]}</span> {outcome}</p>'
        f'<p class="reason">{escape(_counts(check["findings"]))}</p>{note}'
        f"{bullets(reasons)}{_diagnoses(check['diagnoses'], 'diagnoses')}"
        f"{_diagnoses(check.get('notes', ()), 'notes')}"
        f"<dl>{''.join(facts)}</dl></article></div>"
    )


def _counts(findings: Sequence[Data]) -> str:
    """Count the findings by outcome."""
    if not findings:
        return "Nothing could be measured."
    counts = Counter(finding["outcome"] for finding in findings)
    parts = [f"{counts[outcome]} {outcome}" for outcome in WORST_FIRST if counts[outcome]]
    text = "all pass" if counts["pass"] == len(findings) else ", ".join(parts)
    return f"{len(findings)} exponents: {text}."


def _diagnoses(diagnoses: Sequence[Data], css: str) -> str:
    """List the broken rules: fault, role, what to look at, and the parameters."""
    items = []
    for diagnosis in diagnoses:
        fault, role, names = diagnosis["fault"], diagnosis["role"], diagnosis["names"]
        parameters = f"<small>{escape(listed(names, MOST_NAMES))}</small>" if len(names) > 1 else ""
        title = escape(f"{fault}, {role}" if role else fault)
        text = escape(as_sentence(str(diagnosis["text"])))
        items.append(f"<b>{title}</b>{text}{parameters}")
    return bullets(items, css)


def _settings(check: Data) -> dict[str, str]:
    """Return the settings of the check, and the roles in which it can see a fault."""
    settings, power = check["settings"], check["power"]
    caught = [str(role) for role, is_caught in power.items() if is_caught]
    missed = [str(role) for role, is_caught in power.items() if not is_caught]
    ran = [
        f"{settings[name]} {name}" for name in ("seeds", "steps") if settings.get(name) is not None
    ]
    lr = settings.get("lr")
    rates = lr if isinstance(lr, Mapping) else {} if lr is None else {"": lr}
    ran += [f"learning rate {_rate(value)} {name}".strip() for name, value in rates.items()]
    ran += [str(settings[name]) for name in ("form", "dtype", "device") if settings.get(name)]
    return {
        "Widths": ", ".join(map(str, settings.get("widths", ()))),
        "Settings": ", ".join(ran),
        "A planted fault of half a power is caught in": ", ".join(caught),
        # Where a role already fails, a planted fault on top of it need not show.
        "It is not caught in": ", ".join(missed) if check["outcome"] != "fail" else "",
    }


def _rate(value: float) -> str:
    """Format a learning rate; zero and negative rates have no logarithm."""
    return format_rate(math.log2(value)) if value > 0 else format_number(value)


def _exponents(checks: Sequence[CheckPanel], charts: Charts) -> str:
    """Return exponents by step, one panel per quantity and role."""
    theme = page_theme()
    most = len(charts.specs) + MOST_PANELS
    figures = []
    panels = exponent_panels(checks, theme, SIZE)
    for panel, check in zip(panels, checks[:MOST_PANELS], strict=True):
        label = f"{check.title}: exponent of width, {check.expectation}; {check.outcome}."
        numbers = "The table of findings has the numbers."
        chart = charts.add(panel, theme, label, numbers=numbers, most=most)
        sp = "Hollow: SP." if check.is_single else "Dotted: SP."
        sp = sp if any(line.under_sp for line in check.lines) else ""
        note = f"{MEANINGS.get(check.quantity, '')} {as_sentence(check.expectation)} {sp}".strip()
        figures.append(
            f'<figure class="panel {CLASSES[check.outcome]}"><h3>{escape(check.title)}'
            f"<span>{MARKS[check.outcome]} {check.outcome}</span></h3>"
            f'<p class="note">{note}</p>{chart}</figure>'
        )
    return panel_grid(figures, len(checks), css="three check", what="panels")


def _sizes(sizes: Sequence[SizePanel], charts: Charts) -> str:
    """Return sizes against width, with a legend of steps."""
    steps = num_steps(sizes)
    theme = page_theme(steps, "step")
    most = len(charts.specs) + MOST_PANELS
    figures = []
    panels = sizes_panels(sizes, theme, SIZE)
    for panel, size in zip(panels, sizes[:MOST_PANELS], strict=True):
        label = f"{size.title}: size against width, one line per step; {size.exponents}."
        chart = charts.add(panel, theme, label, numbers="", most=most)
        note = escape(f"{size.meaning} {as_sentence(size.exponents)}".strip())
        figures.append(
            f'<figure class="panel"><h3>{escape(size.title)}</h3>'
            f'<p class="note">{note}</p>{chart}</figure>'
        )
    steps_legend = legend([f"step {k}" for k in range(steps)], theme.ramp)
    return f'{steps_legend}<div class="panels three">{"".join(figures)}</div>'


def _table(findings: Sequence[Data]) -> str:
    """Return every number, the worst first, folded."""
    heads = ["Quantity", "Layer or parameter", "Role", "Steps", "Expected", "Exponent", "Outcome"]
    ranked = sorted(findings, key=lambda finding: WORST_FIRST.index(finding["outcome"]))
    rows = [_row(finding) for finding in ranked]
    return (
        f"<details><summary>All {len(rows)} findings in numbers</summary>"
        f"{table(heads, rows, 'findings')}</details>"
    )


def _row(finding: Data) -> list[str]:
    """Return one finding; cells are HTML."""
    first, last = map(int, finding["steps"])
    outcome = finding["outcome"]
    slope, low, high = (format_exponent(finding[name]) for name in ("slope", "low", "high"))
    return [
        escape(finding["quantity"]),
        escape(finding["name"]),
        escape(finding["role"] or "–"),
        str(first) if first == last else f"{first} to {last}",
        format_expected(finding["expected"]),
        f'{slope} <span class="interval">[{low}, {high}]</span>',
        f'<span class="verdict {CLASSES[outcome]}">{MARKS[outcome]} {outcome}</span>',
    ]
