"""What keeps the house in order: file sizes, floors at run time, frozen names, sources, fixes."""

import subprocess
import sys
from pathlib import Path

import pytest

import mutransfer
from mutransfer import errors

SOURCES = sorted(Path(mutransfer.__file__).parent.rglob("*.py"))

PUBLIC = {
    "MutransferError", "Plan", "Role", "analyze", "apply", "coord_check", "explain", "guard",
    "load_results", "make_plan", "param_groups", "predict", "run_study", "write_report",
}  # fmt: skip


def test_no_source_file_is_over_400_lines() -> None:
    long = {path.name: n for path in SOURCES if (n := len(path.read_text().splitlines())) > 400}
    assert not long


def test_every_file_says_what_it_is() -> None:
    for path in SOURCES:
        assert path.read_text().startswith('"""'), path


def test_public_names_are_frozen_and_few() -> None:
    assert set(mutransfer.__all__) == PUBLIC
    assert len(PUBLIC) <= 20
    assert all(getattr(mutransfer, name) for name in PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'mup'"):
        mutransfer.mup  # noqa: B018 - the access is the test


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("mutransfer", "torch numpy pydantic altair"),
        ("mutransfer.rules", "torch numpy pydantic"),
        ("mutransfer.analysis", "torch altair"),
        ("mutransfer.sweep", "torch numpy altair"),
        ("mutransfer.workflows", "torch altair"),
        ("mutransfer.cli", "torch altair scipy"),
        ("mutransfer.report", "torch"),
        ("mutransfer.lab.data.corpus", "torch"),
    ],
)
def test_importing_a_floor_loads_nothing_heavy(module, absent) -> None:
    """`analyze` must start at once, and a finished sweep must resume without torch."""
    code = f"import sys, {module}; print([m for m in {absent.split()!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_every_error_needs_a_why_and_a_fix() -> None:
    kinds = [k for k in vars(errors).values() if getattr(k, "__module__", "") == errors.__name__]
    kinds = [k for k in kinds if isinstance(k, type)]
    assert all(issubclass(k, errors.MutransferError) for k in kinds)
    with pytest.raises(TypeError):
        errors.RuleError("what")
