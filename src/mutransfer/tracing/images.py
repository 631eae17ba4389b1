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
class Image:
    """What one tensor is made of.

    Args:
        dims: The parameters' axes that run along each dimension.
        names: The parameters, where it is made of parameters and constants alone.
        origin: Weights whose product it is, if nothing but linear steps followed.
        last: Weights whose product it depends on without another weight between.
        scalars: Numbers of the scalar multipliers on the way since.
        product: Number of the product of two activations that this is, as attention logits are.
        statistic: Whether it is a sum over activations, as a norm's.
    """

    dims: Dims
    names: frozenset[str] = frozenset()
    origin: frozenset[Label] = frozenset()
    last: frozenset[str] = frozenset()
    scalars: tuple[int, ...] = ()
    product: int | None = None
    statistic: bool = False

    @property
    def pure(self) -> bool:
        """Whether it is made of parameters alone: a weight, not an activation."""
        return bool(self.names)

    def only(self, names: frozenset[str]) -> Dims:
        """Give the dimensions with the axes of some parameters only."""
        return tuple(frozenset(one for one in dim if one[0] in names) for dim in self.dims)


def combined(tensors: Sequence[torch.Tensor], dims: Sequence[Dims], rank: int) -> Dims:
    """Put dimensions together as broadcasting does, aligned at the right.

    Example:
        >>> bias, batch = torch.zeros(3), torch.zeros(2, 3)
        >>> combined([bias, batch], [(frozenset({("b", 0)}),), NO_AXES * 2], 2)
        (frozenset(), frozenset({('b', 0)}))
    """
    found: list[frozenset[tuple[str, int]]] = [frozenset()] * rank
    for tensor, own in zip(tensors, dims, strict=True):
        for k in range(tensor.dim()):
            found[rank - tensor.dim() + k] |= own[k]
    return tuple(found)


def is_elementwise(tensors: Sequence[torch.Tensor], given: torch.Tensor) -> bool:
    """Tell an operation that works entry by entry, by the shapes that it takes and gives.

    Example:
        >>> is_elementwise([torch.zeros(2, 3), torch.zeros(3)], torch.zeros(2, 3))
        True
    """
    try:
        shape = torch.broadcast_shapes(*(one.shape for one in tensors))  # type: ignore[no-untyped-call] # torch's own
    except RuntimeError:
        return False
    return bool(shape == given.shape)


def moved(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    dims: Dims,
    which: int,
    given: torch.Tensor,
) -> Dims:
    """Find where a view, a permutation, a slice or a gather puts each dimension.

    It is asked: its own operation is run on coordinates along one dimension, which vary in the
    result along those where this dimension went.

    Args:
        func: The operation, whose first argument is the tensor.
        args: Its arguments.
        kwargs: Its keywords.
        dims: What runs along the tensor's dimensions.
        which: Number of the result among several.
        given: That result.

    Example:
        >>> weight = torch.zeros(4, 6)
        >>> one, other = frozenset({("w", 0)}), frozenset({("w", 1)})
        >>> view = torch.ops.aten.view.default
        >>> moved(view, (weight, [4, 2, 3]), {}, (one, other), 0, weight.view(4, 2, 3))
        (frozenset({('w', 0)}), frozenset({('w', 1)}), frozenset({('w', 1)}))
    """
    tensor = args[0]
    found: list[frozenset[tuple[str, int]]] = [frozenset()] * given.dim()
    for k, labels in enumerate(dims):
        if not labels:
            continue
        shape = [-1 if j == k else 1 for j in range(tensor.dim())]
        along = torch.arange(tensor.shape[k], device=tensor.device).view(shape)
        coordinates = along.expand(tensor.shape).contiguous()
        if coordinates.numel() == given.numel() and _is_view(func):
            after = coordinates.reshape(given.shape)
        else:
            result = func(coordinates, *args[1:], **_without_dtype(kwargs))
            after = result[which] if isinstance(result, list | tuple) else result
        for d in range(given.dim()):
            if given.shape[d] > 1 and bool((after != after.narrow(d, 0, 1)).any()):
                found[d] |= labels
    return tuple(found)


def _is_view(func: Callable[..., Any]) -> bool:
    """Tell a change of shape, which needs the strides that coordinates do not have."""
    name: str = getattr(func, "_schema").name  # noqa: B009 - torch's operations are untyped
    return name in ("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::_reshape_alias")


def _without_dtype(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what would make coordinates inexact."""
    return {key: value for key, value in kwargs.items() if key not in ("dtype", "memory_format")}
