"""The trial store: claims, first-wins publishing, identity checked on reading, clear refusals."""

import csv
import json
import os

import pytest
from runners import Valley, trials

from mutransfer.errors import StoreError
from mutransfer.sweep import TrialStore
from mutransfer.sweep.store.claims import look, take
from mutransfer.sweep.store.store import csv_row
from mutransfer.sweep.trial_run import Work


@pytest.fixture
def store(tmp_path):
    return TrialStore(tmp_path / "runs", create=True)


def complaint(call) -> str:
    with pytest.raises(StoreError) as refused:
        call()
    return str(refused.value)


def test_a_trial_is_done_when_its_result_exists(store) -> None:
    spec = trials()[0]
    assert not store.is_done(spec.id)
    outcome = Work(store.path, Valley())(spec)
    assert outcome.status == "done"
    assert store.result(spec.id) == outcome.result
    assert sorted(p.name for p in store.folder(spec.id).iterdir()) == [
        "attempts", "claims", "result.json", "spec.json"
    ]  # fmt: skip


def test_only_one_of_two_gets_a_claim_and_the_next_one_after_release(tmp_path) -> None:
    first = take(tmp_path)
    with first:
        assert take(tmp_path) is None
    with take(tmp_path) as second:
        assert second.path.name == "2.json"


def test_a_dead_owner_is_taken_over_and_a_living_one_is_not(tmp_path) -> None:
    claim = take(tmp_path)
    owner = json.loads(claim.path.read_text())
    claim.path.write_text(json.dumps(owner | {"started": "1"}))  # the pid was reused
    assert take(tmp_path).path.name == "2.json"


def elsewhere(claim) -> None:
    """Make a claim one of another host, of which only heartbeats tell."""
    owner = json.loads(claim.path.read_text()) | {"place": "elsewhere 1 2"}
    claim.path.write_text(json.dumps(owner))


def test_a_claim_from_another_place_is_taken_over_only_if_it_was_watched_in_vain(tmp_path) -> None:
    claim = take(tmp_path)
    elsewhere(claim)
    os.utime(claim.path, (0, 0))  # no clock decides: another host's may be years away
    mark = look(tmp_path)
    assert (mark.alive, mark.owner) == (None, f"elsewhere, process {os.getpid()}")
    assert take(tmp_path) is None
    os.utime(claim.path)
    assert take(tmp_path, dead=mark) is None, "it has beaten since"
    assert take(tmp_path, dead=look(tmp_path)).path.name == "2.json"


def test_a_claim_of_the_same_host_in_another_container_is_not_judged_by_its_number(
    tmp_path,
) -> None:
    claim = take(tmp_path)
    owner = json.loads(claim.path.read_text())
    host, boot, namespace = owner["place"].split()
    for place in (f"{host} {boot} pid:[1]", f"{host} another-boot {namespace}"):
        claim.path.write_text(json.dumps(owner | {"place": place, "started": "1"}))
        assert look(tmp_path).alive is None
        assert take(tmp_path) is None


@pytest.mark.parametrize("torn", ["", '{"place": "h', "[]", '{"place": "h", "pid": "x"}'])
def test_a_torn_claim_is_watched_like_one_from_elsewhere(tmp_path, torn) -> None:
    claim = take(tmp_path)
    claim.path.write_text(torn)
    assert take(tmp_path) is None
    assert take(tmp_path, dead=look(tmp_path)) is not None


def test_a_trial_that_was_published_while_we_looked_is_not_run_again(store, monkeypatch) -> None:
    spec = trials()[0]
    looked = []

    def is_done(trial_id: str) -> bool:
        looked.append(trial_id)
        return len(looked) > 1  # its owner publishes and releases right after the first look

    monkeypatch.setattr(TrialStore, "is_done", lambda self, trial_id: is_done(trial_id))
    assert store.claim(spec) is None
    monkeypatch.undo()
    assert store.owner(spec.id) is None, "and the claim is given back"


def test_the_first_result_wins(store) -> None:
    spec = trials()[0]
    Work(store.path, Valley())(spec)
    other = store.result(spec.id).model_copy(update={"loss": 99.0})
    store.publish(other, store.new_attempt(spec.id))
    assert store.result(spec.id).loss != 99.0


def test_a_shared_result_says_where_it_is_from(store) -> None:
    one, other = trials()[:2]
    Work(store.path, Valley())(one)
    store.share(store.result(one.id), other)
    shared = store.result(other.id)
    assert (shared.loss, shared.shared_from) == (store.result(one.id).loss, one.id)
    assert shared.spec == other


