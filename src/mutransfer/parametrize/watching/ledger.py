"""This file is the ledger of a forward pass: uses of parameters, scalars, attentions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch

from mutransfer.parametrize.watching.images import Image, Label

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
        unknown: Something else was done to it.
    """

    contracted: set[int] = field(default_factory=set)
    looked_up: set[int] = field(default_factory=set)
    rows: set[int] = field(default_factory=set)
    carried: set[int] = field(default_factory=set)
    batch: set[int] = field(default_factory=set)
    applied: set[int] = field(default_factory=set)
    unknown: bool = False


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
        in_attention: Whether it scales attention logits.
    """

    value: float
    origin: frozenset[Label]
    rms: float
    statistic: bool
    consumers: set[Label] = field(default_factory=set)
    elsewhere: bool = False
    in_attention: bool = False


@dataclass(frozen=True, slots=True)
class Attention:
    """One attention: its head width, the scale of its logits, where queries and keys come from."""

    head: int
    scale: float
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
        self.attentions: list[Attention] = []
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

    def unknown(self, *images: Image) -> None:
        """Enter something that is not understood."""
        for name in (name for one in images for name in one.names):
            self.uses[name].unknown = True

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
        rms = float(given.detach().double().square().mean().sqrt()) / abs(value)
        every_call = frozenset((name, "product", EVERY) for name in image.names)
        origin = every_call if image.pure else image.origin
        self.scalars.append(Scalar(value, origin, rms, image.statistic))
        return replace(image, scalars=(*image.scalars, len(self.scalars) - 1))

    def attended(
        self,
        head: int,
        scale: float,
        pending: Iterable[int],
        query: frozenset[Label],
        key: frozenset[Label],
    ) -> None:
        """Enter attention logits, whose scale holds all scalars on the way."""
        for k in pending:
            self.scalars[k].in_attention = True
            scale *= self.scalars[k].value
        self.attentions.append(Attention(head, scale, query, key))
