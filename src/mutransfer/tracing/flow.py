"""Images of the results of operations other than products with a weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch

from mutransfer.tracing.images import NO_AXES, Image, Label, Path, broadcast
from mutransfer.tracing.ledger import Ledger, rms_of
from mutransfer.tracing.operations import ADDS, LINEAR, MASKS, ROOTS, SCALES, SUMS

T = TypeVar("T")
Operands = Sequence[tuple[torch.Tensor, Image | None]]


def mixed_image(ledger: Ledger, images: Sequence[Image], result: torch.Tensor) -> Image:
    """Return the image of a result that is not linear in any operand."""
    ledger.record_other_use(*images)
    if images and all(image.is_weight for image in images):
        return Image(NO_AXES * result.dim(), names=_union(image.names for image in images))
    return Image(NO_AXES * result.dim(), last=_union(image.last for image in images))


def elementwise_image(
    ledger: Ledger, name: str, operands: Operands, raw: frozenset[str], result: torch.Tensor
) -> Image:
    """Return the image of parameters, activations and constants, combined entry by entry.

    Args:
        ledger: Records the parameters that are applied.
        name: The operation.
        operands: The tensors and their images; None for a constant.
        raw: Parameters whose axes are followed through activations.
        result: The result.
    """
    if name in MASKS:  # a mask selects entries, it is not part of them
        operands = [(t, image) for t, image in operands if t.dtype is not torch.bool] or operands
    tensors = [tensor for tensor, _ in operands]
    images = [image for _, image in operands if image is not None]
    active = [image for image in images if not image.is_weight]
    weights = [image for image in images if image.is_weight]
    if not active:
        own = [NO_AXES * t.dim() if image is None else image.dims for t, image in operands]
        pending = tuple(k for image in images for k in image.scalars)
        names = _union(image.names for image in images)
        return Image(broadcast(tensors, own, result.dim()), names=names, scalars=pending)
    ledger.record_application(*weights)
    ledger.record_other_use(*weights)
    last = _union(image.last for image in active)
    first = next((image for image in active if image.product is not None), active[0])
    keeps_rank, alone = len(first.dims) == result.dim(), len(active) == 1
    dims = first.dims if keeps_rank else NO_AXES * result.dim()
    if name in SCALES and alone and not any(any(image.dims) for image in weights):
        # A learned scalar, such as a temperature, is not a power of width: it counts as a constant.
        # In a coordinate check it ends the path, because its value is not the author's.
        learned = weights or any(t.requires_grad for t, image in operands if image is None)
        path = Path(is_normed=first.path.is_normed) if learned else first.path
        return replace(first, dims=dims, path=path)
    if name == "mul" and weights:
        # An activation times a raw vector may be summed next: a dot product in two steps.
        factors = [
            image.only(raw) if image is not None and image.is_weight else NO_AXES * t.dim()
            for t, image in operands
        ]
        dims = broadcast(tensors, factors, result.dim())
        gain = ledger.record_call(_union(image.names for image in weights), "applied")
        ledger.record_other_use(*active)
        return Image(dims, last=last, origin=gain, is_normed=first.is_normed)
    if not (alone and name in LINEAR and keeps_rank):
        dims = NO_AXES * result.dim()
    origin: frozenset[Label] = frozenset()
    if name in ADDS:
        origin = _union(image.origin for image in active)
        origin |= ledger.record_call(_union(image.names for image in weights), "applied")
        if first.product is not None or all(image.scalars == first.scalars for image in active):
            return replace(first, dims=dims, last=last, origin=origin, is_normed=False, path=Path())
    elif alone and not weights and (name in LINEAR or first.product is not None):
        # A soft cap, cap · tanh(logits / cap), returns logits again.
        return replace(first, dims=dims)
    ledger.record_other_use(*active)
    image = Image(dims, last=last, origin=origin, is_statistic=name in ROOTS and first.is_statistic)
    return (
        image
        if alone or name not in SCALES
        else _of_two(ledger, name, tensors, active, image, result)
    )


def _of_two(
    ledger: Ledger,
    name: str,
    tensors: Sequence[torch.Tensor],
    active: Sequence[Image],
    image: Image,
    result: torch.Tensor,
) -> Image:
    """Record a norm where an activation is divided by a statistic; mark a product of two others."""
    normed = [factor for factor in active if not factor.is_statistic]
    normed = normed if len(normed) < len(active) else []
    for factor in normed:
        ledger.record_norm(factor, result)
    # A square is not a product of two activations.
    is_pair = tensors[0] is not tensors[1] and tensors[0].shape == tensors[1].shape
    path = Path(is_normed=bool(normed))
    is_pair = name == "mul" and is_pair
    return replace(image, is_pair=is_pair, is_normed=bool(normed), path=path)


def reduced_image(
    ledger: Ledger,
    name: str,
    tensor: torch.Tensor,
    image: Image,
    over: set[int],
    result: torch.Tensor,
) -> Image:
    """Return the image of a reduction; a sum may complete a dot product."""
    dims = tuple(dim for k, dim in enumerate(image.dims) if k not in over)
    if result.dim() == tensor.dim():
        dims = tuple(frozenset() if k in over else dim for k, dim in enumerate(image.dims))
    if image.is_weight:
        return replace(image, dims=dims)
    if name not in SUMS:
        ledger.record_other_use(image)
        return Image(NO_AXES * result.dim(), last=image.last, is_statistic=True)
    summed = [label for k in over for label in image.dims[k]]
    if name == "mean" or not summed:
        dot = image.dot
        if name == "sum" and image.is_pair:
            dot = ledger.record_dot(tensor.numel() // max(result.numel(), 1), result)
        return replace(image, dims=dims, is_statistic=True, is_pair=False, dot=dot, path=Path())
    for parameter, axis in summed:
        ledger.uses[parameter].contracted.add(axis)
    names = frozenset(parameter for parameter, _ in summed)
    ledger.inside |= image.last - names
    call = ledger.record_call(names, "product")
    return Image(dims, origin=call, last=names, scalars=image.scalars)


def joined_image(
    ledger: Ledger, name: str, operands: Operands, dim: int, result: torch.Tensor
) -> Image:
    """Return the image of a concatenation or a stack; parameters among activations are applied."""
    images = [image for _, image in operands if image is not None]
    active = [image for image in images if not image.is_weight]
    if not active:
        own = [list(image.dims) for image in images]
        for dims in own if name == "stack" else []:
            dims.insert(dim % result.dim(), frozenset())
        columns = tuple(_union(column) for column in zip(*own, strict=True))
        return Image(columns, names=_union(image.names for image in images))
    ledger.record_application(*images)
    origin = _union(image.origin for image in active)
    origin |= ledger.record_call(_union(image.names for image in images), "applied")
    alike = all(image.scalars == active[0].scalars for image in active)
    if not alike:
        ledger.record_other_use(*active)
    return Image(
        NO_AXES * result.dim(),
        origin=origin,
        last=_union(image.last for image in active),
        scalars=active[0].scalars if alike else (),
    )


def scalar_factor(
    name: str, args: tuple[Any, ...], images: Mapping[int, tuple[Image, torch.Tensor]]
) -> float | None:
    """Return the constant that an operation multiplies by, or None if it is another operation."""
    if name not in SCALES or len(args) < 2:
        return None
    for k in (1, 0) if name == "mul" else (1,):
        value = args[k]
        if isinstance(value, torch.Tensor):
            is_constant = value.numel() == 1 and id(value) not in images
            if not is_constant or value.requires_grad or value.is_complex():
                continue
            value = float(value)
        if not isinstance(value, complex):
            return float(value) if name == "mul" else 1 / float(value)
    return None


def learned_factor(
    name: str,
    args: tuple[Any, ...],
    images: Mapping[int, tuple[Image, torch.Tensor]],
    scales: frozenset[str],
) -> tuple[float, Image, torch.Tensor] | None:
    """Return the start of a learned scale that an operation multiplies by, its image, and by what.

    Args:
        name: The operation.
        args: Its arguments.
        images: By tensor.
        scales: Names of the learned scales.
    """
    if name not in SCALES or len(args) < 2 or not scales:
        return None
    for k in (1, 0):
        if id(args[k]) not in images or id(args[1 - k]) not in images:
            continue
        scale, other = images[id(args[k])][0], images[id(args[1 - k])][0]
        of_weight = scale.names <= scales and not other.names <= scales
        if scale.names & scales and (of_weight or not other.is_weight):
            start = rms_of(args[k])
            return (1 / start if name == "div" and k and start else start), scale, args[1 - k]
    return None


def reduced_dims(
    name: str, tensor: torch.Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> set[int]:
    """Return the dimensions that a reduction sums over: all of them by default."""
    place = 2 if name in ("norm", "linalg_vector_norm") else 1
    dims = kwargs.get("dim", args[place] if len(args) > place else None)
    if dims is None or dims == [] or isinstance(dims, bool):
        return set(range(tensor.dim()))
    return {d % max(tensor.dim(), 1) for d in ([dims] if isinstance(dims, int) else dims)}


def _union(sets: Iterable[Iterable[T]]) -> frozenset[T]:
    """Return the elements of all sets."""
    return frozenset(element for elements in sets for element in elements)
