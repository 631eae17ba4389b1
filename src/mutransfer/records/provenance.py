"""Provenance of a result: the commit of the source checkout that produced it."""

from __future__ import annotations

import re
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def checkout_commit(folder: Path) -> str | None:
    """Return the commit checked out around a folder; None outside of a checkout.

    The files of git are read directly, so that git need not be installed.
    """
    git = next((p / ".git" for p in (folder, *folder.parents) if (p / ".git").exists()), None)
    if git is None:
        return None
    try:
        commit = _head(_git_directory(git))
    except (OSError, ValueError):
        return None
    # A damaged or hostile checkout could put anything into HEAD, and results are shared.
    return commit if commit is not None and COMMIT.fullmatch(commit) else None


def _git_directory(git: Path) -> Path:
    """Return git's directory; in a linked worktree, `.git` is a file that names it."""
    if git.is_dir():
        return git
    return git.parent / git.read_text().strip().removeprefix("gitdir: ")


def _head(git: Path) -> str | None:
    """Follow HEAD to what should be the hash of a commit."""
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head
    reference = head.removeprefix("ref: ")
    if (git / "commondir").exists():  # branches belong to the main checkout of a worktree
        git = git / (git / "commondir").read_text().strip()
    if (git / reference).exists():
        return (git / reference).read_text().strip()
    packed = (git / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), None)
