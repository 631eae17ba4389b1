"""Multipliers, attention logits and shared tables, observed in the first forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

ROWS = 64  # queries of a head that its logits are estimated from [assumed]
MASKED = -1e4  # logits at or below it stand for minus infinity
MOST = 256  # products that are kept apart: a recurrence may have thousands
CONTRACTIONS = ("matmul", "__matmul__", "bmm", "baddbmm", "einsum")
MULTIPLIES = ("mul", "mul_", "multiply", "__mul__", "__rmul__")
DIVIDES = ("div", "div_", "divide", "true_divide", "__truediv__")
# What leaves entries as they are, or takes some of them.
NORMS = ("layer_norm", "rms_norm", "group_norm", "batch_norm", "instance_norm", "normalize")
LOOKS = (
    "view", "reshape", "flatten", "unflatten", "transpose", "permute", "squeeze", "unsqueeze",
    "contiguous", "clone", "float", "half", "bfloat16", "double", "to", "type_as", "__getitem__",
    "__get__", "expand", "t", "swapaxes", "movedim", "dropout",
)  # fmt: skip
_SDPA = ("query", "key", "scale")


@dataclass(frozen=True, slots=True)
class Trail:
    """How a tensor came about: from a layer or a product, by numbers only.

    Args:
        tensor: The tensor; kept, so that nothing else gets its address.
        by: What was multiplied on the way.
        layer: The module that gave it, or None; the model itself is ''.
        product: The product of two activations that it is, or -1.
        keeps: Whether what multiplies it is that layer's, and not the next one's.
    """

    tensor: torch.Tensor
    by: float
    layer: str | None = None
    product: int = -1
    keeps: bool = False


@dataclass(slots=True)
class Product:
    """A product of two activations.

    Args:
        size: Entries that it sums over.
        root: Root mean square of its entries.
        by: What it was multiplied by behind.
        logits: Whether a softmax followed.
    """

    size: int
    root: float
    by: float = 1.0
    logits: bool = False


class Follower(TorchFunctionMode):
    """Follow a forward pass, and the loss, by torch's functions.

    A number that multiplies a layer's input belongs to that layer, else one that multiplies a
    layer's output to this; a layer then acts as A·W·x, wherever its author wrote A. Attention
    logits are what a softmax takes, if the last product of two activations has as many entries:
    a readout or a router multiplies activations with a parameter.
    """

    def __init__(self) -> None:
        super().__init__()
        self._trails: dict[int, Trail] = {}
        self._weights: dict[int, tuple[torch.Tensor, int]] = {}  # made of one parameter only
        self._entered: dict[str, torch.Tensor] = {}  # inputs of layers that are running
        self._handed_on: dict[str, tuple[str, float]] = {}  # by module: whose output, times what
        self._before: dict[str, float] = {}
        self._behind: dict[str, float] = {}
        self.normed: dict[str, float] = {}  # by layer: multipliers that a norm follows
        self._pairs: dict[int, torch.Tensor] = {}  # elementwise products of two activations
        self._latest: dict[int, int] = {}  # entries of a product -> the product
        self.products: list[Product] = []
        self._looked_up: set[int] = set()  # identities of parameters that rows were taken from
        self._contracted: set[int] = set()  # ... and that something was summed with

    # --- what the probes ask and tell ---

    def enters(self, layer: str, given: torch.Tensor, *, norm: bool) -> None:
        """Take note that a layer takes a tensor: what multiplied it is the layer's.

        A norm undoes it, but what goes around the norm may need it: it is nobody's for sure.
        """
        self._entered[layer] = given
        trail = self._trails.get(id(given))
        if trail is None or trail.by == 1.0:
            return
        if norm:
            self._normed(trail)
        if norm or trail.keeps:
            return
        self._before[layer] = trail.by
        self._taken(trail)

    def leaves(self, layer: str, given: torch.Tensor, *, keeps: bool) -> None:
        """Take note that a layer gives a tensor; a module that hands it on is no origin."""
        self._entered.pop(layer, None)
        trail = self._trails.get(id(given), Trail(given, 1.0))
        if trail.layer is None:
            trail = Trail(given, 1.0, layer, trail.product, keeps)
            self._trails[id(given)] = trail
        self._handed_on[layer] = trail.layer or "", trail.by

    def forget(self) -> None:
        """Let the tensors go; what was found stays."""
        for kept in (self._trails, self._weights, self._entered, self._pairs):
            kept.clear()

    @property
    def shares(self) -> bool:
        """Whether rows are taken from a table that something is multiplied with, too."""
        return bool(self._looked_up & self._contracted)

    def behind(self, module: str) -> float:
        """Give what multiplies a module's output; it may hand on what a layer gave."""
        layer, so_far = self._handed_on.get(module, (module, 1.0))
        return self._behind.get(layer, 1.0) / so_far

    def multiplier(self, layer: str) -> float:
        """Give what multiplies a layer, before or behind."""
        return self._before.get(layer, 1.0) * self._behind.get(layer, 1.0)

    # --- what torch tells ---

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            self._torchs_own(*args[:2], **{k: v for k, v in kwargs.items() if k in _SDPA})
        elif name == "multi_head_attention_forward":
            self._torchs_module(*args[:7])
        elif name in ("softmax", "exp") and args and isinstance(args[0], torch.Tensor):
            self._softmax(args[0])
        elif name in NORMS and args and (trail := self._trails.get(id(args[0]))):
            self._normed(trail)
        given = func(*args, **kwargs)
        if isinstance(given, torch.Tensor):
            self._given(name, given, args, kwargs)
        return given

    def _given(
        self, name: str, given: torch.Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Take note of what a function gave."""
        tensors = list(_tensors(args))
        if tensors and all(self._is_weight(one) for one in tensors):
            self._weights[id(given)] = given, self._parameter(tensors[0])
        elif name in CONTRACTIONS or name == "linear":
            self._contracted |= {self._parameter(one) for one in tensors if self._is_weight(one)}
            self._lend(one for one in tensors if not self._is_weight(one))
            if name != "linear" and (size := self._contraction(name, args)):
                self._product(given, size)
        elif name == "embedding" or (name == "__getitem__" and len(tensors) > 1):
            self._looked_up |= {self._parameter(one) for one in tensors if self._is_weight(one)}
        elif name in (*MULTIPLIES, *DIVIDES):
            self._multiplied(name, given, args)
        elif name in LOOKS and tensors and (trail := self._trails.get(id(tensors[0]))):
            self._follow(replace(trail, tensor=given))
        elif name == "sum" and tensors and id(tensors[0]) in self._pairs:
            self._product(given, tensors[0].numel() // max(given.numel(), 1))

    def _multiplied(self, name: str, given: torch.Tensor, args: tuple[Any, ...]) -> None:
        """Follow what is multiplied by a number; remember a product of two activations."""
        if len(args) < 2:
            return
        numbers = [_number(one) for one in args[:2]]
        if numbers[0] is None and numbers[1] is None:
            both = [one for one in args[:2] if isinstance(one, torch.Tensor)]
            alike = len(both) == 2 and both[0].shape == both[1].shape and both[0] is not both[1]
            if alike and name in MULTIPLIES and not any(self._is_weight(one) for one in both):
                self._pairs[id(given)] = given
            return
        which = 0 if numbers[1] is not None else 1
        factor, source = numbers[1 - which], args[which]
        if not isinstance(source, torch.Tensor) or not factor or self._is_weight(source):
            return
        if any(source is one for one in self._entered.values()):
            return  # a hook on the layer's input: it is measured with the layer
        if name in DIVIDES:
            if which == 1:  # a number over a tensor
                return
            factor = 1 / factor
        trail = self._trails.get(id(source), Trail(source, 1.0))
        self._follow(replace(trail, tensor=given, by=trail.by * factor))

    def _follow(self, trail: Trail) -> None:
        """Remember how a tensor came about."""
        self._trails[id(trail.tensor)] = trail
        if trail.layer is not None:
            self._behind[trail.layer] = trail.by
        if trail.product >= 0:
            self.products[trail.product].by = trail.by

    def _normed(self, trail: Trail) -> None:
        """Take note that a norm follows a multiplier."""
        if trail.layer is not None and self._behind.get(trail.layer, 1.0) != 1.0:
            self.normed[trail.layer] = self._taken(trail)

    def _taken(self, trail: Trail) -> float:
        """Give away what multiplies a layer's output: it is another's."""
        return 1.0 if trail.layer is None else self._behind.pop(trail.layer, 1.0)

    def _lend(self, factors: Iterable[torch.Tensor]) -> None:
        """Give what multiplies a factor to the product: queries are scaled for their logits."""
        for one in factors:
            trail = self._trails.get(id(one))
            if trail is not None and not trail.keeps:
                self._taken(trail)

    def _product(self, given: torch.Tensor, size: int) -> None:
        """Remember a product of two activations."""
        if len(self.products) < MOST:
            self._latest[given.numel()] = len(self.products)
            self._trails[id(given)] = Trail(given, 1.0, product=len(self.products))
            self.products.append(Product(size, _root(given)))

    def _softmax(self, given: torch.Tensor) -> None:
        """Measure logits as they are, with all that was done to them since they were products."""
        number = self._latest.pop(given.numel(), None)
        if number is not None:
            entries = given.detach()
            entries = entries[torch.isfinite(entries) & (entries > MASKED)]
            self.products[number] = Product(self.products[number].size, _root(entries), logits=True)

    def _torchs_own(
        self, query: torch.Tensor, key: torch.Tensor, scale: float | None = None
    ) -> None:
        """Compute some of the logits again: torch keeps none."""
        self._lend((query, key))
        with torch.no_grad():
            q, k = query.detach()[:2, ..., :ROWS, :], key.detach()[:2]
            groups = q.shape[1] // max(k.shape[1], 1) if q.dim() > 3 else 1
            k = k.repeat_interleave(groups, dim=1) if groups > 1 else k
            by = scale if scale is not None else q.shape[-1] ** -0.5
            if len(self.products) < MOST:
                root = _root(q @ k.transpose(-2, -1) * by)
                self.products.append(Product(q.shape[-1], root, logits=True))

    def _torchs_module(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        width: int,
        heads: int,
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
    ) -> None:
        """Compute the logits of `nn.MultiheadAttention` again, whose inside is not seen."""
        if weight is None:
            return  # three weights, of keys of another width
        with torch.no_grad():
            q, k = (
                nn.functional.linear(
                    given.detach()[:ROWS, :2],
                    weight[part * width : (part + 1) * width],
                    None if bias is None else bias[part * width : (part + 1) * width],
                )
                for part, given in enumerate((query, key))
            )
            q, k = (one.reshape(*one.shape[:2], heads, -1) for one in (q, k))
        self._torchs_own(q.permute(1, 2, 0, 3), k.permute(1, 2, 0, 3))

    def _contraction(self, name: str, args: tuple[Any, ...]) -> int:
        """Give the size that a product of two activations sums over; 0 if it is another product."""
        factors = list(_tensors(args))[-2:]
        if len(factors) < 2 or any(self._is_weight(one) for one in factors):
            return 0
        return contracted(name, args, factors)

    def _is_weight(self, tensor: torch.Tensor) -> bool:
        """Tell a parameter, a view of one, or what was made of nothing else."""
        return (
            isinstance(tensor, nn.Parameter)
            or isinstance(tensor._base, nn.Parameter)
            or id(tensor) in self._weights
        )

    def _parameter(self, tensor: torch.Tensor) -> int:
        """Identify the parameter that a weight was made of."""
        if id(tensor) in self._weights:
            return self._weights[id(tensor)][1]
        return id(tensor if isinstance(tensor, nn.Parameter) else tensor._base)


def contracted(name: str, args: tuple[Any, ...], factors: list[torch.Tensor]) -> int:
    """Give the size that a product of two tensors sums over; 0 where it cannot be told.

    Example:
        >>> q = torch.zeros(2, 8, 16)
        >>> contracted("einsum", ("bqd,bkd->bqk", q, q), [q, q])
        16
        >>> contracted("bmm", (q, q.mT), [q, q.mT])
        16
    """
    if name != "einsum":
        return factors[0].shape[-1]
    if not isinstance(args[0], str) or "->" not in args[0]:
        return 0
    given, _, kept = args[0].replace(" ", "").partition("->")
    terms = given.split(",")
    if len(terms) != 2:
        return 0
    # Letters count from the right of an ellipsis.
    sizes = dict(zip(reversed(terms[0]), reversed(factors[0].shape), strict=False))
    both = set(terms[0]) & set(terms[1]) - set(kept) - {"."}
    return math.prod(sizes[letter] for letter in both) if both else 0


def _tensors(args: Iterable[Any]) -> Iterator[torch.Tensor]:
    """Walk over the tensors among arguments, and in lists of them."""
    for one in args:
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(one)


def _number(value: object) -> float | None:
    """Read a number, or a constant tensor without axes; a learned one is none."""
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, torch.Tensor) and value.dim() == 0 and not value.requires_grad:
        return None if isinstance(value, nn.Parameter) else float(value)
    return None


def _root(tensor: torch.Tensor) -> float:
    """Give the root mean square of all entries."""
    flat = tensor.detach().float()
    return float(torch.linalg.vector_norm(flat)) / math.sqrt(max(flat.numel(), 1))
