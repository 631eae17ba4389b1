"""Forward passes at two widths, compared: axes, readouts, multipliers and attention scales."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import nn

from mutransfer.errors import ModelError, RoleError, listed
from mutransfer.rules.plan import unwrapped
from mutransfer.tracing.images import Label
from mutransfer.tracing.ledger import ALL_CALLS, Ledger, Scalar, Use
from mutransfer.tracing.tracer import Tracer, tensors_of

TOLERANCE = 0.1  # an exponent of width that is closer to zero counts as zero [assumed]
HALF_STEP = 0.25  # half of the smallest power, 1/2, that a multiplier can have

UseKey = tuple[str, str]  # a parameter, and how it is used: 'product', 'lookup' or 'applied'
Side = frozenset[UseKey]  # the uses of parameters that a factor comes from


@dataclass(frozen=True, slots=True)
class ProductScaling:
    """How one product of two activations, such as attention logits, scales with width.

    Args:
        width: The size that it contracts, at the base width: a head width.
        width_exponent: Exponent of that size.
        scale_exponent: Exponent of everything that the product is multiplied by.
        sides: Uses of the weights whose products the two factors are.
    """

    width: int
    width_exponent: float
    scale_exponent: float
    sides: tuple[Side, Side]

    def deficit(self, rule: Fraction) -> float:
        """Return the power of width by which the scale falls short of contracted width^rule."""
        deficit = float(rule) * self.width_exponent - self.scale_exponent
        return 0.0 if abs(deficit) < TOLERANCE else deficit


@dataclass(frozen=True, slots=True)
class Trace:
    """Results of two traced forward passes; empty without them.

    Args:
        uses: How each parameter is used.
        readouts: Weights whose results reach the output without another weight in between.
        multipliers: Exponents of width of the author's own forward multipliers, by use.
        products: Products of two activations, in the order of execution.
        functions: What each learned scale passes through before it multiplies anything.
        undo_norms: Learned scales with a growing axis that undo the shrinking of a norm.
    """

    uses: Mapping[str, Use] = field(default_factory=dict)
    readouts: frozenset[str] | None = None
    multipliers: Mapping[UseKey, float] = field(default_factory=dict)
    products: tuple[ProductScaling, ...] = ()
    functions: Mapping[str, Set[str]] = field(default_factory=dict)
    undo_norms: frozenset[str] = frozenset()

    def use(self, name: str) -> Use | None:
        """Return how a parameter is used; None where that is unknown."""
        use = self.uses.get(name)
        return None if use is None or use.unknown or use == Use() else use

    def unknown_use(self, name: str) -> tuple[str, str]:
        """Return why the use of a parameter is unknown, and what would help."""
        use = self.uses.get(name)
        if use is None:
            return "a raw parameter", "pass example_inputs=x, the inputs of the model"
        if use == Use():
            return "the forward pass does not use it", "pass example_inputs= that reach it"
        if use.unknown:
            return f"the forward pass does with it: {use.unknown}", "write it with matmul, einsum"
        both = "the forward pass sums over an axis in one place and keeps it in another"
        return both, "give each use its own parameter"

    def required_multipliers(self, rule: Fraction | None) -> dict[UseKey, float]:
        """Return each use's multiplier, less what attention requires.

        Attention logits, and any product of two activations over an axis that grows, are to be
        scaled by that axis to the power `rule`. The deficit of the author's scale is assigned to
        the weights of one factor.

        Raises:
            RoleError: Neither factor has weights that only this product uses.
        """
        exponents = dict(self.multipliers)
        if rule is None:
            return exponents
        for product in self.products:
            deficit = product.deficit(rule)
            if not deficit:
                continue
            free = [s for s in product.sides if self._is_free(s, product, deficit, rule)]
            if not free:
                raise _attention_error(product, rule)
            for use in free[0]:
                exponents[use] = self.multipliers.get(use, 0.0) - deficit
        return exponents

    def _is_free(self, side: Side, product: ProductScaling, deficit: float, rule: Fraction) -> bool:
        """Return whether weights can take a factor: no other product needs a different one."""
        opposite = [s for s in product.sides if s is not side]
        if not side or any(kind == "lookup" for _, kind in side) or any(side & s for s in opposite):
            return False
        return all(
            not side & s or abs(other.deficit(rule) - deficit) < TOLERANCE
            for other in self.products
            for s in other.sides
            if s is not side
        )


def trace_forward(
    models: Mapping[int, nn.Module],
    growing: Mapping[str, frozenset[int]],
    raw: frozenset[str],
    example_inputs: object,
    scales: frozenset[str] = frozenset(),
) -> Trace:
    """Trace one forward pass at the base width and one at the probe width.

    Args:
        models: Real models at the two widths.
        growing: The axes of each parameter that grow.
        raw: Parameters whose owner is not a known layer.
        example_inputs: What a model is called with: a tensor, a tuple, a dict of keywords, or a
            function from a width to one of these.
        scales: Parameters whose start is a multiplier that depends on width.

    Raises:
        ModelError: A forward pass failed, or the two differ in their steps.
    """
    (base, first), (probe, second) = models.items()
    small, reached = _pass(first, base, growing, (raw, scales), example_inputs)
    large, _ = _pass(second, probe, growing, (raw, scales), example_inputs)
    multipliers, undo_norms = _multipliers(small, large, (base, probe))
    return Trace(
        uses=small.uses,
        readouts=reached - small.inside,
        multipliers=multipliers,
        products=_products(small, large, (base, probe)),
        functions=small.functions,
        undo_norms=undo_norms,
    )


def _pass(
    model: nn.Module,
    width: int,
    growing: Mapping[str, frozenset[int]],
    raw_and_scales: tuple[frozenset[str], frozenset[str]],
    example_inputs: object,
) -> tuple[Ledger, frozenset[str]]:
    """Run a model under a tracer; return its ledger and the last weights before the output."""
    parameters = {unwrapped(name): p for name, p in model.named_parameters()}
    tracer = Tracer(parameters, growing, *raw_and_scales)
    try:
        inputs = example_inputs(width) if callable(example_inputs) else example_inputs
        tracer.add_inputs(tensors_of(inputs))
        with torch.no_grad(), _plain_attention(), tracer:
            if isinstance(inputs, Mapping):
                outputs = model(**inputs)
            else:
                outputs = model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    except Exception as error:
        raise ModelError(
            f"the forward pass at width {width} raised {type(error).__name__}: {error}",
            why="example_inputs= shows how parameters are used, at the base and the probe width",
            fix="pass what the model is called with: a tensor, a tuple, a dict of keywords, or, "
            "where it depends on width, example_inputs=lambda width: ...",
        ) from error
    images = [tracer.image(tensor) for tensor in tensors_of(outputs)]
    reached = frozenset(name for image in images if image is not None for name in image.last)
    if not reached:
        raise ModelError(
            f"no weight reaches what the model returns, a {type(outputs).__name__}",
            why="the readout is the weight that the output is computed with",
            fix="return tensors: alone, or in a tuple, a dict or an object's attributes",
        )
    return tracer.ledger, reached


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Keep torch from fusing a whole encoder layer into one operation."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _multipliers(
    small: Ledger, large: Ledger, widths: tuple[int, int]
) -> tuple[dict[UseKey, float], frozenset[str]]:
    """Return the exponents of the author's multipliers by use, and the gains that undo a norm."""
    steps = [(len(ledger.scalars), len(ledger.matrix_products)) for ledger in (small, large)]
    if steps[0] != steps[1]:
        raise ModelError(
            f"the forward passes at widths {widths[0]} and {widths[1]} take different steps",
            why="multipliers and attention scales are compared between the two",
            fix="let width change sizes only; for random routes, torch.manual_seed in forward",
        )
    pairs = zip(small.matrix_products, large.matrix_products, strict=True)
    of_products = {k for own, wider in pairs if own.width != wider.width for k in own.scalars}
    excluded = _normalizing(small.scalars, large.scalars, widths, of_products)
    gains = {k: scalar.scales for k, scalar in enumerate(small.scalars) if scalar.is_gain}
    undo_norms = {name for k in gains.keys() & excluded for name in gains[k]}
    undo_norms -= {name for k in gains.keys() - excluded for name in gains[k]}
    excluded |= gains.keys()  # the others are corrected in the gain itself
    excluded |= of_products
    at_base, at_probe = (_by_use(ledger, excluded) for ledger in (small, large))
    exponents = {}
    for use in at_base.keys() & at_probe.keys():
        # A use has several values if, for example, a layer is called twice; all must grow alike.
        values = itertools.zip_longest(at_base[use], at_probe[use], fillvalue=math.nan)
        of_use = {round(_exponent(value, wider, widths), 2) for value, wider in values}
        if len(of_use) > 1:
            raise ModelError(
                f"the uses of '{use[0]}' are multiplied by different powers of width",
                why="one parameter has one multiplier",
                fix="multiply every use by the same power, or give each use its own parameter",
            )
        exponents[use] = of_use.pop()
    return exponents, frozenset(undo_norms)


