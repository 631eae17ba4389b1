"""Ladder studies: each rung is checked, and the table shows what it repairs."""

import json

import pytest

from mutransfer.coordcheck import CoordCheck, Diagnosis
from mutransfer.report.text.ladder import format_ladder
from mutransfer.workflows import named_study, run_ladder
from mutransfer.workflows.studies import ladder as ladder_module
from mutransfer.workflows.studies.ladder import Ladder, Rung

SPEC = named_study("eleuther-ladder")


def planted_check(outcome: str, *faults: tuple[str, str, float]) -> CoordCheck:
    diagnoses = tuple(
        Diagnosis(fault, role, (f"{role}.weight",), power, 0, f"the {fault} of {role} is off")
        for fault, role, power in faults
    )
    reasons = ("too noisy: add seeds",) if outcome == "undetermined" else ()
    return CoordCheck(outcome, (), diagnoses, {"hidden": True}, reasons, {})


CHECKS = [
    planted_check("fail", ("init", "hidden", 0.5), ("multiplier", "output", 1.0)),
    planted_check("fail", ("multiplier", "output", 1.0)),
    planted_check("undetermined"),
    planted_check("fail", ("multiplier", "output", 1.0)),
    planted_check("pass"),
]

TABLE = """\
rung                 outcome       broken rule, power of width             repaired
SP                   fail          hidden init +0.5, output multiplier +1  –
+ hidden init        fail          output multiplier +1                    hidden init
+ hidden rate        undetermined  –                                       –
+ output multiplier  fail          output multiplier +1                    –
+ attention          pass          –                                       output multiplier

SP: fail
  the init of hidden is off
  the multiplier of output is off

+ hidden init: fail
  the multiplier of output is off

+ hidden rate: undetermined
  too noisy: add seeds

+ output multiplier: fail
  the multiplier of output is off"""


def planted_ladder(folder, checks=CHECKS) -> Ladder:
    rungs = zip(SPEC.rungs, checks, strict=True)
    return Ladder("planted", tuple(Rung(r.name, r.adds, check) for r, check in rungs), folder)


def test_the_table_shows_what_each_rung_repairs(tmp_path) -> None:
    """An undetermined rung repairs nothing, although its check finds no broken rule."""
    assert format_ladder(planted_ladder(tmp_path).to_json()) == TABLE


def test_a_ladder_is_undetermined_if_one_rung_is(tmp_path) -> None:
    assert planted_ladder(tmp_path).undetermined
    assert not planted_ladder(tmp_path, [planted_check("fail")] * 5).undetermined


def test_a_run_writes_its_answer_and_a_page_per_rung(tmp_path, monkeypatch) -> None:
    names = []
    checks = dict(zip(map(SPEC.rules, range(5)), CHECKS, strict=True))
    monkeypatch.setattr(ladder_module, "check_rung", lambda spec, rules: checks[rules])
    ladder = run_ladder(SPEC, output=tmp_path / "a", on_rung=lambda rung: names.append(rung.name))
    assert names == [rung.name for rung in SPEC.rungs]
    written = json.loads((tmp_path / "a/ladder.json").read_text())
    assert written == json.loads(json.dumps(ladder.to_json()))
    assert [rung["repaired"] for rung in written["rungs"]] == [
        [], ["hidden init"], [], [], ["output multiplier"],
    ]  # fmt: skip
    assert len(list((tmp_path / "a").glob("rung-*.html"))) == 5
    assert "<title>eleuther-ladder: + hidden rate</title>" in (
        (tmp_path / "a/rung-3.html").read_text()
    )


@pytest.fixture(scope="module")
def eleuther(tmp_path_factory) -> Ladder:
    """The whole study: a minute on one core."""
    return run_ladder(SPEC, output=tmp_path_factory.mktemp("ladder"))


@pytest.mark.slow
def test_the_first_three_rungs_fail_for_the_rules_that_are_still_missing(eleuther) -> None:
    """ORACLE: EleutherAI/nanoGPT-mup's coordinate checks, and Table 8 for the powers."""
    missing = [
        ("hidden", "init", 0.5), ("hidden", "rate", 1.0), ("output", "multiplier", 1.0),
    ]  # fmt: skip
    for number in range(3):
        check = eleuther.rungs[number].check
        assert check.outcome == "fail"
        assert [(d.role, d.fault, d.power) for d in check.diagnoses] == missing[number:]
    assert [eleuther.repaired(k) for k in (1, 2)] == [("hidden init",), ("hidden rate",)]


@pytest.mark.slow
def test_the_last_two_rungs_pass(eleuther) -> None:
    """ORACLE: the same; with the width of a head fixed, 1/d cannot be told from 1/√d."""
    assert [rung.check.outcome for rung in eleuther.rungs[3:]] == ["pass", "pass"]
    assert eleuther.repaired(3) == ("output multiplier",)
