"""Forward passes at two widths, compared: axes, readouts, multipliers and attention scales."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import nn

from mutransfer.errors import ModelError, RoleError, listed
from mutransfer.rules.plan import unwrapped
from mutransfer.tracing.images import Label
from mutransfer.tracing.ledger import EVERY, Ledger, Scalar, Use
from mutransfer.tracing.tracer import Watcher, tensors_of

NEAR = 0.1  # an exponent of width that is nearer to zero is zero [assumed]
LEVEL = 0.25  # half of the smallest power that a multiplier can have


Side = frozenset[tuple[str, str]]  # the uses of parameters that a factor comes from


@dataclass(frozen=True, slots=True)
class ProductSeen:
    """How one product of two activations, such as attention logits, scales with width.

    Args:
        width: What it contracts, at the base width: a head width.
        grows: Exponent of that.
        scale: Exponent of all that the product is multiplied by, before and after.
        sides: What the two factors are a weight's product of.
    """

    width: int
    grows: float
    scale: float
    sides: tuple[Side, Side]

    def lacks(self, rule: Fraction) -> float:
        """Give the power of width that is missing where the scale is to go as width^rule."""
        found = float(rule) * self.grows - self.scale
        return 0.0 if abs(found) < NEAR else found


@dataclass(frozen=True, slots=True)
class Seen:
    """What forward passes showed; empty without them.

    Args:
        uses: How each parameter was used.
        readouts: Weights that the output is made with, and no other weight.
        multipliers: Exponents of width of the author's own forward multipliers, by parameter
            and kind of use.
        products: Of two activations, in the order in which they run.
    """

    uses: Mapping[str, Use] = field(default_factory=dict)
    readouts: frozenset[str] | None = None
    multipliers: Mapping[tuple[str, str], float] = field(default_factory=dict)
    products: tuple[ProductSeen, ...] = ()

    def use(self, name: str) -> Use | None:
        """Give a parameter's use, unless it is not known."""
        found = self.uses.get(name)
        return None if found is None or found.unknown or found == Use() else found

    def told(self, name: str) -> tuple[str, str]:
        """Say why a parameter's use is not known, and what would help."""
        found = self.uses.get(name)
        if found is None:
            shows = "example_inputs=x, what the model is called with, shows it"
            return "a raw parameter", shows
        if found == Use():
            return "the forward pass does not use it", "pass example_inputs= that reach it"
        if found.unknown:
            return f"the forward pass does with it: {found.unknown}", "write it with matmul, einsum"
        both = "the forward pass both sums over one of its axes and carries it on"
        return both, "give each use a parameter of its own"

    def wanted(self, rule: Fraction | None) -> dict[tuple[str, str], float]:
        """Give each use's multiplier relative to what attention asks for.

        The scale of attention logits, and of any product of two activations over an axis that
        grows, is to go as that axis to the power `rule`. What the author's scale lacks is asked
        of the weights of one factor.

        Raises:
            RoleError: Neither factor is the product of weights of its own.
        """
        found = dict(self.multipliers)
        for one in self.products if rule is not None else ():
            assert rule is not None
            lacks = one.lacks(rule)
            if not lacks:
                continue
            side = next((s for s in one.sides if self._is_free(s, one, lacks, rule)), None)
            if side is None:
                raise _attention_is_mixed(one, rule)
            for use in side:
                found[use] = self.multipliers.get(use, 0.0) - lacks
        return found

    def _is_free(self, side: Side, one: ProductSeen, lacks: float, rule: Fraction) -> bool:
        """Say whether weights can take a factor: they make nothing that needs another."""
        others = [
            (each, other.lacks(rule))
            for other in self.products
            for each in other.sides
            if each is not side
        ]
        here = [each for each in one.sides if each is not side]
        if not side or any(kind == "lookup" for _, kind in side) or any(side & e for e in here):
            return False
        return all(not side & each or abs(lack - lacks) < NEAR for each, lack in others)


@dataclass(frozen=True, slots=True)
class _Pass:
    ledger: Ledger
    reached: frozenset[str]


