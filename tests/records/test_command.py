"""Command templates: split into arguments before substitution, with strict placeholders."""

import pytest

from mutransfer.errors import StudyError
from mutransfer.records import CommandRunner, CommandTable, StudySpec
from mutransfer.records.program.templates import expand, placeholders, substitute
from mutransfer.sweep import grid_trials


def study(**runner) -> dict:
    table = {"command": "train --lr={lr} --w={width}", "loss": {"regex": r"loss (\S+)"}}
    return {
        "schema": 1,
        "study": {"name": "s"},
        "axes": {"width": [64, 128], "lr": [0.5]},
        "runner": table | runner,
    }


def error_of(data: dict) -> str:
    """Return what is wrong, without the name of the file, and the fix."""
    with pytest.raises(StudyError) as error:
        StudySpec.read(data, error=StudyError, where="s.toml")
    return f"{error.value.what.removeprefix('s.toml: ')}\n  fix: {error.value.fix}"


def test_arguments_are_split_before_substitution_so_no_value_can_add_one() -> None:
    table = CommandTable(command="run '{name}' -x={name}", loss={"regex": "(.*)"})
    assert table.words == ["run", "{name}", "-x={name}"]
    hostile = "a b; rm -rf / $(x) `y` {width} {{"
    assert [substitute(a, {"name": hostile}) for a in table.words] == [
        "run", hostile, f"-x={hostile}"
    ]  # fmt: skip


def test_doubled_braces_are_braces_and_numbers_are_written_as_python_does() -> None:
    values = {"lr": 2**-12, "heads": 4, "mult": 1.0, "on": True, "big": 10**20}
    assert substitute('{{"lr": {lr}}} {heads} {mult} {on} {big}', values) == (
        '{"lr": 0.000244140625} 4 1.0 True 100000000000000000000'
    )
    assert placeholders("{{lr}} {lr}") == {"lr"}


