"""Vega-Lite specifications: templates that are filled with data, and joined into figures.

A template is drawn once for all panels of a figure, for Altair is slow; filling it copies a dict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from mutransfer.report.figures.numbers.loss import (
    carried_rate,
    edge_marks,
    fitted_optima,
    loss_frame,
    loss_points,
    parabolas,
)
from mutransfer.report.figures.numbers.planes import Plane, plane_points, reference_value
from mutransfer.report.figures.numbers.regret_matrix import Cell
from mutransfer.report.format import format_width
from mutransfer.report.theme import Theme

if TYPE_CHECKING:
    from mutransfer.analysis import GroupReport, Report

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, never loaded

Spec = dict[str, Any]
Size = tuple[int | Literal["container"], int]  # width and height in pixels
Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def loss_rows(group: GroupReport, report: Report) -> Rows:
    """Return the data of one group's panel of the loss figure."""
    frame = loss_frame(report)
    carried = carried_rate(group)
    return {
        "points": [asdict(point) for point in loss_points(group, frame, report)],
        "edge": [asdict(mark) for mark in edge_marks(group, frame, report)],
        "optima": [asdict(optimum) for optimum in fitted_optima(group, report)],
        "parabolas": [asdict(point) for point in parabolas(group, report)],
        "carried": [] if carried is None else [{"rate": carried}],
    }


def plane_rows(report: Report, plane: Plane, most: int) -> Rows:
    """Return the data of one plane with at most that many groups."""
    points = plane_points(report, plane)
    lines = [{"axis": axis, "xy"[axis]: reference_value(which)} for axis, which in enumerate(plane)]
    return {"plane": [asdict(p) for p in points if p.index < most], "references": lines}


def matrix_rows(cells: Sequence[Cell]) -> Rows:
    """Return the data of one regret matrix."""
    return {
        "cells": [
            {
                **asdict(cell),
                "proxy": format_width(cell.proxy),
                "target": format_width(cell.target),
            }
            for cell in cells
        ]
    }


def fill_template(template: Spec, rows: Rows, *, suffix: str = "", **more: object) -> Spec:
    """Return a copy of a template with its data; a suffix makes the names of data sets unique.

    Example:
        >>> fill_template({"layer": [{"data": {"name": "a"}}]}, {"a": [{"x": 1}]}, suffix="-2")
        {'layer': [{'data': {'name': 'a-2'}}], 'datasets': {'a-2': [{'x': 1}]}}
    """
    layers = [_add_suffix(layer, suffix) for layer in template["layer"]]
    data = {name + suffix: list(values) for name, values in rows.items()}
    return {**_add_suffix(template, suffix), **more, "layer": layers, "datasets": data}


def _add_suffix(part: Spec, suffix: str) -> Spec:
    """Add a suffix to the name of a layer's data; a layer without one uses the whole's."""
    if "data" not in part:
        return part
    return {**part, "data": {"name": part["data"]["name"] + suffix}}


def standalone(panel: Spec, theme: Theme) -> Spec:
    """Complete a panel with our configuration and the signal that singles out a line."""
    return {
        "$schema": SCHEMA,
        "config": _config(theme),
        "params": [{"name": "highlight", "value": -1}],
        **panel,
    }


def join_panels(title: str, rows: Sequence[Sequence[Spec]], theme: Theme) -> Spec:
    """Join panels, row by row, into one figure with a title."""
    data: dict[str, Any] = {}
    for panel in (panel for row in rows for panel in row):
        data |= panel.get("datasets", {})
    parts = [
        {
            "hconcat": [{k: v for k, v in panel.items() if k != "datasets"} for panel in row],
            "spacing": 28,
        }
        for row in rows
    ]
    head = {"text": title, "fontSize": 18, "offset": 16}
    return standalone({"title": head, "vconcat": parts, "spacing": 32, "datasets": data}, theme)


def _config(theme: Theme) -> Spec:
    """Return fonts, sizes and colours of everything but the marks."""
    return {
        "font": FONT,
        "aria": False,  # the page labels each chart as a whole, so that marks need no labels
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
