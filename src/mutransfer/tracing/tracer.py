"""The tracer of a forward pass, a torch dispatch mode that follows parameters by identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mutransfer.tracing.flow import (
    STATISTICS,
    SUMS,
    elementwise,
    joined,
    mixed,
    number,
    reduced,
    reduced_dims,
)
from mutransfer.tracing.images import NO_AXES, Dims, Image, is_elementwise, moved
from mutransfer.tracing.ledger import Ledger

# Which dimensions a product sums over: (argument, dimension) twice, and whether the first
# dimension of both numbers products. Linear layers, matmul and einsum come down to these.
PRODUCTS: dict[str, tuple[tuple[int, int], tuple[int, int], bool]] = {
    "mm": ((0, 1), (1, 0), False),
    "addmm": ((1, 1), (2, 0), False),
    "bmm": ((0, 2), (1, 1), True),
    "baddbmm": ((1, 2), (2, 1), True),
    "mv": ((0, 1), (1, 0), False),
    "addmv": ((1, 1), (2, 0), False),
    "dot": ((0, 0), (1, 0), False),
}
# fmt: off
VIEWS = frozenset((
    "view", "_unsafe_view", "_reshape_alias", "alias", "t", "transpose", "permute", "expand",
    "unsqueeze", "squeeze", "slice", "select", "split", "split_with_sizes", "unbind", "clone",
    "_to_copy", "detach", "diagonal", "repeat", "roll", "flip", "index", "index_select",
    "lift_fresh", "unfold",
))
# fmt: on
WRITES = frozenset(("copy", "index_put", "slice_scatter", "select_scatter", "scatter"))


class Watcher(TorchDispatchMode):
    """Follow parameters through a forward pass, by identity.

    Args:
        parameters: By name.
        growing: The axes of each that grow with width.
        raw: Names of those whose owner is no layer that we know.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.Tensor],
        growing: Mapping[str, frozenset[int]],
        raw: frozenset[str],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's own
        self.ledger = Ledger(parameters)
        self._raw = raw
        # Keeping tensors alive keeps their identities from being reused.
        self._images: dict[int, tuple[Image, torch.Tensor]] = {}
        for name, tensor in parameters.items():
            labels = [{(name, k)} if k in growing[name] else set() for k in range(tensor.dim())]
            self._keep(tensor, Image(tuple(map(frozenset, labels)), names=frozenset({name})))

    def enter(self, inputs: Iterable[torch.Tensor]) -> None:
        """Take note of the model's inputs: what is made of them is an activation."""
        for tensor in inputs:
            self._keep(tensor, Image(NO_AXES * tensor.dim()))

    def image(self, tensor: object) -> Image | None:
        """Give what is known of a tensor; None for a constant."""
        found = self._images.get(id(tensor))
        return None if found is None else found[0]

    def _keep(self, tensor: torch.Tensor, image: Image) -> None:
        self._images[id(tensor)] = (image, tensor)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own operation
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operation gives
        kwargs = dict(kwargs or {})
        # Read before: what is written in place is known by what it was.
        known = [(t, self.image(t)) for t in tensors_of((args, kwargs))]
        given = func(*args, **kwargs)
        if any(image is not None for _, image in known):
            results = tensors_of((given,))
            for tensor, image in self._step(func, args, kwargs, known, results):
                self._keep(tensor, image)
        return given

    def _step(
        self,
        func: Any,  # noqa: ANN401 - torch's own operation
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        known: list[tuple[torch.Tensor, Image | None]],
        results: list[torch.Tensor],
    ) -> Iterable[tuple[torch.Tensor, Image]]:
        """Say what one operation's results are made of."""
        name = func._schema.name.split("::")[1].rstrip("_")
        images = [image for _, image in known if image is not None]
        first = known[0][1]
        if name in PRODUCTS:
            return [(results[0], self._product(name, args, kwargs, results[0]))]
        if name == "convolution" and self._is_weight(args[1]):
            return [(results[0], self._convolution(args, results[0]))]
        if name in ("embedding", "_embedding_bag", "index") and self._looks_up(name, args):
            assert first is not None
            self.ledger.looked_up(first)
            return [(results[0], self._behind(first, [], results[0], "lookup"))]
        if name.startswith("_scaled_dot_product"):
            self._attention(args, kwargs)
            self.ledger.applied(*images)
        elif name in SUMS | STATISTICS and first is not None:
            over = reduced_dims(name, args[0], args, kwargs)
            make = [reduced(self.ledger, name, args[0], first, over, one) for one in results]
            return zip(results, make, strict=True)
        elif name in ("cat", "stack"):
            dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
            return [(results[0], joined(self.ledger, name, known, dim, results[0]))]
        elif name in VIEWS and first is not None:
            dims = [moved(func, args, kwargs, first.dims, k, r) for k, r in enumerate(results)]
            return [(r, replace(first, dims=d)) for r, d in zip(results, dims, strict=True)]
        elif name in WRITES:
            self.ledger.applied(*images)
        elif results and is_elementwise([tensor for tensor, _ in known], results[0]):
            image = elementwise(self.ledger, name, known, self._raw, results[0])
            factor = number(name, args, self._images)
            if factor is not None:
                image = self.ledger.scaled(image, factor, results[0])
            return [(results[0], image)]
        elif any(image.pure for image in images):
            self._of_a_layer(name, images)
        return [(one, mixed(self.ledger, _active(images), one)) for one in results]

    def _of_a_layer(self, name: str, images: list[Image]) -> None:
        """Enter an operation that is a whole layer: a norm, or one that we do not know."""
        if "_norm" in name:
            self.ledger.applied(*images)
        else:
            self.ledger.unknown(name, *images)

    # --- products ---

    def _product(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: torch.Tensor
    ) -> Image:
        """Contract two tensors; the first argument of three is added."""
        (i, k), (j, m), batched = PRODUCTS[name]
        sides = [(self.image(args[i]), k), (self.image(args[j]), m)]
        added = self.image(args[0]) if i == 1 else None
        if added is not None:
            self.ledger.applied(added)
            self.ledger.elsewhere(added)
        found = [image for image, _ in sides if image is not None]
        weight, dim = self._weight_of(sides)
        if weight is None:
            image = self._of_no_weight([args[i], args[j]], sides, batched, given)
        else:
            others = [image for image in found if image is not weight]
            self.ledger.contracted(weight, dim, batched=batched)
            self.ledger.applied(*others)
            image = self._behind(weight, others, given, "product")
            if added is not None and added.pure:
                bias = self.ledger.called(added.names, "applied")
                image = replace(image, origin=image.origin | bias)
        alpha = kwargs.get("alpha")
        return image if alpha is None else self.ledger.scaled(image, float(alpha), given)

    def _weight_of(self, sides: list[tuple[Image | None, int]]) -> tuple[Image | None, int]:
        """Tell which side is the layer's weight.

        A raw parameter that a layer is applied to, as learned queries are, is an activation.
        """
        pure = [(image, dim) for image, dim in sides if image is not None and image.pure]
        if len(pure) == 1 and all(image is not None for image, _ in sides):
            return pure[0]
        if len(pure) == 2:
            layers = [(image, dim) for image, dim in pure if not image.names & self._raw]
            if len(layers) == 1:
                return layers[0]
        return None, 0

    def _of_no_weight(
        self,
        tensors: list[torch.Tensor],
        sides: list[tuple[Image | None, int]],
        batched: bool,
        given: torch.Tensor,
    ) -> Image:
        """Contract two activations, two weights, as LoRA's, or a constant with one of these."""
        found = [image for image, _ in sides if image is not None]
        if any(image.pure for image in found):
            dims: Dims = ()
            for k, ((image, dim), tensor) in enumerate(zip(sides, tensors, strict=True)):
                own = NO_AXES * tensor.dim() if image is None else image.dims
                if own[dim]:
                    self.ledger.unknown("a product of parameters", *found)
                skipped = (dim, 0) if batched and k else (dim,)
                dims += tuple(one for d, one in enumerate(own) if d not in skipped)
            names = frozenset(name for image in found for name in image.names)
            return Image(dims, names=names)
        last = frozenset(name for one in found for name in one.last)
        image = Image(NO_AXES * given.dim(), last=last)
        if len(found) == 1:  # a constant mixes entries: a linear step
            return replace(image, origin=found[0].origin, scalars=found[0].scalars)
        width = tensors[0].shape[sides[0][1]]
        return replace(image, product=self.ledger.multiplied(tensors, found, width, 1.0))

    def _behind(self, weight: Image, others: list[Image], given: torch.Tensor, kind: str) -> Image:
        """Give the image of a weight's product with an activation."""
        call = self.ledger.called(weight.names, kind)
        for other in others:
            self.ledger.consumed(other, call)
        return Image(NO_AXES * given.dim(), origin=call, last=weight.names)

    def _convolution(self, args: tuple[Any, ...], given: torch.Tensor) -> Image:
        """Convolve: the channels that come in are contracted."""
        weight, bias, other = (self.image(args[k]) for k in (1, 2, 0))
        transposed, groups = args[6], args[8]
        assert weight is not None
        if transposed and groups > 1:
            # Fan-in depends on how groups grow: the layer knows.
            self.ledger.unknown("a grouped transposed convolution", weight)
        else:
            self.ledger.contracted(weight, 0 if transposed else 1)
        if bias is not None:
            self.ledger.applied(bias)
        return self._behind(weight, [] if other is None else [other], given, "product")

    def _looks_up(self, name: str, args: tuple[Any, ...]) -> bool:
        """Tell a table's lookup, table[tokens], from a slice or a choice of experts."""
        if not self._is_weight(args[0]):
            return False
        if name != "index":
            return True
        indices = [one for one in args[1] if one is not None]
        return args[0].dim() == 2 and any(self.image(one) is not None for one in indices)

    def _attention(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Read the scale of torch's own attention."""
        images = [self.image(args[k]) or Image(()) for k in (0, 1)]
        width, scale = args[0].shape[-1], kwargs.get("scale")
        own = width**-0.5 if scale is None else float(scale)
        self.ledger.multiplied(args[:2], images, width, own)

    def _is_weight(self, tensor: object) -> bool:
        image = self.image(tensor)
        return image is not None and image.pure


def tensors_of(values: object, depth: int = 6) -> list[torch.Tensor]:
    """Find the tensors in nested lists, tuples, dicts and objects, in their order.

    Example:
        >>> len(tensors_of(([torch.zeros(1)], {"x": torch.zeros(2), "y": 3})))
        2
    """
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = list(values.values())
    elif hasattr(values, "__dict__") and not isinstance(values, type | torch.nn.Module):
        values = list(vars(values).values())  # a dataclass, a namespace, a distribution
    if isinstance(values, list | tuple) and depth:
        return [tensor for one in values for tensor in tensors_of(one, depth - 1)]
    return []


def _active(images: list[Image]) -> list[Image]:
    """Leave out parameters, unless there is nothing else."""
    return [one for one in images if not one.pure] or images
