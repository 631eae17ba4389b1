"""The ladder from SP to µP: rules do what they say, rungs are judged, the table tells repairs."""

import copy
import json
import tomllib

import pytest
import torch

from mutransfer.coordcheck import CoordCheck, Diagnosis
from mutransfer.errors import StudyError
from mutransfer.records import LadderSpec
from mutransfer.workflows import Ladder, Rung, named_study, run_ladder, study_text
from mutransfer.workflows.studies import ladder
from mutransfer.workflows.studies.rungs import (
    next_token_loss,
    rung_batch,
    rung_model,
    rung_optimizer,
)

DATA = tomllib.loads(study_text("eleuther-ladder"))
SPEC = named_study("eleuther-ladder")
BASE = SPEC.check.base
SP = frozenset()
FULL = SPEC.rules(4)


def std(parameter: torch.Tensor) -> float:
    return float(parameter.detach().double().std())


def model(rules: frozenset, width: int = 2 * BASE):
    torch.manual_seed(0)
    return rung_model(SPEC, rules, width)


def logits(rules: frozenset, width: int = 2 * BASE) -> torch.Tensor:
    with torch.no_grad():
        return model(rules, width)(rung_batch(SPEC)[:, :-1])


# What the rules do


def test_rungs_are_cumulative() -> None:
    assert [len(SPEC.rules(k)) for k in range(5)] == [0, 1, 2, 3, 4]
    assert SPEC.rules(0) < SPEC.rules(1) < SPEC.rules(2) < SPEC.rules(3) < SPEC.rules(4)


def test_sp_draws_every_weight_with_one_standard_deviation() -> None:
    found = [std(p) for p in model(SP).parameters()]
    assert found == pytest.approx([SPEC.model.init_std] * len(found), rel=0.05)


def test_hidden_init_shrinks_hidden_weights_only() -> None:
    """Table 8: hidden std falls as the root of width, embedding and readout keep theirs."""
    plain, scaled = model(SP), model(frozenset({"hidden init"}))
    ratios = {
        name: std(p) / std(plain.get_parameter(name)) for name, p in scaled.named_parameters()
    }
    hidden = {name for name in ratios if name.startswith("blocks.")}
    assert len(hidden) == 12
    assert set(ratios) - hidden == {"embedding.weight", "readout.weight"}
    for name, ratio in ratios.items():
        assert ratio == pytest.approx(2**-0.5 if name in hidden else 1.0)


@pytest.mark.parametrize("rule", [None, "hidden rate"])
def test_hidden_rate_halves_the_rate_of_hidden_matrices_only(rule) -> None:
    rules = frozenset({rule} - {None})
    made = model(rules)
    rates = {
        id(p): group["lr"]
        for group in rung_optimizer(SPEC, rules, made).param_groups
        for p in group["params"]
    }
    for name, parameter in made.named_parameters():
        halved = rule is not None and name.startswith("blocks.")
        assert rates[id(parameter)] == SPEC.check.lr * (0.5 if halved else 1.0)


def test_the_output_multiplier_halves_the_logits_exactly() -> None:
    assert torch.equal(logits(frozenset({"output multiplier"})), logits(SP) * 0.5)


def test_attention_divides_by_the_head_width_and_not_by_its_root() -> None:
    scales = [model(rules).blocks[0].attention.scale for rules in (SP, frozenset({"attention"}))]
    assert scales == [1 / 4, 1 / 16]
    assert not torch.equal(logits(frozenset({"attention"})), logits(SP))


def test_at_the_base_width_every_rule_is_exactly_1_but_attention() -> None:
    """The attention of nanoGPT-mup has no base constant: 1/d and 1/√d differ there too."""
    assert torch.equal(logits(FULL - {"attention"}, BASE), logits(SP, BASE))
    assert not torch.equal(logits(FULL, BASE), logits(SP, BASE))


def test_the_batch_is_text_and_an_untrained_model_knows_nothing_of_it() -> None:
    batch = rung_batch(SPEC)
    assert batch.shape == (SPEC.model.rows, SPEC.model.context + 1)
    assert bytes(batch[0].tolist()).decode().isprintable()
    assert next_token_loss(model(FULL), batch).item() == pytest.approx(5.545, abs=0.1)  # ln 256


# What a ladder's file may say


def complaint(**changed) -> str:
    with pytest.raises(StudyError) as refused:
        LadderSpec.read({**copy.deepcopy(DATA), **changed}, error=StudyError, where="l.toml")
    return str(refused.value)


