"""This file is what forward passes at two widths show: axes, readouts, multipliers, attention."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import nn

from mutransfer.errors import ModelError, RoleError, listed
from mutransfer.parametrize.watching.images import Label
from mutransfer.parametrize.watching.ledger import EVERY, Ledger, Scalar, Use
from mutransfer.parametrize.watching.watch import Watcher, tensors_of
from mutransfer.rules.plan import unwrapped

NEAR = 0.1  # an exponent of width that is nearer to zero is zero [assumed]
LEVEL = 0.25  # half of the smallest power that a multiplier can have


@dataclass(frozen=True, slots=True)
class AttentionSeen:
    """How one attention scales with width.

    Args:
        width: Its head width at the base.
        head: Exponent of the head width.
        scale: Exponent of its logits' scale.
        query: The parameters that its queries are a product of.
        key: The same of its keys.
    """

    width: int
    head: float
    scale: float
    query: frozenset[Label]
    key: frozenset[Label]


@dataclass(frozen=True, slots=True)
class Seen:
    """What forward passes showed; empty without them.

    Args:
        uses: How each parameter was used.
        readouts: Weights that the output is made with, and no other weight.
        multipliers: Exponents of width of the author's own forward multipliers, by parameter
            and kind of use.
        attentions: In the order in which they run.
    """

    uses: Mapping[str, Use] = field(default_factory=dict)
    readouts: frozenset[str] | None = None
    multipliers: Mapping[tuple[str, str], float] = field(default_factory=dict)
    attentions: tuple[AttentionSeen, ...] = ()

    def use(self, name: str) -> Use | None:
        """Give a parameter's use, unless it is not known."""
        found = self.uses.get(name)
        known = found is not None and not found.unknown
        return found if known and found != Use() else None

    def wanted(self, rule: Fraction | None) -> dict[tuple[str, str], float]:
        """Give each use's multiplier relative to what attention asks for.

        The scale of attention logits is to go as the head width to the power `rule`. What the
        author's scale lacks is asked of the queries' weights.

        Raises:
            RoleError: The queries are no product of weights of their own.
        """
        found = dict(self.multipliers)
        for one in self.attentions if rule is not None else ():
            assert rule is not None
            lacks = float(rule) * one.head - one.scale
            if abs(lacks) < NEAR:
                continue
            query = {(name, kind) for name, kind, _ in one.query}
            shared = {name for name, _ in query} & {name for name, _, _ in one.key}
            if not query or shared or not all(kind != "lookup" for _, kind in query):
                raise _attention_is_mixed(one, rule, sorted(shared))
            for use in query:
                found[use] = self.multipliers.get(use, 0.0) - lacks
        return found


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
        attentions=_attentions(passes, (base, probe)),
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
    is_model = isinstance(example_inputs, nn.Module)
    try:
        inputs = example_inputs
        if isinstance(inputs, Callable) and not is_model:  # type: ignore[arg-type]
            inputs = inputs(width)  # type: ignore[operator]
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
    makes_up = _normalizing(small.scalars, large.scalars, widths)
    at_base, at_probe = (_by_use(ledger, makes_up) for ledger in (small, large))
    found = {}
    for use in at_base.keys() & at_probe.keys():
        # A use with several values, as by a layer that is called twice, has to grow as one.
        pairs = itertools.zip_longest(at_base[use], at_probe[use], fillvalue=math.nan)
        grows = {round(_exponent(one, other, widths), 2) for one, other in pairs}
        if len(grows) > 1:
            raise ModelError(
                f"the uses of '{use[0]}' are multiplied by different powers of width",
                why="one parameter has one multiplier",
                fix="multiply at every use alike, or give each use a parameter of its own",
            )
        found[use] = grows.pop()
    return found


def _by_use(ledger: Ledger, makes_up: set[int]) -> dict[tuple[str, str], list[float]]:
    """Multiply up the scalars of each call; give the different values of each use."""
    by_call: dict[Label, float] = dict.fromkeys(ledger.calls, 1.0)
    unowned = 0
    for scalar in ledger.scalars:
        targets = scalar.origin
        if scalar.consumers and not scalar.elsewhere:
            targets = frozenset(scalar.consumers)
        if not scalar.origin:
            unowned += 1
        if scalar.in_attention or (not scalar.origin and unowned - 1 in makes_up):
            continue
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
    pair = [[one for one in scalars if not one.origin] for scalars in (small, large)]
    found = set()
    for k, (one, other) in enumerate(zip(*pair, strict=False)):
        grows = _exponent(abs(one.value), abs(other.value), widths)
        if one.statistic or abs(grows + _exponent(one.rms, other.rms, widths)) < LEVEL:
            found.add(k)
        elif abs(grows) > NEAR and not one.in_attention and not _owned(one):
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


def _attentions(passes: list[_Pass], widths: tuple[int, int]) -> tuple[AttentionSeen, ...]:
    """Find how head widths and scales grow."""
    pairs = zip(passes[0].ledger.attentions, passes[1].ledger.attentions, strict=False)
    return tuple(
        AttentionSeen(
            width=small.head,
            head=_exponent(small.head, large.head, widths),
            scale=_exponent(abs(small.scale), abs(large.scale), widths),
            query=small.query,
            key=small.key,
        )
        for small, large in pairs
    )


def _exponent(small: float, large: float, widths: tuple[int, int]) -> float:
    """Give the power of width by which a number grows."""
    if small <= 0 or large <= 0:
        return 0.0
    return math.log(large / small) / math.log(widths[1] / widths[0])


def _attention_is_mixed(one: AttentionSeen, rule: Fraction, shared: list[str]) -> RoleError:
    """Refuse an attention whose scale no weight of its own can carry."""
    whose = f"{listed(shared)} makes both queries and keys" if shared else "no weight makes them"
    return RoleError(
        f"attention logits must scale as head width^{rule}, and the model's scale grows as "
        f"width^{one.scale:.3g} while its head width grows as width^{one.head:.3g}",
        why=f"a factor in the queries would do, but {whose}",
        fix=f"keep the head width and add heads: num_heads = width // {one.width}; or scale "
        f"logits: F.scaled_dot_product_attention(..., scale={one.width}**0.5 / head_width)",
    )
