"""Hostile stores: each is read or refused, no link is followed, and no process is signalled."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import threading
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from case_counts import cases
from hypothesis import strategies as st
from sandbox import SECRET, CommandOutput, check_output, run_command, run_sandboxed, sandbox_folder
from strategies import as_json, choice, corrupted, fuzz, mutated, texts

from mutransfer.cli.commands.sweep import format_summary
from mutransfer.cli.progress import sweep_progress
from mutransfer.records import TrialSpec
from mutransfer.sweep import driver
from mutransfer.sweep.processes import pid_scope
from mutransfer.sweep.termination import terminate_trial
from mutransfer.workflows import run_study

STUDY = {
    "schema": 1,
    "study": {"name": "s"},
    "axes": {"width": [64, 128], "lr": [0.125, 0.25, 0.5]},
    "derived": {"heads": "width // 64"},
}
FAILING_POINT = (128, 0.5)  # it has failed, and is run again


def valley(width: float, lr: float, heads: float) -> float:
    return 3 - width / 999 + (lr - 0.2) ** 2


def fails(width: float, lr: float, heads: float) -> float:
    if (width, lr) == FAILING_POINT:
        raise ValueError("no")
    return valley(width, lr, heads)


fails.__qualname__ = "valley"


class InProcess:
    """An executor that runs one trial after another in this process."""

    def run(self, trials, work, stop):
        for spec in trials:
            yield work(spec)


@cache
def documents() -> dict[str, bytes]:
    """Return the files of a valid store: five trials are done, one failed."""
    base = Path(mkdtemp())
    run_study(STUDY, runner=fails, store=base / "s", executor=InProcess())
    files = {}
    for path in sorted((base / "s").rglob("*")):
        if path.is_file():
            files[str(path.relative_to(base / "s"))] = path.read_bytes()
    shutil.rmtree(base)
    failed = next(name for name in files if name.endswith("error.txt"))
    note = {"place": "elsewhere", "pid": 4242, "started": "1"}
    files[failed.replace("error.txt", "process.json")] = as_json(note)
    return files


@cache
def names() -> list[str]:
    """Return what is corrupted: files of the study, of a finished and of a failed trial."""
    files = list(documents())
    failed = next(name for name in files if name.endswith("error.txt")).split("/")[0]
    done = next(name for name in files if name.endswith("result.json")).split("/")[0]
    selected = [n for n in files if n.split("/")[0] in (failed, done) or "/" not in n]
    folders = {str(parent) for name in selected for parent in Path(name).parents} - {"."}
    claims = [f"{failed}/claims/{n}.json" for n in (7, 10**18 - 1, "x", "007")]
    return sorted(
        {*selected, *folders, *claims, f"{failed}/claims/2.released", "0" * 64, "report.html"}
    )


OWNERS = [
    {"place": pid_scope(), "pid": pid, "started": started}
    for pid in (0, 1, -1, 2**22 + 7, 2**40, 1e999, -(10**30), os.getpid(), True, "1", None)
    for started in ("1", None)
]


@st.composite
def contents(draw: st.DrawFn, name: str) -> bytes:
    """Draw hostile contents of a file."""
    original = documents().get(name, b"{}")
    if name.endswith((".json", ".released")):
        values = [json.loads(original or b"{}")] if name.endswith(".json") else [{}]
        if "claims" in name or "process" in name:
            values += OWNERS
        return draw(corrupted(mutated(values).map(as_json)))
    return draw(
        corrupted(st.one_of(st.just(original), texts.map(lambda t: t.encode(errors="replace"))))
    )


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, object]:
    """Draw one change of a store."""
    name = draw(choice(names()))
    kinds = ["content"] * 8 + ["gone", "folder", "pipe", "outside", "nowhere", "itself"]
    kind = draw(st.sampled_from([*kinds, "signed"]))
    if kind == "content":
        return name, kind, draw(contents(name))
    if kind == "signed":
        name = draw(choice([n for n in documents() if n.count("/") == 1 and "result" in n]))
        return name, kind, draw(mutated([json.loads(documents()[name])]))
    return name, kind, None


def apply_change(store: Path, name: str, kind: str, content: object) -> None:
    """Apply a change to a store."""
    path = store / name
    if kind == "signed":
        write_consistent_result(store, name, content)
        return
    if not path.parent.is_dir() or path.parent.is_symlink():
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    out = store.parents[3] / "out"
    if kind == "content":
        path.write_bytes(content)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "gone":
        target = out if "." not in path.name else out / "secret.txt"
        path.symlink_to({"outside": target, "nowhere": out / "new", "itself": path}[kind])


def write_consistent_result(store: Path, name: str, result: object) -> None:
    """Write a changed result with a matching trial id, so that only its content is wrong."""
    folder = store / name.split("/")[0]
    try:
        trial = TrialSpec.model_validate_json(json.dumps(result["spec"])).id
    except (KeyError, TypeError, ValueError):
        return
    result["id"] = trial
    if folder.is_dir() and not folder.is_symlink():
        folder.rename(store / trial)
        if (store / trial).is_dir():
            (store / trial / "result.json").unlink(missing_ok=True)
            (store / trial / "result.json").write_text(json.dumps(result))
    trials = store / "trials.json"
    if trials.is_file() and not trials.is_symlink():
        trials.write_bytes(trials.read_bytes().replace(folder.name.encode(), trial.encode()))


def stored(here: Path) -> Path:
    """Write the valid store."""
    for name, content in documents().items():
        (here / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "s" / name).write_bytes(content)
    # A store would notice that `fails` is another version of `valley`.
    (here / "s" / "functions.json").unlink(missing_ok=True)
    return here / "s"


def resumed(here: Path) -> CommandOutput:
    """Resume the study, and print what the command line prints."""

    def action() -> None:
        with sweep_progress() as progress:
            run = run_study(
                copy.deepcopy(STUDY),
                runner=valley,
                store="s",
                executor=InProcess(),
                stop=threading.Event(),
                on_start=progress.on_start,
                on_outcome=progress.on_outcome,
            )
        from mutransfer.errors import plain

        print(plain(format_summary(run.summary, run.store)))

    output = run_sandboxed(here, action)
    check_output(output, progress=True)
    return output


LINES = [
    ["analyze", "s"],
    ["analyze", "s", "--json"],
    ["sweep", "--status", "s"],
    ["sweep", "--status", "s", "--json"],
    [],
    [],
]


@pytest.fixture
def short_timeouts(monkeypatch):
    """Let the claims of other drivers expire at once."""
    monkeypatch.setattr(driver, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(driver, "POLL_SECONDS", 0.001)


@pytest.mark.usefixtures("short_timeouts")
@cases("stores")
def test_a_store_is_read_or_refused(cases) -> None:
    fuzz(cases, st.tuples(st.lists(changes(), min_size=1, max_size=2), choice(LINES)), _check_store)


def _check_store(case: tuple[list[tuple[str, str, object]], list[str]]) -> CommandOutput:
    store_changes, line = case
    with sandbox_folder() as here:
        store = stored(here)
        for change in store_changes:
            apply_change(store, *change)
        output = run_command(here, *line) if line else resumed(here)
        out = here.parents[2] / "out"
        assert sorted(path.name for path in out.iterdir()) == ["result.json", "secret.txt"]
        assert (out / "secret.txt").read_text() == SECRET
        return output


@pytest.mark.usefixtures("short_timeouts")
def test_the_store_is_valid_before_it_is_corrupted() -> None:
    outputs = [_check_store(([], line)) for line in LINES]
    assert [output.status for output in outputs] == [0] * 6
    assert "5 of 6 trials done; 0 running, 1 failed" in outputs[2].out
    assert "6 of 6 trials done" in outputs[4].out


def all_changes() -> list:
    """Return every change of every name that draws nothing at random."""
    kinds = ["gone", "folder", "pipe", "outside", "nowhere", "itself"]
    return [(name, kind, None) for name in names() for kind in kinds]


@pytest.mark.slow
@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("line", [LINES[1], LINES[3], []], ids=["analyze", "status", "resume"])
def test_any_file_may_be_missing_a_folder_a_link_or_a_pipe(line) -> None:
    problems = []
    for change in all_changes():
        try:
            _check_store(([change], line))
        except Exception as problem:
            problems.append((change[0][-60:], change[1], str(problem)[:200]))
    assert not problems, problems


def test_a_symbolic_link_in_a_trial_is_refused() -> None:
    for name in ("claims", "attempts"):
        with sandbox_folder() as here:
            store = stored(here)
            failed = next(store.glob("*/attempts/*/error.txt")).parents[2]
            shutil.rmtree(failed / name)
            (failed / name).symlink_to(here.parents[2] / "out")
            lines = resumed(here).err.splitlines()[-3:]
            assert lines[0] == f"StoreError: s/{failed.name}/{name} is a symbolic link"
            assert lines[1] == "  why: a link may lead out of the store"
            assert lines[2] == f"  fix: remove it: rm s/{failed.name}/{name}"


@pytest.mark.usefixtures("short_timeouts")
def test_the_release_of_a_claim_follows_no_link() -> None:
    with sandbox_folder() as here:
        store = stored(here)
        failed = next(store.glob("*/attempts/*/error.txt")).parents[2]
        out = here.parents[2] / "out"
        (failed / "claims" / "2.released").symlink_to(out / "new")
        assert resumed(here).status == 0
        assert not (out / "new").exists()


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("number", [10**18 - 1, 10**18, 10**40])
def test_a_claim_with_a_huge_number_is_ignored(number) -> None:
    for times in range(2):
        with sandbox_folder() as here:
            claims = next(stored(here).glob("*/attempts/*/error.txt")).parents[2] / "claims"
            for claim in (number, number + times):
                (claims / f"{claim}.json").write_text("{}")
            assert resumed(here).status == 0


@pytest.mark.parametrize("owner", OWNERS)
def test_a_forged_process_record_leads_to_no_signal(tmp_path, owner) -> None:
    (tmp_path / "process.json").write_text(json.dumps(owner))
    with sandbox_folder() as here:
        assert run_sandboxed(here, lambda: terminate_trial(tmp_path)).status == 0


def test_an_empty_error_file_is_reported_as_empty() -> None:
    with sandbox_folder() as here:
        next(stored(here).glob("*/attempts/*/error.txt")).write_text("")
        assert (
            "1 trial failed: the attempt left an empty error"
            in run_command(here, "sweep", "--status", "s").out
        )


def test_a_result_whose_derived_values_cannot_be_computed_is_refused() -> None:
    with sandbox_folder() as here:
        store = stored(here)
        path = next(store.glob("*/result.json"))
        result = json.loads(path.read_text())
        result["spec"]["runner"]["derived"] = {"heads": "width //"}
        write_consistent_result(store, str(path.relative_to(store)), result)
        output = run_command(here, "sweep", "--status", "s")
        message = f"StoreError: s/{result['id']}/result.json cannot be read: heads = 'width //': "
        assert output.err.startswith(message)


if sys.platform != "linux":
    pytestmark = pytest.mark.skip(reason="pipes and process records are tested on Linux")