def watched(
    models: Mapping[int, nn.Module],
    growing: Mapping[str, frozenset[int]],
    raw: frozenset[str],
    example_inputs: object,
) -> Seen:
    """Watch one forward pass at the base width, and one at the probe's.

    Args:
        models: Real models at the two widths.
        growing: The axes of each parameter that grow.
        raw: Parameters whose owner is no layer that we know.
        example_inputs: What a model is called with: a tensor, a tuple, a dict of keywords, or a
            function from a width to one of these.

    Raises:
        ModelError: A forward pass failed, or the two differ in their steps.
    """
    (base, small), (probe, large) = models.items()
    passes = [
        _pass(model, width, growing, raw, example_inputs)
        for width, model in ((base, small), (probe, large))
    ]
    ledger = passes[0].ledger
    return Seen(
        uses=ledger.uses,
        readouts=passes[0].reached - ledger.inside,
        multipliers=_multipliers(passes, (base, probe)),
        products=_products(passes, (base, probe)),
    )


def _pass(
    model: nn.Module,
    width: int,
    growing: Mapping[str, frozenset[int]],
    raw: frozenset[str],
    example_inputs: object,
) -> _Pass:
    """Run a model under watch."""
    parameters = {unwrapped(name): p for name, p in model.named_parameters()}
    watcher = Watcher(parameters, growing, raw)
    try:
        inputs = example_inputs(width) if callable(example_inputs) else example_inputs
        watcher.enter(tensors_of(inputs))
        with torch.no_grad(), _plain_attention(), watcher:
            if isinstance(inputs, Mapping):
                given = model(**inputs)
            else:
                given = model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    except Exception as problem:
        raise ModelError(
            f"the forward pass at width {width} raised {type(problem).__name__}: {problem}",
            why="example_inputs= shows how parameters are used, at the base and the probe width",
            fix="pass what the model is called with: a tensor, a tuple, a dict of keywords, or, "
            "where it depends on width, example_inputs=lambda width: ...",
        ) from problem
    images = [watcher.image(tensor) for tensor in tensors_of(given)]
    reached = [name for image in images if image is not None for name in image.last]
    if not reached:
        raise ModelError(
            f"no weight reaches what the model gives, a {type(given).__name__}",
            why="the readout is found by what the output is made with",
            fix="give tensors back: alone, or in a tuple, a dict or an object's attributes",
        )
    return _Pass(watcher.ledger, frozenset(reached))


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Keep torch from fusing a whole encoder layer into one operation."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _multipliers(passes: list[_Pass], widths: tuple[int, int]) -> dict[tuple[str, str], float]:
    """Find how the author's own multipliers grow, each put down to a use of a parameter."""
    small, large = (one.ledger for one in passes)
    steps = [(len(one.scalars), len(one.products)) for one in (small, large)]
    if steps[0] != steps[1]:
        raise ModelError(
            f"the forward passes at widths {widths[0]} and {widths[1]} take different steps",
            why="multipliers and attention scales are compared between the two",
            fix="let width change sizes only; for random routes, torch.manual_seed in forward",
        )
    makes_up = _normalizing(small.scalars, large.scalars, widths)
    for one, two in zip(small.products, large.products, strict=True):
        makes_up.update(one.scalars if one.width != two.width else ())
    at_base, at_probe = (_by_use(ledger, makes_up) for ledger in (small, large))
    found = {}
    for use in at_base.keys() & at_probe.keys():
        # A use with several values, as by a layer that is called twice, has to grow as one.
        values = itertools.zip_longest(at_base[use], at_probe[use], fillvalue=math.nan)
        grows = {round(_exponent(one, other, widths), 2) for one, other in values}
        if len(grows) > 1:
            raise ModelError(
                f"the uses of '{use[0]}' are multiplied by different powers of width",
                why="one parameter has one multiplier",
                fix="multiply at every use alike, or give each use a parameter of its own",
            )
        found[use] = grows.pop()
    return found