def test_the_csv_view_has_a_line_per_result(store) -> None:
    for spec in trials():
        Work(store.path, Valley())(spec)
    store.write_csv([csv_row(result) for result in store.results()])
    rows = list(csv.DictReader((store.path / "results.csv").open()))
    assert sorted((row["width"], row["lr"]) for row in rows) == [
        ("32", "0.25"), ("32", "0.5"), ("64", "0.25"), ("64", "0.5")
    ]  # fmt: skip
    assert {float(row["loss"]) for row in rows} == {2.25}


def test_a_folder_that_is_no_store_is_refused(tmp_path) -> None:
    (tmp_path / "thesis.tex").touch()
    message = (
        f"{tmp_path} is not a trial store: store.json: No such file or directory\n"
        "  why: results are only read from, and written to, a folder made for them\n"
        "  fix: name a folder that `mutransfer sweep` made, or a new one"
    )
    assert complaint(lambda: TrialStore(tmp_path, create=True)) == message
    assert complaint(lambda: TrialStore(tmp_path)) == message


def test_a_file_in_place_of_a_store(tmp_path) -> None:
    (tmp_path / "runs").touch()
    message = complaint(lambda: TrialStore(tmp_path / "runs", create=True))
    assert message.splitlines()[0].endswith("is not a trial store: store.json: Not a directory")


def test_a_newer_store_is_refused(store) -> None:
    (store.path / "store.json").write_text('{"schema": 2}')
    assert complaint(lambda: TrialStore(store.path)) == (
        f"{store.path} has schema 2, this version reads 1\n"
        "  why: a newer store may hold what this version would misread\n"
        "  fix: pip install --upgrade mutransfer"
    )


def test_a_damaged_head_is_mended_by_the_line_given(store) -> None:
    head = store.path / "store.json"
    head.write_text("{")
    fix = complaint(lambda: TrialStore(store.path)).splitlines()[2]
    assert os.system(fix.removeprefix("  fix: restore it: ")) == 0
    TrialStore(store.path)


def test_a_result_in_the_wrong_folder_is_noticed(store) -> None:
    one, other = trials()[:2]
    Work(store.path, Valley())(one)
    store.folder(one.id).rename(store.folder(other.id))
    path = store.folder(other.id) / "result.json"
    assert complaint(lambda: store.result(other.id)) == (
        f"{path} holds the result of another trial, {one.id[:12]}…\n"
        "  why: a moved or edited result would change the answer\n"
        f"  fix: remove it and run the study again: rm {path}"
    )


@pytest.mark.parametrize("torn", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
def test_a_torn_result_is_noticed(store, torn) -> None:
    spec = trials()[0]
    Work(store.path, Valley())(spec)
    path = store.path / spec.id / "result.json"
    path.write_bytes(torn)
    what, why, fix = complaint(lambda: store.result(spec.id)).splitlines()
    assert what.startswith(f"{path}: ")
    assert why == "  why: an unknown key or an invalid value would otherwise be ignored silently"
    assert fix == f"  fix: remove it and run the study again: rm {path}"
    assert complaint(lambda: list(store.known([spec]))).splitlines()[2] == fix


@pytest.mark.parametrize("part", ["", "result.json"])
def test_links_are_refused(store, tmp_path, part) -> None:
    spec = trials()[0]
    link = store.path / spec.id / part
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "secret")
    for call in (lambda: store.result(spec.id), lambda: list(store.known([spec]))):
        assert complaint(call) == (
            f"{link} is a symbolic link\n"
            "  why: a link may lead out of the store\n"
            f"  fix: remove it: rm {link}"
        )


def test_a_full_disk_is_said_in_three_lines(store, monkeypatch) -> None:
    link = os.link

    def full(draft, final):
        if final.name == "result.json":
            raise OSError(28, "No space left on device")
        link(draft, final)

    monkeypatch.setattr(os, "link", full)
    spec = trials()[0]
    path = store.path / spec.id / "result.json"
    assert complaint(lambda: Work(store.path, Valley())(spec)) == (
        f"cannot write {path}: No space left on device, where a trial that ended with loss 2.25 "
        "belongs\n"
        "  why: a result that is not on disk would be lost; what is published stays\n"
        "  fix: make room or set the permissions, then run the same command again"
    )
    monkeypatch.undo()
    assert Work(store.path, Valley())(spec).status == "done"
