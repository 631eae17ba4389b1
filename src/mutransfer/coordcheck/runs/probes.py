"""Probes of a model: a few scalars per layer and step, measured while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.hooks import RemovableHandle

from mutransfer.rules.plan import unwrapped
from mutransfer.tracing import Tracer, tensors_of

Key = tuple[str, str]  # quantity, name
MODEL_OUTPUT = "(output)"  # its name among the layers
LAYERS = (nn.Linear, nn.Embedding, _ConvNd)  # whose input and output are measured
SAMPLE = 2**14  # entries of an output that are stored: 64 KB, for an RMS within 0.6 %
ROUNDING = 1e-5  # a vector's gradient below this share of the largest is rounding [assumed]
ITERATIONS = 8  # of the power method; singular values of interest lie close together [assumed]
MAX_PRODUCTS = 256  # a recurrence may have thousands, all alike [assumed]


class MeanSquare:
    """A mean square, pooled over the calls of one forward pass.

    Norms stay tensors until the result is needed, so that a device need not synchronise.
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
        """Root mean square; zero without entries."""
        total = sum(float(norm) ** 2 for norm in self._norms)
        return math.sqrt(total / self.count) if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Kinds:
    """Names of the layers and parameters that probes treat specially.

    Args:
        readouts: Layers that compute the model's output.
        orthogonalised: Matrices whose updates an optimizer such as Muon orthogonalises. They are
            measured by spectral norms: such an update moves all directions alike, including those
            in which the loss has no gradient.
        vectors: Parameters that are applied elementwise, whatever their number of axes.
        embeddings_keep_factors: Whether a scalar between an embedding and a layer belongs to the
            embedding; in a plan it belongs to the layer.
        scales: Parameters whose start is a multiplier that depends on width.
    """

    readouts: frozenset[str] = frozenset()
    orthogonalised: frozenset[str] = frozenset()
    vectors: frozenset[str] = frozenset()
    embeddings_keep_factors: bool = True
    scales: frozenset[str] = frozenset()


