"""Search strategies of a study: the grid of its axes, random points over ranges, or a bracket."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from mutransfer.errors import listed
from mutransfer.records.axes import MAX_TRIALS, as_toml_number
from mutransfer.records.base import InvalidValue, Problem, Record
from mutransfer.records.trial import AxisValue

EXAMPLE = '"2^-10 .. 2^-4", or { low = 0.0, high = 0.3, scale = "linear" }'
# A list such as 1e-4, 3e-4, 1e-3 is meant to be even: its steps are 1.58 and 1.74 octaves, 5 % from
# their mean [derived].
EVEN = 0.1  # largest difference between a step and their mean, as a share of it


class Range(Record):
    """A range of a hyperparameter, from which random points are drawn.

    Example:
        >>> range_ = Range(low=0.25, high=4.0)
        >>> range_.at(0.0), range_.at(0.5), range_.at(1.0)
        (0.25, 1.0, 4.0)
    """

    low: float
    high: float
    scale: Literal["log", "linear"] = Field(
        "log", description="points are uniform in the logarithm, or in the number itself"
    )

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        """Check that the range is not empty, and that its ends have a logarithm if it needs one."""
        if self.low >= self.high:
            what = f"the range from {self.low:g} to {self.high:g} is empty"
            raise InvalidValue((what, f"write the smaller number first: {EXAMPLE}"))
        if self.scale == "log" and self.low <= 0:
            what = f"a range of logarithms cannot begin at {self.low:g}"
            fix = f'begin above 0, or write scale = "linear": {EXAMPLE}'
            raise InvalidValue((what, fix))
        return self

    def at(self, share: float) -> float:
        """Return the value at a share of the range, with six digits.

        Rounding keeps a trial's id the same where two machines differ in the last bit.
        """
        if self.scale == "linear":
            value = self.low + share * (self.high - self.low)
        else:
            value = self.low * (self.high / self.low) ** share
        return float(f"{value:.6g}")


def _parse_range(value: Any) -> Any:  # noqa: ANN401 - any TOML value may stand here
    """Convert a text such as '2^-10 .. 2^-4' to a table."""
    if not isinstance(value, str):
        return value
    ends = [as_toml_number(end) for end in re.split(r"\s*\.\.\s*", value.strip())]
    try:
        low, high = (float(end) for end in ends)
    except ValueError:
        raise InvalidValue((f"'{value}' is not a range", f"write {EXAMPLE}")) from None
    return {"low": low, "high": high}


RANGE = {
    "anyOf": [
        Range.model_json_schema(),
        {"type": "string", "description": "a range of logarithms: '2^-10 .. 2^-4'"},
    ]
}
RangeText = Annotated[
    Range, BeforeValidator(_parse_range), WithJsonSchema(RANGE, mode="validation")
]


class SearchTable(Record):
    """`[search]`: strategy that chooses the trials.

    With `random`, every point of the axes is run at the same points of the ranges, which fill
    them evenly (a Sobol sequence). With more `samples` the sequence continues, so that trials
    that are done remain.

    With `bracket`, the smallest size runs all rates of the axis, and each larger one only a few
    around the best rate that the smaller ones predict.
    """

    strategy: Literal["grid", "random", "bracket"] = "grid"
    samples: int | None = Field(
        None, gt=0, le=MAX_TRIALS, description="random points at every point of the axes"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random points")
    ranges: dict[str, RangeText] = Field(
        default_factory=dict, description="hyperparameter -> range, for random points"
    )
    rates: int = Field(3, ge=3, le=99, description="rates at each larger size of a bracket")
    octaves: float = Field(
        1.0, gt=0, le=16, description="octaves between the rates at a larger size of a bracket"
    )
    seeds: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (),
        description="seeds at each size of a bracket, ascending; the last number holds for all "
        "larger ones. By default all at the smallest, and one less at each larger one",
    )

    @property
    def num_samples(self) -> int:
        """Number of trials at every point of the axes."""
        return self.samples or 1

    def num_seeds(self, position: int, available: int) -> int:
        """Return the number of seeds at a size of a bracket, 0 being the smallest.

        Example:
            >>> [SearchTable(strategy="bracket").num_seeds(size, 3) for size in range(5)]
            [3, 2, 1, 1, 1]
        """
        if self.seeds:
            return self.seeds[min(position, len(self.seeds) - 1)]
        return max(available - position, 1)

    @model_validator(mode="after")
    def _check_strategy(self) -> Self:
        """Check that random points have ranges and a number, and that no setting is unused."""
        if self.strategy == "random":
            if not self.ranges:
                fix = (
                    f"add [search.ranges] with a line for each hyperparameter, as in lr = {EXAMPLE}"
                )
                raise InvalidValue(("a random search has no ranges", fix))
            if self.samples is None:
                what = "a random search does not say how many points it has"
                raise InvalidValue((what, "write samples = 64"))
        for strategy, names in SETTINGS.items():
            unused = [name for name in self.non_default_fields() if name in names]
            if strategy != self.strategy and unused:
                kind = {"grid": "a grid", "random": "random points", "bracket": "a bracket"}
                what = f"'{min(unused)}' has no effect on {kind[self.strategy]}"
                raise InvalidValue((what, f'write strategy = "{strategy}", or remove it'))
        return self


SETTINGS: Mapping[str, frozenset[str]] = {
    "random": frozenset({"samples", "seed", "ranges"}),
    "bracket": frozenset({"rates", "octaves", "seeds"}),
}


def range_problems(
    search: SearchTable, axes: Collection[str], tuned: Sequence[str]
) -> list[Problem]:
    """Return ranges that are axes as well, or that the analysis would ignore."""
    ranges = search.ranges
    problems = [
        Problem(
            f"'{name}' is both an axis and a range of the search",
            f"remove '{name}' from [axes] or from [search.ranges]",
        )
        for name in sorted({*axes} & ranges.keys())
    ]
    if ignored := [name for name in ranges if name not in tuned]:
        what = f"the search varies {listed(ignored)}, which the analysis does not tune"
        names = json.dumps(list(ranges) if len(ranges) > 1 else ignored[0])
        problems.append(Problem(what, f"write [analysis] hyperparameter = {names}"))
    return problems


def rate_step(rates: Sequence[AxisValue]) -> float | None:
    """Return the step of an axis in octaves; None unless it ascends, evenly spaced.

    Example:
        >>> rate_step((0.25, 0.5, 1)), rate_step((0.25, 0.5, 4))
        (1.0, None)
    """
    log2_rates = [math.log2(float(rate)) for rate in rates]
    step = (log2_rates[-1] - log2_rates[0]) / max(len(rates) - 1, 1)
    differences = [high - low for low, high in pairwise(log2_rates)]
    is_even = step > 0 and all(abs(each - step) <= EVEN * step for each in differences)
    return step if is_even else None


def bracket_problems(
    search: SearchTable,
    axes: Mapping[str, Sequence[AxisValue]],
    scales: Sequence[str],
    tuned: Sequence[str],
    group_by: Sequence[str],
) -> list[Problem]:
    """Return what a bracket cannot search in a study, whose analysis names its axes."""
    if len(tuned) > 1:
        what = "a bracket searches one hyperparameter, but the analysis tunes several"
        return [Problem(what, 'write strategy = "random" and [search.ranges]')]
    problems = []
    numeric = [n for n in (*scales, *tuned) if _is_positive(axes.get(n, ()))]
    if len(numeric) < len(scales) + len(tuned):
        return []  # the checks of [analysis] report it
    if len(rates := axes[tuned[0]]) < 5 or rate_step(rates) is None:
        name = tuned[0]
        few = len(rates) < 5
        what = f"'axes.{name}' has {len(rates)} values" if few else f"'axes.{name}' is not even"
        reason = "a bracket fits a parabola to 5 or more" if few else "a bracket adds further steps"
        fix = f'write 5 or more that ascend evenly, as in {name} = "2^-10 .. 2^-4 step 1/2"'
        problems.append(Problem(f"{what}: {reason}", fix))
    for name in scales:
        if len(axes[name]) < 2:
            what = f"'axes.{name}' has one value, so a bracket would be the whole grid"
            problems.append(Problem(what, f"add larger values of {name}"))
    available = len(axes.get("seed", (0,)))
    if search.seeds and max(search.seeds) > available:
        what = f"search.seeds has {max(search.seeds)}, but the axis 'seed' has {available}"
        problems.append(Problem(what, f"write seed = {list(range(max(search.seeds)))} in [axes]"))
    roles = {*scales, *tuned, *group_by, "seed"}
    if others := [name for name in axes if name not in roles and len(axes[name]) > 1]:
        what = f"'{others[0]}' varies, but a bracket needs to know which trials form a curve"
        names = [*(name for name in group_by if name in axes), *others]
        quoted = ", ".join(f'"{name}"' for name in names)
        problems.append(Problem(what, f"write [analysis] group_by = [{quoted}]"))
    return problems


def _is_positive(values: Sequence[AxisValue]) -> bool:
    """Return whether there are values, all of which have a logarithm."""
    return bool(values) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in values
    )
