"""This file is which commit of the source a result comes from."""

from __future__ import annotations

import re
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def checkout_commit(folder: Path) -> str | None:
    """Give the commit that is checked out around a folder; None if it is in no checkout."""
    git = next((p / ".git" for p in (folder, *folder.parents) if (p / ".git").is_dir()), None)
    if git is None:
        return None
    try:
        found = _head(git)
    except (OSError, ValueError):
        return None
    return found if found is not None and COMMIT.fullmatch(found) else None


def _head(git: Path) -> str | None:
    """Follow HEAD to what should be a commit."""
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head
    reference = head.removeprefix("ref: ")
    if (git / reference).exists():
        return (git / reference).read_text().strip()
    packed = (git / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), None)
