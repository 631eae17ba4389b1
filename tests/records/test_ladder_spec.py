"""Ladder files: rungs accumulate rules, and every invalid one is an error."""

import copy
import tomllib

import pytest

from mutransfer.errors import StudyError
from mutransfer.records import LadderSpec
from mutransfer.workflows import named_study, study_text

DATA = tomllib.loads(study_text("eleuther-ladder"))
SPEC = named_study("eleuther-ladder")


def test_rungs_are_cumulative() -> None:
    assert [len(SPEC.rules(k)) for k in range(5)] == [0, 1, 2, 3, 4]
    assert SPEC.rules(0) < SPEC.rules(1) < SPEC.rules(2) < SPEC.rules(3) < SPEC.rules(4)


def error_message(**changed) -> str:
    with pytest.raises(StudyError) as raised:
        LadderSpec.read({**copy.deepcopy(DATA), **changed}, error=StudyError, where="l.toml")
    return str(raised.value)


def test_a_rule_that_is_added_twice_gets_three_lines() -> None:
    rungs = [{"name": "SP"}, *({"name": n, "adds": "attention"} for n in "ab")]
    assert error_message(rungs=rungs) == (
        "l.toml: rung 'b' adds 'attention' a second time\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: remove the rung, or write another rule"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rungs": []}, "'rungs': has too few entries (got [])"),
        ({"rungs": [{"name": "a", "adds": "attention"}]}, "the first rung adds 'attention'"),
        ({"rungs": [{"name": "a"}, {"name": "b"}]}, "rung 'b' adds no rule"),
        ({"rungs": [{"name": "a"}, {"name": "a", "adds": "attention"}]}, "the name 'a'"),
        ({"rungs": [{"name": "a"}, {"name": "b", "adds": "hidden initt"}]}, "'hidden init'"),
        ({"rungs": [{"name": "a", "add": "attention"}]}, "unknown key 'rungs.0.add'"),
        ({"check": {**DATA["check"], "widths": [32, 40, 128]}}, "width 40 is not a multiple"),
        ({"check": {**DATA["check"], "seeds": 1}}, "greater than or equal to 2"),
        ({"mdel": {}}, "did you mean 'model'?"),
    ],
)
def test_an_invalid_ladder_is_an_error(changed, message) -> None:
    assert message in error_message(**changed)
