"""The sandbox of the hostile cases catches what it forbids."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from case_counts import FEW, MANY
from hypothesis import strategies as st
from sandbox import run_command, run_sandboxed, sandbox_folder
from strategies import fuzz

from mutransfer.cli.commands import analysis
from mutransfer.errors import ResultsError


def link_and_read(here: Path) -> None:
    os.symlink("../../../out", here / "link")
    (here / "link" / "secret.txt").read_text()


FORBIDDEN = {
    "a program": (lambda here: subprocess.run(["true"], check=False), "executed: subprocess.Popen"),
    "a shell": (lambda here: os.system("true"), "executed: os.system"),
    "a child": (lambda here: os.fork(), "executed: os.fork"),
    "text": (lambda here: eval("1 + 1"), "executed text: compile"),
    "a file of the case": (lambda here: exec(compile("1", here / "x.py", "exec")), "executed"),
    "a signal": (lambda here: os.kill(os.getpid(), 15), "signalled: os.kill"),
    "a group": (lambda here: os.killpg(os.getpgid(0), 15), "signalled: os.killpg"),
    "a file elsewhere": (lambda here: Path("/tmp/never").write_text(""), "wrote outside: open"),
    "a folder elsewhere": (lambda here: Path("/tmp/never").mkdir(), "wrote outside: os.mkdir"),
    "a way up": (lambda here: Path("../../../never").touch(), "wrote outside: "),
    "a removal": (lambda here: os.remove("/tmp/never"), "wrote outside: os.remove"),
    "a link that leads out": (link_and_read, "left the case's folder: open"),
    "a hang": (lambda here: time.sleep(60), "still running"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_forbidden_action_is_caught(what, monkeypatch) -> None:
    monkeypatch.setattr("sandbox.MAX_SECONDS", 0.2)
    act, message = FORBIDDEN[what]
    with sandbox_folder() as here, pytest.raises(AssertionError, match=message):
        run_sandboxed(here, lambda: act(here))


def test_a_violation_is_caught_even_if_the_code_handles_every_exception() -> None:
    def act() -> None:
        try:
            os.system("true")
        except BaseException:
            return

    with sandbox_folder() as here, pytest.raises(AssertionError, match=r"executed: os\.system"):
        run_sandboxed(here, act)


def test_files_inside_the_sandbox_may_be_written() -> None:
    with sandbox_folder() as here:
        run_sandboxed(here, lambda: ((here / "x").write_text(""), os.remove("x"), os.mkdir("../y")))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (IndexError("a bug"), "status=70"),
        (ResultsError("a\x1b[31mb\nc", why="w", fix="f"), None),
        (KeyboardInterrupt(), "status=130"),
    ],
)
def test_an_internal_error_is_caught(error, message, monkeypatch) -> None:
    def broken(text: str) -> None:
        raise error

    monkeypatch.setattr(analysis, "split_list", broken)
    with sandbox_folder() as here:
        if message is None:
            assert run_command(here, "analyze", "t", "--group-by", "x").err.count("\n") == 3
        else:
            with pytest.raises(AssertionError, match=message):
                run_command(here, "analyze", "t", "--group-by", "x")


@pytest.mark.parametrize("printed", ["\x1b[31m", "\u202e", "\x00", "\x07"])
def test_control_characters_are_caught(printed, monkeypatch) -> None:
    monkeypatch.setattr(analysis, "split_list", lambda text: print(printed))
    with sandbox_folder() as here, pytest.raises(AssertionError):
        run_command(here, "analyze", "t", "--group-by", "x")


def test_a_property_with_one_counterexample_fails() -> None:
    def check(number: int) -> None:
        assert number < 900

    with pytest.raises(AssertionError):
        fuzz(200, st.integers(0, 1000), check)


def test_ten_thousand_cases_are_tried() -> None:
    assert sum(MANY.values()) == 10_000
    assert sum(FEW.values()) >= 500
