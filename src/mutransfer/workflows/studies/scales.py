"""Compact files of named studies: the change they make to shared settings, at two scales.

A compact file names shared settings, such as `settings/lingle2024.toml`, and states what it changes
at both scales (`[lab]`, `[axes]`) or at one of them (`[mini.lab]`, `[paper.axes]`). Later tables
win: shared settings, shared settings of the scale, the study, the study at the scale. `[derived]`
and `[analysis]` are merged in the same way; of `[[only]]` the last list wins. Expanded, it is an
ordinary study.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from pydantic import Field

from mutransfer.errors import StudyError
from mutransfer.records import StudySpec
from mutransfer.records.base import Record
from mutransfer.records.tables.names import Identifier, Name

Scale = Literal["mini", "paper"]
SCALES: tuple[Scale, ...] = ("mini", "paper")

_KEY = re.compile(r"(?P<key>[A-Za-z0-9_-]+)\s*=\s*(?P<value>.*?)(?:\s+#\s*(?P<comment>[^\"]*))?")


class ScaleTable(Record):
    """`[mini]` or `[paper]`: tables of a study file at one scale."""

    axes: dict[Identifier, Any] = Field(default_factory=dict)
    only: list[dict[Identifier, Any]] = Field(default_factory=list)
    derived: dict[Identifier, Any] = Field(default_factory=dict)
    lab: dict[str, Any] = Field(default_factory=dict)
    analysis: dict[str, Any] = Field(default_factory=dict)


class SettingsTable(Record):
    """`[settings]`: name of the source whose studies share these settings."""

    name: Name


class _Scaled(ScaleTable):
    """Tables that shared settings and studies have in common, for both scales and for one."""

    schema_version: Literal[1] = Field(alias="schema")
    mini: ScaleTable = ScaleTable()
    paper: ScaleTable = ScaleTable()

    def at(self, scale: Scale) -> ScaleTable:
        """Return the table of a scale."""
        return self.mini if scale == "mini" else self.paper


class SharedSettings(_Scaled):
    """Settings that all studies of one source share."""

    settings: SettingsTable


class CompactTable(Record):
    """`[study]` of a compact file."""

    name: Name
    settings: Name = Field(description="name of the shared settings")
    experiment: str | None = Field(None, description="its name in the published table of losses")


class CompactStudy(_Scaled):
    """One change to shared settings, at two scales."""

    study: CompactTable


@dataclass(frozen=True, slots=True)
class ScaledStudy:
    """A compact study with the shared settings that it names.

    Args:
        text: The study's file.
        compact: Its content.
        shared_text: The file of the shared settings.
        shared: Their content.
    """

    text: str
    compact: CompactStudy
    shared_text: str
    shared: SharedSettings

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.compact.study.name

    def tables(self, scale: Scale) -> dict[str, Any]:
        """Return the content of the expanded study file."""
        parts = [part for file in (self.shared, self.compact) for part in (file, file.at(scale))]
        name = self.name if scale == "mini" else f"{self.name}-{scale}"
        tables: dict[str, Any] = {"schema": 1, "study": {"name": name}}
        for table in ScaleTable.model_fields:
            contents = [getattr(part, table) for part in parts if getattr(part, table)]
            if contents:
                tables[table] = contents[-1] if table == "only" else _merged(contents)
        # A study may vary one of the shared settings, or have a length in tokens per parameter.
        replaced = {*tables["axes"], *tables.get("derived", {})}
        if "tokens_per_parameter" in {*tables["axes"], *tables["lab"]}:
            replaced |= {"steps", "warmup"}
        tables["lab"] = {key: value for key, value in tables["lab"].items() if key not in replaced}
        return tables

    def expand(self, scale: Scale) -> StudySpec:
        """Return the study at a scale.

        Raises:
            StudyError: The tables do not make a valid study.
        """
        where = f"{self.name}.toml at scale '{scale}'"
        return StudySpec.read(self.tables(scale), error=StudyError, where=where)

    def expanded_text(self, scale: Scale) -> str:
        """Return the expanded study as a file that `mutransfer sweep` reads, with its comments."""
        comments = key_comments(self.shared_text, scale) | key_comments(self.text, scale)
        parts = (self.compact, self.compact.at(scale))
        own = {
            (name, key)
            for part in parts
            for name, table in _sections(part.model_dump(include=set(ScaleTable.model_fields)))
            for key in table
        }
        lines = [*header_lines(self.text), *header_lines(self.shared_text)]
        tables = self.tables(scale)
        lines += [f"# Scale:    {scale}", f"schema = {tables.pop('schema')}"]
        for name, table in _sections(tables):
            lines += ["", f"[[{name}]]" if name == "only" else f"[{name}]"]
            # The study's own keys come first: they are what it is about.
            for key in sorted(table, key=lambda key: (name, key) not in own):
                marks = ["changed by this study"] if (name, key) in own and name != "only" else []
                marks += filter(None, [comments.get((name, key))])
                comment = f" # {'; '.join(marks)}" if marks else ""
                lines.append(f"{key} = {_toml(table[key])}{comment}")
        return "\n".join(lines) + "\n"


def read_scaled(text: str, *, where: str) -> ScaledStudy:
    """Read a compact study and the shared settings that it names.

    Args:
        text: The study's file.
        where: Name of the file, for messages.

    Raises:
        StudyError: A file has unknown keys or invalid values.
    """
    compact = CompactStudy.read(tomllib.loads(text), error=StudyError, where=where)
    name = compact.study.settings
    shared_text = settings_text(name)
    shared = SharedSettings.read(
        tomllib.loads(shared_text), error=StudyError, where=f"settings/{name}.toml"
    )
    return ScaledStudy(text, compact, shared_text, shared)


def settings_text(name: str) -> str:
    """Return the file of shared settings."""
    path = files("mutransfer") / "studies" / "settings" / f"{name}.toml"
    return path.read_text(encoding="utf-8")


def is_compact(data: Mapping[str, Any]) -> bool:
    """Return whether the content of a study file is a compact study."""
    table = data.get("study")
    return isinstance(table, Mapping) and "settings" in table


def header_lines(text: str) -> list[str]:
    """Return the lines of comments that open a study file."""
    lines = text.splitlines()
    end = next((k for k, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:end]


def key_comments(text: str, scale: Scale) -> dict[tuple[str, str], str]:
    r"""Return the comments behind keys of `[axes]` and `[lab]`, those of the scale included.

    Example:
        >>> key_comments('[paper.lab]\nclip = 1.0 # before the optimizer', "paper")
        {('lab', 'clip'): 'before the optimizer'}
    """
    comments, table = {}, ""
    for line in text.splitlines():
        if line.startswith("["):
            table = line.partition("]")[0].removeprefix("[").removeprefix(f"{scale}.")
        elif (match := _KEY.fullmatch(line)) and table.partition(".")[0] in ScaleTable.model_fields:
            # A later value without a comment must not keep the comment of the value it replaces.
            comments[table, match["key"]] = match["comment"] or ""
    return comments


def _merged(tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge tables, and the tables within them; later values win."""
    merged: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            is_table = isinstance(value, Mapping)  # [lab.dataset]
            merged[key] = {**merged.get(key, {}), **value} if is_table else value
    return merged


def _sections(tables: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield tables as TOML orders them: the keys of a table, then the tables within it."""
    for name, table in tables.items():
        if isinstance(table, list):  # [[only]]
            yield from ((name, part) for part in table)
            continue
        yield name, {key: value for key, value in table.items() if not isinstance(value, Mapping)}
        for key, value in table.items():
            if isinstance(value, Mapping):
                yield f"{name}.{key}", dict(value)


def _toml(value: object) -> str:
    """Format a value as TOML: a number, text, true or false, or a list of them."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
