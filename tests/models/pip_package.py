"""A package that pip installs into a folder for a test."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def installed(requirement: str, folder: Path) -> Iterator[None]:
    """Install a package without its dependencies, for a while; skip the test without a network."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--target", str(folder), requirement]
    install = subprocess.run(pip, capture_output=True, text=True, timeout=200, check=False)
    if install.returncode:
        pytest.skip(f"pip cannot install {requirement}, no network? {install.stderr[-200:]}")
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
