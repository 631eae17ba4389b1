"""What documents show is run: Python blocks are executed, command lines are parsed."""

import re
import shlex
from pathlib import Path

import pytest

from mutransfer.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list:
    found = []
    for page in PAGES:
        text = page.read_text()
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            found.append(pytest.param(block, id=f"{page.name}-{number}"))
    return found


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_run(block, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "<example>", "exec"), {"__name__": "example"})


def commands() -> list[str]:
    lines = [line for param in blocks("sh") for line in param.values[0].splitlines()]
    found = [line.partition("  #")[0].strip() for line in lines]
    return sorted({line for line in found if line.startswith("mutransfer ")})


@pytest.mark.parametrize("line", commands())
def test_command_lines_parse(line) -> None:
    app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


def test_there_is_something_to_test() -> None:
    assert blocks("python")
    assert len(commands()) >= 6


def test_no_page_holds_a_path_of_one_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(?:work|home|root|tmp)/\w", page.read_text()), page.name
