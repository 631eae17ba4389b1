"""Study files: the grid of trials, how to run and how to analyze them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from mutransfer.errors import listed, nearest
from mutransfer.records.axes import MAX_TRIALS, Axis, as_toml_number, as_written
from mutransfer.records.base import InvalidValue, Problem, Record
from mutransfer.records.expressions import names_in
from mutransfer.records.lab import LabSettings
from mutransfer.records.program.command import CommandTable
from mutransfer.records.tables.analysis import AnalysisTable
from mutransfer.records.tables.lab import LabTable
from mutransfer.records.tables.names import Identifier, identifier
from mutransfer.records.tables.ray import RayTable
from mutransfer.records.tables.resources import ResourcesTable
from mutransfer.records.tables.search import SearchTable, bracket_problems, range_problems
from mutransfer.records.tables.slurm import SlurmTable
from mutransfer.records.tables.study import StudyTable
from mutransfer.records.trial import AxisValue


class StudySpec(Record):
    """A study: the trials that answer one question, and how to analyze them."""

    schema_version: Literal[1] = Field(alias="schema")
    study: StudyTable
    axes: dict[Identifier, Axis] = Field(min_length=1)
    only: tuple[dict[Identifier, Axis], ...] = Field(
        (), description="parts of the grid, by the values on some axes; the whole grid by default"
    )
    derived: dict[Identifier, str] = Field(default_factory=dict)
    runner: CommandTable | None = None
    lab: LabTable | None = None
    resources: ResourcesTable = ResourcesTable()
    slurm: SlurmTable = SlurmTable()
    ray: RayTable = RayTable()
    search: SearchTable = SearchTable()
    analysis: AnalysisTable = AnalysisTable()

    @property
    def num_trials(self) -> int:
        """Number of points of the grid or of its parts, times the random points at each."""
        grid = len(self.points) if self.only else math.prod(map(len, self.axes.values()))
        return grid * self.search.num_samples

    @property
    def variables(self) -> Mapping[str, Sequence[AxisValue]]:
        """The values of every axis; a name that is sampled from a range has its two ends."""
        ranges = {name: (ends.low, ends.high) for name, ends in self.search.ranges.items()}
        return {**self.axes, **ranges}

    @cached_property
    def points(self) -> tuple[dict[str, AxisValue], ...]:
        """The points of the grid, or of its parts; the last axis varies fastest.

        Example:
            >>> axes = '{"width": [8, 16], "lr": [1, 2]}'
            >>> only = '[{"width": [8]}, {"lr": [2]}]'
            >>> text = f'{{"schema": 1, "study": {{"name": "s"}}, "axes": {axes}, "only": {only}}}'
            >>> [tuple(point.values()) for point in StudySpec.model_validate_json(text).points]
            [(8, 1), (8, 2), (16, 2)]
        """
        grid = itertools.product(*self.axes.values())
        points = (dict(zip(self.axes, values, strict=True)) for values in grid)
        if not self.only:
            return tuple(points)
        # In Python True equals 1.
        parts = [
            {name: {(type(value), value) for value in values} for name, values in part.items()}
            for part in self.only
        ]
        return tuple(
            point
            for point in points
            if any(
                all((type(point[name]), point[name]) in values for name, values in part.items())
                for part in parts
            )
        )

    @property
    def float_axes(self) -> frozenset[str]:
        """Axes with a number that is not whole: programs that take it get floats at every point."""
        return (
            frozenset(
                name
                for name, values in self.axes.items()
                if any(type(value) is float for value in values)
            )
            | self.search.ranges.keys()
        )

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        """Check conditions that involve several tables, and report every problem."""
        problems = []
        if self.runner is not None and self.lab is not None:
            what = "a study has either [runner] or [lab], not both"
            problems.append(Problem(what, "remove one of the two tables"))
        size = math.prod(map(len, self.axes.values())) * self.search.num_samples
        if size > MAX_TRIALS:
            longest = max(self.axes, key=lambda name: len(self.axes[name]))
            what = f"the grid has {size} trials, more than {MAX_TRIALS}"
            problems.append(Problem(what, f"shorten an axis, such as '{longest}'"))
        if shared := sorted(self.variables.keys() & set(self.derived)):
            what = f"'{shared[0]}' is both an axis and a derived value"
            problems.append(Problem(what, f"rename '{shared[0]}' in [derived]"))
        problems += self.resources.problems(self.runner)
        problems += self._search_problems()
        problems += self._part_problems()
        problems += self._analysis_problems()
        problems += self._derived_problems()
        if self.runner is not None and not problems:
            uses = {name: names_in(text) for name, text in self.derived.items()}
            problems += self.runner.problems(self.variables, uses)
        if self.lab is not None:
            problems += self._lab_problems(self.lab)
        if problems:
            raise InvalidValue(*problems)
        return self

    def _part_problems(self) -> list[Problem]:
        """Return empty parts, names that are no axes, and values that are not on their axis."""
        problems = []
        if not all(self.only):
            what = "'only' has a table without values, which selects the whole grid"
            fix = f"write values of an axis below it, as in {next(iter(self.axes))} = [...]"
            problems.append(Problem(what, f"{fix}, or remove [[only]]"))
        for name, value in (
            (n, v) for part in self.only for n, values in part.items() for v in values
        ):
            if name not in self.axes and self.lab and name in LabSettings.model_fields:
                what = f"'only' names '{name}', a setting of the lab that is not an axis"
                problems.append(Problem(what, f"the axes are {listed(self.axes, limit=20)}"))
            elif name not in self.axes:
                what = f"'only' names '{name}', which is not an axis"
                problems.append(Problem(what, nearest(name, self.axes)))
            elif value not in self.axes[name]:
                what = f"'only' has {name} = {as_written(value)}, which is not on the axis"
                problems.append(Problem(what, f"add it to '{name}' in [axes], or remove it here"))
        return list(dict.fromkeys(problems))

    def _analysis_problems(self) -> list[Problem]:
        """Return names that are no axes, and values of which the analysis has no logarithm."""
        problems = []
        scales = self.analysis.scales
        names = [("scale", name) for name in scales]
        for key, name in (*names, *self._tuned()):
            if name not in self.variables:
                is_one = key != "scale" or len(scales) == 1
                verb = "is" if is_one else "names"
                what = f"analysis.{key} {verb} '{name}', which is not an axis"
                fix = f'name an axis, as in [analysis] {key} = "{self._numeric_axis()}"'
                problems.append(Problem(what, fix if is_one else nearest(name, self.axes)))
                continue
            values = self.axes.get(name, ())
            for value in values:
                what = f"'axes.{name}' has {value!r}, but its logarithm is analyzed"
                if isinstance(value, str):
                    numbers = ", ".join(as_toml_number(str(value)) for value in values)
                    fix = f"write numbers without quotes: {name} = [{numbers}]"
                elif value == 0 and len(self._tuned()) > 1 and not isinstance(value, bool):
                    continue  # with several hyperparameters, one with a zero has a linear scale
                elif isinstance(value, bool) or value <= 0:
                    fix = f"write positive numbers, or another [analysis] {key}"
                else:
                    continue
                problems.append(Problem(what, fix))
                break
        for name in self.analysis.group_by:
            if name not in self.axes and "group_by" in self.analysis.model_fields_set:
                what = f"analysis.group_by names '{name}', which is not an axis"
                problems.append(Problem(what, nearest(name, self.axes)))
        return problems

    def _tuned(self) -> list[tuple[str, str]]:
        """Return each tuned hyperparameter, with the key that names it."""
        names = self.analysis.hyperparameter
        return [("hyperparameter", n) for n in ((names,) if isinstance(names, str) else names)]

    def _search_problems(self) -> list[Problem]:
        """Return settings of the search that the study or its analysis contradict."""
        problems = []
        for name in self.search.ranges:
            with suppress(InvalidValue):
                identifier(name)
                continue
            problems.append(Problem(f"search.ranges: '{name}' is not a valid name", "rename it"))
        tuned, analysis = [name for _, name in self._tuned()], self.analysis
        if self.search.strategy == "bracket":
            if self.only:
                what = "'only' has no use with a bracket, which chooses the trials itself"
                problems.append(Problem(what, "remove [[only]]"))
            scales, group_by = analysis.scales, analysis.group_by
            problems += bracket_problems(self.search, self.axes, scales, tuned, group_by)
        return problems + range_problems(self.search, self.axes, tuned)

    def _numeric_axis(self) -> str:
        """Guess which axis is meant: the first numeric one that has no other use."""
        used = (*self.analysis.scales, *(name for _, name in self._tuned()), "seed")
        for name, values in self.axes.items():
            if name not in used and all(isinstance(value, int | float) for value in values):
                return name
        return next(iter(self.axes))

    def _derived_problems(self) -> list[Problem]:
        """Return derived values that are not arithmetic over axes and earlier derived values."""
        problems, available = [], set(self.variables)
        for name, expression in self.derived.items():
            try:
                missing = sorted(names_in(expression) - available)
            except ValueError as problem:
                fix = (
                    f'write arithmetic over axes and numbers, as in {name} = "2 * {min(available)}"'
                )
                problems.append(Problem(f"derived.{name}: {problem}", fix))
            else:
                for other in missing:
                    what = f"derived.{name} uses '{other}', which is no axis and not derived before"
                    problems.append(Problem(what, f"{other}: {nearest(other, available)}"))
            available.add(name)
        return problems

    def _names_in_derived(self) -> set[str]:
        """Return the axes and derived values that derived values use."""
        names: set[str] = set()
        for expression in self.derived.values():
            with suppress(ValueError):  # `_derived_problems` reports it
                names |= names_in(expression)
        return names

    def _lab_problems(self, lab: LabTable) -> list[Problem]:
        """Return axes and derived values that are no settings of the lab, or set twice."""
        problems = []
        names = {*self.variables, *self.derived, *lab.settings}
        if {"steps", "tokens_per_parameter"} <= names:
            what = "both 'steps' and 'tokens_per_parameter' are set, but a trial has one length"
            problems.append(Problem(what, "remove one of them"))
        arguments = self._names_in_derived()
        for name in (*self.variables, *self.derived):
            if name not in LabSettings.model_fields:
                if name in arguments:
                    continue
                fix = f"{name}: {nearest(name, LabSettings.model_fields)}"
                problems.append(Problem(f"'{name}' is not a setting of the lab", fix))
            elif name in lab.settings:
                what = f"'{name}' is set in [lab] and is also an axis or derived value"
                problems.append(Problem(what, f"remove '{name}' from [lab]"))
        chosen = {*lab.settings, *self.variables, *self.derived}
        if lab.tokens is not None and "tokenizer" in chosen:
            what = "'tokens' are ids already, so 'tokenizer' would have no effect"
            problems.append(Problem(what, "remove 'tokenizer', and write its size as vocabulary"))
        if lab.tokens is not None and "vocabulary" not in chosen:
            what = "'tokens' needs 'vocabulary', the number of different tokens"
            problems.append(Problem(what, "write vocabulary = 50257 for the tokens of GPT-2"))
        return problems
