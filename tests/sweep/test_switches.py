"""A hybrid named after a switch that the lab cannot show is refused before anything trains."""

import pytest

from mutransfer.errors import StudyError
from mutransfer.records import LabRunner, LabSettings, TrialSpec
from mutransfer.sweep import check_lab_trials


def trial(name: str, **settings: object) -> TrialSpec:
    lab = LabSettings(width=64, base_width=32, lr=0.1, parametrization=name, **settings)  # type: ignore[arg-type]
    return TrialSpec(
        runner=LabRunner(numerics=1, data="text", settings=lab.non_default_fields()), axes={}
    )


@pytest.mark.parametrize(
    ("name", "twin"), [("sp+attn", "sp"), ("mup-attn", "mup"), ("sp+attn+embd", "sp+embd")]
)
def test_attention_cannot_be_switched_at_a_fixed_head_width(name, twin) -> None:
    with pytest.raises(StudyError) as refused:
        check_lab_trials([trial(name)], where="study.toml")
    assert str(refused.value) == (
        f"study.toml: '{name}' names 'attn', which shows nothing in this lab\n"
        "  why: the lab's attention is 1/d at a fixed head width, so a difference would be nil by "
        "construction\n"
        f"  fix: write '{twin}', which is the same training here"
    )


def test_gains_that_are_not_there_cannot_be_switched() -> None:
    with pytest.raises(StudyError, match="names 'ln', which shows nothing"):
        check_lab_trials([trial("sp+embd+ln")], where="study.toml")
    check_lab_trials([trial("sp+embd+ln", norm_gains="vector")], where="study.toml")


@pytest.mark.parametrize("name", ["sp+embd", "sp+last", "mup-embd", "mup-last", "sp-full-align"])
def test_switches_that_show_are_allowed(name) -> None:
    """`mup-embd` and `mup-last` have µP's attention, `sp+embd` is beside the lab's own SP."""
    check_lab_trials([trial(name)], where="study.toml")
