"""The author's init: how the RMS of every parameter scales with width, measured over builds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import nn

from mutransfer.errors import InitError
from mutransfer.parametrize.model.build import Build, build_model, temporary_seed
from mutransfer.parametrize.model.finite import check_finite
from mutransfer.parametrize.model.roles import ParameterRole
from mutransfer.rules.plan import OwnInit, unwrapped

MIN_BUILDS = 8  # of a model that is cheap to build, and of a tensor of few entries [assumed]
MAX_BUILDS = 200  # of a model that is not cheap: bounds the time of a plan [assumed]
RELIABLE_DRAWS = 2**9  # entries whose spread gives a reliable standard error [assumed]
CHUNK = 2**17  # entries that fit the cache in double precision: 30 times faster [measured]
# Small models are built more often, up to this many entries in all [assumed: about a second]: a
# readout's bias of one entry needs more than 64 draws to tell exponent 0 from 1/2.
CHEAP_ENTRIES = 2**26
# An exponent is settled once the next half step is this many times less likely. Of 4500 simulated
# biases in torch's own init, 4 were settled wrongly; a bias of 3 entries took 23 builds on average,
# a bias of one entry 67 [measured].
ODDS = 1000.0
EVIDENCE = 2.5  # standard errors; a false alarm, one in a hundred, costs more builds [assumed]


@dataclass(slots=True)
class Moments:
    """The second and fourth moment about zero of one parameter, pooled over builds."""

    size: int
    builds: int = 0
    distinct: int = 0
    second: float = 0.0
    fourth: float = 0.0
    latest: float = -1.0

    def add(self, tensor: torch.Tensor) -> None:
        """Pool the tensor of one more build."""
        mean = fourth = 0.0
        for part in torch.split(tensor.detach().flatten(), CHUNK) if self.size else ():
            square = part.double().square()
            mean += float(square.sum()) / self.size
            fourth += float(square.dot(square)) / self.size
        self.builds += 1
        # A factory that sets its own seed repeats the same draw, which is no new evidence.
        self.distinct += mean != self.latest
        self.latest = mean
        self.second += (mean - self.second) / self.builds
        self.fourth += (fourth - self.fourth) / self.builds

    @property
    def is_finite(self) -> bool:
        """Whether the second moment of every build was finite."""
        return math.isfinite(self.second)

    @property
    def rms(self) -> float:
        """Root mean square about zero."""
        return math.sqrt(self.second)

    @property
    def is_constant(self) -> bool:
        """Whether all entries of all builds have the same magnitude."""
        return self.error(1) < 1e-6

    @property
    def is_one_number(self) -> bool:
        """Whether it is one entry that is the same in every build."""
        return self.size == 1 and self.distinct == 1

    @property
    def has_reliable_error(self) -> bool:
        """Whether the error is reliable: many entries or builds, or several equal entries."""
        many = self.builds >= MIN_BUILDS or self.size * self.distinct >= RELIABLE_DRAWS
        return many or (self.size > 1 and self.is_constant)

    def error(self, size: int, draws: int = 1) -> float:
        """Return the relative standard error of an RMS over `draws` tensors of `size` entries."""
        if self.second == 0 or not self.is_finite:
            return 0.0
        spread = max(self.fourth / self.second**2 - 1, 0.0)
        return 0.5 * math.sqrt(spread / (size * draws)) if size else 0.0


Pool = dict[str, Moments]


def measure_init(
    build: Build,
    pools: Mapping[int, Pool],
    roles: Mapping[str, ParameterRole],
    target_sizes: Mapping[str, int],
    target: int,
) -> dict[str, OwnInit]:
    """Measure each parameter's RMS at base and probe width, and the exponent between them.

    The nearest multiple of 1/2 is accepted within 5 standard errors + 0.02.

    Args:
        build: The user's factory.
        pools: Moments of a first model, by width: the base's, then the probe's; more are added.
        roles: Roles and ratios.
        target_sizes: Number of entries of each parameter at the target.
        target: Target width.

    Raises:
        InitError: An init is not a power of width.
    """
    first, second = pools
    roles = {n: _with_init_ratio(role, first, second, target) for n, role in roles.items()}
    unsettled = _build_until_settled(build, pools, roles)
    base = next(iter(pools.values()))
    rejected: list[str] = []
    inits = {}
    for name, role in roles.items():
        scaling = _scaling(name, role, list(pools.values()))
        if not scaling.is_power or name in unsettled:
            rejected.append(f"'{name}' ∝ ratio^{scaling.value:.3f} ± {scaling.error:.3f}")
        own = base[name]
        inits[name] = OwnInit(
            rms=own.rms * scaling.factor if own.is_finite else None,
            error=math.hypot(own.error(target_sizes[name]), own.error(own.size, own.distinct)),
            exponent=scaling.nearest,
            ratio=scaling.ratio,
        )
    if rejected:
        advice = (
            "initialise with std = c or c / fan_in**0.5; if the ± is large, compare widths "
            f"further apart: make_plan(..., probe={8 * first})"
        )
        if all(moments.distinct == 1 for pool in pools.values() for moments in pool.values()):
            advice = "remove torch.manual_seed from build: every build draws the same numbers"
        raise InitError(
            f"the init between widths {first} and {second} is not clearly a power "
            f"0, 1/2, 1 ... of width: {'; '.join(rejected[:4])}",
            why="the plan corrects your init, so it must know how your init scales with width",
            fix=advice,
        )
    return inits


def _with_init_ratio(role: ParameterRole, base: int, probe: int, target: int) -> ParameterRole:
    """Return a role whose init depends on an axis, or on the width itself if no axis grows."""
    if role.fan_probe != 1 or not role.init_ratio == role.init_probe == 1:
        return role
    return replace(role, init_ratio=Fraction(target, base), init_probe=Fraction(probe, base))


def add_to_pool(model: nn.Module, pool: Pool, width: int, names: Set[str] | None = None) -> Pool:
    """Add all or some parameters of a fresh model to a pool, and return it.

    Raises:
        InitError: A parameter is not finite.
    """
    suspects = {}
    for wrapped, parameter in model.named_parameters():
        name = unwrapped(wrapped)
        if names is None or name in names:
            moments = pool.setdefault(name, Moments(parameter.numel()))
            moments.add(parameter)
            if not math.isfinite(moments.latest):
                suspects[name] = parameter
    check_finite(suspects, f"build({width})")
    return pool


def _build_until_settled(
    build: Build, pools: Mapping[int, Pool], roles: Mapping[str, ParameterRole]
) -> set[str]:
    """Build models until every exponent is settled; return the parameters that are not."""
    unsettled, both = set(roles), list(pools.values())
    entries = sum(moments.size for pool in both for moments in pool.values())
    reseeds = False
    for builds in itertools.count(1):
        is_cheap = builds * entries <= CHEAP_ENTRIES
        if builds >= MIN_BUILDS or not is_cheap:
            reliable = {n for n in unsettled if all(p[n].has_reliable_error for p in both)}
            unsettled -= {n for n in reliable if _scaling(n, roles[n], both).is_settled}
            if builds > 1 and not reseeds:  # a learned scalar may start at a constant
                unsettled -= {n for n in unsettled if all(p[n].is_one_number for p in both)}
            if not unsettled or (builds >= MAX_BUILDS and not is_cheap):
                break
            if builds > 1 and all(pool[n].distinct == 1 for pool in both for n in unsettled):
                break  # more builds would repeat the same draw
        for width, pool in pools.items():
            with temporary_seed(builds):
                add_to_pool(build_model(build, width), pool, width, unsettled)
                reseeds |= torch.initial_seed() != builds
    return unsettled


@dataclass(frozen=True, slots=True)
class _Scaling:
    """The measured exponent of one parameter in the ratio of one axis, and its standard error."""

    value: float
    error: float
    ratio: Fraction

    @property
    def nearest(self) -> Fraction:
        """Nearest multiple of 1/2."""
        return Fraction(round(2 * self.value), 2)

    @property
    def factor(self) -> float:
        """RMS at the target over that at the base."""
        factor: float = float(self.ratio) ** float(self.nearest)
        return factor

    @property
    def is_power(self) -> bool:
        """Whether the nearest multiple of 1/2 lies within 5 standard errors + 0.02."""
        return abs(self.value - self.nearest) <= 5 * self.error + 0.02

    @property
    def is_settled(self) -> bool:
        """Whether the nearest multiple of 1/2 is `ODDS` times as likely as any other."""
        # The odds are exp(((1/2 - off)² - off²) / (2 error²)) to 1, for a normal error.
        off = abs(self.value - self.nearest)
        return 0.25 - off >= 2 * math.log(ODDS) * self.error**2


def _scaling(name: str, role: ParameterRole, pools: Sequence[Pool]) -> _Scaling:
    """Measure how one parameter scales, along the first axis in which it is a power."""
    base, probe = pools[0][name], pools[1][name]
    zeros = (base.second == 0) + (probe.second == 0)
    is_mask = not (base.is_finite and probe.is_finite)  # frozen, of -inf: no factor changes it
    if is_mask or zeros == 2 or role.init_ratio == role.init_probe == 1:
        return _Scaling(0.0, 0.0, role.init_ratio)
    if zeros == 1:
        raise InitError(
            f"'{name}' starts at zero at one width and not at another",
            why="the plan corrects your init, so it must know how your init scales with width",
            fix="initialise it the same way at every width",
        )
    if role.init_probe == 1:
        raise InitError(
            f"'{name}' grows from base to target but not from base to probe",
            why="how its init scales is measured between base and probe",
            fix="choose a probe width at which it differs: make_plan(..., probe=WIDTH)",
        )
    octaves = math.log2(probe.rms / base.rms)
    error = math.hypot(*(m.error(m.size, m.distinct) for m in (base, probe))) / math.log(2)
    axes = [(role.init_ratio, role.init_probe), *role.init_axes]
    grown = [(target, math.log2(ratio)) for target, ratio in axes if ratio != 1]
    along = [_Scaling(octaves / size, error / abs(size), target) for target, size in grown]
    scaling = next((scaling for scaling in along if scaling.is_power), along[0])
    # Where no axis grows an init rarely depends on width, so without evidence it does not.
    is_constant = role.fan_probe == 1 and abs(scaling.value) < EVIDENCE * scaling.error + 0.02
    return _Scaling(0.0, 0.0, scaling.ratio) if is_constant else scaling
