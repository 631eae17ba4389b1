"""Files of losses for tests of loading."""

from pathlib import Path

import pytest

from mutransfer.analysis import load_results
from mutransfer.errors import ResultsError


def write_file(place: Path, content: str | bytes, name: str = "runs.csv") -> Path:
    file = place / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def error_text(content: str | bytes, place: Path, name: str = "runs.csv", **kwargs: object) -> str:
    """Return the error that loading raises, without the file's name."""
    file = write_file(place, content, name)
    with pytest.raises(ResultsError) as raised:
        load_results(file, **kwargs)
    return str(raised.value).replace(f"'{file}'", "FILE")
