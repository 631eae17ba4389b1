"""Plans as data: they round-trip through JSON, compare, print, and reject other texts."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from mutransfer.errors import CoverageError
from mutransfer.rules import Plan, Role, explain
from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts, unwrapped
from mutransfer.rules.power import ONE


def facts(name: str = "blocks.0.up.weight") -> ParameterFacts:
    own = OwnInit(rms=0.1, error=0.01, exponent=Fraction(-1, 2), ratio=Fraction(3, 2))
    wide = Fraction(3, 2)
    return ParameterFacts(name, (96, 24), Role.HIDDEN, wide, wide, own, base_shape=(64, 16))


PLAN = plan_from_facts([facts(), facts("blocks.1.up.weight")], base=16, target=24)


def test_a_plan_survives_json_exactly() -> None:
    """Ratios such as 3/2 are kept as fractions, so nothing is rounded on the way."""
    assert Plan.from_json(PLAN.to_json()) == PLAN


def test_differences_name_the_cell() -> None:
    changed = replace(PLAN, rows=(replace(PLAN.rows[0], lr_factor=0.5), PLAN.rows[1]))
    assert PLAN.differences(PLAN) == []
    assert PLAN.differences(changed) == [f"blocks.0.up.weight.lr_factor: {2 / 3} or 0.5"]


def test_a_plan_of_an_earlier_version_is_read() -> None:
    """It has no base shapes, no second epsilon and one optimizer for all parameters."""
    data = json.loads(PLAN.to_json())
    for row in data["rows"]:
        del row["base_shape"], row["optimizer"], row["eps2_factor"], row["multiplier_at"]
    plan = Plan.from_json(json.dumps(data))
    assert [row.base_shape for row in plan.rows] == [None, None]
    assert plan.rows == tuple(replace(row, base_shape=None) for row in PLAN.rows)
    assert "  base " not in explain(plan, "blocks.0.up.weight")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "the text is not a plan: JSONDecodeError"),
        ("[1]", "the text is not a plan: TypeError"),
        ('{"schema": 1}', "the text is not a plan: KeyError: 'rows'"),
        ('{"schema": 2}', "this plan has schema 2, but this version reads schema 1"),
    ],
)
def test_a_text_that_is_not_a_plan_is_an_error(text, what) -> None:
    with pytest.raises(CoverageError) as error:
        Plan.from_json(text)
    assert str(error.value).startswith(what)
    assert "\n  fix: " in str(error.value)


def test_a_parameter_that_the_plan_does_not_have_is_an_error_with_the_nearest_name() -> None:
    tied = ParameterFacts(
        "embed.weight", (11, 24), Role.INPUT, Fraction(1), Fraction(3, 2), facts().init,
        readouts=("head",), own_readout=ONE,
    )  # fmt: skip
    plan = plan_from_facts([facts("4.weight"), tied], base=16, target=24)
    fixes = {
        "4.weigh": "did you mean '4.weight'?",
        "module.4.Weight": "did you mean '4.weight'?",
        "head.weight": "write 'embed.weight', the same tensor",
        "_orig_mod.head.weight": "write 'embed.weight', the same tensor",
        "x": "choose from '4.weight', 'embed.weight'",
        "7": "choose from '4.weight', 'embed.weight'",
    }
    for name, fix in fixes.items():
        with pytest.raises(CoverageError) as error:
            plan[int(name) if name == "7" else name]
        assert str(error.value) == (
            f"the plan has no parameter '{name}'\n"
            "  why: a plan has the names of model.named_parameters(): one for a shared tensor\n"
            f"  fix: {fix}"
        )


def test_only_prefixes_of_wrappers_are_removed() -> None:
    """`strip('module.')` would turn 'module.decoder' into 'coder' (as in public code)."""
    assert unwrapped("module.decoder.weight") == "decoder.weight"
    assert unwrapped("_orig_mod.module.w") == "w"
    assert unwrapped("blocks.module.w") == "blocks.module.w"
    assert unwrapped("blocks.0._checkpoint_wrapped_module.up.weight") == "blocks.0.up.weight"
