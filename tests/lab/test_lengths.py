"""Lengths of training: steps, or tokens per non-embedding parameter."""

from __future__ import annotations

from typing import Any

import pytest

from mutransfer.errors import StudyError
from mutransfer.lab.counts import num_steps, num_warmup_steps
from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.lab.trial import run_trial
from mutransfer.records import LabRunner, LabSettings, TrialSpec
from mutransfer.workflows import run_study


def settings(**changes: Any) -> LabSettings:
    return LabSettings(**{"width": 32, "base_width": 32, "lr": 2**-6, "depth": 2, **changes})


@pytest.mark.parametrize(
    ("width", "steps"), [(16, 120), (32, 480), (64, 1920), (128, 7680)]
)  # fmt: skip
def test_twenty_tokens_per_parameter(width: int, steps: int) -> None:
    """ORACLE: 20 * 12 * 2 * width**2 tokens in steps of 16 * 64, by hand."""
    s = settings(width=width, base_width=16, tokens_per_parameter=20)
    assert num_steps(s) == steps
    assert num_warmup_steps(s) == steps // 10


def test_an_absurd_length_is_a_number() -> None:
    assert num_steps(settings(tokens_per_parameter=1e308)) > 10**300


def test_embeddings_and_readout_do_not_count() -> None:
    plain = settings(tokens_per_parameter=20.0)
    for switch in ({"tied": True}, {"positions": "learned"}):
        assert num_steps(settings(tokens_per_parameter=20.0, **switch)) == num_steps(plain)
    assert num_steps(settings(tokens_per_parameter=20.0, kv_heads=1)) < num_steps(plain)


def test_a_trial_has_that_length() -> None:
    axes = settings(depth=1, batch=8, context=16, tokens_per_parameter=0.1).non_default_fields()
    runner = LabRunner(numerics=1, data=corpus_hash(None))
    result = run_trial(TrialSpec(runner=runner, axes=axes))
    assert result.tokens == 10 * 8 * 16  # 0.1 * 12288 = 1228.8 tokens, rounded up to steps of 128
    assert result.curve[-1][0] == 10


STUDY: dict[str, Any] = {
    "schema": 1,
    "study": {"name": "s"},
    "axes": {"width": [16, 32], "lr": [0.1], "parametrization": ["mup"]},
}


def test_steps_and_tokens_per_parameter_together_are_refused() -> None:
    for place in ("axes", "lab"):
        lab: dict[str, Any] = {"base_width": 16, "tokens_per_parameter": 20}
        study = {**STUDY, "lab": lab, "axes": dict(STUDY["axes"])}
        if place == "axes":
            study["axes"]["steps"] = [100, 200]
        else:
            lab["steps"] = 150  # the default, but the user wrote it
        with pytest.raises(StudyError) as refused:
            run_study(study)
        what, _, fix = str(refused.value).split("\n")
        assert what.endswith(
            "both 'steps' and 'tokens_per_parameter' are set, but a trial has one length"
        )
        assert fix == "  fix: remove one of them"


def test_a_warmup_longer_than_the_shortest_trial_is_refused() -> None:
    lab = {"base_width": 16, "tokens_per_parameter": 20, "warmup": 200}
    with pytest.raises(StudyError) as refused:
        run_study({**STUDY, "lab": lab})
    assert str(refused.value).split("\n")[0] == (
        "this study: warmup 200 leaves no step at the peak rate of 180 steps, the length of width "
        "16 at 20 tokens per parameter"
    )
