"""The trial store: claims, publication, checks of a result's identity, and error messages."""

import csv
import errno
import json
import os

import pytest
from runners import Valley, trials

from mutransfer.errors import StoreError
from mutransfer.sweep import TrialStore
from mutransfer.sweep.store.claims import acquire, current_claim
from mutransfer.sweep.store.store import csv_row
from mutransfer.sweep.trial_run import TrialRun


@pytest.fixture
def store(tmp_path):
    return TrialStore(tmp_path / "runs", create=True)


def error_text(call) -> str:
    with pytest.raises(StoreError) as raised:
        call()
    return str(raised.value)


def test_a_trial_is_done_when_its_result_exists(store) -> None:
    spec = trials()[0]
    assert not store.is_done(spec.id)
    outcome = TrialRun(store.path, Valley())(spec)
    assert outcome.status == "done"
    assert store.result(spec.id) == outcome.result
    assert sorted(p.name for p in store.folder(spec.id).iterdir()) == [
        "attempts", "claims", "result.json", "spec.json"
    ]  # fmt: skip


def test_a_trial_can_be_claimed_by_one_worker_at_a_time(tmp_path) -> None:
    first = acquire(tmp_path)
    with first:
        assert acquire(tmp_path) is None
    with acquire(tmp_path) as second:
        assert second.path.name == "2.json"


def test_the_claim_of_a_dead_owner_is_taken_over(tmp_path) -> None:
    claim = acquire(tmp_path)
    owner = json.loads(claim.path.read_text())
    claim.path.write_text(json.dumps(owner | {"started": "1"}))  # the pid was reused
    assert acquire(tmp_path).path.name == "2.json"


def move_to_other_host(claim) -> None:
    """Make a claim one of another host, where only heartbeats show whether the owner is alive."""
    owner = json.loads(claim.path.read_text()) | {"place": "elsewhere 1 2"}
    claim.path.write_text(json.dumps(owner))


def test_a_claim_of_another_host_is_taken_over_only_if_its_heartbeat_stopped(tmp_path) -> None:
    claim = acquire(tmp_path)
    move_to_other_host(claim)
    os.utime(claim.path, (0, 0))  # the clock of another host may be off by years
    state = current_claim(tmp_path)
    assert (state.is_alive, state.owner) == (None, f"elsewhere, process {os.getpid()}")
    assert acquire(tmp_path) is None
    os.utime(claim.path)
    assert acquire(tmp_path, stale=state) is None, "there was a heartbeat since"
    assert acquire(tmp_path, stale=current_claim(tmp_path)).path.name == "2.json"


def test_a_claim_of_another_container_is_not_judged_by_its_process_number(
    tmp_path,
) -> None:
    claim = acquire(tmp_path)
    owner = json.loads(claim.path.read_text())
    host, boot, namespace = owner["place"].split()
    for place in (f"{host} {boot} pid:[1]", f"{host} another-boot {namespace}"):
        claim.path.write_text(json.dumps(owner | {"place": place, "started": "1"}))
        assert current_claim(tmp_path).is_alive is None
        assert acquire(tmp_path) is None


@pytest.mark.parametrize("incomplete", ["", '{"place": "h', "[]", '{"place": "h", "pid": "x"}'])
def test_an_incomplete_claim_is_watched_like_one_of_another_host(tmp_path, incomplete) -> None:
    claim = acquire(tmp_path)
    claim.path.write_text(incomplete)
    assert acquire(tmp_path) is None
    assert acquire(tmp_path, stale=current_claim(tmp_path)) is not None


def test_a_trial_published_while_it_is_claimed_is_not_run_again(store, monkeypatch) -> None:
    spec = trials()[0]
    checked = []

    def is_done(trial_id: str) -> bool:
        checked.append(trial_id)
        return len(checked) > 1  # its owner publishes and releases right after the first check

    monkeypatch.setattr(TrialStore, "is_done", lambda self, trial_id: is_done(trial_id))
    assert store.claim(spec) is None
    monkeypatch.undo()
    assert store.current_claim(spec.id) is None, "the claim is released"


def test_the_first_result_wins(store) -> None:
    spec = trials()[0]
    TrialRun(store.path, Valley())(spec)
    other = store.result(spec.id).model_copy(update={"loss": 99.0})
    store.publish(other, store.new_attempt(spec.id))
    assert store.result(spec.id).loss != 99.0


def test_a_shared_result_names_its_original(store) -> None:
    original, other = trials()[:2]
    TrialRun(store.path, Valley())(original)
    store.share(store.result(original.id), other)
    shared = store.result(other.id)
    assert (shared.loss, shared.shared_from) == (store.result(original.id).loss, original.id)
    assert shared.spec == other


def test_results_csv_has_a_row_per_result(store) -> None:
    for spec in trials():
        TrialRun(store.path, Valley())(spec)
    store.write_csv([csv_row(result) for result in store.results()])
    rows = list(csv.DictReader((store.path / "results.csv").open()))
    assert sorted((row["width"], row["lr"]) for row in rows) == [
        ("32", "0.25"), ("32", "0.5"), ("64", "0.25"), ("64", "0.5")
    ]  # fmt: skip
    assert {float(row["loss"]) for row in rows} == {2.25}


