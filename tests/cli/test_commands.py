"""The command line: its flags, exit statuses, JSON documents and errors."""

import inspect
import json
import subprocess
import sys
from dataclasses import fields

import pytest

from mutransfer.cli.app import app
from mutransfer.cli.commands.analysis import ReadOptions
from mutransfer.workflows import load_inputs

FLAGS = {
    "analyze": "results options published threshold reference fail_on_no json",
    "check": "build base widths batch loss parametrization optimizer lr steps seeds form roles "
    "example_inputs probe device dtype report figures json",
    "demo": "scale output workers json",
    "plan": "build base target probe parametrization optimizer form roles "
    "example_inputs parameter output json",
    "predict": "results options width at group plan hold_out compare json",
    "report": "results options output figures width threshold reference json",
    "rules": "name optimizer json",
    "studies": "action name scale text dry_run output workers report json",
    "sweep": "study store executor workers count only retry_failed dry_run status json",
}

READ_OPTIONS = "columns scale hyperparameter group_by window"


def test_commands_and_flags_are_frozen() -> None:
    flags = {
        name: " ".join(inspect.signature(app[name].default_command).parameters)
        for name in app
        if not name.startswith("-")
    }
    assert flags == FLAGS
    assert " ".join(field.name for field in fields(ReadOptions)) == READ_OPTIONS


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


def test_rules_without_a_name_end_with_one_line_of_hybrids(run) -> None:
    status, out, _ = run("rules")
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines() if "mup-last" in line] == [
        "between sp and mup (`mutransfer rules sp+embd`)"
    ]
    assert "ntk: neural tangent parametrization" in out
    status, out, _ = run("rules mup-attn")
    assert status == 0
    assert "attention scale: (head width)^-1/2" in out


def test_a_plan_is_printed_saved_and_explained(run, tmp_path) -> None:
    status, out, _ = run("plan toy_model:build --base 16 --target 64 -o plan.json")
    assert status == 0
    assert "width multiplier 4" in out
    from mutransfer.rules import Plan

    assert Plan.from_json((tmp_path / "plan.json").read_text())["1.weight"].lr_factor == 0.25
    _, derivation, _ = run("plan toy_model:build --base 16 --target 64 --parameter 2.weight")
    assert "role      output" in derivation


def test_a_plan_for_muon_names_the_optimizer_of_each_parameter(run) -> None:
    status, out, _ = run("plan toy_model:build --base 16 --target 64 --optimizer muon-match-rms")
    assert status == 0
    rows = [line.split() for line in out.splitlines() if ".weight" in line]
    assert [(row[-1], row[5], row[-2]) for row in rows] == [
        ("0.weight", "1", "adamw"), ("1.weight", "0.5", "muon"), ("2.weight", "0.25", "adamw")
    ]  # fmt: skip


def test_roles_are_set_on_the_command_line(run) -> None:
    line = "plan toy_model:build --base 16 --target 64 --parameter 2.weight --roles"
    assert "role      bottleneck: set by roles=" in run(f"{line} 2.weight=bottleneck")[1]
    assert run(f"{line} 2.weight=botleneck")[2].startswith("RoleError: --roles 2.weight=botleneck ")


def test_a_derivation_has_a_json_document(run) -> None:
    line = "plan toy_model:build --base 16 --target 64 --parameter 1.weight --json"
    data = json.loads(run(line)[1])
    assert (data["schema"], data["parameter"], data["role"]) == (1, "1.weight", "hidden")
    assert data["lr"] == {
        "value": 0.25, "rule": "fan_in^-1", "steps": "fan_in^-1 = 4^-1 = 0.25",
    }  # fmt: skip
    assert [(axis["base"], axis["target"]) for axis in data["axes"]] == [(16, 64), (16, 64)]


def test_a_table_of_rules_has_a_json_document(run) -> None:
    table = json.loads(run("rules mup --json")[1])["rules"]["mup"]
    assert table["forms"]["table-8"]["hidden"]["lr_entrywise"] == "fan_in^-1"
    assert table["forms"]["table-8"]["vector"]["lr_spectral"] is None
    assert "arXiv:2203.03466, Table 8" in table["source"][0]


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

def make_inputs():
    return (tensor,)

def inputs_at(width):
    return {"x": tensor}
