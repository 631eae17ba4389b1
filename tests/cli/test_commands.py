"""The command line: frozen flags, exit statuses, one JSON document, three lines on error."""

import inspect
import json
import subprocess
import sys
from dataclasses import fields

import pytest

from mutransfer.cli.analysis import Reading
from mutransfer.cli.app import app
from mutransfer.workflows import load_inputs

FLAGS = {
    "analyze": "results reading published threshold reference fail_on_no json",
    "check": "build base widths batch loss parametrization optimizer lr steps seeds form roles "
    "example_inputs device dtype report figures json",
    "demo": "scale output workers json",
    "plan": "build base target probe parametrization optimizer form roles "
    "example_inputs parameter output json",
    "predict": "results reading width group plan json",
    "report": "results reading output figures width threshold reference json",
    "rules": "name optimizer json",
    "studies": "action name output workers json",
    "sweep": "study store workers only retry_failed dry_run status json",
}

READING = "columns scale hyperparameter group_by window"


def test_commands_and_flags_are_frozen() -> None:
    found = {
        name: " ".join(inspect.signature(app[name].default_command).parameters)
        for name in app
        if not name.startswith("-")
    }
    assert found == FLAGS
    assert " ".join(field.name for field in fields(Reading)) == READING


@pytest.mark.parametrize("command", FLAGS)
def test_every_help_has_examples(command, run) -> None:
    status, out, _ = run(f"{command} --help")
    assert status == 0
    assert f"mutransfer {command}" in out.partition("Examples")[2]


def test_rules_are_printed_with_their_source(run) -> None:
    status, out, _ = run("rules mup --optimizer adamw")
    assert status == 0
    assert "arXiv:2203.03466, Table 8" in out
    assert "fan_in^-1/2" in out


def test_rules_without_a_name_list_the_hybrids_in_one_line(run) -> None:
    status, out, _ = run("rules")
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines() if "mup-last" in line] == [
        "between sp and mup (`mutransfer rules sp+embd`)"
    ]
    assert "ntk: neural tangent parametrization" in out
    status, out, _ = run("rules mup-attn")
    assert status == 0
    assert "attention scale: (head width)^-1/2" in out


def test_a_plan_is_printed_saved_and_derived(run, tmp_path) -> None:
    status, out, _ = run("plan toy_model:build --base 16 --target 64 -o plan.json")
    assert status == 0
    assert "width multiplier 4" in out
    from mutransfer.rules import Plan

    assert Plan.from_json((tmp_path / "plan.json").read_text())["1.weight"].lr_factor == 0.25
    _, derived, _ = run("plan toy_model:build --base 16 --target 64 --parameter 2.weight")
    assert "role      output" in derived


def test_a_plan_for_muon_says_who_takes_what(run) -> None:
    status, out, _ = run("plan toy_model:build --base 16 --target 64 --optimizer muon-match-rms")
    assert status == 0
    rows = [line.split() for line in out.splitlines() if ".weight" in line]
    assert [(row[-1], row[5], row[-2]) for row in rows] == [
        ("0.weight", "1", "adamw"), ("1.weight", "0.5", "muon"), ("2.weight", "0.25", "adamw")
    ]  # fmt: skip


def test_roles_are_set_on_the_command_line(run) -> None:
    line = "plan toy_model:build --base 16 --target 64 --parameter 2.weight --roles"
    assert "role      bottleneck: set by roles=" in run(f"{line} 2.weight=bottleneck")[1]
    assert run(f"{line} 2.weight=botleneck")[2].startswith("RoleError: roles={'2.weight'")


def test_a_parameters_derivation_is_data_too(run) -> None:
    line = "plan toy_model:build --base 16 --target 64 --parameter 1.weight --json"
    found = json.loads(run(line)[1])
    assert (found["schema"], found["parameter"], found["role"]) == (1, "1.weight", "hidden")
    assert found["lr"] == {
        "value": 0.25, "rule": "fan_in^-1", "steps": "fan_in^-1 = 4^-1 = 0.25",
    }  # fmt: skip
    assert [(axis["base"], axis["target"]) for axis in found["axes"]] == [(16, 64), (16, 64)]


def test_rules_are_data_too(run) -> None:
    found = json.loads(run("rules mup --json")[1])["rules"]["mup"]
    assert found["forms"]["table-8"]["hidden"]["lr_entrywise"] == "fan_in^-1"
    assert found["forms"]["table-8"]["vector"]["lr_spectral"] is None
    assert "arXiv:2203.03466, Table 8" in found["source"][0]


GAINED = """
import torch
from torch import nn

class Gained(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.up, self.head = nn.Linear(4, width), nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.up(x) * self.gain)

tensor = torch.ones(3, 4)
batch = tensor, torch.zeros(3, 2)

def loss(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()

def made():
    return (tensor,)

def broken():
    return tensor["x"]

def of_width(width):
    return {"x": tensor}
"""


@pytest.fixture
def gained(tmp_path):
    (tmp_path / "gained.py").write_text(GAINED)
    yield
    sys.modules.pop("gained", None)


@pytest.mark.parametrize("inputs", ["tensor", "made"])
def test_example_inputs_show_what_shapes_cannot_tell(inputs, run, gained) -> None:
    line = "plan gained:Gained --base 16 --target 64 --parameter gain"
    assert run(line)[2].startswith("RoleError: cannot tell the role of 'gain'")
    status, out, _ = run(f"{line} --example-inputs gained:{inputs}")
    assert status == 0
    assert "role      vector" in out


