"""Images of tensors: the parameters that a tensor is made of, dimension by dimension."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

# One use of a parameter: its name, whether as a 'product', 'lookup' or 'applied', and which call.
Label = tuple[str, str, int]
Dims = tuple[frozenset[tuple[str, int]], ...]  # for each dimension: parameters and their axes
NO_AXES: Dims = (frozenset(),)


@dataclass(frozen=True, slots=True)
class Path:
    """How an activation is made from a module's output by views and scalar multiplications only.

    Args:
        module: Name of that module, '' for the model; None for any other activation.
        factor: Product of the scalars.
        keeps_factor: Whether the factor stays with this module, whichever layer comes next.
        is_normed: Whether the activation has just been divided by its own size.
    """

    module: str | None = None
    factor: float = 1.0
    keeps_factor: bool = False
    is_normed: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """The origin of one tensor.

    Args:
        dims: The parameters' axes that run along each dimension.
        names: The parameters, where it is made of parameters and constants alone.
        origin: Weights whose product it is, if only linear steps followed.
        last: Weights whose product it depends on without another weight in between.
        scalars: Numbers of the scalar multipliers since then.
        product: Number of the matrix product of two activations that it is, such as attention
            logits.
        is_statistic: Whether it is a sum over activations, as in a norm.
        is_pair: Whether it is an elementwise product of two activations.
        is_normed: Whether it is an activation over its own size, perhaps times a gain.
        dot: Number of the sum over such a product.
        path: How it is made from a module's output.
    """

    dims: Dims
    names: frozenset[str] = frozenset()
    origin: frozenset[Label] = frozenset()
    last: frozenset[str] = frozenset()
    scalars: tuple[int, ...] = ()
    product: int | None = None
    is_statistic: bool = False
    is_pair: bool = False
    is_normed: bool = False
    dot: int | None = None
    path: Path = Path()

    @property
    def is_weight(self) -> bool:
        """Whether it is made of parameters alone: a weight, not an activation."""
        return bool(self.names)

    def only(self, names: frozenset[str]) -> Dims:
        """Return the dimensions with the axes of some parameters only."""
        return tuple(frozenset(axis for axis in dim if axis[0] in names) for dim in self.dims)


def broadcast(tensors: Sequence[torch.Tensor], dims: Sequence[Dims], rank: int) -> Dims:
    """Unite the dimensions of several tensors as broadcasting does, aligned at the right.

    Example:
        >>> bias, batch = torch.zeros(3), torch.zeros(2, 3)
        >>> broadcast([bias, batch], [(frozenset({("b", 0)}),), NO_AXES * 2], 2)
        (frozenset(), frozenset({('b', 0)}))
    """
    united: list[frozenset[tuple[str, int]]] = [frozenset()] * rank
    for tensor, own in zip(tensors, dims, strict=True):
        for k in range(tensor.dim()):
            united[rank - tensor.dim() + k] |= own[k]
    return tuple(united)


def is_elementwise(tensors: Sequence[torch.Tensor], result: torch.Tensor) -> bool:
    """Return whether an operation works entry by entry, judged by the shapes of its tensors.

    Example:
        >>> is_elementwise([torch.zeros(2, 3), torch.zeros(3)], torch.zeros(2, 3))
        True
    """
    rank = result.dim()
    if max(tensor.dim() for tensor in tensors) != rank:
        return False
    columns = zip(*((1,) * (rank - t.dim()) + tuple(t.shape) for t in tensors), strict=True)
    sizes = zip(columns, result.shape, strict=True)
    return all({1, *column} == {1, size} for column, size in sizes)


def moved_dims(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    dims: Dims,
    which: int,
    result: torch.Tensor,
) -> Dims:
    """Return what runs along each dimension after a view, a permutation, a slice or a gather.

    The operation itself is applied to coordinates along one dimension: they vary in the result
    along the dimensions to which it moved.

    Args:
        func: The operation, whose first argument is the tensor.
        args: Its arguments.
        kwargs: Its keyword arguments.
        dims: What runs along the tensor's dimensions.
        which: Index of the result among several.
        result: That result.

    Example:
        >>> weight = torch.zeros(4, 6)
        >>> rows, columns = frozenset({("w", 0)}), frozenset({("w", 1)})
        >>> view = torch.ops.aten.view.default
        >>> moved_dims(view, (weight, [4, 2, 3]), {}, (rows, columns), 0, weight.view(4, 2, 3))
        (frozenset({('w', 0)}), frozenset({('w', 1)}), frozenset({('w', 1)}))
    """
    tensor = args[0]
    after: list[frozenset[tuple[str, int]]] = [frozenset()] * result.dim()
    for k, labels in enumerate(dims):
        if not labels:
            continue
        shape = [-1 if j == k else 1 for j in range(tensor.dim())]
        along = torch.arange(tensor.shape[k], device=tensor.device).view(shape)
        coordinates = along.expand(tensor.shape).contiguous()
        if coordinates.numel() == result.numel() and _is_reshape(func):
            values = coordinates.reshape(result.shape)
        else:
            # Another dtype would make coordinates inexact.
            options = {key: v for key, v in kwargs.items() if key not in ("dtype", "memory_format")}
            values = func(coordinates, *args[1:], **options)
            values = values[which] if isinstance(values, list | tuple) else values
        for d in range(result.dim()):
            if result.shape[d] > 1 and bool((values != values.narrow(d, 0, 1)).any()):
                after[d] |= labels
    return tuple(after)


def _is_reshape(func: Callable[..., Any]) -> bool:
    """Return whether an operation needs the tensor's strides, which coordinates do not have."""
    name: str = getattr(func, "_schema").name  # noqa: B009 - torch's operations are untyped
    return name in ("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::_reshape_alias")
