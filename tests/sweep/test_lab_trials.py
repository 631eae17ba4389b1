"""A hybrid named after a switch without effect in the lab is rejected before training starts."""

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
def test_the_attention_switch_has_no_effect_at_a_fixed_head_width(name, twin) -> None:
    with pytest.raises(StudyError) as raised:
        check_lab_trials([trial(name)], where="study.toml")
    assert str(raised.value) == (
        f"study.toml: '{name}' names 'attn', which has no effect in the lab\n"
        "  why: the lab's attention is 1/d at a fixed head width, so nothing would differ\n"
        f"  fix: write '{twin}', which is the same training"
    )


def test_the_norm_switch_has_no_effect_without_gains() -> None:
    with pytest.raises(StudyError, match="names 'ln', which has no effect"):
        check_lab_trials([trial("sp+embd+ln")], where="study.toml")
    check_lab_trials([trial("sp+embd+ln", norm_gains="vector")], where="study.toml")


@pytest.mark.parametrize("name", ["sp+embd", "sp+last", "mup-embd", "mup-last", "sp-full-align"])
def test_switches_with_an_effect_are_accepted(name) -> None:
    """`mup-embd` and `mup-last` have µP's attention; `sp+embd` differs from the lab's own SP."""
    check_lab_trials([trial(name)], where="study.toml")
