"""The text of a check counts steps as its JSON does, and says what an outcome does not mean."""

from check_models import BASE, mlp

import mutransfer as mt
from mutransfer.coordcheck import CoordCheck, Finding
from mutransfer.coordcheck.diagnosis.diagnose import diagnose

SETTINGS = {
    "parametrization": None, "optimizer": "adamw", "widths": [32, 64, 128], "seeds": 3, "steps": 4,
    "lr": 0.01,
}  # fmt: skip
ROWS = {row.name: row for row in mt.make_plan(mlp, base=BASE, target=64).rows}
LATE = Finding(
    quantity="effect",
    name="2.weight",
    role="hidden",
    steps=(2, 4),
    expected=0.0,
    slope=0.9,
    low=0.8,
    high=1.0,
    outcome="fail",
    by_step=(0.0, 0.0, 0.9, 0.9, 0.9),
    tolerance=(0.25, 0.25),
)


def check(outcome: str, *findings: Finding) -> CoordCheck:
    diagnoses = diagnose(findings, {}, (32, 64), ROWS, None, is_own=True)
    return CoordCheck(outcome, findings, diagnoses, {"hidden": True}, (), SETTINGS)


def test_steps_in_the_text_count_from_0_as_in_json() -> None:
    late = check("fail", LATE)
    (diagnosis,) = late.to_json()["diagnoses"]
    assert diagnosis["since"] == 2
    assert diagnosis["text"] == (
        "the learning rate of hidden parameters is too large by width^+1, from step 2 on "
        "(2.weight): look at the rate of '2.weight'"
    )
    assert f"  rate: {diagnosis['text']}" in str(late).splitlines()


def test_neither_a_pass_nor_a_fail_is_a_promise_about_transfer() -> None:
    assert str(check("pass")).splitlines()[1] == (
        "  the scaling rules hold at these widths; this does not guarantee that the best learning "
        "rate transfers"
    )
    assert str(check("fail", LATE)).splitlines()[1] == (
        "  a scaling rule is violated; this need not mean that nothing transfers (arXiv:2610.01172)"
    )
