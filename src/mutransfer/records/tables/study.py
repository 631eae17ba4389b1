"""`[study]`: the name of a study."""

from __future__ import annotations

from mutransfer.records.base import Record
from mutransfer.records.tables.names import Name


class StudyTable(Record):
    """`[study]`: name of the study; results are stored in `runs/<name>` by default."""

    name: Name
