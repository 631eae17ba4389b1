"""This file is one trial: what was asked (its identity) and what came out."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mutransfer.records.base import Record, canonical_json, plain_number
from mutransfer.records.expressions import derive


def _scalar(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over any JSON value
    """Coerce an axis value to its canonical form, or say that it is none."""
    if isinstance(value, float):
        return plain_number(value)
    if not isinstance(value, int | str):  # True and False are int
        raise ValueError("a point on an axis is a number, a text, true or false")
    return value


AxisValue = Annotated[bool | int | float | str, BeforeValidator(_scalar)]
"""A point on an axis. 1 and 1.0 are the same point; NaN is refused."""


class _Runner(Record):
    """What all runners share."""

    kind: str

    @cached_property
    def canonical(self) -> str:
        """Its part of the canonical JSON of a trial; many trials have one runner."""
        return canonical_json({"kind": self.kind, **self.changed()})


class LabRunner(_Runner):
    """The built-in trainer. `settings` holds what differs from `LabSettings`' frozen defaults."""

    kind: Literal["lab"] = "lab"
    numerics: int = Field(description="version of the lab's arithmetic; a change redoes trials")
    data: str = Field(description="sha256 of the training text")
    settings: dict[str, AxisValue] = Field(default_factory=dict)
    derived: dict[str, str] = Field(default_factory=dict)


class CommandRunner(_Runner):
    """Any program: the command before substitution."""

    kind: Literal["command"] = "command"
    command: str
    derived: dict[str, str] = Field(default_factory=dict)


class CallableRunner(_Runner):
    """A Python function, by name."""

    kind: Literal["callable"] = "callable"
    name: str
    derived: dict[str, str] = Field(default_factory=dict)


Runner = Annotated[LabRunner | CommandRunner | CallableRunner, Field(discriminator="kind")]


class TrialSpec(Record):
    """What was asked of one training run. Its content hash is its identity.

    Example:
        >>> runner = CommandRunner(command="train --lr={lr}")
        >>> one = TrialSpec(runner=runner, axes={"lr": 1.0})
        >>> one.id == TrialSpec(runner=runner, axes={"lr": 1}).id
        True
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    runner: Runner
    axes: dict[str, AxisValue]

    @cached_property
    def id(self) -> str:
        """The sha256 of the canonical JSON: the name of the trial's folder."""
        axes = json.dumps(self.axes, sort_keys=True, separators=(",", ":"), allow_nan=False)
        text = f'{{"axes":{axes},"runner":{self.runner.canonical},"schema":{self.schema_version}}}'
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def values(self) -> dict[str, AxisValue]:
        """The point on every axis, and what is derived from it."""
        derived = self.runner.derived
        return {**self.axes, **derive(derived, self.axes)} if derived else dict(self.axes)


class TrialResult(Record):
    """What came out of one training run. A diverged run is a result, not a failure."""

    schema_version: Literal[1] = Field(1, alias="schema")
    id: str = Field(description="the trial's identity, again, to notice a moved file")
    spec: TrialSpec
    loss: float | None = Field(description="final loss on held-out data, nats per token")
    diverged_at: int | None = Field(
        None, description="step at which the loss was not finite, or ended above the untrained loss"
    )
    untrained_loss: float | None = Field(None, description="held-out loss before step 1, nats")
    curve: tuple[tuple[int, float], ...] = Field((), description="(step, training loss in nats)")
    tokens: int | None = Field(None, description="tokens trained on")
    flops: float | None = Field(None, description="floating-point operations of training")
    parameters: int | None = Field(None, description="trained parameters")
    seconds: float = Field(description="wall-clock seconds of the run")
    finished: str = Field(description="end of the run, ISO 8601, UTC")
    host: str = Field("", description="where it ran")
    versions: dict[str, str] = Field(default_factory=dict, description="package versions")
    commit: str | None = Field(None, description="commit of a source checkout, if it was one")
    shared_from: str | None = Field(
        None, description="id of the trial that this one is identical to, if it was not run itself"
    )
