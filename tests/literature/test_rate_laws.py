"""Published laws of the best rate: recomputed examples, missing sizes, ranges, ratios."""

import math

import pytest

from mutransfer.analysis import Results
from mutransfer.literature.laws import (
    Anchor,
    common_sizes,
    compare_laws,
    named_sizes,
    published_laws,
    sweep_anchors,
)


def compared(target, anchors=()):
    return {law.name: law for law in compare_laws(target, anchors)}


# DeepSeek LLM 7B and 67B: layers, width, width of the feed-forward layer, share of the heads that
# have keys and values of their own (the 67B model groups its queries by eight), sequences of 4,096
# tokens per batch, learning rate; 2e12 tokens each. Batches and rates: README of
# github.com/deepseek-ai/DeepSeek-LLM, commit 1b79a65; shapes: the models' config.json.
@pytest.mark.parametrize(
    ("layers", "width", "hidden", "own_heads", "sequences", "rate"),
    [(30, 4096, 11008, 1.0, 2304, 4.2e-4), (95, 8192, 22016, 1 / 8, 4608, 3.2e-4)],
)
def test_deepseeks_own_models_follow_its_law(
    layers: int, width: int, hidden: int, own_heads: float, sequences: int, rate: float
) -> None:
    law = published_laws()["deepseek"]
    weights = 2 * width**2 * (1 + own_heads) + 3 * width * hidden
    flops = 2e12 * layers * (6 * weights + 12 * width * 4096)
    assert 2 ** law.log2_lr({"flops": flops}) == pytest.approx(rate, rel=0.02)
    assert law.batch_tokens({"flops": flops}) == pytest.approx(sequences * 4096, rel=0.05)


def test_step_law_gives_what_its_authors_tool_answers() -> None:
    """Their tool averages the logarithms of 1,000 bootstrap fits, not of the rounded law.

    The example of its README, 7e9 parameters and 1.4e12 tokens, then gives 9.347e-4 and 4.997e6.
    """
    law, sizes = published_laws()["step-law"], {"params": 7e9, "tokens": 1.4e12}
    assert 2 ** law.log2_lr(sizes) == pytest.approx(9.347e-4, rel=0.02)
    assert law.batch_tokens(sizes) == pytest.approx(4.997e6, rel=0.02)


@pytest.mark.parametrize(
    ("name", "ratio"),
    [("horizon-0.32", 10**-0.32), ("hyperp", 10**-0.32), ("marin", 10**-0.3),
     ("completed-p", 10**-0.5)],
)  # fmt: skip
def test_ten_times_the_tokens_move_a_carried_rate_by_the_printed_exponent(name, ratio) -> None:
    anchor = Anchor({"tokens": 1e10, "batch": 64.0}, -8.0)
    law = compared({"tokens": 1e11, "batch": 64.0}, [anchor])[name]
    assert 2 ** (law.log2_lr + 8.0) == pytest.approx(ratio)
    assert law.anchor == anchor
    assert law.warnings == ()


def test_only_the_number_of_steps_matters_to_completed_p() -> None:
    anchor = Anchor({"tokens": 1e10, "batch": 64.0}, -8.0)
    law = compared({"tokens": 2e10, "batch": 128.0}, [anchor])["completed-p"]
    assert law.log2_lr == pytest.approx(-8.0)


def test_a_law_says_what_it_lacks() -> None:
    laws = compared({"tokens": 1e11})
    assert laws["step-law"].missing == ("params",)
    assert laws["deepseek"].missing == ("params",)
    assert laws["marin"].missing == ("batch",)
    assert all(law.log2_lr is None and law.warnings == () for law in laws.values())
    assert compared({"flops": 1e18})["deepseek"].missing == ()
    assert compared({"width": 64.0})["deepseek"].missing == ("params", "tokens")


def test_flops_are_six_per_parameter_and_token() -> None:
    sizes = {"params": 1e8, "tokens": 2e9}
    assert compared(sizes)["deepseek"].log2_lr == compared({"flops": 1.2e18})["deepseek"].log2_lr


def test_a_target_outside_the_range_of_the_fit_is_said() -> None:
    inside = compared({"params": 5e8, "tokens": 5e10})["step-law"]
    outside = compared({"params": 7e9, "tokens": 5e10})["step-law"]
    assert inside.warnings == ()
    (warning,) = outside.warnings
    assert warning.startswith("params 7e+09 is outside 2.1e+08 to 1.1e+09, where it was fitted (")


def test_a_size_that_a_law_ignores_or_holds_fixed_is_said_where_it_changes() -> None:
    anchor = Anchor({"params": 1e8, "tokens": 1e10, "batch": 64.0}, -8.0)
    laws = compared({"params": 1e9, "tokens": 1e10, "batch": 128.0}, [anchor])
    assert laws["horizon-0.32"].warnings == (
        "params changes from 1e+08 to 1e+09, and it says nothing about this",
        "batch changes from 64 to 128, and it is for a fixed one",
    )
    assert laws["marin"].warnings == (
        "params changes from 1e+08 to 1e+09, and it says nothing about this",
    )


def test_ratios_without_an_optimum_say_so() -> None:
    law = compared({"tokens": 1e11, "batch": 64.0})["marin"]
    assert law.log2_lr is None
    assert law.warnings == ("no optimum of the sweep has tokens and batch: name them with --scale",)


def test_every_law_has_a_source_a_setting_and_an_exponent() -> None:
    for law in published_laws().values():
        assert law.source.startswith(("arXiv:", "github.com/"))
        assert law.setting
        assert law.certainty in ("read", "recalled")
        assert law.exponents
        assert not law.range or law.range_source
        assert all(low < high for low, high in law.range.values())


def sweep() -> Results:
    rows = [
        (params, tokens, 64.0, 2.0**k, 3 + (k + 6 + math.log2(tokens / 1e9)) ** 2)
        for params in (1e7, 1e8)
        for tokens in (1e9, 2e9)
        for k in range(-10, -2)
    ]
    names = ("N", "tokens", "bs", "lr", "loss")
    return Results.from_columns(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def test_carried_rates_start_from_the_nearest_optimum_of_the_sweep() -> None:
    results = sweep()
    assert common_sizes(results) == {"batch": 64.0}
    anchors = sweep_anchors(results, {"N": 1e8, "tokens": 8e9}, scale=["N", "tokens"])["all"]
    assert len(anchors) == 4
    assert anchors[-1].sizes == {"batch": 64.0, "params": 1e8, "tokens": 2e9}
    assert anchors[-1].log2_lr == pytest.approx(-7.0)
    assert named_sizes({"N": 1e8}) == {"params": 1e8}
