"""Imports between the modules of `rules` form no circle, lazy and type-checking ones included."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import mutransfer.rules

ROOT = Path(mutransfer.rules.__file__).parent


def imports_of(path: Path) -> set[str]:
    """Return the modules of `rules` that a file imports anywhere in its text."""
    nodes = ast.walk(ast.parse(path.read_text()))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return {module for module in modules if module and module.startswith("mutransfer.rules.")}


def test_no_two_modules_of_rules_import_each_other() -> None:
    """`static_order` raises `CycleError`, which names the circle."""
    graph = {}
    for path in ROOT.rglob("*.py"):
        if path.name != "__init__.py":
            parts = path.relative_to(ROOT).with_suffix("").parts
            graph[".".join(("mutransfer.rules", *parts))] = imports_of(path)
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("mutransfer.rules.plan") > order.index("mutransfer.rules.formatting.names")
    assert graph.keys() == set(order)