def _by_use(ledger: Ledger, excluded: set[int]) -> dict[UseKey, list[float]]:
    """Multiply the scalars of each call; return the distinct values of each use."""
    by_call: dict[Label, float] = dict.fromkeys(ledger.calls, 1.0)
    for k, scalar in enumerate(ledger.scalars):
        if k in excluded:
            continue
        targets = frozenset(scalar.consumers) if scalar.is_owned else scalar.origin
        for name, kind, call in targets:
            calls = [label for label in ledger.calls if label[:2] == (name, kind)]
            for label in calls if call == ALL_CALLS else [(name, kind, call)]:
                by_call[label] *= abs(scalar.value)
    values: dict[UseKey, set[float]] = {}
    for (name, kind, _), value in by_call.items():
        values.setdefault((name, kind), set()).add(float(f"{value:.6g}"))
    return {use: sorted(of_use) for use, of_use in values.items()}


def _normalizing(
    small: Sequence[Scalar], large: Sequence[Scalar], widths: tuple[int, int], of_products: Set[int]
) -> set[int]:
    """Return the scalars that belong to a norm and to no weight, as √d in x·√d/‖x‖."""
    normalizing = set()
    for k, (scalar, wider) in enumerate(zip(small, large, strict=True)):
        exponent = _exponent(abs(scalar.value), abs(wider.value), widths)
        if scalar.is_behind_weight or abs(exponent) < TOLERANCE:
            continue
        is_undone = abs(exponent + _exponent(scalar.rms, wider.rms, widths)) < HALF_STEP
        if scalar.is_statistic or is_undone:
            normalizing.add(k)
        elif not (scalar.origin or scalar.is_gain or scalar.is_owned or k in of_products):
            learned = f", the start of {listed(sorted(scalar.scales))}," if scalar.scales else ""
            raise ModelError(
                f"the forward pass multiplies by {scalar.value:.4g}{learned} at width {widths[0]} "
                f"and by {wider.value:.4g} at {widths[1]}, neither behind a weight nor before one",
                why="the parameter whose rule it changes is undetermined",
                fix="put the multiplier directly behind, or before, a layer",
            )
    return normalizing


