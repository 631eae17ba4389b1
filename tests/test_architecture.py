"""The structure of the package: sizes, import circles, what an import loads, names and errors."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import mutransfer
from mutransfer import errors

ROOT = Path(__file__).parents[1]
PACKAGE = Path(mutransfer.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

PUBLIC = {
    "MutransferError", "Plan", "Role", "analyze", "apply", "coord_check", "explain", "guard",
    "hold_out", "load_results", "make_plan", "param_groups", "predict", "run_study", "write_report",
}  # fmt: skip


def test_no_source_file_is_over_400_lines() -> None:
    long = {path.name: n for path in SOURCES if (n := len(path.read_text().splitlines())) > 400}
    assert not long


def test_no_folder_has_more_than_13_modules() -> None:
    counts = Counter(path.parent for path in SOURCES)
    assert not {folder: count for folder, count in counts.items() if count > 13}


def test_every_module_docstring_names_its_subject() -> None:
    for path in SOURCES:
        assert path.read_text().startswith('"""'), path
    assert not [path for path in SOURCES if path.read_text().startswith('"""This file')]


def test_each_folder_of_tests_belongs_to_a_package() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    folders = {path.parent.relative_to(ROOT / "tests") for path in ROOT.glob("tests/*/**/*.py")}
    assert {folder.parts[0] for folder in folders} <= {
        *packages, "acceptance", "docs", "fuzz", "models"
    }  # fmt: skip


def imports_of(tree: ast.AST, modules: set[str]) -> set[str]:
    """Return the modules that a module imports, also in functions, but not for type checking."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return set()
    names: list[str] = []
    if isinstance(tree, ast.Import):
        names = [alias.name for alias in tree.names]
    elif isinstance(tree, ast.ImportFrom):
        assert tree.level == 0, "relative imports are not resolved here"
        members = [f"{tree.module}.{alias.name}" for alias in tree.names]
        names = [name if name in modules else str(tree.module) for name in members]
    children = (imports_of(child, modules) for child in ast.iter_child_nodes(tree))
    return set(names) & modules | set().union(*children)


def import_circle(package: Path) -> list[str]:
    """Return the modules of an import circle, or nothing if there is none."""
    sources = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    graph = {name: imports_of(ast.parse(text), {*sources}) for name, text in sources.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_goes_in_a_circle() -> None:
    assert import_circle(PACKAGE) == []


@pytest.mark.parametrize(
    ("imported", "circle"),
    [
        ("from pack.sub.b import x", ["pack.a", "pack.sub.b"]),
        ("def f():\n    import pack.sub.b", ["pack.a", "pack.sub.b"]),
        ("from pack.sub import b", ["pack.a", "pack.sub.b"]),
        ("if TYPE_CHECKING:\n    from pack.sub.b import x", []),
        ("from pack.c import x", []),
    ],
)
def test_a_circle_is_found_in_every_form_of_import(imported, circle, tmp_path) -> None:
    (tmp_path / "pack" / "sub").mkdir(parents=True)
    files = {"__init__": "", "a": imported, "sub/b": "from pack.a import y", "c": ""}
    for name, text in files.items():
        (tmp_path / "pack" / f"{name}.py").write_text(text)
    assert sorted({*import_circle(tmp_path / "pack")}) == circle


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
        ("mutransfer.cli", "torch altair scipy mutransfer.sweep"),
        ("mutransfer.report", "torch"),
        ("mutransfer.lab.data.corpus", "torch"),
    ],
)
def test_importing_a_package_loads_nothing_heavy(module, absent) -> None:
    """`analyze` must start at once, and a finished sweep must resume without torch."""
    code = f"import sys, {module}; print([m for m in {absent.split()!r} if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_every_error_needs_a_why_and_a_fix() -> None:
    kinds = [k for k in vars(errors).values() if getattr(k, "__module__", "") == errors.__name__]
    kinds = [k for k in kinds if isinstance(k, type)]
    assert all(issubclass(k, errors.MutransferError) for k in kinds)
    with pytest.raises(TypeError):
        errors.RuleError("what")
