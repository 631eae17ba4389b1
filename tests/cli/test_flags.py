"""Errors of the library, whose Python arguments the command line prints as its own flags."""

import shlex
import sys

import pytest

from mutransfer.cli.app import parse_roles
from mutransfer.cli.flags import as_flags
from mutransfer.rules import Role

SPELLINGS = {
    "roles={'head': Role.OUTPUT}": "--roles head=output",
    "roles={'a.weight': Role.INPUT, 'b.weight': Role.HIDDEN}": (
        "--roles a.weight=input,b.weight=hidden"
    ),
    "roles={'blocks\\\\.[0-9]': Role.HIDDEN}": "--roles 'blocks\\.[0-9]=hidden'",
    "correct roles=, or build a wider target": "correct --roles, or build a wider target",
    "Role.OUTPUT for every head": "output for every head",
    "make_plan(..., optimizer='muon-match-rms'), whose rates are alike": (
        "--optimizer muon-match-rms, whose rates are alike"
    ),
    "make_plan(build, base=64, widths=[64, 128])": (
        "mutransfer plan MODULE:BUILD --base 64 --widths 64,128"
    ),
    "pass a function: coord_check(lambda width: MyModel(width), ...)": (
        "pass a function: MODULE:NAME, with NAME = lambda width: MyModel(width)"
    ),
    "example_inputs=x": "--example-inputs MODULE:NAME",
    "call it: batch=make_batch()": "call it: --batch MODULE:NAME, with NAME = make_batch()",
    "optimizer='adamw', or another": "--optimizer adamw, or another",
    "parametrization=None": "--parametrization none",
    "dtype=torch.bfloat16": "--dtype bfloat16",
    "lower lr=, or set lr=2**-6": "lower --lr, or set --lr 2^-6",
    "lr={'muon': 0.02, 'adamw': 0.003}": "--lr muon=0.02,adamw=0.003",
    "--steps 10 (in Python: steps=10)": "--steps 10",
}
UNCHANGED = [
    "param_groups(model, plan, lr=...)",
    "nn.Parameter(torch.empty(4, 8), lr=(2, 3))",
    "keep the head width: scale=8**0.5",
    "--lr muon=0.02,adamw=0.003",
    "num_steps=3",
]


@pytest.mark.parametrize("python", SPELLINGS)
def test_a_python_argument_is_printed_as_a_flag(python) -> None:
    assert as_flags(python, "check") == SPELLINGS[python]


@pytest.mark.parametrize("text", UNCHANGED)
def test_other_code_is_left_as_it_is(text) -> None:
    assert as_flags(text, "check") == text


def test_an_argument_that_is_no_flag_of_the_command_is_left_as_it_is() -> None:
    assert as_flags("probe=128, lr=0.1", "plan") == "--probe 128, lr=0.1"
    assert as_flags("target=128, lr=0.1", "check") == "target=128, --lr 0.1"
    assert as_flags("compare: make_plan(..., probe=512)", "check") == "compare: --probe 512"
    assert as_flags("lr=0.1", "analyze") == as_flags("lr=0.1", "") == "lr=0.1"


def test_only_the_start_of_a_message_is_translated_because_the_rest_may_quote_the_user() -> None:
    text = "loss(model, batch) raised TypeError: no lr=3"
    assert as_flags(text, "check", start_only=True) == text
    assert (
        as_flags("steps=1 is fewer, lr=3", "check", start_only=True) == "--steps 1 is fewer, lr=3"
    )


@pytest.mark.parametrize("pattern", ["head", "a,b", "b{2}", "x=y"])
def test_roles_can_be_copied_from_an_error(pattern) -> None:
    _, roles = shlex.split(as_flags(f"roles={{{pattern!r}: Role.OUTPUT}}", "plan"))
    assert parse_roles(roles) == {pattern: Role.OUTPUT}


MODEL = """
import torch
from torch import nn

class Gained(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.up, self.head = nn.Linear(4, width), nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.up(x) * self.gain)

batch = torch.ones(3, 4), torch.zeros(3, 2)

def loss(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()
"""
CHECK = "check gained:Gained --base 16 --widths 16,64,256"

ROLE_UNDETERMINED = (
    "RoleError: the role of 'gain' is undetermined: a raw parameter (Gained, shape (16,) at the "
    "base)\n"
    "  why: whether an axis is summed over or broadcast decides its init and its rate\n"
    "  fix: pass --example-inputs MODULE:NAME, the inputs of the model; or --roles "
    "gain=vector (VECTOR if it is applied elementwise, OUTPUT or BOTTLENECK if it is summed over)\n"
)
SAME_PROBE = (
    "ModelError: probe and base are both 16\n"
    "  why: growing axes, and how your init scales, are determined by comparing two widths\n"
    "  fix: leave --probe out, or choose another small width\n"
)
ERRORS = {
    "plan gained:Gained --base 16 --target 64": ROLE_UNDETERMINED,
    "plan gained:Gained --base 16 --target 64 --probe 16": SAME_PROBE,
    f"{CHECK} --probe 16": SAME_PROBE,
    "plan gained:Gained --base 16 --target 64 --roles gian=vector": (
        "RoleError: --roles gian=... matches no parameter\n"
        "  why: a pattern that matches nothing would silently leave the role as it was\n"
        "  fix: match a whole name: 'gain', 'up.weight', 'up.bias', 'head.weight', 'head.bias'\n"
    ),
    f"{CHECK} --roles gain=vector --optimizer muon": (
        "RuleError: --lr 0.0078125 is one rate for Muon and AdamW\n"
        "  why: Muon's is the size of a matrix's change, AdamW's that of an entry: one number "
        "cannot fit both\n"
        "  fix: --lr muon=0.0078125,adamw=0.003, or --optimizer muon-match-rms, whose rates are "
        "alike\n"
    ),
    f"{CHECK} --roles gain=vector --form x": (
        "RuleError: there is no form 'x'\n"
        "  why: gradient clipping and the size of weights depend on the form, so a plan names it\n"
        "  fix: write --form table-3 (no multipliers) or --form table-8\n"
    ),
    f"{CHECK} --roles gain=vector --lr 1e30": (
        "ModelError: the loss at width 16 is inf at step 1\n"
        "  why: sizes of coordinates mean nothing once a model has diverged\n"
        "  fix: lower --lr, or look at the init of the widest model\n"
    ),
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_of_the_library_names_flags(line, run, tmp_path) -> None:
    (tmp_path / "gained.py").write_text(MODEL)
    try:
        assert run(line) == (2, "", ERRORS[line])
    finally:
        sys.modules.pop("gained", None)


def test_a_line_that_quotes_a_long_text_stays_as_it_is() -> None:
    """The fuzzed study files found one whose error took minutes to translate."""
    line = "roles={'head': Role.OUTPUT}"
    assert as_flags(line, "plan") == "--roles head=output"
    assert as_flags(line + " x" * 1000, "plan") == line + " x" * 1000


@pytest.mark.parametrize(
    "line",
    [
        "report losses.csv -o no/where/x.html",
        "report losses.csv --figures no/where",
        "check toy_model:build --base 16 --widths 16,32,64 --report no/where/x.html",
        "plan toy_model:build --base 16 --target 64 --output no/where/plan.json",
        "demo -o no/where",
        "studies run demo -o no/where",
        "studies compare --report no/where/page.html",
    ],
)
def test_a_mistyped_folder_is_not_made(line, run, tmp_path) -> None:
    status, out, err = run(line)
    assert (status, out) == (2, "")
    assert ": the folder no" in err
    assert "  fix: mkdir -p no" in err
    assert not (tmp_path / "no").exists()
