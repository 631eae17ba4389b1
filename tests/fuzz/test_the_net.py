"""The net that the hostile cases run in catches what it is there for."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hostile import fuzz
from hypothesis import strategies as st
from shares import FEW, MANY
from watched import case_folder, command, watch

from mutransfer.cli.commands import analysis
from mutransfer.errors import ResultsError


def link_and_read(here: Path) -> None:
    os.symlink("../../../out", here / "link")
    (here / "link" / "secret.txt").read_text()


PLANTED = {
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


@pytest.mark.parametrize("what", PLANTED)
def test_the_net_catches(what, monkeypatch) -> None:
    monkeypatch.setattr("watched.SECONDS", 0.2)
    act, said = PLANTED[what]
    with case_folder() as here, pytest.raises(AssertionError, match=said):
        watch(here, lambda: act(here))


def test_the_net_sees_through_a_handler_of_everything() -> None:
    def act() -> None:
        try:
            os.system("true")
        except BaseException:
            return

    with case_folder() as here, pytest.raises(AssertionError, match=r"executed: os\.system"):
        watch(here, act)


def test_what_is_inside_may_be_written() -> None:
    with case_folder() as here:
        watch(here, lambda: ((here / "x").write_text(""), os.remove("x"), os.mkdir("../y")))


@pytest.mark.parametrize(
    ("bug", "said"),
    [
        (IndexError("a bug"), "status=70"),
        (ResultsError("a\x1b[31mb\nc", why="w", fix="f"), None),
        (KeyboardInterrupt(), "status=130"),
    ],
)
def test_a_bug_of_ours_is_caught(bug, said, monkeypatch) -> None:
    def broken(text: str) -> None:
        raise bug

    monkeypatch.setattr(analysis, "split_list", broken)
    with case_folder() as here:
        if said is None:
            assert command(here, "analyze", "t", "--group-by", "x").err.count("\n") == 3
        else:
            with pytest.raises(AssertionError, match=said):
                command(here, "analyze", "t", "--group-by", "x")


@pytest.mark.parametrize("printed", ["\x1b[31m", "\u202e", "\x00", "\x07"])
def test_terminal_commands_are_caught(printed, monkeypatch) -> None:
    monkeypatch.setattr(analysis, "split_list", lambda text: print(printed))
    with case_folder() as here, pytest.raises(AssertionError):
        command(here, "analyze", "t", "--group-by", "x")


def test_a_property_that_fails_once_fails() -> None:
    def holds(number: int) -> None:
        assert number < 900

    with pytest.raises(AssertionError):
        fuzz(200, st.integers(0, 1000), holds)


def test_ten_thousand_cases_are_tried() -> None:
    assert sum(MANY.values()) == 10_000
    assert sum(FEW.values()) >= 500
