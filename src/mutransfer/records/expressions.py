"""Derived values of a study: arithmetic over its axes, such as `heads = "width // 64"`.

Expressions are parsed and evaluated node by node, never by `eval`, because a study file may come
from somebody else.
"""

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
LONGEST = 200  # characters; keeps the recursive evaluation shallow
LARGEST = 2.0**63  # beyond what any size, step count or rate needs [assumed]


def names_in(expression: str) -> set[str]:
    """Return the names that an expression uses.

    Raises:
        ValueError: The expression has more than + - * / // ** over names and numbers.

    Example:
        >>> sorted(names_in("2 * width // heads"))
        ['heads', 'width']
    """
    return {node.id for node in ast.walk(_parse(expression)) if isinstance(node, ast.Name)}


def derive(expressions: Mapping[str, str], axes: Mapping[str, object]) -> dict[str, Number]:
    """Evaluate derived values at one point of the grid, in order; later ones may use earlier.

    Raises:
        ValueError: A name is not an axis, a value is not a number, or a result is out of range.

    Example:
        >>> derive({"heads": "width // 64", "min_lr": "lr / 10"}, {"width": 256, "lr": 0.5})
        {'heads': 4, 'min_lr': 0.05}
    """
    values = dict(axes)
    derived: dict[str, Number] = {}
    for name, expression in expressions.items():
        try:
            value = _evaluate(_parse(expression), values)
        except (ValueError, ZeroDivisionError, OverflowError) as problem:
            raise ValueError(f"{name} = {expression!r}: {problem}") from None
        derived[name] = values[name] = value
    return derived


def _parse(expression: str) -> ast.expr:
    """Parse an expression and check every node of it."""
    if len(expression) > LONGEST:
        raise ValueError(f"an expression has at most {LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e.g. on "1if", which is rejected below
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


def _evaluate(node: ast.expr, values: Mapping[str, object]) -> Number:
    """Evaluate a checked expression, with every intermediate value in range."""
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float)
        return _in_range(node.value)
    if isinstance(node, ast.Name):
        value = values.get(node.id)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"'{node.id}' is not a numeric axis")
        return _in_range(value)
    if isinstance(node, ast.UnaryOp):
        return -_evaluate(node.operand, values)
    assert isinstance(node, ast.BinOp)
    left, right = _evaluate(node.left, values), _evaluate(node.right, values)
    # The size of a power is checked before it is computed: 9 ** 9 ** 9 would take forever.
    if isinstance(node.op, ast.Pow) and abs(right) * math.log2(max(abs(left), 2)) > 63:
        raise ValueError("a power exceeds the range of 2^63")
    return _in_range(OPERATORS[type(node.op)](left, right))


def _in_range(value: Number) -> Number:
    """Raise `ValueError` for complex and infinite numbers, and those beyond 2^63."""
    if isinstance(value, complex):
        raise ValueError("the root of a negative number is not real")
    if not abs(value) <= LARGEST:
        raise ValueError("a value exceeds the range of 2^63")
    return value
