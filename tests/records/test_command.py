"""The command template: arguments first, strict placeholders, checked both ways."""

import pytest

from mutransfer.errors import StudyError
from mutransfer.records import CommandTable, StudySpec
from mutransfer.records.command import filled, placeholders


def study(**runner) -> dict:
    given = {"command": "train --lr={lr} --w={width}", "loss": {"regex": r"loss (\S+)"}}
    return {
        "schema": 1,
        "study": {"name": "s"},
        "axes": {"width": [64, 128], "lr": [0.5]},
        "runner": given | runner,
    }


def complaint(data: dict) -> str:
    with pytest.raises(StudyError) as refused:
        StudySpec.read(data, error=StudyError, where="s.toml")
    return str(refused.value).splitlines()[0].removeprefix("s.toml: ")


def test_arguments_are_split_before_substitution_so_no_value_can_add_one() -> None:
    table = CommandTable(command="run '{name}' -x={name}", loss={"regex": "(.*)"})
    assert table.arguments == ["run", "{name}", "-x={name}"]
    hostile = "a b; rm -rf / $(x) `y` {width} {{"
    assert [filled(a, {"name": hostile}) for a in table.arguments] == [
        "run", hostile, f"-x={hostile}"
    ]  # fmt: skip


def test_doubled_braces_are_braces_and_numbers_are_written_as_python_does() -> None:
    values = {"lr": 2**-12, "heads": 4.0, "on": True, "big": 10**20}
    assert filled('{{"lr": {lr}}} {heads} {on} {big}', values) == (
        '{"lr": 0.000244140625} 4 True 100000000000000000000'
    )
    assert placeholders("{{lr}} {lr}") == {"lr"}


BAD = {
    "an unknown placeholder": (
        {"command": "t {lr} {widht}"},
        "runner: no axis or derived value 'widht', did you mean 'width'?; 'width' does not reach "
        "the command: write {width} where it belongs",
    ),
    "attributes and formats": (
        {"command": "t {lr.__class__} {width}"},
        "'runner.command': cannot be split into arguments: a lone brace at '{lr.__class__} "
        "{widt': write {name}, or {{ and }} for braces (given 't {lr.__class__} {width}')",
    ),
    "an open quote": (
        {"command": "t 'x"},
        "'runner.command': cannot be split into arguments: No closing quotation (given \"t 'x\")",
    ),
    "no program": ({"command": " "}, "'runner.command': names no program (given ' ')"),
    "a loss outside the trial's folder": (
        {"loss": {"csv": "../log.csv"}},
        "'runner.loss.csv': '../log.csv' must be the name of a file inside the trial's folder "
        "(given '../log.csv')",
    ),
    "a loss at an absolute path": (
        {"loss": {"json": "C:\\log.json"}},
        "'runner.loss.json': 'C:\\log.json' must be the name of a file inside the trial's folder "
        "(given 'C:\\\\log.json')",
    ),
    "a program that never learns where to write": (
        {"loss": {"csv": "log.csv"}},
        "the command never learns where to write 'log.csv': use {trial_dir}",
    ),
    "two sources": (
        {"loss": {"csv": "a", "json": "b"}},
        "'runner.loss': name exactly one of csv, json, jsonl, regex, env",
    ),
    "a setting without effect": (
        {"loss": {"regex": "(.*)", "column": "loss"}},
        "'runner.loss': 'column' belongs to csv; elsewhere it is 'key'",
    ),
    "a regex that is none": (
        {"loss": {"regex": "("}},
        "'runner.loss.regex': '(' is no regular expression: missing ), unterminated subpattern at "
        "position 0 (given '(')",
    ),
    "a regex with two groups": (
        {"loss": {"regex": "(a)(b)"}},
        "'runner.loss': put the number of '(a)(b)', and only it, in ( )",
    ),
    "a regex without a group": (
        {"loss": {"regex": "loss"}},
        "'runner.loss': put the number of 'loss', and only it, in ( )",
    ),
    "a regex that overlooks divergence": (
        {"loss": {"regex": r"loss (?:is )?\(?([0-9.e-]+)"}},
        r"'runner.loss': the ( ) of 'loss (?:is )?\(?([0-9.e-]+)' does not take 'nan': such a loss "
        r"would be overlooked, or cut short; write (\S+)",
    ),
    "a regex that cuts small losses short": (
        {"loss": {"regex": r"[(] (?P<loss>nan|\d+\.\d+)"}},
        r"'runner.loss': the ( ) of '[(] (?P<loss>nan|\d+\.\d+)' does not take '1.5e-05': such a "
        r"loss would be overlooked, or cut short; write (\S+)",
    ),
    "a timeout without a unit": (
        {"timeout": "90"},
        "'runner.timeout': '90' is no duration: write '90s', '30m', '1.5h' or '2d' (given '90')",
    ),
    "divergence by exit status 0": (
        {"diverged": {"exit": 0}},
        "'runner.diverged.exit': input should be greater than or equal to 1 (given 0)",
    ),
    "a variable that is none": (
        {"env": {"A-B": "x"}},
        "'runner.env.A-B.[key]': 'A-B' is no name of an environment variable (given 'A-B')",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_runner_is_refused_by_name(case) -> None:
    change, said = BAD[case]
    assert complaint(study(**change)) == said


def test_an_axis_may_reach_the_program_through_a_derived_value_or_its_environment() -> None:
    data = study(command="t --heads={heads}", env={"LR": "{lr}"})
    data["derived"] = {"half": "width // 2", "heads": "half // 32"}
    StudySpec.read(data, error=StudyError, where="")
    data["derived"]["unused"] = "lr * 2"
    assert complaint(data) == (
        "'unused' does not reach the command: write {unused} where it belongs"
    )
    data["derived"] = {"heads": "lr * 2"}
    assert complaint(data) == "'width' does not reach the command: write {width} where it belongs"


def test_names_of_ours_cannot_be_axes() -> None:
    data = study(command="t {lr} {width} {trial_dir}")
    data["axes"]["trial_dir"] = ["/etc"]
    assert complaint(data).startswith("'trial_dir' is a name of ours")
