"""A sandbox for hostile cases: it fails those that execute, signal, write or print too much."""

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

# Imported now, because importing compiles code, and the package imports SciPy only where needed.
import scipy.interpolate
import scipy.special
import scipy.stats  # noqa: F401

from mutransfer import (  # noqa: F401 - imported now, because importing compiles code
    records,
    report,
    workflows,
)
from mutransfer.cli import main
from mutransfer.cli.exit_status import INVALID_INPUT
from mutransfer.cli.main import print_error
from mutransfer.errors import MutransferError

MAX_SECONDS = 5.0
ALLOWED_STATUSES = {0, 1, 2, 3, 4}
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
# Modules that may compile or execute text: imports, and those that turn fields into code.
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


class Violation(BaseException):
    """A case did something forbidden; no `except Exception` hides it."""


class CaseTimeoutError(BaseException):
    """A case took too long."""


@dataclass
class Auditor:
    """An audit hook that raises on forbidden events while it is on."""

    on: bool = False
    inside: str = ""
    untouchable: str = ""
    violation: str = ""

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        self.on = False  # the inspection itself raises events
        try:
            violation = self._inspect(event, arguments)
        finally:
            self.on = True
        if violation:
            self.violation = self.violation or violation
            raise Violation(violation)

    def _inspect(self, event: str, arguments: tuple) -> str:
        if event.startswith(EXECUTES):
            return f"executed: {event} {arguments!r:.200}"
        if event in ("os.kill", "os.killpg"):
            nobody = abs(arguments[0]) > HIGHEST_PID or arguments[1] == 0
            return "" if nobody else f"signalled: {event} {arguments!r}"
        if event in ("exec", "compile"):
            return self._inspect_code(event, arguments)
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int):
                return ""
            follows = not (flags or 0) & (os.O_NOFOLLOW | os.O_EXCL)
            return self._inspect_path(
                event, path, writes=bool((flags or 0) & WRITING), follows=follows
            )
        if event.startswith(WRITES):
            paths = [a for a in arguments if isinstance(a, str | bytes | os.PathLike)]
            paths = paths[1:] if event == "os.symlink" else paths
            follows = event in ("os.utime", "os.chmod", "os.truncate")
            violations = (self._inspect_path(event, p, writes=True, follows=follows) for p in paths)
            return next((violation for violation in violations if violation), "")
        return ""

    def _inspect_code(self, event: str, arguments: tuple) -> str:
        code = arguments[0] if event == "exec" else None
        name = getattr(code, "co_filename", "") or str(arguments[-1])
        caller = sys._getframe(3).f_globals.get("__name__", "")
        if name.startswith(self.inside):
            return f"executed a file of the case: {name}"
        return "" if caller in COMPILERS else f"executed text: {event} {arguments!r:.200} {caller}"

    def _inspect_path(self, event: str, path: object, *, writes: bool, follows: bool) -> str:
        text = os.fsdecode(path)
        folder, name = os.path.split(os.path.abspath(text))
        real = os.path.realpath(text) if follows else os.path.join(os.path.realpath(folder), name)
        if real.startswith(self.untouchable):
            return f"left the case's folder: {event} {real}"
        if writes and not real.startswith(self.inside) and real != os.devnull:
            return f"wrote outside: {event} {real}"
        return ""


AUDITOR = Auditor()
sys.addaudithook(AUDITOR)


@dataclass(frozen=True)
class CommandOutput:
    """What a case printed, and its exit status."""

    status: int
    out: str
    err: str


@contextmanager
def sandbox_folder() -> Iterator[Path]:
    """Yield an empty current folder, two levels below the only one that may be written."""
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
def time_limit(seconds: float) -> Iterator[None]:
    """Raise after this much CPU time, or three times as much real time; keep an outer alarm."""

    def on_timeout(number: int, frame: object) -> None:
        raise CaseTimeoutError(f"still running after {seconds:g} s of work, or {3 * seconds:g} s")

    start = time.monotonic()
    limits = {
        signal.SIGPROF: (signal.ITIMER_PROF, seconds),
        signal.SIGALRM: (signal.ITIMER_REAL, 3 * seconds),
    }
    handlers = {number: signal.signal(number, on_timeout) for number in limits}
    outer = [signal.setitimer(timer, limit)[0] for timer, limit in limits.values()][1]
    try:
        yield
    finally:
        for number, (timer, _) in limits.items():
            signal.setitimer(timer, 0)
            signal.signal(number, handlers[number])
        if outer:
            remaining = max(outer - (time.monotonic() - start), 0.01)
            signal.setitimer(signal.ITIMER_REAL, remaining)


def run_sandboxed(here: Path, action: Callable[[], object]) -> CommandOutput:
    """Run an action as the command line would, and fail if it does something forbidden."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    base = here.parents[2]
    AUDITOR.inside, AUDITOR.untouchable = f"{base / 'in'}/", f"{base / 'out'}/"
    AUDITOR.violation = ""
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    status: object = 0
    try:
        with warnings.catch_warnings(record=True) as caught, time_limit(MAX_SECONDS):
            warnings.simplefilter("always")
            for kind in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)
            with redirect_stdout(out), redirect_stderr(err):
                AUDITOR.on = True
                try:
                    action()
                except SystemExit as exit_:
                    status = exit_.code
                except MutransferError as error:
                    status = INVALID_INPUT
                    print_error(error)
                except (Violation, CaseTimeoutError) as problem:
                    AUDITOR.violation = AUDITOR.violation or str(problem)
                finally:
                    AUDITOR.on = False
    finally:
        sys.dont_write_bytecode = bytecode
    assert not AUDITOR.violation, AUDITOR.violation
    assert not caught, [str(warning.message) for warning in caught]
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    assert isinstance(status, int), f"exit status {status!r}"
    return CommandOutput(status, *texts)


def run_command(here: Path, *arguments: str) -> CommandOutput:
    """Run a command line, and check what holds for the output of every one."""
    output = run_sandboxed(here, lambda: main(arguments))
    check_output(output, arguments)
    return output


def check_output(
    output: CommandOutput, arguments: Sequence[str] = (), *, progress: bool = False
) -> None:
    """Check the exit status, the three lines of an error, plain text, and one JSON document."""
    assert output.status in ALLOWED_STATUSES, output
    assert "Traceback" not in output.err, output.err
    assert SECRET not in output.out + output.err, output
    for text in (output.out, output.err):
        control = {
            c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs")
        }
        assert not control, (control, text)
    if output.status == INVALID_INPUT:
        assert output.out == "", output.out
        before = r"(?s:(.*\n)?)" if progress else ""
        form = before + r"\w+Error: .*\n  why: .*\n  fix: .*\n"
        assert re.fullmatch(form, output.err), output.err
    elif "--json" in arguments and not {"--help", "-h", "--version"} & {*arguments}:
        json.loads(output.out, parse_constant=_no_constant)


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")