def test_a_folder_that_is_not_a_store_is_an_error(tmp_path) -> None:
    folder = tmp_path / "thesis"  # in a folder of its own: stores beside it would be proposed
    folder.mkdir()
    (folder / "thesis.tex").touch()
    message = (
        f"{folder} is not a trial store: store.json: No such file or directory\n"
        "  why: results are read from and written to folders created for them only\n"
        "  fix: name a folder that `mutransfer sweep` created, or a new one"
    )
    assert error_text(lambda: TrialStore(folder, create=True)) == message
    assert error_text(lambda: TrialStore(folder)) == message


def test_a_file_in_place_of_a_store_is_an_error(tmp_path) -> None:
    (tmp_path / "runs").touch()
    message = error_text(lambda: TrialStore(tmp_path / "runs", create=True))
    assert message.splitlines()[0].endswith("is not a trial store: store.json: Not a directory")


def test_a_newer_store_is_an_error(store) -> None:
    (store.path / "store.json").write_text('{"schema": 2}')
    assert error_text(lambda: TrialStore(store.path)) == (
        f"{store.path} has schema 2, this version reads 1\n"
        "  why: this version may misread a newer store\n"
        "  fix: pip install --upgrade mutransfer"
    )


def test_a_damaged_store_json_is_restored_by_the_fix(store) -> None:
    path = store.path / "store.json"
    path.write_text("{")
    fix = error_text(lambda: TrialStore(store.path)).splitlines()[2]
    assert os.system(fix.removeprefix("  fix: restore it: ")) == 0
    TrialStore(store.path)


def test_a_result_in_the_wrong_folder_is_an_error(store) -> None:
    original, other = trials()[:2]
    TrialRun(store.path, Valley())(original)
    store.folder(original.id).rename(store.folder(other.id))
    path = store.folder(other.id) / "result.json"
    assert error_text(lambda: store.result(other.id)) == (
        f"{path} holds the result of another trial, {original.id[:12]}…\n"
        "  why: a moved or edited result would falsify the analysis\n"
        f"  fix: remove it and run the study again: rm {path}"
    )


@pytest.mark.parametrize("incomplete", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
def test_an_incomplete_result_is_an_error(store, incomplete) -> None:
    spec = trials()[0]
    TrialRun(store.path, Valley())(spec)
    path = store.path / spec.id / "result.json"
    path.write_bytes(incomplete)
    what, why, fix = error_text(lambda: store.result(spec.id)).splitlines()
    assert what.startswith(f"{path}: ")
    assert why == "  why: nothing that is written is ignored, and what cannot run is refused first"
    assert fix == f"  fix: remove it and run the study again: rm {path}"
    assert error_text(lambda: list(store.lookup([spec]))).splitlines()[2] == fix


def test_all_damaged_results_are_replaced_by_one_line(store) -> None:
    specs = trials()
    for spec in specs:
        TrialRun(store.path, Valley())(spec)
    paths = [store.path / spec.id / "result.json" for spec in specs[1:3]]
    for path in paths:
        path.write_text("")
    what, _, fix = error_text(lambda: list(store.lookup(specs))).splitlines()
    assert what.startswith(f"2 results are damaged; the first: {paths[0]}: ")
    assert fix == f"  fix: remove them and run the study again: rm {paths[0]} {paths[1]}"
    assert os.system(fix.partition("again: ")[2]) == 0
    assert [result is None for _, result in store.lookup(specs)] == [False, True, True, False]


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_a_disk_that_cannot_be_read_is_not_taken_for_a_damaged_file(
    store, monkeypatch, code
) -> None:
    """The result may be intact, so the advice is not to remove it."""
    spec = trials()[0]
    TrialRun(store.path, Valley())(spec)
    opened = os.open

    def fails(path, *how) -> int:
        if str(path).endswith("result.json"):
            raise OSError(code, os.strerror(code))
        return opened(path, *how)

    monkeypatch.setattr(os, "open", fails)
    assert error_text(lambda: store.result(spec.id)) == (
        f"cannot read {store.path / spec.id / 'result.json'}: {os.strerror(code)}\n"
        "  why: what is written there may be intact, and is neither removed nor run again\n"
        "  fix: check the disk or the file server, then run the same command again"
    )


@pytest.mark.parametrize("part", ["", "result.json"])
def test_links_in_a_store_are_an_error(store, tmp_path, part) -> None:
    spec = trials()[0]
    link = store.path / spec.id / part
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "secret")
    for call in (lambda: store.result(spec.id), lambda: list(store.lookup([spec]))):
        assert error_text(call) == (
            f"{link} is a symbolic link\n"
            "  why: a link may lead out of the store\n"
            f"  fix: remove it: rm {link}"
        )


def test_a_full_disk_is_an_error_that_says_what_to_do(store, monkeypatch) -> None:
    link = os.link

    def full(draft, final):
        if final.name == "result.json":
            raise OSError(28, "No space left on device")
        link(draft, final)

    monkeypatch.setattr(os, "link", full)
    spec = trials()[0]
    path = store.path / spec.id / "result.json"
    assert error_text(lambda: TrialRun(store.path, Valley())(spec)) == (
        f"cannot write {path}: No space left on device; the result is that of a trial with loss "
        "2.25\n"
        "  why: a result that is not on disk would be lost; published results are kept\n"
        "  fix: free some space or set the permissions, then run the same command again"
    )
    monkeypatch.undo()
    assert TrialRun(store.path, Valley())(spec).status == "done"
