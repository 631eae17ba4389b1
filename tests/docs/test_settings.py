"""Every setting of the lab is named in the pages that describe it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from mutransfer.records import LabSettings

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "lab.md").read_text() + (DOCS / "data.md").read_text()


@pytest.mark.parametrize("name", LabSettings.model_fields)
def test_a_setting_and_its_choices_are_documented(name: str) -> None:
    assert re.search(rf"\b{name}\b", TEXT), name
    annotation = LabSettings.model_fields[name].annotation
    if get_origin(annotation) is Literal:
        missing = [choice for choice in get_args(annotation) if f"`{choice}`" not in TEXT]
        assert not missing, name
