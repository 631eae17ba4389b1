"""`[analysis]`: the axes that are analyzed, and the threshold of the verdict."""

from __future__ import annotations

from pydantic import Field

from mutransfer.records.base import Record
from mutransfer.records.tables.names import Identifier, Identifiers


class AnalysisTable(Record):
    """`[analysis]`: the axis of scale, the tuned hyperparameter, and the threshold of transfer."""

    scale: Identifiers = Field("width", description="the axis of sizes, or a list of several")
    hyperparameter: Identifiers = Field(
        "lr", description="the tuned column, or a list of several that are tuned together"
    )
    group_by: tuple[Identifier, ...] = ("parametrization",)
    threshold: float = Field(
        0.01, gt=0, lt=1, description="regret that still counts as transfer, as a share of the loss"
    )

    @property
    def scales(self) -> tuple[str, ...]:
        """The axes of sizes, one or several.

        Example:
            >>> AnalysisTable().scales, AnalysisTable(scale=["width", "steps"]).scales
            (('width',), ('width', 'steps'))
        """
        return (self.scale,) if isinstance(self.scale, str) else self.scale
