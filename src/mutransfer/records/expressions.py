"""This file is arithmetic over axes: `heads = "width // 64"`, and nothing else is evaluated."""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping

Number = int | float
OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
LONGEST = 200
LARGEST = 2.0**63


def names_in(expression: str) -> set[str]:
    """Give the names an expression uses.

    Raises:
        ValueError: It is more than + - * / // ** over names and numbers.

    Example:
        >>> sorted(names_in("2 * width // heads"))
        ['heads', 'width']
    """
    return {node.id for node in ast.walk(_parsed(expression)) if isinstance(node, ast.Name)}


def derive(expressions: Mapping[str, str], axes: Mapping[str, object]) -> dict[str, Number]:
    """Evaluate derived values at one point of the grid, in their order; later may use earlier.

    Raises:
        ValueError: A name that is no axis, a value that is no number, a result out of range.

    Example:
        >>> derive({"heads": "width // 64", "min_lr": "lr / 10"}, {"width": 256, "lr": 0.5})
        {'heads': 4, 'min_lr': 0.05}
    """
    known = dict(axes)
    found: dict[str, Number] = {}
    for name, expression in expressions.items():
        try:
            value = _value(_parsed(expression), known)
        except (ValueError, ZeroDivisionError, OverflowError) as problem:
            raise ValueError(f"{name} = {expression!r}: {problem}") from None
        found[name] = known[name] = value
    return found


def _parsed(expression: str) -> ast.expr:
    """Parse an expression and check every node of it."""
    if len(expression) > LONGEST:
        raise ValueError(f"an expression has at most {LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd is refused below, in our words
            tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{expression!r} is not arithmetic") from None
    pending: list[ast.expr] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            pending += [node.left, node.right]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            pending.append(node.operand)
        elif not isinstance(node, ast.Name) and not (
            isinstance(node, ast.Constant) and type(node.value) in (int, float)
        ):
            raise ValueError(f"{expression!r} has more than + - * / // ** over names and numbers")
    return tree


def _value(node: ast.expr, known: Mapping[str, object]) -> Number:
    """Evaluate a checked expression, every step within range."""
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float)
        return _in_range(node.value)
    if isinstance(node, ast.Name):
        value = known.get(node.id)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"'{node.id}' is not an axis with numbers")
        return _in_range(value)
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, known)
    assert isinstance(node, ast.BinOp)
    left, right = _value(node.left, known), _value(node.right, known)
    if isinstance(node.op, ast.Pow) and abs(right) * math.log2(max(abs(left), 2)) > 63:
        raise ValueError("a power leaves the range of 2^63")
    return _in_range(OPERATORS[type(node.op)](left, right))


def _in_range(value: Number) -> Number:
    """Refuse complex numbers, infinities and numbers that no size or rate has."""
    if isinstance(value, complex) or not abs(value) <= LARGEST:
        raise ValueError("a value leaves the range of 2^63")
    return value
