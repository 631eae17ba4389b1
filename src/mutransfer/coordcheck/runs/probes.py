"""Probes of a model: a few scalars per layer and step, measured while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from mutransfer.rules.plan import unwrapped
from mutransfer.tracing.functions import Follower

Key = tuple[str, str]  # quantity, name
WHOLE = "(output)"  # the name of what the model gives
LAYERS = (nn.Linear, nn.Embedding, _ConvNd)  # whose input and output are measured
SAMPLE = 2**14  # entries of an output: their size is known to 0.6 %, and a layer keeps 64 KB
ROUNDING = 1e-5  # of the largest gradient of a vector: what is below is rounding [assumed]
ITERATIONS = 8  # of the power method; singular values of interest lie together [assumed]


class Square:
    """A mean square, pooled over the calls of one forward pass.

    What is added stays a tensor until it is read: a device need not stop for it.
    """

    def __init__(self) -> None:
        self._norms: list[torch.Tensor] = []
        self.count = 0

    def add(self, tensor: torch.Tensor) -> None:
        """Pool one tensor."""
        self._norms.append(_norm(tensor))
        self.count += tensor.numel()

    @property
    def root(self) -> float:
        """Root mean square; zero of nothing."""
        total = sum(float(norm) ** 2 for norm in self._norms)
        return math.sqrt(total / self.count) if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Kinds:
    """What some layers and parameters of a model are, by name.

    Args:
        readouts: Layers that give the model's output.
        orthogonalised: Matrices whose updates an optimizer such as Muon orthogonalises. They are
            measured by spectral norms: such an update moves all directions alike, those that the
            loss does not ask for too.
        vectors: Parameters that are applied elementwise, whatever their number of axes.
        keeps_tables: Whether what stands between an embedding and a layer is the embedding's; in
            a plan it is the layer's.
    """

    readouts: frozenset[str] = frozenset()
    orthogonalised: frozenset[str] = frozenset()
    vectors: frozenset[str] = frozenset()
    keeps_tables: bool = True


class Probes:
    """Record a model's coordinates: outputs' changes, effects of updates, what fresh weights make.

    A sample of every output at the first step is kept until the run ends, and the weights: that is
    what changes are changes from. Everything else is scalars.

    Args:
        model: The model, with fresh weights.
        kinds: What some of its layers and parameters are.
    """

    def __init__(self, model: nn.Module, kinds: Kinds) -> None:
        self._model = model
        self._kinds = kinds
        self._follower = Follower()
        self._names = {module: unwrapped(name) for name, module in model.named_modules()}
        self._parameters = {unwrapped(name): p for name, p in model.named_parameters()}
        self._start = self.weights()
        self._sizes = {name: self._size(name, p) for name, p in self._start.items()}
        self._first: dict[tuple[str, int], torch.Tensor] = {}
        self._calls: dict[str, int] = {}
        self._squares: dict[Key, Square] = {}
        self._pulls: dict[str, Square] = {}
        self._last = ""  # the last layer before the readout
        self._step = 0
        self._open = False
        self._handles = list(self._hooks())

    def close(self) -> None:
        """Take the probes off."""
        for handle in self._handles:
            handle.remove()

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Record the forward pass inside; what runs again in a backward pass is not counted."""
        self._step, self._open = number, True
        self._calls.clear()
        self._squares.clear()
        self._pulls.clear()
        try:
            with nullcontext() if number else self._follower:
                yield
        finally:
            self._open = False
            self._follower.forget()

    def readings(self) -> dict[Key, float]:
        """Give the scalars of the last forward pass, and of the parameters as they are now."""
        found = {key: square.root for key, square in self._squares.items()}
        for quantity, name in list(found):
            if quantity == "gain":
                size = found.get(("input", name), 0.0)
                found["gain", name] = found["gain", name] / size * self._by(name) if size else 0.0
                found["scale", name] = self._by(name)
            elif quantity in ("change", "output"):
                found[quantity, name] *= abs(self._follower.behind("" if name == WHOLE else name))
        found |= {} if self._step else self._followed()
        for name, parameter in self._parameters.items():
            start, size = self._start[name], self._sizes[name]
            if not self._step:
                found["size", name] = _rms(start)
            elif size and start.dim() > 1 and name not in self._kinds.vectors:
                found["update", name] = self._size(name, parameter.detach() - start) / size
        return {key: value for key, value in found.items() if key[0] != "input"}

    def _by(self, layer: str) -> float:
        """Give the author's own multiplier of a layer."""
        return abs(self._follower.multiplier(layer))

    def _followed(self) -> dict[Key, float]:
        """Give what following the fresh model's forward pass showed."""
        found: dict[Key, float] = {
            ("normed", n): abs(by) for n, by in self._follower.normed.items()
        }
        counts = {"attention": 0, "product": 0}
        for product in self._follower.products:
            quantity, summed = ("attention", "head") if product.logits else ("product", "summed")
            name = f"{quantity} {counts[quantity]}"
            counts[quantity] += 1
            found[quantity, name] = product.root * abs(product.by)
            found[summed, name] = float(product.size)
        if self._follower.shares:
            found["shared", ""] = 1.0
        return found

    def effects(self, before: Mapping[str, torch.Tensor]) -> dict[Key, float]:
        """Give each matrix's effect on its layer's output, along the loss's gradient there.

        Σ|ΔW·∂L/∂W| is by how much the last step of W moves the output along ∂L/∂output, summed
        over rows; divided by the sizes of input and gradient it is an RMS per coordinate. Entries
        count whatever their sign: momentum may go uphill for a step, and the sum through zero.

        Args:
            before: The parameters before that step, by name.
        """
        found = {}
        for name, parameter, gradient in self._answering():
            module, attribute = _layer_of(name)
            pull = self._pull(module)
            step = parameter.detach() - before[name]
            # A vector's effect depends on where it is applied.
            if step.dim() < 2 or name in self._kinds.vectors:
                found["step", name] = _rms(step)
                continue
            if name in self._kinds.orthogonalised:
                found["effect", name] = self._by(module) * self._size(name, step)
                continue
            if pull is None or not pull.root:
                continue
            moved = float(_norm(step * gradient, 1))
            given = self._squares.get(("input", module)) if attribute == "weight" else None
            size = given.root if given is not None else 1.0
            if size:
                found["effect", name] = self._by(module) * moved / (pull.count * pull.root * size)
        last, whole = self._pulls.get(self._last), self._pulls.get("")
        if not self._step and self._last and last is not None and whole and whole.root:
            found["pull", self._last] = last.root / whole.root
        return found

    def _pull(self, module: str) -> Square | None:
        """Find the gradient at a module's output, or at that of the one that calls it."""
        while module and module not in self._pulls:
            module = module.rpartition(".")[0]  # a list of parameters is never called
        return self._pulls.get(module)

    def _size(self, name: str, weight: torch.Tensor) -> float:
        """Give the norm that a matrix, or an update of it, is measured by."""
        return float(_spectral(weight) if name in self._kinds.orthogonalised else _norm(weight))

    def weights(self) -> dict[str, torch.Tensor]:
        """Copy the parameters."""
        return {name: p.detach().clone() for name, p in self._parameters.items()}

    def gradients(self) -> dict[Key, float]:
        """Give the RMS of every gradient, and whether one reached what is to be trained."""
        found = {("gradient", name): _rms(grad) for name, _, grad in self._answering()}
        return found | {
            ("reached", name): float(p.grad is not None)
            for name, p in self._parameters.items()
            if p.requires_grad
        }

    def _answering(self) -> Iterator[tuple[str, nn.Parameter, torch.Tensor]]:
        """Give the parameters that the loss depends on, with their gradients.

        A vector's gradient may be zero but for rounding: a key's bias shifts all logits alike.
        """
        found = [(n, p, p.grad) for n, p in self._parameters.items() if p.grad is not None]
        sizes = {name: _rms(gradient) for name, p, gradient in found if p.dim() < 2}
        least = ROUNDING * max(sizes.values(), default=0.0)
        for name, parameter, gradient in found:
            if sizes.get(name, 1.0) > least:
                yield name, parameter, gradient

    def add(self, quantity: str, name: str, tensor: torch.Tensor) -> None:
        """Pool a tensor into a quantity."""
        if self._open:
            self._squares.setdefault((quantity, name), Square()).add(tensor)

    def _hooks(self) -> Iterator[RemovableHandle]:
        """Put a probe on every module that owns parameters, and on the model itself."""
        for module in self._names:
            if module is self._model or next(module.parameters(recurse=False), None) is not None:
                # First of all pre-hooks: a multiplier on the input belongs to the layer.
                yield module.register_forward_pre_hook(self._before, prepend=True)
                yield module.register_forward_hook(self._after)

    def _before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Measure a layer's input."""
        if not self._open or not inputs or not isinstance(inputs[0], torch.Tensor):
            return
        if not self._step:
            is_norm = "norm" in type(module).__name__.lower()
            self._follower.enters(self._names[module], inputs[0], norm=is_norm)
        if isinstance(module, nn.Linear | _ConvNd):
            self.add("input", self._names[module], inputs[0])
        elif isinstance(module, nn.Embedding):
            self.add("input", self._names[module], torch.ones(1))

    def _after(self, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        """Measure how far a layer's output is from its first one, and how the loss pulls at it."""
        if not self._open:
            return
        name = self._names[module]
        tensor = _main(output)
        if tensor is None or not tensor.is_floating_point():
            return
        if tensor.requires_grad:
            pull = self._pulls.setdefault(name, Square())
            tensor.register_hook(pull.add)  # type: ignore[no-untyped-call] # torch's own
        if name and name not in self._kinds.readouts:
            self._last = name
        told = name or WHOLE
        call = self._calls.get(told, 0)
        self._calls[told] = call + 1
        now = sampled(tensor)
        self.add("output", told, now)
        if self._step == 0:
            keeps = self._kinds.keeps_tables and isinstance(module, nn.Embedding)
            self._follower.leaves(name, tensor, keeps=keeps)
            self._first[told, call] = now.clone()
            if module is self._model:
                self.add("outputs", told, torch.tensor(float(tensor.shape[-1:].numel())))
            if isinstance(module, LAYERS):
                self._gain(module, name, tensor)
        elif (first := self._first.get((told, call))) is not None and first.shape == now.shape:
            self.add("change", told, now - first)

    def _gain(self, module: nn.Module, name: str, output: torch.Tensor) -> None:
        """Measure what the fresh weights make of their input; a bias is no part of it."""
        bias, output = getattr(module, "bias", None), output.detach()
        if bias is not None:
            kernel = module.weight.dim() - 2 if isinstance(module, _ConvNd) else 0
            output = output - bias.detach().reshape(-1, *[1] * kernel)
        self.add("gain", name, output)


def _layer_of(name: str) -> tuple[str, str]:
    """Split a parameter's name; what weight_norm takes apart is its layer's weight."""
    layer, _, rest = f".{name}".rpartition(".parametrizations.")
    if "parametrizations." in name:
        return layer.removeprefix("."), rest.partition(".")[0]
    module, _, attribute = name.rpartition(".")
    return module, attribute


def sampled(tensor: torch.Tensor) -> torch.Tensor:
    """Take entries of a tensor, evenly spread over all of its axes: all of them, if they are few.

    Example:
        >>> sampled(torch.zeros(4, 8)).shape, sampled(torch.zeros(2**10, 3 * 2**10)).shape
        (torch.Size([32]), torch.Size([16300]))
    """
    stride = max(1, -(-tensor.numel() // SAMPLE))
    while math.gcd(stride, tensor.numel()) > 1:  # else it would hit some channels only
        stride += 1
    return tensor.detach().flatten()[::stride]


def _main(output: object) -> torch.Tensor | None:
    """Take the first tensor of an output; a loss that comes before the logits is none of them."""
    found = list(tensors_in(output))
    return next((one for one in found if one.dim()), next(iter(found), None))


def tensors_in(output: object) -> Iterator[torch.Tensor]:
    """Walk over the tensors of an output: a tensor, a tuple, a dict or a dataclass."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors_in(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from tensors_in(value)
    elif is_dataclass(output) and not isinstance(output, type):
        for field in fields(output):
            yield from tensors_in(getattr(output, field.name))


def _rms(tensor: torch.Tensor) -> float:
    """Give the root mean square of all entries."""
    return float(_norm(tensor)) / math.sqrt(max(tensor.numel(), 1))


def _norm(tensor: torch.Tensor, order: int = 2) -> torch.Tensor:
    """Give a norm of all entries, in no lower precision than float32."""
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    norm: torch.Tensor = torch.linalg.vector_norm(tensor.detach(), order, dtype=dtype)
    return norm


def _spectral(matrix: torch.Tensor) -> torch.Tensor:
    """Estimate the largest singular value by a few power iterations."""
    flat = matrix.detach().flatten(1).float()
    drawn = torch.Generator().manual_seed(0)
    right = torch.randn(flat.shape[1], generator=drawn).to(flat.device)
    for _ in range(ITERATIONS):
        right = nn.functional.normalize(flat.mT @ (flat @ right), dim=0)
    return _norm(flat @ right)