"""


@pytest.fixture
def gained(tmp_path):
    (tmp_path / "gained.py").write_text(GAINED)
    yield
    sys.modules.pop("gained", None)


@pytest.mark.parametrize("inputs", ["tensor", "make_inputs"])
def test_example_inputs_determine_a_role_that_shapes_do_not(inputs, run, gained) -> None:
    line = "plan gained:Gained --base 16 --target 64 --parameter gain"
    assert run(line)[2].startswith("RoleError: the role of 'gain' is undetermined")
    status, out, _ = run(f"{line} --example-inputs gained:{inputs}")
    assert status == 0
    assert "role      vector" in out


def test_a_check_uses_example_inputs(run, gained) -> None:
    """Without them it uses those of the loss, and answers the same."""
    line = "check gained:Gained --base 16 --widths 16,64,256 --steps 3"
    text = run(f"{line} --example-inputs gained:tensor")[1]
    assert text.startswith("coordinate check: ")
    assert run(line)[1] == text


def test_a_function_of_the_width_is_passed_on_as_example_inputs(
    tmp_path, gained, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_inputs("gained:inputs_at") is sys.modules["gained"].inputs_at
    assert load_inputs("gained:make_inputs") == (sys.modules["gained"].tensor,)


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


ERRORS = {
    "rulez": (
        "UsageError: unknown command 'rulez'\n"
        "  why: ignoring it could silently run something else\n"
        "  fix: did you mean 'rules'?\n"
    ),
    "--help mup": (
        "UsageError: unknown command 'mup'\n"
        "  why: ignoring it could silently run something else\n"
        "  fix: choose from '--help', '--version', '-h', 'analyze', 'check', 'demo', 'plan', "
        "'predict', 'report', 'rules', 'studies', 'sweep'\n"
    ),
    "frobnicate": (
        "UsageError: unknown command 'frobnicate'\n"
        "  why: ignoring it could silently run something else\n"
        "  fix: choose from '--help', '--version', '-h', 'analyze', 'check', 'demo', 'plan', "
        "'predict', 'report', 'rules', 'studies', 'sweep'\n"
    ),
    "demo --scale huge": (
        "UsageError: --scale takes small or large, not 'huge'\n"
        "  why: --scale means: small: widths 32 to 128, takes minutes; large: widths to 256 on a "
        "finer grid, takes about two hours\n"
        "  fix: choose from 'large', 'small'\n"
    ),
    "studies rnu": (
        "UsageError: ACTION takes list or show or run or compare, not 'rnu'\n"
        "  why: ACTION means: list, show, run or compare\n"
        "  fix: did you mean 'run'?\n"
    ),
    "demo --workers many": (
        "UsageError: --workers takes a whole number or auto, not 'many'\n"
        "  why: --workers means: Number of processes, one thread each; auto is one per core\n"
        "  fix: see `mutransfer demo --help`\n"
    ),
    "analyze losses.csv --threshold 1%": (
        "UsageError: --threshold takes a number, not '1%'\n"
        "  why: --threshold means: Largest regret that counts as transfer, as a fraction of the "
        "best loss; 0.01 by default\n"
        "  fix: write --threshold 0.01\n"
    ),
    "plan toy_model:build --base 16": (
        "UsageError: --target is required\n"
        "  why: --target means: Width to train at\n"
        "  fix: for example: mutransfer plan my_model:build --base 256 --target 4096\n"
    ),
    "plan": (
        "UsageError: BUILD is required\n"
        "  why: BUILD means: MODULE:FUNCTION, a function from a width to a torch.nn.Module\n"
        "  fix: for example: mutransfer plan my_model:build --base 256 --target 4096\n"
    ),
    "plan toy_model:build --base --target 64": (
        "UsageError: --base needs a value\n"
        "  why: --base means: Width at which hyperparameters are tuned\n"
        "  fix: for example: mutransfer plan my_model:build --base 256 --target 4096\n"
    ),
    "plan toy_model:build --bse 16 --target 64": (
        "UsageError: unknown option '--bse'\n"
        "  why: ignoring it could silently run something else\n"
        "  fix: did you mean '--base'?\n"
    ),
    "plan toy_model:build --base 16 --traget=64": (
        "UsageError: unknown option '--traget'\n"
        "  why: ignoring it could silently run something else\n"
        "  fix: did you mean '--target'?\n"
    ),
    "rules mup --optimiser sgd": (
        "UsageError: unknown option '--optimiser'\n"
        "  why: ignoring it could silently run something else\n"
        "  fix: did you mean '--optimizer'?\n"
    ),
    "plan toy_model:build 7 --base 16 --target 64": (
        "UsageError: unknown argument '7'\n"
        "  why: ignoring it could silently run something else\n"
        "  fix: leave it out; a list has commas (64,128), and a value with spaces has quotes\n"
    ),
    "plan toy_model:build --base 16 --base 8 --target 64": (
        "UsageError: --base occurs twice\n"
        "  why: only one of its values could be used\n"
        "  fix: leave one of them out\n"
    ),
    "plan toy_model.py:build --base 16 --target 64": (
        "UsageError: 'toy_model.py' is a file, not a module\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: write the module without .py: toy_model:build\n"
    ),
    "plan src/toy_model.py --base 16 --target 64": (
        "UsageError: 'src/toy_model.py' is a file, not a module\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: in the folder src, write the module without .py: toy_model:build\n"
    ),
    "sweep": (
        "UsageError: no study file is given\n"
        "  why: a study file defines which trials to run\n"
        "  fix: mutransfer sweep study.toml, or mutransfer sweep --status runs/NAME\n"
    ),
    "demo --workers -3": (
        "UsageError: -3 workers\n"
        "  why: training needs at least one process\n"
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
        "UsageError: 'toy_model:number' is of type int, and not a function from a width to a "
        "model\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: name one of 'build'\n"
    ),
    "plan toy_model:build --base 16 --target 64 --example-inputs toy_model:inptus": (
        "UsageError: 'toy_model' has no 'inptus'\n"
        "  why: a forward pass shows how raw parameters are used\n"
        "  fix: choose from 'build', 'nn', 'number'\n"
    ),
    "plan no_such_module:build --base 16 --target 64": (
        "UsageError: there is no module 'no_such_module' in this folder, and none is installed\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: run the command in the folder of no_such_module.py\n"
    ),
    "plan toy_modle:build --base 16 --target 64": (
        "UsageError: there is no module 'toy_modle' in this folder, and none is installed\n"
        "  why: the plan is made from the models that your function builds\n"
        "  fix: did you mean 'toy_model'? Otherwise run the command in the folder of toy_modle.py\n"
    ),
    "plan toy_model:build --base 16 --target 64 -o no/plan.json": (
        "UsageError: --output no/plan.json: the folder no does not exist\n"
        "  why: only the file or folder that is named is made, because a path may be mistyped\n"
        "  fix: mkdir -p no, or name another place: --output plan.json\n"
    ),
    "report losses.csv -o losses.pdf": (
        "UsageError: --output losses.pdf: the report is an HTML page, not .pdf\n"
        "  why: no program would open the file by its name\n"
        "  fix: --output losses.html; --figures DIR writes figures as PNG, SVG and PDF\n"
    ),
    "analyze losses.csv --windw 2": (
        "UsageError: unknown option '--windw'\n"
        "  why: ignoring it could silently run something else\n"
        "  fix: did you mean '--window'?\n"
    ),
    "sweep no.toml": (
        "StudyError: no.toml cannot be read: No such file or directory\n"
        "  why: a study file defines the trials to run\n"
        "  fix: name a study file; docs/sweeps.md shows one\n"
    ),
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_is_printed_in_three_lines_on_stderr_and_exits_with_2(line, run) -> None:
    status, out, err = run(line)
    assert (status, out, err) == (2, "", ERRORS[line])


def test_an_internal_error_exits_with_70_and_asks_for_a_report(run, monkeypatch) -> None:
    import mutransfer.rules

    monkeypatch.setattr(mutransfer.rules, "explain", lambda *a, **k: 1 / 0)
    status, out, err = run("rules mup")
    assert (status, out) == (70, "")
    assert err == (
        "ZeroDivisionError: division by zero\n"
        "  why: this is a bug in mutransfer, not a mistake of yours\n"
        "  fix: run the same command with --debug and report what it prints\n"
    )
    assert "Traceback" in run("rules mup --debug")[2]


def test_an_interrupt_exits_with_130(run, monkeypatch) -> None:
    import mutransfer.rules

    def interrupt(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(mutransfer.rules, "explain", interrupt)
    status, _, err = run("rules mup")
    assert status == 130
    assert err == (
        "\ninterrupted: finished trials are kept; run the same command again to resume\n"
    )


def test_a_closed_pipe_is_not_an_error() -> None:
    line = f"{sys.executable} -m mutransfer.cli rules | head -1"
    shown = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("mup: ")
    assert shown.stderr == ""
