"""This file is the probe of attention: its logits where torch computes them, and the head width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

ROWS = 64  # queries of a head that its logits are estimated from [assumed]
MASKED = -1e4  # logits at or below it stand for minus infinity
CONTRACTIONS = ("matmul", "__matmul__", "bmm", "baddbmm", "einsum")


class AttentionProbe(TorchFunctionMode):
    """Measure attention logits: of torch's own attention, or before a softmax.

    A softmax is one of attention if the last product of two activations has as many entries as
    it: a readout or a router multiplies activations with a parameter.

    Args:
        add: Takes a quantity, a name and a tensor.
    """

    def __init__(self, add: Callable[[str, str, torch.Tensor], None]) -> None:
        super().__init__()
        self._add = add
        self._calls = 0
        self._contracted: dict[int, int] = {}  # entries of a product -> its contracted size

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
            self._torchs_own(*args[:2], **{k: v for k, v in kwargs.items() if k in _SEEN})
        elif name == "softmax" and args:
            head = self._contracted.pop(args[0].numel(), None)
            if head is not None:
                finite = args[0].detach()
                self._measured(finite[torch.isfinite(finite) & (finite > MASKED)], head)
        given = func(*args, **kwargs)
        if name in CONTRACTIONS:
            size = contracted(name, args)
            if size:
                self._contracted[given.numel()] = size
        return given

    def _torchs_own(
        self, query: torch.Tensor, key: torch.Tensor, scale: float | None = None
    ) -> None:
        """Compute some of the logits again: torch keeps none."""
        with torch.no_grad():
            q, k = query.detach()[:2, ..., :ROWS, :], key.detach()[:2]
            groups = q.shape[1] // max(k.shape[1], 1) if q.dim() > 3 else 1
            k = k.repeat_interleave(groups, dim=1) if groups > 1 else k
            root = scale if scale is not None else q.shape[-1] ** -0.5
            self._measured(q @ k.transpose(-2, -1) * root, q.shape[-1])

    def _measured(self, logits: torch.Tensor, head: int) -> None:
        """Number the attentions in the order in which they run."""
        name = f"attention {self._calls}"
        self._add("head", name, torch.tensor(float(head)))
        self._add("attention", name, logits)
        self._calls += 1


_SEEN = ("query", "key", "scale")


def contracted(name: str, args: tuple[Any, ...]) -> int:
    """Give the size that a product of two activations sums over; 0 if it is another product.

    Example:
        >>> q = torch.zeros(2, 8, 16)
        >>> contracted("einsum", ("bqd,bkd->bqk", q, q)), contracted("bmm", (q, q.mT))
        (16, 16)
        >>> contracted("matmul", (q, nn.Linear(16, 16).weight.T))
        0
    """
    factors = [one for one in args if isinstance(one, torch.Tensor)][-2:]
    if len(factors) < 2 or any(_is_weight(one) for one in factors):
        return 0
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


def _is_weight(tensor: torch.Tensor) -> bool:
    """Tell a parameter, or a view of one."""
    return isinstance(tensor, nn.Parameter) or isinstance(tensor._base, nn.Parameter)