BAD = {
    "an unknown placeholder": (
        {"command": "t {lr} {widht}"},
        "runner: there is no axis or derived value 'widht'; 'width' is not used by the command\n"
        "  fix: widht: did you mean 'width'?; add {width} to the command, as in --width={width}",
    ),
    "attributes and formats": (
        {"command": "t {lr.__class__} {width}"},
        "'runner.command': unmatched brace at '{lr.__class__} {widt' (got 't {lr.__class__} "
        "{width}')\n"
        "  fix: write {name} for a value, and {{ or }} for a brace",
    ),
    "an open quote": (
        {"command": "t 'x"},
        "'runner.command': cannot be split into arguments: no closing quotation (got \"t 'x\")\n"
        "  fix: close the quote, or write \\\\' for the character",
    ),
    "no program": (
        {"command": " "},
        "'runner.command': does not name a program (got ' ')\n"
        '  fix: write command = "{python} train.py ..."',
    ),
    "a loss outside the trial's folder": (
        {"loss": {"csv": "../log.csv"}},
        "'runner.loss.csv': '../log.csv' must be a file inside the trial's folder\n"
        "  fix: let the program write it to {trial_dir}, and name it 'log.csv'",
    ),
    "a loss at an absolute path": (
        {"loss": {"json": "C:\\log.json"}},
        "'runner.loss.json': 'C:\\log.json' must be a file inside the trial's folder\n"
        "  fix: let the program write it to {trial_dir}, and name it 'log.csv'",
    ),
    "a program that cannot know where to write": (
        {"loss": {"csv": "log.csv"}},
        "the command cannot know where to write 'log.csv'\n"
        "  fix: add {trial_dir} to the command, as in --out={trial_dir}",
    ),
    "two sources": (
        {"loss": {"csv": "a", "json": "b"}},
        "'runner.loss': must name exactly one of csv, json, jsonl, regex, env, and names 'csv', "
        "'json'\n"
        '  fix: write one, as in loss = { csv = "log.csv" }',
    ),
    "a setting without effect": (
        {"loss": {"regex": "(.*)", "column": "loss"}},
        "'runner.loss': 'column' has no effect with regex\n"
        "  fix: write column with csv, key with json, jsonl and env",
    ),
    "an unknown reduction": (
        {"loss": {"regex": "(.*)", "reduce": "median"}},
        "'runner.loss.reduce': must be 'last', 'min', 'mean', or { mean = 50 } for that of the "
        "last 50 values (got 'median')\n"
        '  fix: write reduce = "last", or reduce = { mean = 50 }',
    ),
    "a minimum of some values": (
        {"loss": {"regex": "(.*)", "reduce": {"min": 50}}},
        "'runner.loss.reduce': must be 'last', 'min', 'mean', or { mean = 50 } for that of the "
        "last 50 values\n"
        '  fix: write reduce = "last", or reduce = { mean = 50 }',
    ),
    "a mean of no values": (
        {"loss": {"regex": "(.*)", "reduce": {"mean": 0}}},
        "'runner.loss.reduce': must be 'last', 'min', 'mean', or { mean = 50 } for that of the "
        "last 50 values\n"
        '  fix: write reduce = "last", or reduce = { mean = 50 }',
    ),
    "a mean of several values of a file with one": (
        {"loss": {"json": "a", "reduce": {"mean": 50}}},
        "'runner.loss': 'json' names a file with one value of the loss, not 50\n"
        "  fix: leave reduce out, and let the program write the mean; or name a csv or jsonl log",
    ),
    "a timeout of true": (
        {"timeout": True},
        "'runner.timeout': 'True' is not a duration\n"
        "  fix: write a number and a unit: '90s', '30m', '1.5h' or '2d'",
    ),
    "a timeout of zero": (
        {"timeout": "0s"},
        "'runner.timeout': '0s' is not between 0 and 365 days\n"
        "  fix: write one from '1s' to '365d', or none",
    ),
    "an argument for a number without quotes": (
        {"arguments": {"lr": {"0": {"5": "--half"}}}},
        "'runner.arguments.lr.0': must be text in quotes\n"
        '  fix: write a key that contains a dot in quotes: "0.5" = "..."',
    ),
    "an invalid regex": (
        {"loss": {"regex": "("}},
        "'runner.loss.regex': '(' is not a regular expression: missing ), unterminated "
        "subpattern at position 0\n"
        "  fix: write one such as 'loss (\\S+)', in single quotes, which keep backslashes",
    ),
    "a regex with two groups": (
        {"loss": {"regex": "(a)(b)"}},
        "'runner.loss': '(a)(b)' must have exactly one group, around the loss\n"
        "  fix: write one group as in 'loss (\\S+)'; others do not capture: (?:...)",
    ),
    "a regex without a group": (
        {"loss": {"regex": "loss"}},
        "'runner.loss': 'loss' must have exactly one group, around the loss\n"
        "  fix: write one group as in 'loss (\\S+)'; others do not capture: (?:...)",
    ),
    "a regex that misses divergence": (
        {"loss": {"regex": r"loss (?:is )?\(?([0-9.e-]+)"}},
        "'runner.loss': the group of 'loss (?:is )?\\(?([0-9.e-]+)' does not match 'nan', so "
        "such a loss would be missed or truncated\n"
        "  fix: write (\\S+) for the group, as in 'loss (\\S+)'",
    ),
    "a regex that truncates small losses": (
        {"loss": {"regex": r"[(] (?P<loss>nan|\d+\.\d+)"}},
        "'runner.loss': the group of '[(] (?P<loss>nan|\\d+\\.\\d+)' does not match '1.5e-05', "
        "so such a loss would be missed or truncated\n"
        "  fix: write (\\S+) for the group, as in 'loss (\\S+)'",
    ),
    "a timeout without a unit": (
        {"timeout": "90"},
        "'runner.timeout': '90' is not a duration\n"
        "  fix: write a number and a unit: '90s', '30m', '1.5h' or '2d'",
    ),
    "a timeout without quotes and unit": (
        {"timeout": 60},
        "'runner.timeout': a duration has a unit (got 60)\n  fix: write timeout = \"60s\"",
    ),
    "divergence by exit status 0": (
        {"diverged": {"exit": 0}},
        "'runner.diverged.exit': must be greater than or equal to 1 (got 0)\n"
        "  fix: write a value for 'runner.diverged.exit' that is greater than or equal to 1",
    ),
    "an invalid name of a variable": (
        {"env": {"A-B": "x"}},
        "'runner.env.A-B.[key]': 'A-B' is not the name of an environment variable\n"
        "  fix: use letters, digits and '_', without a digit at the start",
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
    assert error_of(data).startswith("'unused' is not used by the command\n")
    data["derived"] = {"heads": "lr * 2"}
    assert error_of(data).startswith("'width' is not used by the command\n")


def test_built_in_placeholders_cannot_be_axes() -> None:
    data = study(command="t {lr} {width} {trial_dir}")
    data["axes"]["trial_dir"] = ["/etc"]
    assert error_of(data).startswith("'trial_dir' is a built-in placeholder")


# Arguments of an axis.

MUP = "--mup=true --mult={mult} --run={mode}"


def mapped_study(texts: dict, **runner) -> dict:
    """Return a study whose axis `mode` is replaced by texts."""
    data = study(command="train {mode} --lr={lr} --w={width}", arguments={"mode": texts}, **runner)
    data["axes"]["mode"] = ["sp", "mup"]
    data["derived"] = {"mult": "width / 64"}
    return data


def test_an_axis_is_replaced_by_its_arguments_without_a_shell() -> None:
    texts = {"mode": "--mup=true '--name=a {mode}' --lr={lr}"}
    values = {"mode": "$(x) y", "lr": 0.5}
    assert expand(["train", "{mode}", "{lr}"], values, texts) == [
        "train", "--mup=true", "--name=a $(x) y", "--lr=0.5", "0.5"
    ]  # fmt: skip
    assert expand(["train", "--tag={mode}.{lr}"], values, {"mode": "b c"}) == [
        "train", "--tag=b c.0.5"
    ]  # fmt: skip
    assert expand(["train", "{mode}"], values, {"mode": " "}) == ["train"]


def test_only_the_arguments_of_its_own_point_are_part_of_a_trials_identity() -> None:
    """So a further value on the axis keeps the trials that are done."""
    data = mapped_study({"sp": "", "mup": MUP})

    def ids(change: dict) -> dict[object, str]:
        spec = StudySpec.read(data | change, error=StudyError, where="")
        runner = CommandRunner(command=spec.runner.command, derived=dict(spec.derived))
        trials = grid_trials(spec, runner)
        return {(t.axes["mode"], t.axes["width"]): t.id for t in trials}

    before = ids({})
    data["axes"]["mode"] = ["sp", "mup", "umup"]
    data["runner"]["arguments"]["mode"] = {"sp": "", "mup": MUP, "umup": "--u"}
    assert before.items() < ids({}).items()
    data["runner"]["arguments"]["mode"]["mup"] = MUP.replace("true", "1")
    after = ids({})
    assert {key for key in before if before[key] != after[key]} == {("mup", 64), ("mup", 128)}


BAD_ARGUMENTS = {
    "a value without arguments": (
        {"mup": MUP},
        "runner.arguments.mode has no 'sp'\n"
        '  fix: add sp = "...", or = "" if it needs no arguments',
    ),
    "arguments without a value": (
        {"sp": "", "mup": MUP, "mpu": ""},
        "runner.arguments.mode has 'mpu', which is not a value of the axis\n"
        "  fix: did you mean 'mup'?",
    ),
    "an open quote": (
        {"sp": "'", "mup": MUP},
        "'runner.arguments.mode.sp': cannot be split into arguments: no closing quotation (got "
        '"\'")\n'
        "  fix: close the quote, or write \\\\' for the character",
    ),
    "an unknown name": (
        {"sp": "", "mup": MUP.replace("{mult}", "{mul}")},
        "runner: there is no axis or derived value 'mul'; 'mult' is not used by the command\n"
        "  fix: mul: did you mean 'mult'?; add {mult} to the command, as in --mult={mult}",
    ),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_arguments_that_do_not_match_their_axis_are_an_error(case) -> None:
    texts, message = BAD_ARGUMENTS[case]
    assert error_of(mapped_study(texts)) == message


def test_arguments_of_something_that_is_no_axis_are_an_error() -> None:
    data = mapped_study({"sp": "", "mup": MUP})
    data["runner"]["arguments"] = {"mod": data["runner"]["arguments"]["mode"]}
    data["runner"]["command"] += " {mult}"
    assert error_of(data) == (
        "runner.arguments.mod: there is no axis 'mod'\n  fix: did you mean 'mode'?"
    )


def test_a_seed_that_reaches_one_of_two_programs_only_is_an_error() -> None:
    """Equal runs under several seeds would look like a measurement without noise."""
    data = mapped_study({"sp": "", "mup": MUP + " --seed={seed}"})
    data["axes"]["seed"] = [0, 1]
    assert error_of(data) == (
        "'seed' is used at some values of 'mode' only\n"
        "  fix: add {seed} to the command, as in --seed={seed}"
    )
    data["runner"]["arguments"]["mode"]["sp"] = "--seed={seed}"
    StudySpec.read(data, error=StudyError, where="")


def test_true_and_false_are_accepted_in_any_case() -> None:
    for keys in ({"true": "--x", "false": ""}, {"True": "--x", "FALSE": ""}):
        data = mapped_study(keys)
        data["axes"]["mode"] = [True, False]
        del data["derived"]
        StudySpec.read(data, error=StudyError, where="")
    data["runner"]["arguments"]["mode"]["true"] = ""
    assert error_of(data).startswith(
        "runner.arguments.mode has 'True', 'true', which are one value"
    )
