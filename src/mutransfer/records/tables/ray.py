"""The `[ray]` table: the cluster on which `mutransfer sweep --executor ray` runs trials."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from mutransfer.records.base import InvalidValue, Record


def ray_address(text: str) -> str:
    """Validate the address of a Ray cluster.

    Raises:
        InvalidValue: It is not HOST:PORT, 'auto' or 'local'.

    Example:
        >>> ray_address("10.0.0.1:6379")
        '10.0.0.1:6379'
    """
    if "://" in text:
        what = f"'{text}' is an address for clients outside of the cluster"
        fix = "run the sweep on a machine of the cluster, and write its HOST:PORT, or 'auto'"
        raise InvalidValue((what, fix))
    if text not in ("auto", "local") and not re.fullmatch(r"[^\s/]+:\d{1,5}", text):
        what = f"'{text}' is not the address of a Ray cluster"
        raise InvalidValue((what, "write HOST:PORT such as '10.0.0.1:6379', 'auto' or 'local'"))
    return text


class RayTable(Record):
    """`[ray]`: the Ray cluster of a sweep; not part of a trial's id."""

    address: Annotated[str, AfterValidator(ray_address)] | None = Field(
        None,
        description="HOST:PORT of the cluster's head, 'auto' for the cluster of this machine, or "
        "'local' to start Ray for this sweep; by default RAY_ADDRESS, or else 'local'",
    )
