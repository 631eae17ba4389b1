"""This file is drawings with their data: one template of a figure serves every panel of it.

Templates are drawn once, for drawing is slow; filling them in is copying a dict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mutransfer.report.figures.numbers.loss import (
    carried_rate,
    frame_of,
    lines_of,
    parabolas_of,
    points_of,
    tops_of,
)
from mutransfer.report.figures.numbers.planes import Quantity, plane_points, yardstick
from mutransfer.report.figures.numbers.regret_matrix import TOLD, Cell
from mutransfer.report.figures.numbers.trends import Trends
from mutransfer.report.format import width_text
from mutransfer.report.theme import Theme

if TYPE_CHECKING:
    from mutransfer.analysis import GroupReport, Report

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, never loaded

Spec = dict[str, Any]
Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def loss_rows(group: GroupReport, *, report: Report) -> Rows:
    """Give the data of one group's panel of the loss figure."""
    frame = frame_of(report)
    carried = carried_rate(group)
    return {
        "points": [asdict(row) for row in points_of(group, frame, report=report)],
        "tops": [asdict(row) for row in tops_of(group, frame, report=report)],
        "lines": [asdict(row) for row in lines_of(group, report=report)],
        "parabolas": [asdict(row) for row in parabolas_of(group, report=report)],
        "carried": [] if carried is None else [{"rate": carried}],
    }


def trend_rows(drawn: Trends) -> Rows:
    """Give the data of a figure against width."""
    return {
        "trends": [asdict(mark) for mark in drawn.marks],
        "laws": [asdict(point) for point in drawn.laws],
        "beyond": [asdict(point) for point in drawn.beyond],
        "targets": [asdict(mark) for mark in drawn.targets],
    }


def plane_rows(report: Report, plane: tuple[Quantity, Quantity], *, most: int) -> Rows:
    """Give the data of one plane, of so many groups."""
    points = plane_points(report, plane)
    lines = [{"axis": axis, "xy"[axis]: yardstick(which)} for axis, which in enumerate(plane)]
    return {"plane": [asdict(p) for p in points if p.index < most], "yardsticks": lines}


def matrix_rows(cells: Sequence[Cell]) -> Rows:
    """Give the data of one regret matrix."""
    rows = [
        {
            **asdict(cell),
            "proxy": width_text(cell.proxy),
            "target": width_text(cell.target),
            "told": TOLD[cell.state],
        }
        for cell in cells
    ]
    return {"cells": rows}


def filled(template: Spec, rows: Rows, *, suffix: str = "", **more: object) -> Spec:
    """Give a copy of a template with its data; with a suffix its data sets get names of their own.

    Example:
        >>> filled({"layer": [{"data": {"name": "a"}}]}, {"a": [{"x": 1}]}, suffix="-2")
        {'layer': [{'data': {'name': 'a-2'}}], 'datasets': {'a-2': [{'x': 1}]}}
    """
    layers = [_renamed(layer, suffix) for layer in template["layer"]]
    data = {name + suffix: list(values) for name, values in rows.items()}
    return {**_renamed(template, suffix), **more, "layer": layers, "datasets": data}


def _renamed(part: Spec, suffix: str) -> Spec:
    """Point a drawing at its own data; what names none takes that of the whole."""
    if "data" not in part:
        return part
    return {**part, "data": {"name": part["data"]["name"] + suffix}}


def alone(panel: Spec, theme: Theme) -> Spec:
    """Make a panel a whole drawing, with our look and the signal that singles out a line."""
    return {
        "$schema": SCHEMA,
        "config": look(theme),
        "params": [{"name": "highlight", "value": -1}],
        **panel,
    }


def side_by_side(rows: Sequence[Sequence[Spec]], theme: Theme) -> Spec:
    """Join panels, row by row, into one drawing."""
    data: dict[str, Any] = {}
    for panel in (panel for row in rows for panel in row):
        data |= panel.get("datasets", {})
    joined = [
        {
            "hconcat": [{k: v for k, v in panel.items() if k != "datasets"} for panel in row],
            "spacing": 28,
        }
        for row in rows
    ]
    return alone({"vconcat": joined, "spacing": 32, "datasets": data}, theme)


def look(theme: Theme) -> Spec:
    """Give fonts, sizes and colours of whatever is no mark."""
    return {
        "font": FONT,
        "aria": False,  # the page names each chart as a whole; marks are no pictures of their own
        "mark": {"aria": False},
        "background": theme.background,
        "view": {"stroke": None},
        "axis": {
            "labelColor": theme.muted,
            "titleColor": theme.muted,
            "gridColor": theme.grid,
            "domainColor": theme.grid,
            "tickColor": theme.grid,
            "labelFontSize": 13,
            "titleFontSize": 12,
            "titleFontWeight": 500,
            "titlePadding": 10,
            "titleLimit": 250,  # the shortest axis, of a trend on a telephone
            "labelPadding": 5,
            "labelOverlap": True,
        },
        "title": {
            "color": theme.ink,
            "subtitleColor": theme.muted,
            "anchor": "start",
            "fontSize": 15,
            "subtitleFontSize": 12,
            "fontWeight": 600,
            "subtitlePadding": 4,
        },
    }
