"""Text files of unknown encoding."""

from __future__ import annotations

import codecs
from contextlib import suppress
from pathlib import Path

from mutransfer.errors import ResultsError

CONTROLS = bytes({*range(32)} - {*b"\t\n\r\f"})


def read_text(path: Path) -> str:
    """Read a file as UTF-8, as UTF-16 if it has a byte-order mark, or else as cp1252.

    Excel writes cp1252 by default. cp1252 decodes almost every byte, so a file with control
    characters is rejected.

    Raises:
        ResultsError: The file has none of these encodings.
    """
    data = path.read_bytes()
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        if not is_utf16 and not any(byte in data for byte in CONTROLS):
            with suppress(UnicodeDecodeError):
                return data.decode("cp1252")
        byte = error.object[error.start]
        raise ResultsError(
            f"'{path}' is not {'UTF-16' if is_utf16 else 'UTF-8'} text: "
            f"byte {error.start} is 0x{byte:02x}",
            why="letters would be read as other letters, or the file is not a table at all",
            fix="export a table as CSV: in Excel 'Save as', 'CSV UTF-8 (comma delimited)'",
        ) from None
