"""This file is measuring how a model's author scales the initialization, by building it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from mutransfer.errors import InitError
from mutransfer.parametrize.model.axes import Axes
from mutransfer.parametrize.model.shapes import Build, built, untouched_randomness
from mutransfer.rules.plan import OwnInit, unwrapped

FEWEST_BUILDS = 8  # of a model that is cheap to build, and of a tensor of few entries
MANY_ENTRIES = 2**9  # of which the spread is known well enough to believe the error from it
CHUNK = 2**17  # entries that stay in the cache in double precision: 30 times faster than a pass
MOST_BUILDS = 200
# Small models are built more often, up to this many entries in all [assumed: about a second].
CHEAP_ENTRIES = 2**26
# An exponent is settled once the next half step is so many times less likely. Of 4500 simulated
# biases in torch's own init, 4 were settled wrongly; one of 3 entries took 23 builds on average,
# one of a single entry 67 [measured].
ODDS = 1000.0


@dataclass(slots=True)
class Moments:
    """Second and fourth moment about zero of one parameter, pooled over builds."""

    size: int
    builds: int = 0
    distinct: int = 0
    second: float = 0.0
    fourth: float = 0.0
    latest: float = -1.0

    def add(self, tensor: torch.Tensor) -> None:
        """Pool one more build."""
        mean = fourth = 0.0
        for part in torch.split(tensor.detach().flatten(), CHUNK) if self.size else ():
            square = part.double().square()
            mean += float(square.sum()) / self.size
            fourth += float(square.dot(square)) / self.size
        self.builds += 1
        # A factory that seeds itself gives the same draw again, which is no new evidence.
        self.distinct += mean != self.latest
        self.latest = mean
        self.second += (mean - self.second) / self.builds
        self.fourth += (fourth - self.fourth) / self.builds

    @property
    def rms(self) -> float:
        """Root mean square about zero."""
        return math.sqrt(self.second)

    @property
    def telling(self) -> bool:
        """Whether its error can be believed: many entries, entries of one size, or many builds."""
        many = self.builds >= FEWEST_BUILDS or self.size * self.distinct >= MANY_ENTRIES
        return many or (self.size > 1 and self.error(self.size) < 1e-6)

    def error(self, size: int, draws: int = 1) -> float:
        """Relative standard error of an RMS over `draws` tensors of `size` entries."""
        if self.second == 0:
            return 0.0
        spread = max(self.fourth / self.second**2 - 1, 0.0)
        return 0.5 * math.sqrt(spread / (size * draws)) if size else 0.0


Pool = dict[str, Moments]


def measured_init(
    build: Build,
    drawn: Mapping[int, Pool],
    axes: Mapping[str, Axes],
    target_sizes: Mapping[str, int],
) -> dict[str, OwnInit]:
    """Measure each parameter's RMS at base and probe width, and read the exponent off.

    Builds the model 8 to 200 times at each width (a small one more often, a large one without
    small tensors once), until it is beyond doubt which multiple of 1/2 every exponent is. That
    one is accepted within 5 standard errors + 0.02.

    Args:
        build: The user's factory.
        drawn: Moments of a first model by width, the base's and the probe's.
        axes: Roles and ratios.
        target_sizes: Entries of each parameter at the target.

    Raises:
        InitError: An init that is no power of width.
    """
    widths, pools = list(drawn), list(drawn.values())
    unsettled = set(axes)
    per_build = sum(moments.size for pool in pools for moments in pool.values())
    for builds in itertools.count(1):
        if builds >= FEWEST_BUILDS or builds * per_build > CHEAP_ENTRIES:
            told = {n for n in unsettled if all(pool[n].telling for pool in pools)}
            unsettled -= {n for n in told if _settled(*_exponent(n, axes[n], pools))}
            if builds >= MOST_BUILDS and builds * per_build > CHEAP_ENTRIES:
                break
            same = all(pool[n].distinct == 1 for pool in pools for n in unsettled)
            if not unsettled or (builds > 1 and same):
                break  # nothing is left, or what is left is the same in every build
        for width, pool in drawn.items():
            with untouched_randomness(builds):
                pooled(built(build, width), pool, unsettled)
    rejected: list[str] = []
    found = {}
    for name, ax in axes.items():
        value, error = _exponent(name, ax, pools)
        nearest = Fraction(round(2 * value), 2)
        if abs(value - nearest) > 5 * error + 0.02 or name in unsettled:
            rejected.append(f"'{name}' ∝ ratio^{value:.3f} ± {error:.3f}")
        own = pools[0][name]
        found[name] = OwnInit(
            rms=own.rms * float(ax.init_ratio) ** float(nearest),
            error=math.hypot(own.error(target_sizes[name]), own.error(own.size, own.distinct)),
            exponent=nearest,
            ratio=ax.init_ratio,
        )
    if rejected:
        advice = (
            "initialise with std = c or c / fan_in**0.5; if the ± is large, compare widths "
            f"further apart: make_plan(..., probe={8 * widths[0]})"
        )
        if all(moments.distinct == 1 for pool in pools for moments in pool.values()):
            advice = "take torch.manual_seed out of build: every build draws the same numbers"
        raise InitError(
            f"the init between widths {widths[0]} and {widths[1]} is not clearly a power "
            f"0, 1/2, 1 ... of width: {'; '.join(rejected[:4])}",
            why="the plan supplies what your init lacks, so it must know how your init scales",
            fix=advice,
        )
    return found


def pooled(model: nn.Module, pool: Pool, names: Set[str] | None = None) -> Pool:
    """Add one fresh model's parameters to a pool, or some of them."""
    for wrapped, parameter in model.named_parameters():
        name = unwrapped(wrapped)
        if names is None or name in names:
            pool.setdefault(name, Moments(parameter.numel())).add(parameter)
    return pool


def _settled(value: float, error: float) -> bool:
    """Tell whether the second nearest multiple of 1/2 is beyond doubt the wrong one.

    The odds of the nearest are exp(((1/2 - off)² - off²) / (2 error²)) to 1, for a normal error.
    """
    off = abs(value - round(2 * value) / 2)
    return 0.25 - off >= 2 * math.log(ODDS) * error**2


def _exponent(name: str, ax: Axes, pools: Sequence[Pool]) -> tuple[float, float]:
    """Give the measured exponent of one parameter and its standard error."""
    base, probe = pools[0][name], pools[1][name]
    zeros = (base.second == 0) + (probe.second == 0)
    if zeros == 2 or ax.init_ratio == ax.init_probe == 1:
        return 0.0, 0.0
    if zeros == 1:
        raise InitError(
            f"'{name}' starts at zero at one width and not at another",
            why="the plan supplies what your init lacks, so it must know how your init scales",
            fix="initialise it the same way at every width",
        )
    if ax.init_probe == 1:
        raise InitError(
            f"'{name}' grows from base to target but not from base to probe",
            why="how its init scales is measured between base and probe",
            fix="choose a probe width at which it differs: make_plan(..., probe=WIDTH)",
        )
    octaves = math.log2(ax.init_probe)
    error = math.hypot(*(m.error(m.size, m.distinct) for m in (base, probe))) / math.log(2)
    return math.log2(probe.rms / base.rms) / octaves, error / abs(octaves)
