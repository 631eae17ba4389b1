"""Records of a forward pass: uses of parameters, scalar multipliers, products of activations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch

from mutransfer.tracing.images import Image, Label
from mutransfer.tracing.layer_multipliers import LayerMultipliers

ALL_CALLS = -1  # the number that stands for every call of a parameter
MASKED = -1e4  # a logit at or below it is masked: models write -inf, or -1e4 in half precision


@dataclass(slots=True)
class Use:
    """How a forward pass uses one parameter; each set holds axes that grow with width.

    Args:
        contracted: Summed over with an activation: fan-in.
        looked_up: Indexed by an activation: fan-in of a table.
        rows: Returned by such a lookup: fan-out of a table.
        carried: Present in the result of a product: fan-out.
        batch: Batch axes of a batched product, such as the experts of a mixture of experts.
        applied: Aligned with an activation's own axis, elementwise.
        unknown: An operation on it that is not understood.
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
        origin: Weights whose product it multiplies, with linear operations in between.
        rms: Root mean square of what it multiplies.
        is_statistic: Whether the multiplied value reduces activations, as in a norm.
        consumers: Weights that are multiplied with the result.
        other_uses: Number of uses of the result other than a product with a weight.
        normed_uses: Number of those that divide it by the size of an activation.
        scales: Learned scales, where it is the RMS of their start.
        is_gain: Whether such a scale has a growing axis.
    """

    value: float
    origin: frozenset[Label]
    rms: float
    is_statistic: bool
    consumers: set[Label] = field(default_factory=set)
    other_uses: int = 0
    normed_uses: int = 0
    scales: frozenset[str] = frozenset()
    is_gain: bool = False

    @property
    def is_owned(self) -> bool:
        """Whether the result is multiplied with weights, and not used otherwise."""
        return bool(self.consumers) and not self.other_uses

    @property
    def is_behind_weight(self) -> bool:
        """Whether it multiplies a weight's product, and not, as in √d · x/‖x‖, what is normed."""
        is_product = any(kind != "applied" for _, kind, _ in self.origin)
        # In √d · x/‖√d · x‖ the norm is another use.
        return is_product and not 0 < self.other_uses == self.normed_uses


@dataclass(slots=True)
class Product:
    """A product of two activations, such as attention logits.

    Args:
        width: The size that it contracts, such as a head's width.
        scale: Product of the scalars that multiply it afterwards.
        measured: Root mean square of its entries; for logits, just before the softmax.
        is_logits: Whether a softmax follows.
        is_elementwise: Whether it is written as an elementwise product and a sum.
        scalars: Indices into `Ledger.scalars` of the multipliers of its factors.
        factor_rms: Product of the RMS of factors that no weight produced, or that were normed, such
            as normed queries, without their multipliers.
        query: Origin of the first factor.
        key: Origin of the second.
    """

    width: int
    scale: float
    measured: float
    is_logits: bool = False
    is_elementwise: bool = False
    scalars: tuple[int, ...] = ()
    factor_rms: float = 1.0
    query: frozenset[Label] = frozenset()
    key: frozenset[Label] = frozenset()

    @property
    def rms(self) -> float:
        """Root mean square with all scalars that multiply it."""
        return self.measured if self.is_logits else self.measured * abs(self.scale)


