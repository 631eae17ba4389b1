"""The tutorial is run cell by cell, and shows what it claims."""

import json
import re
from pathlib import Path
from typing import Any

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"


def without_numbers(text: str) -> str:
    return re.sub(r"[+-]?\d[\d.e-]*", "#", text)


def stored_output(cell: dict[str, Any]) -> str:
    return "".join(line for output in cell["outputs"] for line in output.get("text", []))


def test_the_tutorial_shows_what_its_code_prints(tmp_path, monkeypatch, capsys) -> None:
    """Digits may differ between machines; the words and the conclusions may not."""
    monkeypatch.chdir(tmp_path)
    cells = [c for c in json.loads(TUTORIAL.read_text())["cells"] if c["cell_type"] == "code"]
    names: dict[str, Any] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), "<tutorial>", "exec"), names)
        printed = capsys.readouterr().out
        assert without_numbers(printed) == without_numbers(stored_output(cell))
    assert names["check"].outcome == "pass"
    verdicts = {name: report.verdict for name, report in names["reports"].items()}
    assert verdicts == {"none": "does not transfer", "mup": "transfers"}
    at_prediction = names["verification"][0]
    assert at_prediction < min(names["verification"].values()) + 0.01
    assert at_prediction < names["without"] - 0.03
