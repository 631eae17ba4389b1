"""Multipliers by layer: the scalars that a model's author puts before or behind each layer."""

from __future__ import annotations

from mutransfer.tracing.images import Path


class LayerMultipliers:
    """The scalar multipliers of each layer in one forward pass.

    A scalar that multiplies a layer's input belongs to that layer, any other to the layer whose
    output it multiplies: a layer then computes A·W·x, wherever its author wrote A.
    """

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._behind: dict[str, float] = {}
        self._outputs: dict[str, Path] = {}  # by module; it may return what a layer returned
        self.normed: dict[str, float] = {}  # by layer: multipliers that a norm divides out

    def enter(self, layer: str, path: Path, *, is_norm: bool) -> None:
        """Assign the factor of a layer's input to this layer, unless the layer is a norm."""
        if path.factor == 1.0:
            return
        if is_norm:  # it divides the factor out, which a path around the norm may still need
            self.record_norm(path)
        elif not path.keeps_factor:
            self._before[layer] = path.factor
            self.claim(path)

    def leave(self, layer: str, path: Path, *, keeps_factor: bool) -> Path:
        """Return the path of a layer's output, which begins here unless a layer inside began it."""
        if path.module is None:
            path = Path(layer, keeps_factor=keeps_factor)
        self._outputs[layer] = path
        return path

    def scale(self, path: Path, factor: float) -> Path:
        """Return a path with one more scalar, which belongs to the layer where the path began."""
        path = Path(path.module, path.factor * factor, path.keeps_factor)
        if path.module is not None:
            self._behind[path.module] = path.factor
        return path

    def claim(self, path: Path) -> None:
        """Remove the factor from a layer: it belongs to the product that uses the output."""
        if path.module is not None and not path.keeps_factor:
            self._behind.pop(path.module, None)

    def record_norm(self, path: Path) -> None:
        """Record that a norm divides the factor out."""
        if path.module is not None and self._behind.get(path.module, 1.0) != 1.0:
            self.normed[path.module] = self._behind.pop(path.module)

    def behind(self, module: str) -> float:
        """Return the factor of a module's output without the factors inside the module."""
        output = self._outputs.get(module, Path(module))
        return self._behind.get(output.module or "", 1.0) / output.factor

    def of(self, layer: str) -> float:
        """Return the multiplier of a layer: the factors of its input and of its output."""
        return self._before.get(layer, 1.0) * self._behind.get(layer, 1.0)
