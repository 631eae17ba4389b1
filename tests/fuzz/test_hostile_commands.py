"""Hostile command lines: each is answered, or refused in three lines."""

from __future__ import annotations

import json

import pytest
import torch  # noqa: F401 - imported now, because importing compiles code
from case_counts import cases
from hypothesis import strategies as st
from sandbox import run_command, sandbox_folder
from strategies import as_toml, choice, fuzz, texts
from test_hostile_studies import STUDIES

from mutransfer import parametrize  # noqa: F401 - as torch

COMMANDS = [
    *("rules", "plan", "analyze", "report", "sweep", "demo", "check", "studies"),
    *("--help", "--version"),
]
FLAGS = [
    *("--json", "--help", "-h", "--version", "--scale", "--output", "-o"),
    *("--workers", "--optimizer", "--base", "--target", "--probe", "--parametrization"),
    *("--form", "--roles", "--parameter", "--hyperparameter", "--group-by", "--threshold"),
    *("--store", "--only", "--retry-failed", "--dry-run", "--status", "--figures", "--name"),
    *("--no-json", "--scal", "-x", "--", "---"),
]
VALUES = [
    *("mup", "sp", "none", "adamw", "lion", "sgd", "small", "large", "table-3", "table-8", "64"),
    *("256", "0", "-1", "2.5", "1e999", "nan", "auto", "t.csv", "store", "absent"),
    *("missing.toml", "study.toml", ".", "..", "../up.html", "page.html", "a/b.html", "t.csv/x"),
    *("width", "lr", "seed", "width=64", "width=", "=64", "lr=2^-2", "width=n,lr=m"),
    *("json:nothing", "absent_module:build", ":x", "x:", "a.b:c", "head=output", ".*=input"),
    *("list", "show", "eleuther-ladder"),
    *(",,,", "1,2", "99999999999999999999", "0.5", "true", "null"),
]
TABLE = "width,lr,loss\n" + "".join(
    f"{w},{lr},{3 - w / 999 + (lr - 0.2) ** 2}\n" for w in (64, 128) for lr in (0.125, 0.25, 0.5)
)

tokens = st.one_of(
    choice(FLAGS),
    choice(VALUES),
    choice(VALUES),
    st.builds("{}={}".format, choice(FLAGS), st.one_of(choice(VALUES), texts)),
    texts.filter(lambda text: not text.startswith(("/", "../.."))),
)


def harmless(line: list[str]) -> bool:
    """Return whether a command line trains nothing."""
    trains = line[:1] == ["demo"] or (line[:1] == ["studies"] and "run" in line)
    return not (trains and "--help" not in line and "-h" not in line)


lines = st.one_of(
    st.builds(lambda first, rest: [first, *rest], choice(COMMANDS), st.lists(tokens, max_size=5)),
    st.lists(tokens, max_size=4),
).filter(harmless)


@cases("commands")
def test_a_command_line_is_answered_or_refused(cases) -> None:
    fuzz(cases, lines, _run)


def _run(line: list[str]) -> None:
    with sandbox_folder() as here:
        (here / "t.csv").write_text(TABLE)
        program = {"command": "no-such-program {width} {lr}", "loss": {"env": "LOSS"}}
        (here / "study.toml").write_bytes(as_toml({**STUDIES[1], "runner": program}))
        (here / "store").mkdir()
        (here / "store" / "store.json").write_text(json.dumps({"schema": 1}))
        run_command(here, *line)


@pytest.mark.parametrize(
    "line",
    [
        ["analyze", "x" * 300],
        ["report", "x" * 300],
        ["report", "t.csv", "-o", "x" * 300],
        ["sweep", "--status", "x" * 300],
        ["sweep", "x" * 300],
        ["sweep", f"{'x' * 300}/y"],
        ["sweep", "--status", f"{'x' * 300}/y"],
        ["report", "t.csv", "-o", f"{'x' * 300}/y"],
        ["sweep", "study.toml", "--store", "x" * 300],
        ["plan", "json:loads", "--base", "8", "--target", "64"],
        ["rules", "\x1b[31m"],
        ["\udcff"],
    ],
    ids=lambda line: " ".join(word[:8] for word in line).encode(errors="replace").decode(),
)
def test_an_impossible_command_line_is_refused(line) -> None:
    with sandbox_folder() as here:
        (here / "t.csv").write_text(TABLE)
        program = {"command": "no-such-program {width} {lr}", "loss": {"env": "LOSS"}}
        (here / "study.toml").write_bytes(as_toml({**STUDIES[1], "runner": program}))
        assert run_command(here, *line).status == 2