def _by_use(ledger: Ledger, left_out: set[int]) -> dict[tuple[str, str], list[float]]:
    """Multiply up the scalars of each call; give the different values of each use."""
    by_call: dict[Label, float] = dict.fromkeys(ledger.calls, 1.0)
    for k, scalar in enumerate(ledger.scalars):
        if k in left_out:
            continue
        targets = frozenset(scalar.consumers) if _owned(scalar) else scalar.origin
        for name, kind, call in targets:
            calls = [label for label in ledger.calls if label[:2] == (name, kind)]
            for label in calls if call == EVERY else [(name, kind, call)]:
                by_call[label] *= abs(scalar.value)
    values: dict[tuple[str, str], set[float]] = {}
    for (name, kind, _), value in by_call.items():
        values.setdefault((name, kind), set()).add(float(f"{value:.6g}"))
    return {use: sorted(each) for use, each in values.items()}


def _normalizing(
    small: Sequence[Scalar], large: Sequence[Scalar], widths: tuple[int, int]
) -> set[int]:
    """Find scalars behind no weight that make up for what a norm divided by, as in x·√d/‖x‖.

    Raises:
        ModelError: A scalar that grows, behind and before no weight.
    """
    found = set()
    for k, (one, other) in enumerate(zip(small, large, strict=True)):
        grows = _exponent(abs(one.value), abs(other.value), widths)
        if any(kind != "applied" for _, kind, _ in one.origin) or abs(grows) < NEAR:
            continue
        made_up = abs(grows + _exponent(one.rms, other.rms, widths)) < LEVEL
        if one.statistic or made_up:
            found.add(k)
        elif not one.origin and not _owned(one):
            raise ModelError(
                f"the forward pass multiplies by {one.value:.4g} at width {widths[0]} and by "
                f"{other.value:.4g} at {widths[1]}, neither behind a weight nor before one",
                why="which parameter's rule it changes cannot be told",
                fix="put the multiplier directly behind, or before, a layer",
            )
    return found


def _owned(scalar: Scalar) -> bool:
    """Tell a scalar whose result only weights are multiplied with."""
    return bool(scalar.consumers) and not scalar.elsewhere


def _products(passes: list[_Pass], widths: tuple[int, int]) -> tuple[ProductSeen, ...]:
    """Find how the sizes and scales of products of two activations grow."""
    small, large = (one.ledger for one in passes)
    found = []
    for one, other in zip(small.products, large.products, strict=True):
        values = []
        for ledger, product in ((small, one), (large, other)):
            # Over an axis that stays, what a factor was multiplied by is its weight's affair.
            before = product.scalars if one.width != other.width else ()
            scalars = math.prod(abs(ledger.scalars[k].value) for k in before)
            values.append(abs(product.scale) * scalars)
        grows = _exponent(one.width, other.width, widths)
        sides = [frozenset(label[:2] for label in each) for each in (one.query, one.key)]
        scale = _exponent(values[0], values[1], widths)
        if one.width != other.width:
            # Entries of vectors of norm one shrink; what grows is an init that the plan corrects.
            scale += min(round(2 * _exponent(one.size, other.size, widths)) / 2, 0.0)
        found.append(ProductSeen(one.width, grows, scale, (sides[0], sides[1])))
    return tuple(found)


def _exponent(small: float, large: float, widths: tuple[int, int]) -> float:
    """Give the power of width by which a number grows."""
    if small <= 0 or large <= 0:
        return 0.0
    return math.log(large / small) / math.log(widths[1] / widths[0])


def _attention_is_mixed(one: ProductSeen, rule: Fraction) -> RoleError:
    """Refuse an attention whose scale no weight of its own can carry."""
    first, second = ({name for name, _ in side} for side in one.sides)
    whose = "no weight makes them alone"
    if first and second:
        whose = f"{listed(sorted(first | second))} make more than one of them"
    return RoleError(
        f"attention logits, or another product of two activations over {one.width} entries at the "
        f"base, must scale as that width^{rule}; it grows as width^{one.grows:.2g}, the model's "
        f"scale as width^{one.scale:.2g}",
        why=f"a factor in the queries' or keys' weights would do, but {whose}",
        fix=f"keep the head width and add heads: num_heads = width // {one.width}; or scale "
        f"logits: F.scaled_dot_product_attention(..., scale={one.width}**0.5 / head_width)",
    )