def _products(small: Ledger, large: Ledger, widths: tuple[int, int]) -> tuple[ProductScaling, ...]:
    """Return how the sizes and scales of products of two activations grow."""
    scalings = []
    for product, wider in zip(small.matrix_products, large.matrix_products, strict=True):
        grows = product.width != wider.width
        scales = []
        for ledger, record in ((small, product), (large, wider)):
            # Over an axis that does not grow, a scalar of a factor belongs to the factor's weight.
            before = record.scalars if grows else ()
            scalars = math.prod(abs(ledger.scalars[k].value) for k in before)
            scales.append(abs(record.scale) * scalars)
        scale_exponent = _exponent(scales[0], scales[1], widths)
        if grows:
            # Entries of normed vectors shrink. Growth comes from an init that the plan corrects.
            shrinks = _exponent(product.factor_rms, wider.factor_rms, widths)
            scale_exponent += min(round(2 * shrinks) / 2, 0.0)
        width_exponent = _exponent(product.width, wider.width, widths)
        query, key = (frozenset(c[:2] for c in side) for side in (product.query, product.key))
        scalings.append(ProductScaling(product.width, width_exponent, scale_exponent, (query, key)))
    return tuple(scalings)


def _exponent(small: float, large: float, widths: tuple[int, int]) -> float:
    """Return the power of width by which a number grows."""
    if small <= 0 or large <= 0:
        return 0.0
    return math.log(large / small) / math.log(widths[1] / widths[0])


def _attention_error(product: ProductScaling, rule: Fraction) -> RoleError:
    """Return the error for an attention whose scale no weight can absorb."""
    first, second = ({name for name, _ in side} for side in product.sides)
    reason = "neither factor is computed from weights alone"
    if first and second:
        reason = f"{listed(sorted(first | second))} make more than one of them"
    return RoleError(
        f"attention logits, or another product of two activations over {product.width} entries at "
        f"the base, must scale as that width^{rule}; it grows as "
        f"width^{product.width_exponent:.2g}, the model's scale as "
        f"width^{product.scale_exponent:.2g}",
        why=f"a factor in the queries' or keys' weights would do, but {reason}",
        fix=f"keep the head width and add heads: num_heads = width // {product.width}; or scale "
        f"logits: F.scaled_dot_product_attention(..., scale={product.width}**0.5 / head_width)",
    )
