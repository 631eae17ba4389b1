"""Trials: the specification of one training run, whose hash is its id, and its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mutransfer.records.base import InvalidValue, Record, canonical_json, plain_number
from mutransfer.records.expressions import derive, names_in
from mutransfer.records.lab import LabSettings


def _scalar(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over any JSON value
    """Convert the value of an axis to its canonical form."""
    if isinstance(value, float):
        return plain_number(value)
    if not isinstance(value, int | str):  # True and False are int
        raise InvalidValue(
            (
                "a value on an axis must be a number, text, true or false",
                "write one list of values, as in [64, 128]",
            )
        )
    return value


AxisValue = Annotated[bool | int | float | str, BeforeValidator(_scalar)]
"""A value on an axis. 1 and 1.0 are the same value; NaN is invalid."""


class _Runner(Record):
    """Base class of runners."""

    kind: str

    @cached_property
    def canonical(self) -> str:
        """The runner's part of a trial's canonical JSON, cached because many trials share it."""
        return canonical_json({"kind": self.kind, **self.non_default_fields()})


class LabRunner(_Runner):
    """The built-in trainer; `settings` holds what differs from the defaults of `LabSettings`."""

    kind: Literal["lab"] = "lab"
    numerics: int = Field(
        description="version of the lab's arithmetic; trials of another version run again"
    )
    data: str = Field(description="sha256 of the training text")
    settings: dict[str, AxisValue] = Field(default_factory=dict)
    derived: dict[str, str] = Field(default_factory=dict)


class CommandRunner(_Runner):
    """A command line, with placeholders as in the study file."""

    kind: Literal["command"] = "command"
    command: str
    derived: dict[str, str] = Field(default_factory=dict)
    arguments: dict[str, str] = Field(
        default_factory=dict, description="axis -> arguments that replace its value at this point"
    )


class CallableRunner(_Runner):
    """A Python function, identified by its name."""

    kind: Literal["callable"] = "callable"
    name: str
    derived: dict[str, str] = Field(default_factory=dict)


Runner = Annotated[LabRunner | CommandRunner | CallableRunner, Field(discriminator="kind")]


class TrialSpec(Record):
    """Specification of one training run. The hash of its content is its id.

    Example:
        >>> runner = CommandRunner(command="train --lr={lr}")
        >>> spec = TrialSpec(runner=runner, axes={"lr": 1.0})
        >>> spec.id == TrialSpec(runner=runner, axes={"lr": 1}).id
        True
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    runner: Runner
    axes: dict[str, AxisValue]

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical JSON; also the name of the trial's folder."""
        # The same text as `canonical_json` returns, faster: axis values are canonical already.
        axes = json.dumps(self.axes, sort_keys=True, separators=(",", ":"), allow_nan=False)
        text = f'{{"axes":{axes},"runner":{self.runner.canonical},"schema":{self.schema_version}}}'
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def values(self) -> dict[str, AxisValue]:
        """The values of all axes and derived values."""
        return self.typed_values(())

    def typed_values(self, float_axes: Collection[str]) -> dict[str, AxisValue]:
        """Return the values of all axes and derived values, with whole numbers of some as floats.

        The identity of a trial has no types, since 1 and 1.0 are the same point; programs may.
        """
        axes = dict(self.axes)
        for name in float_axes:
            if type(axes.get(name)) is int:
                axes[name] = float(axes[name])
        derived = self.runner.derived
        return {**axes, **derive(derived, axes)} if derived else axes


def lab_settings(trial: TrialSpec) -> LabSettings:
    """Return the settings of a trial of the built-in trainer: its table's, and its axes'.

    A name that is no setting is left out if derived values use it.

    Example:
        >>> derived = {"lr_multiplier_input": "(width / 32) ** power"}
        >>> runner = LabRunner(numerics=1, data="", settings={"base_width": 32}, derived=derived)
        >>> spec = TrialSpec(runner=runner, axes={"width": 128, "lr": 0.1, "power": 0.5})
        >>> lab_settings(spec).lr_multiplier_input
        2.0
    """
    assert isinstance(trial.runner, LabRunner), trial.runner.kind
    used = {name for expression in trial.runner.derived.values() for name in names_in(expression)}
    unused = used - LabSettings.model_fields.keys()
    values = {name: value for name, value in trial.values.items() if name not in unused}
    return LabSettings.model_validate({**trial.runner.settings, **values})


class TrialResult(Record):
    """Result of one training run. A diverged run is a result, not a failure."""

    schema_version: Literal[1] = Field(1, alias="schema")
    id: str = Field(description="id of the trial, repeated to detect a moved file")
    spec: TrialSpec
    loss: float | None = Field(description="final loss on held-out data, nats per token")
    diverged_at: int | None = Field(
        None, description="step at which the loss was not finite, or ended above the untrained loss"
    )
    untrained_loss: float | None = Field(None, description="held-out loss before step 1, nats")
    curve: tuple[tuple[int, float], ...] = Field((), description="(step, training loss in nats)")
    tokens: int | None = Field(None, description="tokens trained on")
    flops: float | None = Field(None, description="floating-point operations of training")
    parameters: int | None = Field(None, description="number of trained parameters")
    seconds: float = Field(description="wall-clock seconds of the run")
    finished: str = Field(description="end of the run, ISO 8601, UTC")
    host: str = Field("", description="name of the host")
    versions: dict[str, str] = Field(default_factory=dict, description="package versions")
    commit: str | None = Field(None, description="commit of the source checkout, if there was one")
    shared_from: str | None = Field(
        None, description="id of the identical trial that ran in place of this one"
    )
