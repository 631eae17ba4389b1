"""`[lab]`: the built-in trainer and its data."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from mutransfer.errors import nearest
from mutransfer.records.axes import is_point
from mutransfer.records.base import InvalidValue, Record
from mutransfer.records.lab import DatasetTable, LabSettings
from mutransfer.records.program.command import PathText


class LabTable(Record):
    """`[lab]`: the built-in trainer. Every key of `LabSettings` may be set here or be an axis."""

    model_config = Record.model_config | {"extra": "allow"}

    device: str = Field("cpu", description="'cpu', 'cuda' or 'cuda:1'; not part of a trial's id")
    checkpoint_seconds: float = Field(
        60.0,  # a checkpoint takes 0.5 % of this at width 512, 1.6 % at 1024 [measured: LOG]
        gt=0,
        description="seconds between checkpoints of a trial; not part of its id",
    )
    text: PathText | None = Field(
        None, description="file or folder of training text; by default the text of this package"
    )
    tokens: PathText | None = Field(
        None, description="folder with train.bin and val.bin, unsigned 16-bit ids, in place of text"
    )
    dataset: DatasetTable | None = Field(None, description="a dataset, in place of text")

    @property
    def settings(self) -> dict[str, Any]:
        """The keys that are settings of every trial."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        """Check that every key is a setting of the lab, with a single value."""
        unknown = sorted(set(self.settings) - set(LabSettings.model_fields))
        if unknown:
            names = {*LabSettings.model_fields, *LabTable.model_fields}
            raise InvalidValue(
                *((f"unknown key '{k}'", f"{k}: {nearest(k, names)}") for k in unknown)
            )
        invalid = [k for k, v in self.settings.items() if not is_point(v)]
        if invalid:
            raise InvalidValue(
                (
                    f"'{invalid[0]}' must be one number, text, true or false",
                    "put several values into [axes]",
                )
            )
        sources = [name for name in ("text", "tokens", "dataset") if getattr(self, name)]
        if len(sources) > 1:
            raise InvalidValue(
                (
                    f"{' and '.join(sources)} are set, but trials are trained on one of them",
                    f"keep one of {', '.join(sources)}",
                )
            )
        return self
