"""This file is watching a forward pass: what raw vectors and embeddings' tables are used for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from mutransfer.errors import ModelError
from mutransfer.rules.plan import unwrapped

POINTWISE = {"mul", "add", "sub", "rsub", "div", "true_divide", "pow", "where", "maximum"}
POINTWISE |= {"minimum", "lerp", "addcmul", "prelu", "rms_norm", "layer_norm", "batch_norm"}
POINTWISE |= {"group_norm", "instance_norm"}
REDUCING = {"sum", "mean", "norm", "logsumexp"}
PRODUCTS = {"linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "mv", "dot"}


class _Watcher(TorchFunctionMode):
    """Follow some parameters through a forward pass, by identity."""

    def __init__(self, watched: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.sizes = {name: parameter.numel() for name, parameter in watched.items()}
        # Keeping tensors alive keeps their identities from being reused.
        self.images: dict[int, tuple[str, object]] = {id(p): (n, p) for n, p in watched.items()}
        self.products: dict[int, tuple[set[str], object]] = {}
        self.broadcast: set[str] = set()
        self.other: set[str] = set()
        self.in_products: set[int] = set()  # identities of tensors that stand in a product

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        kwargs = dict(kwargs or {})
        result = func(*args, **kwargs)
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)]
        names = {self.images[id(t)][0] for t in tensors if id(t) in self.images}
        name = getattr(func, "__name__", "").strip("_").removesuffix("_")
        alone = all(id(t) in self.images or t.numel() == 1 for t in tensors)
        if names and name not in ("get", "set") and isinstance(result, torch.Tensor):
            if alone and result.numel() == max(t.numel() for t in tensors) and len(names) == 1:
                self.images[id(result)] = (names.pop(), result)  # a view, a cast, 1 + w
            elif name in POINTWISE or name.removeprefix("i") in POINTWISE:
                self.broadcast |= names
                self.products[id(result)] = (names, result)
            else:
                self.other |= names
        if name in PRODUCTS:
            self.in_products |= {id(t if t._base is None else t._base) for t in tensors}
        if name in REDUCING:
            # (x * w).sum(-1) is a dot product in two steps, unless w's own axis survives.
            for tensor in tensors:
                for product in self.products.get(id(tensor), (set[str](), None))[0]:
                    if self.sizes[product] not in result.shape:
                        self.other.add(product)
        return result


@dataclass(frozen=True, slots=True)
class Seen:
    """What a forward pass showed.

    Args:
        elementwise: Vectors that it applied elementwise, and nothing else.
        readouts: Embeddings' tables that it multiplied with.
    """

    elementwise: frozenset[str] = frozenset()
    readouts: frozenset[str] = frozenset()


def watched(model: nn.Module, example_inputs: object) -> Seen:
    """Watch one forward pass.

    Args:
        model: A real model, at the base width.
        example_inputs: What it is called with: a tensor, a tuple, or a dict of keywords.

    Raises:
        ModelError: The forward pass failed.
    """
    vectors = {unwrapped(n): p for n, p in model.named_parameters() if p.dim() == 1}
    watcher = _Watcher(vectors)
    keywords = example_inputs if isinstance(example_inputs, Mapping) else {}
    positional = example_inputs if isinstance(example_inputs, tuple | list) else (example_inputs,)
    try:
        with torch.no_grad(), watcher:
            model(**keywords) if keywords else model(*positional)
    except Exception as problem:
        raise ModelError(
            f"the forward pass at the base width raised {type(problem).__name__}: {problem}",
            why="example_inputs= shows how raw parameters are used",
            fix="pass what build(base) is called with: a tensor, a tuple, or a dict of keywords",
        ) from problem
    tables = {
        f"{unwrapped(name)}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and id(module.weight) in watcher.in_products
    }
    return Seen(frozenset(watcher.broadcast - watcher.other), frozenset(tables))
