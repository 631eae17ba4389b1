"""Run one hostile case under watch: what is executed, signalled, written, printed, and how long."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from mutransfer import (  # noqa: F401 - what is compiled later is none of theirs
    records,
    report,
    workflows,
)
from mutransfer.cli import main
from mutransfer.cli.main import print_error
from mutransfer.cli.output import INVALID_INPUT
from mutransfer.errors import MutransferError

SECONDS = 5.0
ALLOWED = {0, 1, 2, 3, 4}
HIGHEST_PID = 2**22  # beyond it there is no process on any system
SECRET = "secret-of-another-folder"
EXECUTES = (
    *("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty."),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.", "webbrowser."),
    *("signal.pthread_kill", "pickle."),
)
WRITES = (
    *("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "os.setxattr", "shutil."),
)
# Who may compile or execute text: imports, and what turns annotations and fields into code.
COMPILERS = {
    "ast",
    "attr._make",
    "collections",
    "dataclasses",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "inspect",
    "jinja2.environment",  # altair's own templates
    "typing",
    "typing_extensions",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Caught(BaseException):
    """Something happened that must not; no `except Exception` hides it."""


class Hung(BaseException):
    """A case took too long."""


@dataclass
class Net:
    """What the audit hook watches, while it is on."""

    on: bool = False
    inside: str = ""
    untouchable: str = ""
    caught: str = ""

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        self.on = False  # looking at it raises events too
        try:
            offence = self._offence(event, arguments)
        finally:
            self.on = True
        if offence:
            self.caught = self.caught or offence
            raise Caught(offence)

    def _offence(self, event: str, arguments: tuple) -> str:
        if event.startswith(EXECUTES):
            return f"executed: {event} {arguments!r:.200}"
        if event in ("os.kill", "os.killpg"):
            nobody = abs(arguments[0]) > HIGHEST_PID or arguments[1] == 0
            return "" if nobody else f"signalled: {event} {arguments!r}"
        if event in ("exec", "compile"):
            return self._compiled(event, arguments)
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int):
                return ""
            follows = not (flags or 0) & (os.O_NOFOLLOW | os.O_EXCL)
            return self._touched(event, path, writes=bool((flags or 0) & WRITING), follows=follows)
        if event.startswith(WRITES):
            paths = [a for a in arguments if isinstance(a, str | bytes | os.PathLike)]
            paths = paths[1:] if event == "os.symlink" else paths
            follows = event in ("os.utime", "os.chmod", "os.truncate")
            found = (self._touched(event, p, writes=True, follows=follows) for p in paths)
            return next((offence for offence in found if offence), "")
        return ""

    def _compiled(self, event: str, arguments: tuple) -> str:
        code = arguments[0] if event == "exec" else None
        name = getattr(code, "co_filename", "") or str(arguments[-1])
        caller = sys._getframe(3).f_globals.get("__name__", "")
        if name.startswith(self.inside):
            return f"executed a file of the case: {name}"
        return "" if caller in COMPILERS else f"executed text: {event} {arguments!r:.200} {caller}"

    def _touched(self, event: str, path: object, *, writes: bool, follows: bool) -> str:
        text = os.fsdecode(path)
        folder, name = os.path.split(os.path.abspath(text))
        real = os.path.realpath(text) if follows else os.path.join(os.path.realpath(folder), name)
        if real.startswith(self.untouchable):
            return f"left the case's folder: {event} {real}"
        if writes and not real.startswith(self.inside) and real != os.devnull:
            return f"wrote outside: {event} {real}"
        return ""


NET = Net()
sys.addaudithook(NET)


@dataclass(frozen=True)
class Said:
    """What a case printed, and its exit status."""

    status: int
    out: str
    err: str


@contextmanager
def case_folder() -> Iterator[Path]:
    """Give an empty current folder, two below the only one that may be written."""
    base = Path(tempfile.mkdtemp(prefix="fuzz-")).resolve()
    here = base / "in" / "a" / "b"
    here.mkdir(parents=True)
    (base / "out").mkdir()
    (base / "out" / "secret.txt").write_text(SECRET)
    (base / "out" / "result.json").write_text(json.dumps({"loss": SECRET}))
    before, path = os.getcwd(), list(sys.path)
    os.chdir(here)
    try:
        yield here
    finally:
        os.chdir(before)
        sys.path[:] = path
        shutil.rmtree(base)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `Hung` after so much work, or three times as long without any; outer alarms go on."""

    def hung(number: int, frame: object) -> None:
        raise Hung(f"still running after {seconds:g} s of work, or {3 * seconds:g} s")

    began = time.monotonic()
    limits = {
        signal.SIGPROF: (signal.ITIMER_PROF, seconds),
        signal.SIGALRM: (signal.ITIMER_REAL, 3 * seconds),
    }
    handlers = {number: signal.signal(number, hung) for number in limits}
    left = [signal.setitimer(timer, limit)[0] for timer, limit in limits.values()][1]
    try:
        yield
    finally:
        for number, (timer, _) in limits.items():
            signal.setitimer(timer, 0)
            signal.signal(number, handlers[number])
        if left:
            remaining = max(left - (time.monotonic() - began), 0.01)
            signal.setitimer(signal.ITIMER_REAL, remaining)


def watch(here: Path, act: Callable[[], object]) -> Said:
    """Do something as the command line would, under the net."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    base = here.parents[2]
    NET.inside, NET.untouchable, NET.caught = f"{base / 'in'}/", f"{base / 'out'}/", ""
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    status: object = 0
    try:
        with warnings.catch_warnings(record=True) as warned, limited(SECONDS):
            warnings.simplefilter("always")
            for kind in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)
            with redirect_stdout(out), redirect_stderr(err):
                NET.on = True
                try:
                    act()
                except SystemExit as left:
                    status = left.code
                except MutransferError as error:
                    status = INVALID_INPUT
                    print_error(error)
                except (Caught, Hung) as problem:
                    NET.caught = NET.caught or str(problem)
                finally:
                    NET.on = False
    finally:
        sys.dont_write_bytecode = bytecode
    assert not NET.caught, NET.caught
    assert not warned, [str(w.message) for w in warned]
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    assert isinstance(status, int), f"exit status {status!r}"
    return Said(status, *texts)


def command(here: Path, *arguments: str) -> Said:
    """Run a command line, and insist on what holds for every one."""
    said = watch(here, lambda: main(arguments))
    insist(said, arguments)
    return said


def insist(said: Said, arguments: Sequence[str] = (), *, progress: bool = False) -> None:
    """Insist on a status, on errors in three lines, on plain text, on one JSON document."""
    assert said.status in ALLOWED, said
    assert "Traceback" not in said.err, said.err
    assert SECRET not in said.out + said.err, said
    for text in (said.out, said.err):
        odd = {c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs")}
        assert not odd, (odd, text)
    if said.status == INVALID_INPUT:
        assert said.out == "", said.out
        before = r"(?s:(.*\n)?)" if progress else ""
        form = before + r"\w+Error: .*\n  why: .*\n  fix: .*\n"
        assert re.fullmatch(form, said.err), said.err
    elif "--json" in arguments and not {"--help", "-h", "--version"} & {*arguments}:
        json.loads(said.out, parse_constant=_no_constant)


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")
