"""Search strategies of a study: the grid of its axes, or random points over ranges."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from mutransfer.records.axes import MAX_TRIALS, as_toml_number
from mutransfer.records.base import InvalidValue, Record

EXAMPLE = '"2^-10 .. 2^-4", or { low = 0.0, high = 0.3, scale = "linear" }'


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
    """

    strategy: Literal["grid", "random"] = "grid"
    samples: int | None = Field(
        None, gt=0, le=MAX_TRIALS, description="random points at every point of the axes"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random points")
    ranges: dict[str, RangeText] = Field(
        default_factory=dict, description="hyperparameter -> range, for random points"
    )

    @property
    def num_samples(self) -> int:
        """Number of trials at every point of the axes."""
        return self.samples or 1

    @model_validator(mode="after")
    def _check_strategy(self) -> Self:
        """Check that random points have ranges and a number, and that a grid has neither."""
        if self.strategy == "random":
            if not self.ranges:
                fix = (
                    f"add [search.ranges] with a line for each hyperparameter, as in lr = {EXAMPLE}"
                )
                raise InvalidValue(("a random search has no ranges", fix))
            if self.samples is None:
                what = "a random search does not say how many points it has"
                raise InvalidValue((what, "write samples = 64"))
        elif unused := self.model_fields_set & {"samples", "seed", "ranges"}:
            what = f"'{min(unused)}' has no effect on a grid"
            raise InvalidValue((what, 'write strategy = "random", or remove it'))
        return self
