"""Records of a forward pass: uses of parameters, scalar multipliers, products of activations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch

from mutransfer.tracing.images import Image, Label

EVERY = -1  # the number of a call that stands for all of them


@dataclass(slots=True)
class Use:
    """How a forward pass used one parameter; each set holds axes that grow with width.

    Args:
        contracted: Summed over with an activation: fan-in.
        looked_up: Indexed by an activation: fan-in of a table.
        rows: What such a lookup gives: fan-out of a table.
        carried: They appear in what the product gives: fan-out.
        batch: They number products that do not mix, as the experts of a mixture do.
        applied: They run along an activation's own axis, elementwise.
        unknown: An operation that was applied to it and is not understood.
    """

    contracted: set[int] = field(default_factory=set)
    looked_up: set[int] = field(default_factory=set)
    rows: set[int] = field(default_factory=set)
    carried: set[int] = field(default_factory=set)
    batch: set[int] = field(default_factory=set)
    applied: set[int] = field(default_factory=set)
    unknown: str = ""


@dataclass(slots=True)
class Scalar:
    """A number that an activation or a weight was multiplied by.

    Args:
        value: The number.
        origin: What it multiplies: the products whose result this is, up to linear steps.
        rms: Size of what was multiplied.
        statistic: Whether that is a sum over activations, as in a norm.
        consumers: Weights that are multiplied with the result.
        elsewhere: Whether it is used in another way, too.
    """

    value: float
    origin: frozenset[Label]
    rms: float
    statistic: bool
    consumers: set[Label] = field(default_factory=set)
    elsewhere: bool = False


@dataclass(slots=True)
class Product:
    """A product of two activations, as attention logits are.

    Args:
        width: The size that it contracts: a head's.
        scale: What it is multiplied by afterwards.
        scalars: What its factors were multiplied by before.
        size: RMS of those factors that are no product: of normed queries, say.
        query: Origin of the first factor.
        key: Origin of the second.
    """

    width: int
    scale: float
    scalars: tuple[int, ...]
    size: float
    query: frozenset[Label]
    key: frozenset[Label]


class Ledger:
    """What a forward pass did with parameters.

    Args:
        names: The parameters.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.uses = {name: Use() for name in names}
        self.scalars: list[Scalar] = []
        self.products: list[Product] = []
        self.inside: set[str] = set()  # weights whose results reach another weight
        self.calls: list[Label] = []

    def contracted(self, weight: Image, dim: int, *, batched: bool = False) -> None:
        """Enter a product with a weight: one dimension is summed over, the first may number."""
        for k, labels in enumerate(weight.dims):
            for name, axis in labels:
                use = self.uses[name]
                kind = use.batch if batched and k == 0 else use.carried
                (use.contracted if k == dim % len(weight.dims) else kind).add(axis)
        self.elsewhere(weight)

    def looked_up(self, table: Image) -> None:
        """Enter the lookup of rows."""
        for k, labels in enumerate(table.dims):
            for name, axis in labels:
                use = self.uses[name]
                (use.rows if k else use.looked_up).add(axis)
        self.elsewhere(table)

    def applied(self, *images: Image) -> None:
        """Enter parameters that run along an activation's axes; activations do not count."""
        for name, axis in (a for one in images if one.pure for dim in one.dims for a in dim):
            self.uses[name].applied.add(axis)

    def unknown(self, operation: str, *images: Image) -> None:
        """Enter an operation that is not understood."""
        for name in (name for one in images for name in one.names):
            self.uses[name].unknown = operation

    def elsewhere(self, *images: Image) -> None:
        """Enter that scalars on the way are not simply a weight's."""
        for k in (k for one in images for k in one.scalars):
            self.scalars[k].elsewhere = True

    def called(self, names: Iterable[str], kind: str) -> frozenset[Label]:
        """Number a use of parameters."""
        labels = [(name, kind, len(self.calls)) for name in sorted(names)]
        self.calls += labels
        return frozenset(labels)

    def consumed(self, image: Image, call: frozenset[Label]) -> None:
        """Enter that an activation was multiplied with a weight."""
        self.inside |= image.last
        for k in image.scalars:
            self.scalars[k].consumers |= call

    def scaled(self, image: Image, value: float, given: torch.Tensor) -> Image:
        """Enter a scalar multiplier; gives the image with it."""
        if value == 0:
            return image
        if image.product is not None:
            self.products[image.product].scale *= value
            return image
        rms = rms_of(given) / abs(value)
        every_call = frozenset((name, "product", EVERY) for name in image.names)
        origin = every_call if image.pure else image.origin
        self.scalars.append(Scalar(value, origin, rms, image.statistic))
        return replace(image, scalars=(*image.scalars, len(self.scalars) - 1))

    def multiplied(
        self, tensors: Sequence[torch.Tensor], images: Sequence[Image], width: int, scale: float
    ) -> int:
        """Enter a product of two activations; gives its number."""
        self.elsewhere(*images)
        normed = [not one.origin and one.product is None for one in images]
        loose = [rms_of(t) for t, one in zip(tensors, normed, strict=True) if one]
        pending = tuple(k for one in images for k in one.scalars)
        query, key = (one.origin for one in images)
        self.products.append(Product(width, scale, pending, math.prod(loose), query, key))
        return len(self.products) - 1


def rms_of(tensor: torch.Tensor) -> float:
    """Give the root mean square of a tensor's entries.

    Example:
        >>> rms_of(torch.tensor([3.0, -3.0]))
        3.0
    """
    return float(tensor.detach().double().square().mean().sqrt()) if tensor.numel() else 0.0