def test_a_rule_that_is_added_twice_gets_three_lines() -> None:
    rungs = [{"name": "SP"}, *({"name": n, "adds": "attention"} for n in "ab")]
    assert complaint(rungs=rungs) == (
        "l.toml: rung 'b' adds 'attention' a second time\n"
        "  why: an unknown key or an invalid value would otherwise be ignored silently\n"
        "  fix: correct the values listed above"
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rungs": []}, "'rungs': tuple should have at least 1 item"),
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
def test_a_wrong_ladder_is_refused(changed, told) -> None:
    assert told in complaint(**changed)


# What the table tells


def planted(outcome: str, *blamed: tuple[str, str, float]) -> CoordCheck:
    told = tuple(
        Diagnosis(fault, role, (f"{role}.weight",), power, 0, f"the {fault} of {role} is off")
        for fault, role, power in blamed
    )
    reasons = ("too noisy: add seeds",) if outcome == "undetermined" else ()
    return CoordCheck(outcome, (), told, {"hidden": True}, reasons, {})


PLANTED = [
    planted("fail", ("init", "hidden", 0.5), ("multiplier", "output", 1.0)),
    planted("fail", ("multiplier", "output", 1.0)),
    planted("undetermined"),
    planted("fail", ("multiplier", "output", 1.0)),
    planted("pass"),
]

TABLE = """\
rung                 outcome       blamed, power of width                  repaired
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


def planted_ladder(folder, checks=PLANTED) -> Ladder:
    rungs = zip(SPEC.rungs, checks, strict=True)
    return Ladder("planted", tuple(Rung(r.name, r.adds, check) for r, check in rungs), folder)


def test_the_table_tells_what_each_rung_repairs(tmp_path) -> None:
    """A rung that cannot be told has repaired nothing, though its check blames nothing."""
    assert planted_ladder(tmp_path).table() == TABLE


def test_a_ladder_is_undetermined_if_one_rung_is(tmp_path) -> None:
    assert planted_ladder(tmp_path).undetermined
    assert not planted_ladder(tmp_path, [planted("fail")] * 5).undetermined


def test_a_run_writes_its_answer_and_a_page_per_rung(tmp_path, monkeypatch) -> None:
    seen = []
    checks = dict(zip(map(SPEC.rules, range(5)), PLANTED, strict=True))
    monkeypatch.setattr(ladder, "check_rung", lambda spec, rules: checks[rules])
    done = run_ladder(SPEC, output=tmp_path / "a", on_rung=lambda rung: seen.append(rung.name))
    assert seen == [rung.name for rung in SPEC.rungs]
    written = json.loads((tmp_path / "a/ladder.json").read_text())
    assert written == json.loads(json.dumps(done.to_json()))
    assert [rung["repaired"] for rung in written["rungs"]] == [
        [], ["hidden init"], [], [], ["output multiplier"],
    ]  # fmt: skip
    assert len(list((tmp_path / "a").glob("rung-*.html"))) == 5
    assert "<title>eleuther-ladder: + hidden rate</title>" in (
        (tmp_path / "a/rung-3.html").read_text()
    )


# The real run


@pytest.fixture(scope="module")
def eleuther(tmp_path_factory) -> Ladder:
    """A minute on one core."""
    return run_ladder(SPEC, output=tmp_path_factory.mktemp("ladder"))


@pytest.mark.slow
def test_the_first_three_rungs_fail_for_what_is_still_missing(eleuther) -> None:
    """ORACLE: EleutherAI/nanoGPT-mup's coordinate checks, and Table 8 for the powers."""
    missing = [("hidden init", 0.5), ("hidden rate", 1.0), ("output multiplier", 1.0)]
    for number in range(3):
        rung = eleuther.rungs[number]
        assert rung.check.outcome == "fail"
        assert [(one.rule, one.power) for one in rung.blamed] == missing[number:]
    assert [eleuther.repaired(k) for k in (1, 2)] == [("hidden init",), ("hidden rate",)]


@pytest.mark.slow
def test_the_last_two_rungs_pass(eleuther) -> None:
    """ORACLE: the same; with the width of a head fixed, 1/d cannot be told from 1/√d."""
    assert [rung.check.outcome for rung in eleuther.rungs[3:]] == ["pass", "pass"]
    assert eleuther.repaired(3) == ("output multiplier",)
