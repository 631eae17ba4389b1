"""Trial ids: twenty golden ones, and the changes that must and must not alter an id."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from mutransfer.errors import StoreError
from mutransfer.records import (
    CallableRunner,
    CommandRunner,
    LabRunner,
    LabTable,
    TrialResult,
    TrialSpec,
)
from mutransfer.records.expressions import derive
from mutransfer.sweep import lab_runner

GOLDEN = Path(__file__).parent / "golden_ids.json"


def twenty_trials() -> list[TrialSpec]:
    """Return trials of all kinds; never edit one, only add."""
    lab = LabRunner(numerics=1, data="ab" * 32, settings={"base_width": 32, "steps": 100})
    derived = LabRunner(numerics=1, data="ab" * 32, derived={"warmup": "steps // 10"})
    command = CommandRunner(command="{python} train.py --lr={lr}", derived={"heads": "width // 64"})
    points = [
        {"width": 32, "lr": 0.5},
        {"width": 64.0, "lr": 2**-10},
        {"width": 64, "lr": 1e-3, "parametrization": "mup"},
        {"width": 128, "lr": 3.0517578125e-05, "seed": 1, "flag": True},
        {"width": 128, "lr": 1e-7, "name": 'µ "quoted" \\ /'},
    ]
    runners = [lab, derived, command, CallableRunner(name="my.module:train")]
    return [TrialSpec(runner=runner, axes=axes) for runner in runners for axes in points]


def test_twenty_ids_never_change() -> None:
    """An upgrade that changed one would make every finished trial run again."""
    assert [trial.id for trial in twenty_trials()] == json.loads(GOLDEN.read_text())


def test_equal_numbers_give_one_id_and_unequal_numbers_different_ids() -> None:
    runner = CommandRunner(command="x {lr}")

    def id_of(value: object) -> str:
        return TrialSpec(runner=runner, axes={"lr": value}).id

    assert id_of(1) == id_of(1.0)
    assert id_of(0.0) == id_of(-0.0)
    assert len({id_of(v) for v in (1, True, "1", 1 + 2**-52)}) == 4
    with pytest.raises(ValidationError):
        id_of(float("nan"))


def test_a_setting_at_its_default_is_not_part_of_the_id() -> None:
    """A setting that a later version adds then does not change the ids of old trials."""
    plain = LabTable.model_validate({"base_width": 32})
    explicit = LabTable.model_validate({"base_width": 32, "clip": 1.0, "device": "cuda"})
    changed = LabTable.model_validate({"base_width": 32, "clip": 2.0})
    runners = [lab_runner(t, numerics=1, data="0", derived={}) for t in (plain, explicit, changed)]
    ids = [TrialSpec(runner=r, axes={"lr": 1, "width": 64}).id for r in runners]
    assert ids[0] == ids[1] != ids[2]


def test_a_result_survives_json_and_rejects_unknown_keys() -> None:
    spec = twenty_trials()[3]
    result = TrialResult(
        id=spec.id,
        spec=spec,
        loss=None,
        diverged_at=7,
        curve=((1, 5.5),),
        seconds=1.5,
        finished="now",
    )
    data = json.loads(result.model_dump_json())
    assert TrialResult.read(data, error=StoreError, where="r") == result
    with pytest.raises(StoreError) as error:
        TrialResult.read({**data, "los": 1.0}, error=StoreError, where="r")
    assert str(error.value) == (
        "r: unknown key 'los'\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: los: did you mean 'loss'?"
    )


def test_derived_values_are_arithmetic_over_axes() -> None:
    axes = {"width": 256, "lr": 0.5}
    values = derive({"heads": "width // 64", "low": "-lr ** 2 / heads"}, axes)
    assert values == {"heads": 4, "low": -0.0625}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("__import__('os').system('true')", "has more than + - * / // ** over names and numbers"),
        ("width if lr else 1", "has more than"),
        ("'a' * 9", "has more than"),
        ("width +", "is not arithmetic"),
        ("9 ** 9 ** 9 ** 9", "a power exceeds the range of 2^63"),
        ("(-8) ** 0.5", "the root of a negative number is not real"),
        ("1 / (width - 256)", "division by zero"),
        ("depth * 2", "'depth' is not a numeric axis"),
        ("1" * 300, "an expression has at most 200 characters"),
        ("-" * 199 + "1" + "(", "at most 200 characters"),
    ],
)
def test_other_expressions_are_errors_and_nothing_is_executed(expression, problem) -> None:
    with pytest.raises(ValueError, match="value") as error:
        derive({"value": expression}, {"width": 256, "lr": 0.5})
    assert problem in str(error.value)
