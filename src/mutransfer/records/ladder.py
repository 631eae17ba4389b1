"""Ladder studies: coordinate checks of an implementation that gains one rule per rung."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mutransfer.records.base import InvalidValue, Record
from mutransfer.records.tables.study import StudyTable

Rule = Literal["hidden init", "hidden rate", "output multiplier", "attention"]
Positive = Annotated[int, Field(gt=0)]


class CheckTable(Record):
    """`[check]`: settings of the coordinate check that every rung runs."""

    base: Positive = Field(description="width at which every factor is exactly 1")
    widths: tuple[Positive, ...] = Field(min_length=3, description="three or more, over 4x")
    steps: int = Field(10, ge=3, description="optimizer steps")
    seeds: int = Field(3, ge=2, description="fresh models per width")
    lr: float = Field(gt=0, description="learning rate at the base width")


class ModelTable(Record):
    """`[model]`: the decoder, the standard deviation of its weights, and its batch."""

    depth: Positive = Field(description="number of blocks")
    head_width: Positive = Field(description="channels of one attention head")
    context: Positive = Field(description="tokens of one sequence")
    rows: Positive = Field(description="sequences per batch")
    init_std: float = Field(gt=0, description="standard deviation of all weights, at the base")


class RungTable(Record):
    """`[[rungs]]`: a name, and the rule added to those of the previous rungs."""

    name: str = Field(min_length=1, max_length=60)
    adds: Rule | None = None


class LadderSpec(Record):
    """Rungs from SP to µP; every rung has the rules of the previous ones and one more."""

    schema_version: Literal[1] = Field(alias="schema")
    study: StudyTable
    check: CheckTable
    model: ModelTable
    rungs: tuple[RungTable, ...] = Field(min_length=1)

    def rules(self, number: int) -> frozenset[Rule]:
        """Return the rules of a rung: its own and those of all previous ones; the first is 0."""
        return frozenset(rung.adds for rung in self.rungs[: number + 1] if rung.adds is not None)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        """Check conditions that involve several tables, and report every problem."""
        problems = []
        if self.rungs[0].adds is not None:
            what = (
                f"the first rung adds '{self.rungs[0].adds}', but it must be SP, without any rule"
            )
            problems.append((what, "remove 'adds' from the first rung"))
        for number, rung in enumerate(self.rungs[1:], 1):
            if rung.adds is None:
                problems.append((f"rung '{rung.name}' adds no rule", "write adds = RULE in it"))
            elif rung.adds in self.rules(number - 1):
                what = f"rung '{rung.name}' adds '{rung.adds}' a second time"
                problems.append((what, "remove the rung, or write another rule"))
        names = [rung.name for rung in self.rungs]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            problems.append((f"two rungs have the name '{repeated[0]}'", "rename one of them"))
        heads = self.model.head_width
        if unfit := [w for w in (self.check.base, *self.check.widths) if w % heads]:
            what = f"width {unfit[0]} is not a multiple of head_width {heads}"
            problems.append((what, f"write multiples of {heads}"))
        if problems:
            raise InvalidValue(*problems)
        return self