class Ledger:
    """Records of what a forward pass does with parameters."""

    def __init__(self, names: Iterable[str]) -> None:
        self.uses = {name: Use() for name in names}
        self.scalars: list[Scalar] = []
        self.products: list[Product] = []
        self.layers = LayerMultipliers()
        self.streams: dict[str, float] = {}  # RMS of sums that a norm reads, by the norm's name
        self.inside: set[str] = set()  # weights whose results reach another weight
        self.calls: list[Label] = []
        self.functions: dict[str, set[str]] = {}  # by learned scale: what it passes through

    @property
    def matrix_products(self) -> list[Product]:
        """The products of two activations that are written as such."""
        return [product for product in self.products if not product.is_elementwise]

    @property
    def shares_table(self) -> bool:
        """Whether a table is an embedding and a readout: it is looked up and multiplied with."""
        looked_up, multiplied = (
            {name for name, use, _ in self.calls if use == kind} for kind in ("lookup", "product")
        )
        return bool(looked_up & multiplied)

    def record_contraction(self, weight: Image, dim: int, *, batched: bool = False) -> None:
        """Record a product with a weight that sums over one dimension."""
        for k, labels in enumerate(weight.dims):
            for name, axis in labels:
                use = self.uses[name]
                if k == dim % len(weight.dims):
                    use.contracted.add(axis)
                elif batched and k == 0:
                    use.batch.add(axis)
                else:
                    use.carried.add(axis)
        self.record_other_use(weight)

    def record_lookup(self, table: Image) -> None:
        """Record the lookup of rows."""
        for k, labels in enumerate(table.dims):
            for name, axis in labels:
                use = self.uses[name]
                (use.rows if k else use.looked_up).add(axis)
        self.record_other_use(table)

    def record_application(self, *images: Image) -> None:
        """Record weights that run along an activation's axes; activations are ignored."""
        for image in images:
            if image.is_weight:
                for name, axis in (label for dim in image.dims for label in dim):
                    self.uses[name].applied.add(axis)

    def record_unknown(self, operation: str, *images: Image) -> None:
        """Record an operation that is not understood."""
        for name in (name for image in images for name in image.names):
            self.uses[name].unknown = operation

    def record_other_use(self, *images: Image) -> None:
        """Record that a tensor has another use than a product with a weight."""
        for k in (k for image in images for k in image.scalars):
            self.scalars[k].other_uses += 1

    def record_norm(self, image: Image, result: torch.Tensor) -> None:
        """Record that an activation is divided by the size of an activation."""
        self.layers.record_norm(image.path)
        for scalar in (self.scalars[k] for k in image.scalars):
            scalar.normed_uses += 1
            scalar.rms = rms_of(result) / abs(scalar.value)

    def record_call(self, names: Iterable[str], kind: str) -> frozenset[Label]:
        """Record one use of parameters, and return its labels."""
        labels = [(name, kind, len(self.calls)) for name in sorted(names)]
        self.calls += labels
        return frozenset(labels)

    def record_consumer(self, image: Image, call: frozenset[Label]) -> None:
        """Record that an activation is multiplied with a weight."""
        self.inside |= image.last
        self.layers.claim(image.path)
        for k in image.scalars:
            self.scalars[k].consumers |= call

    def record_scalar(
        self,
        image: Image,
        value: float,
        result: torch.Tensor,
        scales: frozenset[str] = frozenset(),
    ) -> Image:
        """Record a scalar multiplier; return the image that includes it."""
        if value == 0:
            return image
        if image.product is not None:
            self.products[image.product].scale *= value
            return image
        if image.dot is not None:
            self.products[image.dot].scale *= value
        every_call = frozenset((name, "product", ALL_CALLS) for name in image.names)
        origin = every_call if image.is_weight else image.origin
        rms = rms_of(result) / abs(value)
        self.scalars.append(Scalar(value, origin, rms, image.is_statistic, scales=scales))
        return replace(image, scalars=(*image.scalars, len(self.scalars) - 1))

    def record_gain(
        self, gain: Image, value: float, source: Image, image: Image, result: torch.Tensor
    ) -> Image:
        """Record a learned scale with a growing axis; return the image that includes it."""
        if not value or source.product is not None:
            return image
        scalar = Scalar(value, source.origin, rms_of(result) / abs(value), source.is_statistic)
        self.scalars.append(replace(scalar, scales=gain.names, is_gain=True))
        return replace(image, scalars=(len(self.scalars) - 1,))

    def record_product(
        self, tensors: Sequence[torch.Tensor], images: Sequence[Image], product: Product
    ) -> int:
        """Record a matrix product of two activations; return its number."""
        self.record_other_use(*images)
        for image in images:
            self.layers.claim(image.path)
        for tensor, image in zip(tensors, images, strict=True):
            if image.product is None and (image.is_normed or not image.origin):
                multiplier = math.prod(abs(self.scalars[k].value) for k in image.scalars)
                product.factor_rms *= rms_of(tensor) / multiplier
        product.scalars = tuple(k for image in images for k in image.scalars)
        product.query, product.key = (image.origin for image in images)
        self.products.append(product)
        return len(self.products) - 1

    def record_dot(self, width: int, result: torch.Tensor) -> int:
        """Record the sum over an elementwise product of two activations; return its number."""
        self.products.append(Product(width, 1.0, rms_of(result), is_elementwise=True))
        return len(self.products) - 1

    def measure_logits(self, image: Image, logits: torch.Tensor) -> None:
        """Measure logits just before their softmax, without those that are masked."""
        number = image.dot if image.product is None else image.product
        if number is not None and not self.products[number].is_logits:
            logits = logits.detach()
            self.products[number].measured = rms_of(logits[logits.isfinite() & (logits > MASKED)])
            self.products[number].is_logits = True


def rms_of(tensor: torch.Tensor) -> float:
    """Return the root mean square of a tensor's entries.

    Example:
        >>> rms_of(torch.tensor([3.0, -3.0, 3.0, -3.0]))
        3.0
    """
    flat = tensor.detach().to_dense().float()
    return float(torch.linalg.vector_norm(flat)) / math.sqrt(max(flat.numel(), 1))