class Probes:
    """Record a model's coordinates: changes of outputs, effects of updates, gains of fresh weights.

    The weights, and a sample of every output at the first step, are kept until the run ends:
    changes are measured from them. Everything else is reduced to scalars.

    Args:
        model: The model, at initialization.
        kinds: Its layers and parameters that are treated specially.
    """

    def __init__(self, model: nn.Module, kinds: Kinds) -> None:
        self._model = model
        self._kinds = kinds
        self._names = {module: unwrapped(name) for name, module in model.named_modules()}
        self._parameters = {unwrapped(name): p for name, p in model.named_parameters()}
        self._tracer = Tracer(self._parameters, {}, frozenset(), kinds.scales)
        self._start = self.weights()
        self._sizes = {name: self._size(name, p) for name, p in self._start.items()}
        self._first_outputs: dict[tuple[str, int], torch.Tensor] = {}
        self._calls: dict[str, int] = {}
        self._squares: dict[Key, MeanSquare] = {}
        self._output_gradients: dict[str, MeanSquare] = {}
        self._last_layer = ""  # the last layer before the readout
        self._step = 0
        self._is_open = False
        self._handles = list(self._hooks())

    def close(self) -> None:
        """Remove the probes."""
        for handle in self._handles:
            handle.remove()

    @contextmanager
    def step(self, number: int, inputs: object = None) -> Iterator[None]:
        """Record the forward pass inside the context; recomputation in a backward is not counted.

        Args:
            number: The number of updates so far; the first pass is traced as well.
            inputs: The batch that the loss receives.
        """
        self._step, self._is_open = number, True
        self._calls.clear()
        self._squares.clear()
        self._output_gradients.clear()
        self._tracer.add_inputs(() if number else tensors_of(inputs))
        try:
            with nullcontext() if number else self._tracer:
                yield
        finally:
            self._is_open = False
            self._tracer.forget()

    def readings(self) -> dict[Key, float]:
        """Return the scalars of the last forward pass, and the current sizes of the parameters."""
        layers = self._tracer.ledger.layers
        scalars = {key: square.root for key, square in self._squares.items()}
        for quantity, name in list(scalars):
            if quantity == "gain":
                size, multiplier = scalars.get(("input", name), 0.0), self._multiplier(name)
                scalars["gain", name] = scalars["gain", name] / size * multiplier if size else 0.0
                scalars["scale", name] = multiplier
            elif quantity in ("change", "output"):
                scalars[quantity, name] *= abs(layers.behind("" if name == MODEL_OUTPUT else name))
        scalars |= {} if self._step else self._trace_readings()
        for name, parameter in self._parameters.items():
            start, size = self._start[name], self._sizes[name]
            if not self._step:
                scalars["size", name] = _rms(start)
            elif size and start.dim() > 1 and name not in self._kinds.vectors:
                scalars["update", name] = self._size(name, parameter.detach() - start) / size
        # The size of a fresh layer's input is not judged, but it locates a wrong multiplier.
        return {k: value for k, value in scalars.items() if k[0] != "input" or not self._step}

    def _multiplier(self, layer: str) -> float:
        """Return the absolute value of the author's own multiplier of a layer."""
        return abs(self._tracer.ledger.layers.of(layer))

    def _trace_readings(self) -> dict[Key, float]:
        """Return the scalars from the trace of the first forward pass."""
        ledger = self._tracer.ledger
        scalars: dict[Key, float] = {
            ("normed", name): abs(factor) for name, factor in ledger.layers.normed.items()
        }
        scalars |= {("stream", norm): rms for norm, rms in ledger.streams.items()}
        counts = {"attention": 0, "product": 0}
        for product in ledger.products[:MAX_PRODUCTS]:
            kind, width = ("attention", "head") if product.is_logits else ("product", "summed")
            name = f"{kind} {counts[kind]}"
            counts[kind] += 1
            scalars[kind, name] = product.rms
            scalars[width, name] = float(product.width)
        if ledger.shares_table:
            scalars["shared", ""] = 1.0
        return scalars

    def effects(self, before: Mapping[str, torch.Tensor]) -> dict[Key, float]:
        """Return each matrix's effect on its layer's output, along the loss's gradient there.

        Σ|ΔW·∂L/∂W| is how far the last step of W moves the output along ∂L/∂output, summed over
        rows; divided by the sizes of input and gradient it is an RMS per coordinate. Absolute
        values are summed, because the signed sum is near zero where momentum goes uphill.

        Args:
            before: The parameters before that step, by name.
        """
        scalars = {}
        for name, parameter, gradient in self._with_gradients():
            module, attribute = _layer_of(name)
            output_gradient = self._output_gradient(module)
            step = parameter.detach() - before[name]
            # A vector's effect depends on where it is applied.
            if step.dim() < 2 or name in self._kinds.vectors:
                scalars["step", name] = _rms(step)
                continue
            if name in self._kinds.orthogonalised:
                scalars["effect", name] = self._multiplier(module) * self._size(name, step)
                continue
            if output_gradient is None or not output_gradient.root:
                continue
            layer_input = self._squares.get(("input", module)) if attribute == "weight" else None
            size = layer_input.root if layer_input is not None else 1.0
            if size:
                total = output_gradient.count * output_gradient.root * size
                moved = float(_norm(step * gradient, 1))
                scalars["effect", name] = self._multiplier(module) * moved / total
        last, whole = (self._output_gradients.get(module) for module in (self._last_layer, ""))
        if not self._step and self._last_layer and last is not None and whole and whole.root:
            scalars["pull", self._last_layer] = last.root / whole.root
        return scalars

    def _output_gradient(self, module: str) -> MeanSquare | None:
        """Return the gradient at a module's output, or at the output of the one that calls it."""
        while module and module not in self._output_gradients:
            module = module.rpartition(".")[0]  # a list of parameters is never called
        return self._output_gradients.get(module)

    def _size(self, name: str, weight: torch.Tensor) -> float:
        """Return the norm of a matrix: the spectral norm if its updates are orthogonalised."""
        return float(_spectral(weight) if name in self._kinds.orthogonalised else _norm(weight))

    def weights(self) -> dict[str, torch.Tensor]:
        """Copy the parameters."""
        return {name: p.detach().clone() for name, p in self._parameters.items()}

    def gradients(self) -> dict[Key, float]:
        """Return the RMS of every gradient, and whether each trainable parameter has one."""
        scalars = {("gradient", name): _rms(grad) for name, _, grad in self._with_gradients()}
        return scalars | {
            ("reached", name): float(p.grad is not None)
            for name, p in self._parameters.items()
            if p.requires_grad
        }

    def _with_gradients(self) -> Iterator[tuple[str, nn.Parameter, torch.Tensor]]:
        """Yield the parameters that the loss depends on, with their gradients."""
        # Without rounding some gradients would be zero: a key's bias shifts all logits alike.
        reached = [
            (n, p, _dense(p.grad)) for n, p in self._parameters.items() if p.grad is not None
        ]
        sizes = {name: _rms(gradient) for name, p, gradient in reached if p.dim() < 2}
        threshold = ROUNDING * max(sizes.values(), default=0.0)
        for name, parameter, gradient in reached:
            if sizes.get(name, 1.0) > threshold:
                yield name, parameter, gradient

    def add(self, quantity: str, name: str, tensor: torch.Tensor) -> None:
        """Pool a tensor into a quantity."""
        if self._is_open:
            self._squares.setdefault((quantity, name), MeanSquare()).add(tensor)

    def _hooks(self) -> Iterator[RemovableHandle]:
        """Attach a probe to every module that owns parameters, and to the model itself."""
        for module in self._names:
            if module is self._model or next(module.parameters(recurse=False), None) is not None:
                # The first of all pre-hooks: a multiplier on the input belongs to the layer.
                yield module.register_forward_pre_hook(self._before, prepend=True)
                yield module.register_forward_hook(self._after)

    def _before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Measure a layer's input."""
        if not self._is_open or not inputs or not isinstance(inputs[0], torch.Tensor):
            return
        name = self._names[module]
        if not self._step:
            self._tracer.enter(name, inputs[0], is_norm="norm" in type(module).__name__.lower())
        with _disable_current_modes():  # a measurement is not traced
            if isinstance(module, nn.Linear | _ConvNd):
                self.add("input", name, inputs[0])
            elif isinstance(module, nn.Embedding):
                self.add("input", name, torch.ones(1))

    def _after(self, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        """Measure a layer's output, its change since the first step, and the gradient there."""
        if not self._is_open:
            return
        name = self._names[module]
        tensor = _main(output)
        if tensor is None or not tensor.is_floating_point():
            return
        if tensor.requires_grad:
            gradient = self._output_gradients.setdefault(name, MeanSquare())
            tensor.register_hook(gradient.add)  # type: ignore[no-untyped-call] # torch's own
        if name and name not in self._kinds.readouts:
            self._last_layer = name
        if not self._step:
            keeps = self._kinds.embeddings_keep_factors and isinstance(module, nn.Embedding)
            self._tracer.leave(name, tensor, keeps_factor=keeps)
        with _disable_current_modes():
            self._measure(module, name, tensor)

    def _measure(self, module: nn.Module, name: str, tensor: torch.Tensor) -> None:
        """Measure an output and, from the second step on, how far it is from the first one."""
        label = name or MODEL_OUTPUT
        call = self._calls.get(label, 0)
        self._calls[label] = call + 1
        sample = sampled(tensor)
        self.add("output", label, sample)
        first = self._first_outputs.get((label, call))
        if self._step == 0:
            self._first_outputs[label, call] = sample.clone()
            if module is self._model:
                self.add("outputs", label, torch.tensor(float(tensor.shape[-1:].numel())))
            if isinstance(module, LAYERS):
                self.add("gain", name, _without_bias(module, tensor))
        elif first is not None and first.shape == sample.shape:
            self.add("change", label, sample - first)


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    """Convert the sparse gradient of an embedding, of which torch computes no norm."""
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


def _without_bias(module: nn.Module, output: torch.Tensor) -> torch.Tensor:
    """Return the product of a layer's weights with its input."""
    bias, output = getattr(module, "bias", None), output.detach()
    if bias is not None:
        kernel = module.weight.dim() - 2 if isinstance(module, _ConvNd) else 0
        output = output - bias.detach().reshape(-1, *[1] * kernel)
    return output


def _layer_of(name: str) -> tuple[str, str]:
    """Split a parameter's name into its layer and attribute, whether parametrized or not."""
    layer, _, rest = f".{name}".rpartition(".parametrizations.")
    if "parametrizations." in name:
        return layer.removeprefix("."), rest.partition(".")[0]
    module, _, attribute = name.rpartition(".")
    return module, attribute


def sampled(tensor: torch.Tensor) -> torch.Tensor:
    """Return entries of a tensor, evenly spread over all of its axes: all of them, if few.

    Example:
        >>> sampled(torch.zeros(4, 8)).shape, sampled(torch.zeros(2**10, 3 * 2**10)).shape
        (torch.Size([32]), torch.Size([16300]))
    """
    stride = max(1, -(-tensor.numel() // SAMPLE))
    while math.gcd(stride, tensor.numel()) > 1:  # else it would hit some channels only
        stride += 1
    return tensor.detach().flatten()[::stride]


def _main(output: object) -> torch.Tensor | None:
    """Return the first tensor of an output, unless it is a loss in front of the logits."""
    tensors = tensors_of(output)
    return next((t for t in tensors if t.dim()), next(iter(tensors), None))


def _rms(tensor: torch.Tensor) -> float:
    """Return the root mean square of all entries."""
    return float(_norm(tensor)) / math.sqrt(max(tensor.numel(), 1))


def _norm(tensor: torch.Tensor, order: int = 2) -> torch.Tensor:
    """Return a norm of all entries, in no lower precision than float32."""
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    norm: torch.Tensor = torch.linalg.vector_norm(tensor.detach(), order, dtype=dtype)
    return norm


def _spectral(matrix: torch.Tensor) -> torch.Tensor:
    """Estimate the largest singular value by a few power iterations."""
    flat = matrix.detach().flatten(1).float()
    generator = torch.Generator().manual_seed(0)
    right = torch.randn(flat.shape[1], generator=generator).to(flat.device)
    for _ in range(ITERATIONS):
        right = nn.functional.normalize(flat.mT @ (flat @ right), dim=0)
    return _norm(flat @ right)
