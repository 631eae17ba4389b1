"""Targets of predictions: every scale has one positive value."""

import pytest

from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.prediction.target import target_values
from mutransfer.errors import ResultsError

AXES = AxisNames("params", "lr", ("tokens",))


def test_the_width_is_the_value_of_the_first_scale() -> None:
    assert target_values(AXES, 7e9, {"tokens": 1e11}) == {"params": 7e9, "tokens": 1e11}
    reversed_order = {"tokens": 1e11, "params": 7e9}
    assert list(target_values(AXES, None, reversed_order)) == ["params", "tokens"]
    assert target_values(AxisNames("width", "lr"), 512, None) == {"width": 512.0}


@pytest.mark.parametrize(
    ("at", "problem", "fix"),
    [
        ({"params": 7e9}, "the target has no 'tokens'", "--at params=VALUE,tokens=VALUE"),
        ({"params": 7e9, "tokens": 0.0}, "the target tokens is 0", "give a positive tokens"),
        (
            {"params": 7e9, "tokens": 1e11, "batch": 512.0},
            "the target names 'batch', which is not a scale",
            "--scale params,tokens,batch",
        ),
    ],
)
def test_what_is_missing_is_named(at: dict[str, float], problem: str, fix: str) -> None:
    with pytest.raises(ResultsError, match=problem) as raised:
        target_values(AXES, None, at)
    assert fix in raised.value.fix
