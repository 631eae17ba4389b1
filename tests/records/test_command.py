"""Command templates: split into arguments before substitution, with strict placeholders."""

import pytest

from mutransfer.errors import StudyError
from mutransfer.records import CommandTable, StudySpec
from mutransfer.records.command import placeholders, substitute


def study(**runner) -> dict:
    table = {"command": "train --lr={lr} --w={width}", "loss": {"regex": r"loss (\S+)"}}
    return {
        "schema": 1,
        "study": {"name": "s"},
        "axes": {"width": [64, 128], "lr": [0.5]},
        "runner": table | runner,
    }


def error_of(data: dict) -> str:
    """Return the first line of the error, without the name of the file."""
    with pytest.raises(StudyError) as error:
        StudySpec.read(data, error=StudyError, where="s.toml")
    return str(error.value).splitlines()[0].removeprefix("s.toml: ")


def test_arguments_are_split_before_substitution_so_no_value_can_add_one() -> None:
    table = CommandTable(command="run '{name}' -x={name}", loss={"regex": "(.*)"})
    assert table.arguments == ["run", "{name}", "-x={name}"]
    hostile = "a b; rm -rf / $(x) `y` {width} {{"
    assert [substitute(a, {"name": hostile}) for a in table.arguments] == [
        "run", hostile, f"-x={hostile}"
    ]  # fmt: skip


def test_doubled_braces_are_braces_and_numbers_are_written_as_python_does() -> None:
    values = {"lr": 2**-12, "heads": 4.0, "on": True, "big": 10**20}
    assert substitute('{{"lr": {lr}}} {heads} {on} {big}', values) == (
        '{"lr": 0.000244140625} 4 True 100000000000000000000'
    )
    assert placeholders("{{lr}} {lr}") == {"lr"}


BAD = {
    "an unknown placeholder": (
        {"command": "t {lr} {widht}"},
        "runner: there is no axis or derived value 'widht', did you mean 'width'?; 'width' is not "
        "used by the command: add {width} to its arguments",
    ),
    "attributes and formats": (
        {"command": "t {lr.__class__} {width}"},
        "'runner.command': cannot be split into arguments: unmatched brace at '{lr.__class__} "
        "{widt': write {name}, or {{ and }} for braces (got 't {lr.__class__} {width}')",
    ),
    "an open quote": (
        {"command": "t 'x"},
        "'runner.command': cannot be split into arguments: No closing quotation (got \"t 'x\")",
    ),
    "no program": ({"command": " "}, "'runner.command': does not name a program (got ' ')"),
    "a loss outside the trial's folder": (
        {"loss": {"csv": "../log.csv"}},
        "'runner.loss.csv': '../log.csv' must be a file inside the trial's folder",
    ),
    "a loss at an absolute path": (
        {"loss": {"json": "C:\\log.json"}},
        "'runner.loss.json': 'C:\\log.json' must be a file inside the trial's folder",
    ),
    "a program that cannot know where to write": (
        {"loss": {"csv": "log.csv"}},
        "the command cannot know where to write 'log.csv': pass it {trial_dir}",
    ),
    "two sources": (
        {"loss": {"csv": "a", "json": "b"}},
        "'runner.loss': name exactly one of csv, json, jsonl, regex, env",
    ),
    "a setting without effect": (
        {"loss": {"regex": "(.*)", "column": "loss"}},
        "'runner.loss': 'column' is for csv only; the other sources use 'key'",
    ),
    "an unknown reduction": (
        {"loss": {"regex": "(.*)", "reduce": "median"}},
        "'runner.loss.reduce': must be 'last', 'min', 'mean', or { mean = 50 } for the mean of the "
        "last 50 values (got 'median')",
    ),
    "a minimum of some values": (
        {"loss": {"regex": "(.*)", "reduce": {"min": 50}}},
        "'runner.loss.reduce': must be 'last', 'min', 'mean', or { mean = 50 } for the mean of the "
        "last 50 values",
    ),
    "a mean of no values": (
        {"loss": {"regex": "(.*)", "reduce": {"mean": 0}}},
        "'runner.loss.reduce': must be 'last', 'min', 'mean', or { mean = 50 } for the mean of the "
        "last 50 values",
    ),
    "an invalid regex": (
        {"loss": {"regex": "("}},
        "'runner.loss.regex': '(' is not a regular expression: missing ), unterminated subpattern "
        "at position 0",
    ),
    "a regex with two groups": (
        {"loss": {"regex": "(a)(b)"}},
        "'runner.loss': '(a)(b)' must have exactly one group, around the loss",
    ),
    "a regex without a group": (
        {"loss": {"regex": "loss"}},
        "'runner.loss': 'loss' must have exactly one group, around the loss",
    ),
    "a regex that misses divergence": (
        {"loss": {"regex": r"loss (?:is )?\(?([0-9.e-]+)"}},
        r"'runner.loss': the group of 'loss (?:is )?\(?([0-9.e-]+)' does not match 'nan', so "
        r"such a loss would be missed or truncated; write (\S+)",
    ),
    "a regex that truncates small losses": (
        {"loss": {"regex": r"[(] (?P<loss>nan|\d+\.\d+)"}},
        r"'runner.loss': the group of '[(] (?P<loss>nan|\d+\.\d+)' does not match '1.5e-05', so "
        r"such a loss would be missed or truncated; write (\S+)",
    ),
    "a timeout without a unit": (
        {"timeout": "90"},
        "'runner.timeout': '90' is not a duration: write '90s', '30m', '1.5h' or '2d'",
    ),
    "a timeout without quotes and unit": (
        {"timeout": 60},
        "'runner.timeout': a duration has a unit: write \"60s\" (got 60)",
    ),
    "divergence by exit status 0": (
        {"diverged": {"exit": 0}},
        "'runner.diverged.exit': must be greater than or equal to 1 (got 0)",
    ),
    "an invalid name of a variable": (
        {"env": {"A-B": "x"}},
        "'runner.env.A-B.[key]': 'A-B' is not the name of an environment variable",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_every_invalid_runner_is_an_error_that_names_the_problem(case) -> None:
    change, message = BAD[case]
    assert error_of(study(**change)) == message


def test_an_axis_may_reach_the_program_through_a_derived_value_or_its_environment() -> None:
    data = study(command="t --heads={heads}", env={"LR": "{lr}"})
    data["derived"] = {"half": "width // 2", "heads": "half // 32"}
    StudySpec.read(data, error=StudyError, where="")
    data["derived"]["unused"] = "lr * 2"
    assert error_of(data) == ("'unused' is not used by the command: add {unused} to its arguments")
    data["derived"] = {"heads": "lr * 2"}
    assert error_of(data) == "'width' is not used by the command: add {width} to its arguments"


def test_built_in_placeholders_cannot_be_axes() -> None:
    data = study(command="t {lr} {width} {trial_dir}")
    data["axes"]["trial_dir"] = ["/etc"]
    assert error_of(data).startswith("'trial_dir' is a built-in placeholder")
