"""The tracer of a forward pass, a torch dispatch mode that follows parameters by identity.

Below autograd torch keeps the identity of tensors, and all of its functions come down to a few
operations. So one tracer serves plans, which compare forward passes at two widths, and coordinate
checks, which measure the first forward pass of a training run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from mutransfer.tracing.flow import (
    elementwise_image,
    joined_image,
    learned_factor,
    mixed_image,
    reduced_dims,
    reduced_image,
    scalar_factor,
)
from mutransfer.tracing.images import NO_AXES, Dims, Image, Path, is_elementwise, moved_dims
from mutransfer.tracing.ledger import Ledger, Product, rms_of
from mutransfer.tracing.operations import (
    ADDS,
    BIAS,
    JOINS,
    LOOKUPS,
    PRODUCTS,
    RANDOM,
    SCALES,
    SOFTMAXES,
    STATISTICS,
    SUMS,
    VIEWS,
    WRITES,
)

Operand = tuple[torch.Tensor, Image | None]
ROWS = 64  # queries per head, of two samples, that estimate fused attention logits [assumed]


class Tracer(TorchDispatchMode):
    """Follow parameters and activations through a forward pass.

    Args:
        parameters: By name.
        growing: The axes of each parameter that grow with width; others are not followed.
        raw: Names of parameters whose owner is not a known layer.
        scales: Names of parameters whose start is a multiplier that depends on width.
    """

    # Flex attention is one: torch refuses to run it under a mode without this attribute.
    supports_higher_order_operators = True

    def __init__(
        self,
        parameters: Mapping[str, torch.Tensor],
        growing: Mapping[str, frozenset[int]],
        raw: frozenset[str],
        scales: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's own
        self.ledger = Ledger(parameters)
        self._raw, self._scales = raw, scales
        # The tensors are kept alive, so that their ids are not reused.
        self._images: dict[int, tuple[Image, torch.Tensor]] = {}
        self._entered: dict[str, torch.Tensor] = {}  # inputs of the layers that are running
        self._normed: dict[int, str] = {}  # norms by the id of what they are called with
        for name, tensor in parameters.items():
            axes = growing.get(name, frozenset())
            dims = [frozenset({(name, k)} if k in axes else ()) for k in range(tensor.dim())]
            self._keep(tensor, Image(tuple(dims), names=frozenset({name})))

    def image(self, tensor: object) -> Image | None:
        """Return the image of a tensor; None for a constant."""
        entry = self._images.get(id(tensor))
        return None if entry is None else entry[0]

    def add_inputs(self, inputs: Iterable[torch.Tensor]) -> None:
        """Register the inputs of a model: tensors computed from them are activations."""
        for tensor in inputs:
            if self.image(tensor) is None:
                self._keep(tensor, Image(NO_AXES * tensor.dim()))

    def enter(self, layer: str, tensor: torch.Tensor, *, is_norm: bool) -> None:
        """Record that a layer is called with a tensor."""
        self.add_inputs([tensor])
        self._entered[layer] = tensor
        if is_norm:
            self._normed.setdefault(id(tensor), layer)
        self.ledger.layers.enter(layer, self._images[id(tensor)][0].path, is_norm=is_norm)

    def leave(self, layer: str, tensor: torch.Tensor, *, keeps_factor: bool) -> None:
        """Record that a layer returns a tensor."""
        self._entered.pop(layer, None)
        image = self.image(tensor) or Image(NO_AXES * tensor.dim())
        path = self.ledger.layers.leave(layer, image.path, keeps_factor=keeps_factor)
        self._keep(tensor, replace(image, path=path))

    def forget(self) -> None:
        """Release the tensors; the ledger stays."""
        self._images.clear()
        self._entered.clear()
        self._normed.clear()

    def _keep(self, tensor: torch.Tensor, image: Image) -> None:
        """Store the image of a tensor, and the tensor itself."""
        self._images[id(tensor)] = (image, tensor)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own operation
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operation returns
        kwargs = dict(kwargs or {})
        if not isinstance(func, OpOverload):
            return func(*args, **kwargs)
        name = func._schema.name.split("::")[1].rstrip("_")
        # Images are looked up before the call: an operation in place replaces its operand's.
        operands = [(t, self.image(t)) for t in _flat((*args, *kwargs.values()))]
        first = operands[0][1] if operands else None
        if first is not None and name in SOFTMAXES:
            self.ledger.measure_logits(first, operands[0][0])
        if first is not None and "norm" in name:
            self.ledger.layers.record_norm(first.path)
            if name not in STATISTICS:  # a vector's norm is a number
                self._normed.setdefault(id(operands[0][0]), f"norm {len(self._normed)}")
        if name == "add" and len(operands) > 1:
            self._record_streams([tensor for tensor, _ in operands])
        result = func(*args, **kwargs)
        if name in RANDOM:
            self._images.pop(id(result), None)
        elif any(image is not None for _, image in operands):
            for tensor, image in self._step(func, name, args, kwargs, operands, _flat((result,))):
                self._keep(tensor, image)
        return result

    def _step(
        self,
        func: Any,  # noqa: ANN401 - torch's own operation
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        operands: list[Operand],
        results: list[torch.Tensor],
    ) -> Iterable[tuple[torch.Tensor, Image]]:
        """Return the results of one operation with their images."""
        images = [image for _, image in operands if image is not None]
        first = operands[0][1]
        if name in PRODUCTS:
            return [(results[0], self._product(name, args, kwargs, results[0]))]
        if name == "convolution" and self._is_weight(args[1]):
            return [(results[0], self._convolution(args, results[0]))]
        if name in LOOKUPS and self._looks_up(name, args):
            assert first is not None
            self.ledger.record_lookup(first)
            return [(results[0], self._weight_product(first, [], results[0], "lookup"))]
        if name.startswith("_scaled_dot_product"):
            self._attention(args, kwargs)
            self.ledger.record_application(*images)
        elif name in SUMS | STATISTICS and first is not None:
            over = reduced_dims(name, args[0], args, kwargs)
            return [(t, reduced_image(self.ledger, name, args[0], first, over, t)) for t in results]
        elif name in JOINS:
            dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
            return [(results[0], joined_image(self.ledger, name, operands, dim, results[0]))]
        elif name in VIEWS and first is not None:
            # A scalar behind one part of a split does not multiply the layer's whole output.
            path = first.path if len(results) == 1 else Path()
            dims = [moved_dims(func, args, kwargs, first.dims, k, t) for k, t in enumerate(results)]
            views = [replace(first, dims=own, path=path) for own in dims]
            return zip(results, views, strict=True)
        elif name in WRITES:
            self.ledger.record_application(*images)
        elif results and is_elementwise([tensor for tensor, _ in operands], results[0]):
            return [(results[0], self._elementwise(name, args, operands, results[0]))]
        elif any(image.is_weight for image in images):
            # A whole layer in one operation: a norm, or one that is not understood.
            if "_norm" in name:
                self.ledger.record_application(*images)
            else:
                self.ledger.record_unknown(name, *images)
        active = [image for image in images if not image.is_weight] or images
        return [(tensor, mixed_image(self.ledger, active, tensor)) for tensor in results]

    def _record_streams(self, summands: list[torch.Tensor]) -> None:
        """Measure a residual stream: what a norm reads, and a sum around the norm reads as well."""
        for tensor in summands:
            if norm := self._normed.get(id(tensor)):
                self.ledger.streams.setdefault(norm, rms_of(tensor))

    def _elementwise(
        self, name: str, args: tuple[Any, ...], operands: list[Operand], result: torch.Tensor
    ) -> Image:
        """Return the image of an elementwise operation, and record a scalar multiplier."""
        image = elementwise_image(self.ledger, name, operands, self._raw, result)
        if self._scales and name not in SCALES:
            self._record_functions(name, [own for _, own in operands if own is not None])
        learned = learned_factor(name, args, self._images, self._scales)
        if learned is None:
            factor, path = scalar_factor(name, args, self._images), image.path
            source = next(tensor for tensor, own in operands if own is not None)
        else:
            factor, scale, source = learned
            other = self._images[id(source)][0]
            if any(scale.dims) and not other.is_weight:
                return self.ledger.record_gain(scale, factor, other, image, result)
            image, path = replace(image, path=Path()), other.path
        if not factor:
            return image
        # A hook on a layer's input is excluded: it is measured with the layer.
        is_hook = any(source is tensor for tensor in self._entered.values())
        # Behind a norm the size counts: √d undoes x/‖x‖ and is no multiplier, 1/√d of x/RMS(x) is.
        multiplier = rms_of(result) if path.is_normed else factor
        path = Path() if is_hook else self.ledger.layers.scale(path, multiplier)
        names = frozenset() if learned is None else scale.names
        image = self.ledger.record_scalar(image, factor, result, names)
        return replace(image, path=path)

    def _record_functions(self, name: str, images: list[Image]) -> None:
        """Record what learned scales pass through before they multiply anything."""
        if name in ADDS and not all(image.is_weight for image in images):
            name = BIAS
        for scale in (n for image in images if image.names <= self._scales for n in image.names):
            self.ledger.functions.setdefault(scale, set()).add(name)

    # --- products ---

    def _product(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: torch.Tensor
    ) -> Image:
        """Return the image of a matrix product; the first argument of three is added."""
        (i, k), (j, m), batched = PRODUCTS[name]
        sides = [(self.image(args[i]), k), (self.image(args[j]), m)]
        added = self.image(args[0]) if i == 1 else None
        if added is not None:
            self.ledger.record_application(added)
            self.ledger.record_other_use(added)
        weight, dim = self._weight_of(sides)
        if weight is None:
            image = self._product_without_weight([args[i], args[j]], sides, batched, result)
        else:
            others = [image for image, _ in sides if image is not None and image is not weight]
            self.ledger.record_contraction(weight, dim, batched=batched)
            self.ledger.record_application(*others)
            image = self._weight_product(weight, others, result, "product")
            if added is not None and added.is_weight:
                bias = self.ledger.record_call(added.names, "applied")
                image = replace(image, origin=image.origin | bias)
        alpha = kwargs.get("alpha")
        return image if alpha is None else self.ledger.record_scalar(image, float(alpha), result)

    def _weight_of(self, sides: list[tuple[Image | None, int]]) -> tuple[Image | None, int]:
        """Return the side that is the layer's weight, or None."""
        weights = [(image, dim) for image, dim in sides if image is not None and image.is_weight]
        if len(weights) == 1 and all(image is not None for image, _ in sides):
            return weights[0]
        if len(weights) == 2:  # a raw parameter as a layer's input, such as learned queries
            layers = [(image, dim) for image, dim in weights if not image.names & self._raw]
            if len(layers) == 1:
                return layers[0]
        return None, 0

    def _product_without_weight(
        self,
        tensors: list[torch.Tensor],
        sides: list[tuple[Image | None, int]],
        batched: bool,
        result: torch.Tensor,
    ) -> Image:
        """Return the image of a product of activations, of weights (LoRA), or with a constant."""
        images = [image for image, _ in sides if image is not None]
        if any(image.is_weight for image in images):
            dims: Dims = ()
            for k, ((image, dim), tensor) in enumerate(zip(sides, tensors, strict=True)):
                own = NO_AXES * tensor.dim() if image is None else image.dims
                if own[dim]:
                    self.ledger.record_unknown("a product of parameters", *images)
                skipped = (dim, 0) if batched and k else (dim,)
                dims += tuple(labels for d, labels in enumerate(own) if d not in skipped)
            return Image(dims, names=frozenset(name for image in images for name in image.names))
        last = frozenset(name for image in images for name in image.last)
        product = Image(NO_AXES * result.dim(), last=last)
        if len(images) < 2:  # a constant matrix mixes entries: a linear step
            for image in images:
                product = replace(product, origin=image.origin, scalars=image.scalars)
            return product
        record = Product(tensors[0].shape[sides[0][1]], 1.0, rms_of(result))
        return replace(product, product=self.ledger.record_product(tensors, images, record))

    def _weight_product(
        self, weight: Image, others: list[Image], result: torch.Tensor, kind: str
    ) -> Image:
        """Return the image of a weight's product with an activation."""
        call = self.ledger.record_call(weight.names, kind)
        for other in others:
            self.ledger.record_consumer(other, call)
        return Image(NO_AXES * result.dim(), origin=call, last=weight.names)

    def _convolution(self, args: tuple[Any, ...], result: torch.Tensor) -> Image:
        """Return the image of a convolution, which contracts the input channels."""
        weight, bias, other = (self.image(args[k]) for k in (1, 2, 0))
        is_transposed, groups = args[6], args[8]
        assert weight is not None
        if is_transposed and groups > 1:
            # Its fan-in depends on how the number of groups grows, which only the layer knows.
            self.ledger.record_unknown("a grouped transposed convolution", weight)
        else:
            self.ledger.record_contraction(weight, 0 if is_transposed else 1)
        if bias is not None:
            self.ledger.record_application(bias)
        return self._weight_product(weight, [] if other is None else [other], result, "product")

    def _looks_up(self, name: str, args: tuple[Any, ...]) -> bool:
        """Return whether rows of a table are looked up; slices and choices of experts are not."""
        if not self._is_weight(args[0]):
            return False
        if name != "index":
            return True
        by_input = any(self.image(index) is not None for index in args[1] if index is not None)
        return args[0].dim() == 2 and by_input

    def _attention(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Record a fused attention; logits are recomputed for a sample, as torch returns none."""
        query, key, scale = args[0], args[1], kwargs.get("scale")
        scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
        few, keys = query.detach()[:2, ..., :ROWS, :], key.detach()[:2]
        groups = few.shape[1] // max(keys.shape[1], 1) if few.dim() > 3 else 1
        keys = keys.repeat_interleave(groups, dim=1) if groups > 1 else keys
        logits = rms_of(few @ keys.transpose(-2, -1) * scale)
        images = [self.image(tensor) or Image(()) for tensor in (query, key)]
        record = Product(query.shape[-1], scale, logits, is_logits=True)
        self.ledger.record_product(args[:2], images, record)

    def _is_weight(self, tensor: object) -> bool:
        """Return whether a tensor is made of parameters alone."""
        image = self.image(tensor)
        return image is not None and image.is_weight


def tensors_of(values: object, depth: int = 6) -> list[torch.Tensor]:
    """Return the tensors in nested lists, tuples, dicts and objects, in their order.

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
        return [tensor for value in values for tensor in tensors_of(value, depth - 1)]
    return []


def _flat(values: Iterable[object]) -> list[torch.Tensor]:
    """Return the tensors among the arguments or results of an operation, and in lists of them."""
    tensors = []
    for value in values:
        if isinstance(value, torch.Tensor):
            tensors.append(value)
        elif isinstance(value, list | tuple):
            tensors += [element for element in value if isinstance(element, torch.Tensor)]
    return tensors
