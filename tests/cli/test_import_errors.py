"""A user's module that cannot be imported: the line, and what to install."""

import sys

import pytest

IMPORTS = {
    "import no_such_package.layers": (
        "'mine' needs the module 'no_such_package', which is not installed (mine.py, line 1)",
        f"install its package: {sys.executable} -m pip install no_such_package",
    ),
    "\nimport theirs": (
        "'mine' needs the module 'cv2', which is not installed (theirs.py, line 1)",
        f"install its package: {sys.executable} -m pip install opencv-python",
    ),
    "import sys\nsys.exit('usage: --lr LR')": (
        "'mine' ends the program while it is imported (mine.py, line 2)",
        'put what trains under `if __name__ == "__main__":`, or move the function to a module of '
        "its own",
    ),
    "x = 1 / 0": (
        "'mine' cannot be imported: ZeroDivisionError: division by zero (mine.py, line 1)",
        "make `python -c 'import mine'` work in this folder",
    ),
    "def build(width)": (
        "'mine' cannot be imported: SyntaxError: expected ':' (mine.py, line 1)",
        "make `python -c 'import mine'` work in this folder",
    ),
}


@pytest.mark.parametrize("code", IMPORTS)
def test_a_module_that_cannot_be_imported_says_which_line_and_what_to_install(
    code, run, tmp_path
) -> None:
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "theirs.py").write_text("import cv2")
    status, _, err = run("plan mine:build --base 16 --target 64")
    sys.modules.pop("theirs", None)
    what, fix = IMPORTS[code]
    assert (status, err.splitlines()[::2]) == (2, [f"UsageError: {what}", f"  fix: {fix}"])


def test_a_module_of_the_package_that_one_is_in_names_the_folder_above(
    run, tmp_path, monkeypatch
) -> None:
    folder = tmp_path / "my_package"
    folder.mkdir()
    (folder / "inner.py").write_text("from my_package.layers import Layer")
    monkeypatch.chdir(folder)
    assert run("plan inner:build --base 16 --target 64")[2].splitlines()[2] == (
        f"  fix: run the command in the folder above, {tmp_path}, and write "
        "my_package.inner:FUNCTION"
    )
