"""Whatever stands in a store, it is read or refused: no link is followed, nobody is signalled."""

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
from hostile import as_json, chosen, fuzz, mutated, spoiled, texts
from hypothesis import strategies as st
from shares import cases
from watched import SECRET, Said, case_folder, command, insist, watch

from mutransfer.cli.commands.sweep import format_summary
from mutransfer.cli.progress import sweep_progress
from mutransfer.records import TrialSpec
from mutransfer.sweep import driver
from mutransfer.sweep.processes import end_group, place
from mutransfer.workflows import run_study

STUDY = {
    "schema": 1,
    "study": {"name": "s"},
    "axes": {"width": [64, 128], "lr": [0.125, 0.25, 0.5]},
    "derived": {"heads": "width // 64"},
}
FAILS = (128, 0.5)  # the point that had failed, and is tried again


def valley(width: float, lr: float, heads: float) -> float:
    return 3 - width / 999 + (lr - 0.2) ** 2


def fails(width: float, lr: float, heads: float) -> float:
    if (width, lr) == FAILS:
        raise ValueError("no")
    return valley(width, lr, heads)


fails.__qualname__ = "valley"


class InProcess:
    """Run trials one by one, right here."""

    def run(self, trials, work, stop):
        for spec in trials:
            yield work(spec)


@cache
def documents() -> dict[str, bytes]:
    """Give the files of a good store: five trials are done, one failed."""
    base = Path(mkdtemp())
    run_study(STUDY, runner=fails, store=base / "s", executor=InProcess())
    found = {}
    for path in sorted((base / "s").rglob("*")):
        if path.is_file():
            found[str(path.relative_to(base / "s"))] = path.read_bytes()
    shutil.rmtree(base)
    failed = next(name for name in found if name.endswith("error.txt"))
    note = {"place": "elsewhere", "pid": 4242, "started": "1"}
    found[failed.replace("error.txt", "process.json")] = as_json(note)
    return found


@cache
def names() -> list[str]:
    """Name what is spoiled: the study's files, and those of a done and a failed trial."""
    files = list(documents())
    failed = next(name for name in files if name.endswith("error.txt")).split("/")[0]
    done = next(name for name in files if name.endswith("result.json")).split("/")[0]
    kept = [n for n in files if n.split("/")[0] in (failed, done) or "/" not in n]
    folders = {str(parent) for name in kept for parent in Path(name).parents} - {"."}
    claims = [f"{failed}/claims/{n}.json" for n in (7, 10**18 - 1, "x", "007")]
    return sorted(
        {*kept, *folders, *claims, f"{failed}/claims/2.released", "0" * 64, "report.html"}
    )


OWNERS = [
    {"place": place(), "pid": pid, "started": started}
    for pid in (0, 1, -1, 2**22 + 7, 2**40, 1e999, -(10**30), os.getpid(), True, "1", None)
    for started in ("1", None)
]


@st.composite
def contents(draw: st.DrawFn, name: str) -> bytes:
    """Spoil what a file holds."""
    known = documents().get(name, b"{}")
    if name.endswith((".json", ".released")):
        found = [json.loads(known or b"{}")] if name.endswith(".json") else [{}]
        if "claims" in name or "process" in name:
            found += OWNERS
        return draw(spoiled(mutated(found).map(as_json)))
    return draw(spoiled(st.one_of(st.just(known), texts.map(lambda t: t.encode(errors="replace")))))


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, object]:
    """Change one thing in a store."""
    name = draw(chosen(names()))
    kinds = ["content"] * 8 + ["gone", "folder", "pipe", "outside", "nowhere", "itself"]
    kind = draw(st.sampled_from([*kinds, "signed"]))
    if kind == "content":
        return name, kind, draw(contents(name))
    if kind == "signed":
        name = draw(chosen([n for n in documents() if n.count("/") == 1 and "result" in n]))
        return name, kind, draw(mutated([json.loads(documents()[name])]))
    return name, kind, None


def changed(store: Path, name: str, kind: str, what: object) -> None:
    """Carry a change out."""
    path = store / name
    if kind == "signed":
        signed(store, name, what)
        return
    if not path.parent.is_dir() or path.parent.is_symlink():
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    out = store.parents[3] / "out"
    if kind == "content":
        path.write_bytes(what)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "gone":
        whole = out if "." not in path.name else out / "secret.txt"
        path.symlink_to({"outside": whole, "nowhere": out / "new", "itself": path}[kind])


def signed(store: Path, name: str, result: object) -> None:
    """Give a changed trial the identity that it claims, so that only its content is odd."""
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
    known = store / "trials.json"
    if known.is_file() and not known.is_symlink():
        known.write_bytes(known.read_bytes().replace(folder.name.encode(), trial.encode()))


def stored(here: Path) -> Path:
    """Lay the good store out."""
    for name, content in documents().items():
        (here / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "s" / name).write_bytes(content)
    # `fails` passes for a former version of `valley`, which a store would notice.
    (here / "s" / "functions.json").unlink(missing_ok=True)
    return here / "s"


