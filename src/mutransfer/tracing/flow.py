"""Images of the results of operations other than products with a weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch

from mutransfer.tracing.images import NO_AXES, Image, Label, combined
from mutransfer.tracing.ledger import Ledger

ADDS = frozenset(("add", "sub", "rsub"))
LINEAR = ADDS | {"mul", "div", "neg", "masked_fill", "where", "native_dropout"}
SUMS = frozenset(("sum", "mean"))
STATISTICS = frozenset(("var", "std", "norm", "linalg_vector_norm", "amax", "amin", "logsumexp"))

T = TypeVar("T")
Known = Sequence[tuple[torch.Tensor, Image | None]]


def mixed(ledger: Ledger, images: Sequence[Image], given: torch.Tensor) -> Image:
    """Give the image of what is no linear function of anything."""
    ledger.elsewhere(*images)
    if images and all(one.pure for one in images):
        return Image(NO_AXES * given.dim(), names=_union(one.names for one in images))
    return Image(NO_AXES * given.dim(), last=_union(one.last for one in images))


def elementwise(
    ledger: Ledger, name: str, known: Known, raw: frozenset[str], given: torch.Tensor
) -> Image:
    """Combine tensors entry by entry: parameters, activations and constants.

    Args:
        ledger: Takes parameters that are applied.
        name: The operation.
        known: The tensors and their images; None for a constant.
        raw: Parameters whose axes are followed through activations.
        given: The result.
    """
    tensors = [tensor for tensor, _ in known]
    images = [one for _, one in known if one is not None]
    active = [one for one in images if not one.pure]
    pure = [one for one in images if one.pure]
    if not active:
        own = [NO_AXES * t.dim() if one is None else one.dims for t, one in known]
        dims = combined(tensors, own, given.dim())
        pending = tuple(k for one in images for k in one.scalars)
        return Image(dims, names=_union(one.names for one in images), scalars=pending)
    ledger.applied(*pure)
    ledger.elsewhere(*pure)
    last = _union(one.last for one in active)
    first = next((one for one in active if one.product is not None), active[0])
    dims = NO_AXES * given.dim()
    if name in ("mul", "div") and len(active) == 1 and not any(any(one.dims) for one in pure):
        # A learned scalar, as a temperature, is no power of width: a constant.
        return replace(first, dims=first.dims if len(first.dims) == given.dim() else dims)
    if name == "mul" and pure:
        # What a raw vector multiplies may be summed next: a dot product in two steps.
        factors = [NO_AXES * t.dim() if one not in pure else one.only(raw) for t, one in known]
        dims = combined(tensors, factors, given.dim())
        gain = ledger.called(_union(one.names for one in pure), "applied")
        ledger.elsewhere(*active)
        return Image(dims, last=last, origin=gain)
    elif len(active) == 1 and name in LINEAR and len(first.dims) == given.dim():
        dims = first.dims
    origin: frozenset[Label] = frozenset()
    if name in ADDS:
        origin = _union(one.origin for one in active)
        origin |= ledger.called(_union(one.names for one in pure), "applied")
        if first.product is not None or all(one.scalars == first.scalars for one in active):
            return replace(first, dims=dims, last=last, origin=origin)
    elif len(active) == 1 and not pure and (name in LINEAR or first.product is not None):
        # A cap of logits, cap · tanh(logits / cap), leaves them logits.
        return replace(first, dims=dims)
    ledger.elsewhere(*active)
    return Image(dims, last=last, origin=origin)


def reduced(
    ledger: Ledger,
    name: str,
    tensor: torch.Tensor,
    image: Image,
    over: set[int],
    given: torch.Tensor,
) -> Image:
    """Sum over dimensions; of an activation times a raw vector this is a dot product."""
    kept = [k for k in range(tensor.dim()) if k not in over]
    dims = tuple(image.dims[k] for k in kept)
    if given.dim() == tensor.dim():
        dims = tuple(frozenset() if k in over else one for k, one in enumerate(image.dims))
    if image.pure:
        return replace(image, dims=dims)
    if name not in SUMS:
        ledger.elsewhere(image)
        return Image(NO_AXES * given.dim(), last=image.last, statistic=True)
    summed = [label for k in over for label in image.dims[k]]
    if name == "mean" or not summed:
        return replace(image, dims=dims, statistic=True)
    for parameter, axis in summed:
        ledger.uses[parameter].contracted.add(axis)
    names = frozenset(parameter for parameter, _ in summed)
    ledger.inside |= image.last - names
    call = ledger.called(names, "product")
    return Image(dims, origin=call, last=names, scalars=image.scalars)


def joined(ledger: Ledger, name: str, known: Known, dim: int, given: torch.Tensor) -> Image:
    """Concatenate, or stack: parameters among activations are applied."""
    images = [one for _, one in known if one is not None]
    active = [one for one in images if not one.pure]
    if not active:
        own = [list(one.dims) for one in images]
        for one in own if name == "stack" else []:
            one.insert(dim % given.dim(), frozenset())
        dims = tuple(_union(column) for column in zip(*own, strict=True))
        return Image(dims, names=_union(one.names for one in images))
    ledger.applied(*images)
    origin = _union(one.origin for one in active)
    origin |= ledger.called(_union(one.names for one in images), "applied")
    alike = all(one.scalars == active[0].scalars for one in active)
    if not alike:
        ledger.elsewhere(*active)
    return Image(
        NO_AXES * given.dim(),
        origin=origin,
        last=_union(one.last for one in active),
        scalars=active[0].scalars if alike else (),
    )


def number(
    name: str, args: tuple[Any, ...], images: Mapping[int, tuple[Image, torch.Tensor]]
) -> float | None:
    """Give the number that an operation multiplies by; None where it is no such operation."""
    if name not in ("mul", "div") or len(args) < 2:
        return None
    for k in (1, 0) if name == "mul" else (1,):
        one = args[k]
        if isinstance(one, torch.Tensor) and (one.numel() != 1 or id(one) in images):
            continue
        value = float(one)
        return value if name == "mul" else 1 / value
    return None


def reduced_dims(
    name: str, tensor: torch.Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> set[int]:
    """Read which dimensions a reduction sums over; all of them where it does not say."""
    place = 2 if name in ("norm", "linalg_vector_norm") else 1
    dims = kwargs.get("dim", args[place] if len(args) > place else None)
    if dims is None or dims == [] or isinstance(dims, bool):
        return set(range(tensor.dim()))
    return {d % max(tensor.dim(), 1) for d in ([dims] if isinstance(dims, int) else dims)}


def _union(sets: Iterable[Iterable[T]]) -> frozenset[T]:
    return frozenset(one for each in sets for one in each)