def test_a_check_takes_example_inputs_too(run, gained) -> None:
    line = "check gained:Gained --base 16 --widths 16,64,256 --steps 3"
    assert run(line)[2].startswith("RoleError: cannot tell the role of 'gain'")
    assert run(f"{line} --example-inputs gained:tensor")[1].startswith("coordinate check: ")


def test_example_inputs_of_each_width_are_passed_on(tmp_path, gained, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_inputs("gained:of_width") is sys.modules["gained"].of_width
    assert load_inputs("gained:made") == (sys.modules["gained"].tensor,)


@pytest.mark.parametrize(
    "line",
    [
        "rules",
        "plan toy_model:build --base 16 --target 64",
        "analyze losses.csv",
        "predict losses.csv --width 512",
        "report losses.csv -o page.html",
    ],
)
def test_json_is_one_document_and_nothing_else(line, run) -> None:
    status, out, _ = run(f"{line} --json")
    assert status == 0
    assert json.loads(out)["schema"] == 1


def test_json_has_no_nan(run, tmp_path) -> None:
    (tmp_path / "losses.csv").write_text(
        (tmp_path / "losses.csv").read_text().replace("2.53\n", "nan\n")
    )
    _, out, _ = run("analyze losses.csv --json")
    json.loads(out, parse_constant=lambda name: pytest.fail(name))


BAD = {
    "rulez": (
        'UsageError: unknown command "rulez". Did you mean "rules"? Available commands: analyze, '
        "predict, report, check, sweep, studies, demo, rules, ...\n"
        "  why: a command that is guessed at would do something else, silently\n"
        "  fix: see `mutransfer --help`\n"
    ),
    "demo --scale huge": (
        'UsageError: invalid value "huge" for --scale. Choose from: "small", "large"\n'
        "  why: a command that is guessed at would do something else, silently\n"
        "  fix: see `mutransfer demo --help`\n"
    ),
    "sweep": (
        "UsageError: no study is named\n"
        "  why: a study file says which trials to run\n"
        "  fix: mutransfer sweep study.toml, or mutransfer sweep --status runs/NAME\n"
    ),
    "demo --workers -3": (
        "UsageError: -3 workers\n"
        "  why: trials are trained by at least one process\n"
        "  fix: write --workers 4, or --workers auto for one per GPU or core\n"
    ),
    "plan toy_model --base 16 --target 64": (
        "UsageError: 'toy_model' does not name a function\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: write MODULE:FUNCTION, for example my_model:build\n"
    ),
    "plan toy_model:biuld --base 16 --target 64": (
        "UsageError: 'toy_model' has no 'biuld'\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: did you mean 'build'?\n"
    ),
    "plan toy_model:number --base 16 --target 64": (
        "UsageError: 'toy_model:number' is int, not a function from a width to a model\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: name one of 'build'\n"
    ),
    "plan toy_model:build --base 16 --target 64 --example-inputs toy_model:inptus": (
        "UsageError: 'toy_model' has no 'inptus'\n"
        "  why: a forward pass shows how raw parameters are used\n"
        "  fix: choose from 'build', 'nn', 'number'\n"
    ),
    "plan no_such_module:build --base 16 --target 64": (
        "UsageError: 'no_such_module' cannot be imported: ModuleNotFoundError: No module named "
        "'no_such_module'\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: make `python -c 'import no_such_module'` work in this folder\n"
    ),
    "plan toy_model:build --base 16 --target 64 -o no/plan.json": (
        "UsageError: cannot write no/plan.json: No such file or directory\n"
        "  why: the plan is to travel with your checkpoint\n"
        "  fix: name a file in a folder that exists: -o plan.json\n"
    ),
    "sweep no.toml": (
        "StudyError: no.toml cannot be read: No such file or directory\n"
        "  why: a study file says which trials answer the question\n"
        "  fix: name a study file; the README shows one\n"
    ),
}


@pytest.mark.parametrize("line", BAD)
def test_wrong_input_gets_three_lines_on_stderr_and_status_2(line, run) -> None:
    status, out, err = run(line)
    assert (status, out, err) == (2, "", BAD[line])


def test_a_bug_of_ours_is_status_70_and_says_so(run, monkeypatch) -> None:
    import mutransfer.rules

    monkeypatch.setattr(mutransfer.rules, "explain", lambda *a, **k: 1 / 0)
    status, out, err = run("rules mup")
    assert (status, out) == (70, "")
    assert err == (
        "ZeroDivisionError: division by zero\n"
        "  why: this is a bug of mutransfer, not a mistake of yours\n"
        "  fix: run the same with --debug and report what it prints\n"
    )
    assert "Traceback" in run("rules mup --debug")[2]


def test_an_interrupt_is_status_130_and_promises_nothing_is_lost(run, monkeypatch) -> None:
    import mutransfer.rules

    def interrupted(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(mutransfer.rules, "explain", interrupted)
    status, _, err = run("rules mup")
    assert status == 130
    assert err == "\ninterrupted: what was finished is kept; the same command goes on\n"


def test_a_reader_that_stops_early_is_no_error() -> None:
    line = f"{sys.executable} -m mutransfer.cli rules | head -1"
    shown = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("mup: ")
    assert shown.stderr == ""
