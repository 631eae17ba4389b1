"""A fixed number of heads, which widen with the model."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from mutransfer.lab.counts import decoder_config, num_parameters
from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.lab.trial import lab_plan, run_trial
from mutransfer.records import LabRunner, LabSettings, TrialSpec
from mutransfer.rules.hybrids import HYBRIDS
from mutransfer.sweep.lab_trials import equivalent_parametrization
from mutransfer.workflows.studies.lab import same_training

# A quarter of the base's width, so that every root of a ratio is a power of two.
SMALL: dict[str, Any] = {
    "base_width": 16, "lr": 2**-6, "depth": 1, "context": 16, "batch": 4, "steps": 4, "warmup": 1,
    "norm_gains": "vector",
}  # fmt: skip


def spec(**changes: Any) -> TrialSpec:
    runner = LabRunner(numerics=1, data=corpus_hash(None))
    return TrialSpec(runner=runner, axes={**SMALL, **changes})


def settings(**changes: Any) -> LabSettings:
    return LabSettings(**{**SMALL, "width": 64, **changes})


def curve(**changes: Any) -> tuple[tuple[int, float], ...]:
    return run_trial(spec(**changes)).curve


def test_heads_widen_and_nothing_else_changes() -> None:
    config = decoder_config(settings(heads=2), 64)
    assert (config.num_heads, config.head_width) == (2, 32)
    assert num_parameters(config) == num_parameters(decoder_config(settings(), 64))
    # Without rules for attention the same network has heads of that width at this width.
    assert curve(width=64, heads=2, parametrization="none") == curve(
        width=64, base_width=64, head_width=32, parametrization="none"
    )


@pytest.mark.parametrize("scale", ["1/d", "1/sqrt(d)"])
def test_the_rule_of_attention_is_relative_to_the_base(scale: str) -> None:
    """Logits follow 1/d, or 1/√d without `attn`, whichever scale the network itself has."""
    ratio = Fraction(64, 16)
    own = {"1/d": Fraction(-1), "1/sqrt(d)": Fraction(-1, 2)}[scale]
    for name, rule in (("mup", Fraction(-1)), ("mup-attn", Fraction(-1, 2))):
        plan = lab_plan(settings(heads=2, attention_scale=scale, parametrization=name))
        query, key = (plan[f"blocks.0.attention.{part}.weight"] for part in ("query", "key"))
        missing = float(ratio) ** float(rule - own)
        assert query.init_factor / key.init_factor == missing
        assert query.lr_factor / key.lr_factor == missing


def test_both_scales_are_one_training_if_they_agree_at_the_base() -> None:
    """Bit for bit: heads of one channel at the base, where 1/d and 1/√d are both 1."""
    # A global norm of gradients would depend on where the factor is.
    shared = {"width": 64, "heads": 16, "positions": "learned", "clip": 0.0}
    curves = {
        name: {
            curve(**shared, attention_scale=s, parametrization=name) for s in ("1/d", "1/sqrt(d)")
        }
        for name in ("mup", "mup-attn")
    }
    assert [len(own) for own in curves.values()] == [1, 1]
    assert curves["mup"] != curves["mup-attn"], "the switch has an effect"


def test_sixteen_hybrids_are_sixteen_trainings_if_heads_widen_and_norms_have_gains() -> None:
    names = [
        {equivalent_parametrization(settings(parametrization=name, **changes)) for name in HYBRIDS}
        for changes in ({"heads": 2}, {}, {"norm_gains": "none"})
    ]
    assert [len(own) for own in names] == [16, 8, 4]


def test_trials_are_shared_at_the_base_width_only() -> None:
    grid = [
        {"width": width, "heads": 2, "parametrization": p} for width in (16, 64) for p in HYBRIDS
    ]
    assert len({same_training(spec(**point)) for point in grid}) == 1 + 16
    at_base = spec(width=16, parametrization="mup")
    assert same_training(spec(width=16, heads=2)) == same_training(spec(width=16, head_width=8))
    assert same_training(spec(width=16, heads=2)) != same_training(at_base)
    assert same_training(spec(width=64, heads=2)) != same_training(spec(width=64, head_width=8))


def test_keys_of_fewer_heads_widen_too() -> None:
    plan = lab_plan(settings(heads=4, kv_heads=2))
    assert {plan[f"blocks.0.attention.{p}.weight"].role for p in ("key", "query")} == {"hidden"}


@pytest.mark.parametrize(
    ("changes", "what", "fix"),
    [
        (
            {"heads": 3, "positions": "none"},
            "width 64 is not a multiple of heads 3",
            "write a multiple of 3, such as width = 66",
        ),
        (
            {"heads": 2, "head_width": 8},
            "heads 2 and head_width 8 are both set",
            "write head_width alone for more heads at larger widths, or heads alone for wider ones",
        ),
        (
            {"heads": 2, "base_width": 1},
            "heads 2 have no width at base_width 1, the absolute form",
            "write head_width instead, or a base_width of its own",
        ),
        (
            {"heads": 16},
            "base_width 16 is not a multiple of 2 * heads 16, as rotary positions need pairs of "
            "channels",
            "write a multiple of 32, such as base_width = 32",
        ),
        (
            {"heads": 4, "kv_heads": 3},
            "kv_heads 3 does not divide the 4 heads of width 16",
            "write kv_heads = 2, or widths whose number of heads is a multiple of 3",
        ),
    ],
)  # fmt: skip
def test_impossible_heads_are_refused(changes: dict[str, Any], what: str, fix: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**changes)
    (error,) = refused.value.errors()
    problem = error["ctx"]["error"]
    assert (str(problem), problem.fix) == (what, fix)