def resumed(here: Path) -> Said:
    """Run the study again, and say what the command line says."""

    def act() -> None:
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

    said = watch(here, act)
    insist(said, progress=True)
    return said


LINES = [
    ["analyze", "s"],
    ["analyze", "s", "--json"],
    ["sweep", "--status", "s"],
    ["sweep", "--status", "s", "--json"],
    [],
    [],
]


@pytest.fixture
def impatient(monkeypatch):
    """Watch another's claim for a moment only."""
    monkeypatch.setattr(driver, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(driver, "LOOK_SECONDS", 0.001)


@pytest.mark.usefixtures("impatient")
@cases("stores")
def test_a_store_is_read_or_refused(cases) -> None:
    fuzz(cases, st.tuples(st.lists(changes(), min_size=1, max_size=2), chosen(LINES)), _use)


def _use(case: tuple[list[tuple[str, str, object]], list[str]]) -> Said:
    spoilt, line = case
    with case_folder() as here:
        store = stored(here)
        for change in spoilt:
            changed(store, *change)
        said = command(here, *line) if line else resumed(here)
        out = here.parents[2] / "out"
        assert sorted(path.name for path in out.iterdir()) == ["result.json", "secret.txt"]
        assert (out / "secret.txt").read_text() == SECRET
        return said


@pytest.mark.usefixtures("impatient")
def test_what_is_spoiled_is_a_good_store() -> None:
    answers = [_use(([], line)) for line in LINES]
    assert [said.status for said in answers] == [0] * 6
    assert "5 of 6 trials done, 0 of them diverged; 0 running, 1 failed" in answers[2].out
    assert "6 of 6 trials done" in answers[4].out


def every() -> list:
    """Every name in the store, changed in every way that has one outcome."""
    kinds = ["gone", "folder", "pipe", "outside", "nowhere", "itself"]
    return [(name, kind, None) for name in names() for kind in kinds]


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("line", [LINES[1], LINES[3], []], ids=["analyze", "status", "resume"])
def test_every_place_may_be_a_link_or_a_pipe(line) -> None:
    problems = []
    for change in every():
        try:
            _use(([change], line))
        except Exception as problem:
            problems.append((change[0][-60:], change[1], str(problem)[:200]))
    assert not problems, problems


def test_a_link_in_a_trial_leads_nowhere() -> None:
    for name in ("claims", "attempts"):
        with case_folder() as here:
            store = stored(here)
            failed = next(store.glob("*/attempts/*/error.txt")).parents[2]
            shutil.rmtree(failed / name)
            (failed / name).symlink_to(here.parents[2] / "out")
            said = resumed(here).err.splitlines()[-3:]
            assert said[0] == f"StoreError: s/{failed.name}/{name} is a symbolic link"
            assert said[1] == "  why: a link may lead out of the store"
            assert said[2] == f"  fix: remove it: rm s/{failed.name}/{name}"


@pytest.mark.usefixtures("impatient")
def test_a_claim_is_given_back_through_no_link() -> None:
    with case_folder() as here:
        store = stored(here)
        failed = next(store.glob("*/attempts/*/error.txt")).parents[2]
        out = here.parents[2] / "out"
        (failed / "claims" / "2.released").symlink_to(out / "new")
        assert resumed(here).status == 0
        assert not (out / "new").exists()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("number", [10**18 - 1, 10**18, 10**40])
def test_a_claim_with_a_large_number_is_passed_by(number) -> None:
    for times in range(2):
        with case_folder() as here:
            claims = next(stored(here).glob("*/attempts/*/error.txt")).parents[2] / "claims"
            for claim in (number, number + times):
                (claims / f"{claim}.json").write_text("{}")
            assert resumed(here).status == 0


@pytest.mark.parametrize("owner", OWNERS)
def test_nobody_is_signalled_for_a_note_of_a_process_that_is_not_there(tmp_path, owner) -> None:
    (tmp_path / "process.json").write_text(json.dumps(owner))
    with case_folder() as here:
        assert watch(here, lambda: end_group(tmp_path)).status == 0


def test_an_empty_error_is_shown_as_one() -> None:
    with case_folder() as here:
        next(stored(here).glob("*/attempts/*/error.txt")).write_text("")
        assert (
            "1 trial failed: it left an empty error" in command(here, "sweep", "--status", "s").out
        )


def test_a_result_whose_derived_values_cannot_be_computed_is_refused() -> None:
    with case_folder() as here:
        store = stored(here)
        path = next(store.glob("*/result.json"))
        result = json.loads(path.read_text())
        result["spec"]["runner"]["derived"] = {"heads": "width //"}
        signed(store, str(path.relative_to(store)), result)
        said = command(here, "sweep", "--status", "s")
        what = f"StoreError: s/{result['id']}/result.json cannot be read: heads = 'width //': "
        assert said.err.startswith(what)


if sys.platform != "linux":
    pytestmark = pytest.mark.skip(reason="pipes and process notes are tried on Linux")
