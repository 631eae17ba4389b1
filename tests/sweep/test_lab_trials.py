"""Trials of the lab: the attention scale of a parametrization, and hybrids that are the same."""

import json

import pytest

from mutransfer.errors import RuleError, StudyError
from mutransfer.lab.trial import lab_plan
from mutransfer.records import LabRunner, LabSettings, StudySpec, TrialSpec, lab_settings
from mutransfer.rules.registry import PARAMETRIZATIONS
from mutransfer.sweep import check_lab_trials, grid_trials, lab_trials, sharing_notes
from mutransfer.sweep.lab_trials import equivalent_parametrization

RUNNER = LabRunner(numerics=1, data="text", settings={"base_width": 32})


def study(names: list[str], **settings: object) -> StudySpec:
    axes = {"parametrization": names, "width": [32, 64], "lr": [0.1]}
    lab = {"base_width": 32, **settings}
    data = {"schema": 1, "study": {"name": "s"}, "axes": axes, "lab": lab}
    return StudySpec.model_validate_json(json.dumps(data))


def trials(names: list[str], **settings: object) -> list[TrialSpec]:
    runner = LabRunner(numerics=1, data="text", settings={"base_width": 32, **settings})
    return lab_trials(study(names, **settings), runner)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("mup", "1/d"), ("sp", "1/sqrt(d)"), ("sp+embd", "1/sqrt(d)"), ("sp+attn", "1/d"),
        ("mup-attn", "1/sqrt(d)"), ("mup-last", "1/d"), ("sp-full-align", "1/sqrt(d)"),
        ("none", "1/d"),
    ],
)  # fmt: skip
def test_a_trial_has_the_attention_scale_of_its_parametrization(name: str, scale: str) -> None:
    assert {lab_settings(trial).attention_scale for trial in trials([name])} == {scale}


def test_only_trials_with_another_scale_than_before_have_new_identities() -> None:
    specs = study(["sp", "mup"])
    before, now = grid_trials(specs, RUNNER), lab_trials(specs, RUNNER)
    assert [a.id == b.id for a, b in zip(before, now, strict=True)] == [False, False, True, True]
    # A study that asks for the former scale gets the former trials.
    explicit = lab_trials(study(["sp", "mup"], attention_scale="1/d"), RUNNER)
    assert [trial.id for trial in explicit] == [trial.id for trial in before]


def test_a_scale_that_is_set_wins_in_every_parametrization() -> None:
    for scale in ("1/d", "1/sqrt(d)"):
        specs = trials(["sp", "mup"], attention_scale=scale)
        assert {lab_settings(trial).attention_scale for trial in specs} == {scale}


@pytest.mark.parametrize(
    ("name", "gains", "twin"),
    [
        ("sp+ln", "none", "sp"), ("sp+embd", "none", "sp+embd"), ("mup-last", "none", "sp+embd"),
        ("mup-ln", "scalar", "sp+embd+last"), ("mup", "none", "sp+embd+last"),
        ("sp+ln", "vector", "sp+ln"), ("mup-attn", "vector", "sp+embd+ln+last"),
        ("none", "none", "none"), ("umup", "none", "umup"),
    ],
)  # fmt: skip
def test_hybrids_without_a_telling_switch_are_one_training(name, gains, twin) -> None:
    settings = lab_settings(trials([name], norm_gains=gains)[0])
    canonical = {"sp+embd+last": "mup-ln" if gains == "none" else twin}
    expected = {equivalent_parametrization(settings)}
    twin_settings = settings.model_copy(update={"parametrization": canonical.get(twin, twin)})
    if twin in ("sp+embd+last", "sp+embd+ln+last"):  # not names: µP without one or two switches
        twin_settings = settings.model_copy(update={"parametrization": "mup"})
    assert {equivalent_parametrization(twin_settings)} == expected


def test_a_study_says_which_hybrids_share_their_trials() -> None:
    notes = sharing_notes(trials(["sp+embd", "mup-last", "mup"], attention_scale="1/d"))
    assert notes == [
        "'mup-last' shares the trials of 'sp+embd': heads do not widen, so their attention differs "
        "by attention_scale only, and without vector gains or biases, 'ln' applies to no parameter"
    ]
    with_gains = trials(["sp+embd", "mup-last"], attention_scale="1/d", norm_gains="vector")
    assert sharing_notes(with_gains) == []
    # At another rate of the embedding they differ.
    raised = trials(["mup-last"], attention_scale="1/d", lr_multiplier_input=4.0)
    assert sharing_notes([*trials(["sp+embd"], attention_scale="1/d"), *raised]) == []
    # With scales of their own they differ.
    assert sharing_notes(trials(["sp+attn", "sp"])) == []


@pytest.mark.parametrize("name", ["sp+attn", "mup-attn", "sp+embd+ln", "sp-full-align"])
def test_every_parametrization_is_accepted(name: str) -> None:
    check_lab_trials(trials([name]), where="study.toml")


def test_a_tied_table_is_refused_for_exactly_the_parametrizations_whose_plan_refuses_it() -> None:
    refused = {}
    for optimizer in ("adamw", "sgd"):
        for name in PARAMETRIZATIONS:
            specs = trials([name], tied=True, optimizer=optimizer)
            try:
                check_lab_trials(specs, where="study.toml")
            except StudyError as error:
                refused[optimizer, name] = error
            assert _has_plan(lab_settings(specs[-1])) == ((optimizer, name) not in refused), name
    assert {("adamw", "sp+embd"), ("adamw", "mup-last")} <= set(refused)
    assert not {("adamw", "sp"), ("adamw", "mup"), ("adamw", "none")} & set(refused)
    assert str(refused["adamw", "sp+embd"]) == (
        "study.toml: tied = true shares one table between embedding and readout, and 'sp+embd' "
        "gives them another init or rate\n"
        "  why: one table has one init and one rate\n"
        '  fix: write tied = false, or parametrization = "sp" or "mup"'
    )
    # At the base width every factor is 1.
    check_lab_trials(trials(["sp+embd"], tied=True)[:1], where="study.toml")


def _has_plan(settings: LabSettings) -> bool:
    """Return whether the plan of a trial accepts the tied table."""
    small = settings.model_copy(update={"depth": 1})
    try:
        lab_plan(small)
    except RuleError as error:
        return "is shared with the readout" not in error.what
    return True
