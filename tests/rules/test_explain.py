"""What is printed is true: arithmetic that holds, names that stand for just those parameters."""

import itertools
import json
import re
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest

from mutransfer.errors import RuleError
from mutransfer.rules import OPTIMIZERS, PARAMETRIZATIONS, Role, derivation, explain, rule_data
from mutransfer.rules.explanation.patterns import folded
from mutransfer.rules.plan import OwnInit, ParameterFacts, Plan, plan_from_facts
from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE
from mutransfer.rules.roles import REASONS, TOLD

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def fact(name: str, role: Role, r_in, r_out, shape, base, own: int = 0, **more) -> ParameterFacts:
    exponent = Fraction(own, 2)
    ratio = Fraction(r_in if r_in != 1 else r_out)
    init = OwnInit(0.1, 0.01, exponent, ratio)
    ratios = Fraction(r_in), Fraction(r_out)
    return ParameterFacts(name, shape, role, *ratios, init, base_shape=base, **more)


FACTS = [
    fact("embed", Role.INPUT, 1, 4, (11, 64), (11, 16)),
    fact("blocks.0.gain", Role.VECTOR, 1, 4, (64,), (16,)),
    fact("blocks.0.up", Role.HIDDEN, 4, Fraction(9, 2), (72, 64), (16, 16), own=-1),
    fact("blocks.0.router", Role.BOTTLENECK, 4, 1, (8, 64), (8, 16), reason=TOLD),
    fact("blocks.1.gain", Role.VECTOR, 1, 4, (64,), (16,)),
    fact("blocks.1.up", Role.HIDDEN, 4, 4, (64, 64), (16, 16)),
    fact("scaled", Role.HIDDEN, 4, 4, (64, 64), (16, 16), own_multiplier=FAN_IN**-HALF),
    fact("head", Role.OUTPUT, 4, 1, (11, 64), (11, 16), own=-1),
    fact("head.bias", Role.FIXED, 1, 1, (11,), (11,)),
]


def planned(parametrization: str = "mup", optimizer: str = "adamw", form: str = "table-3") -> Plan:
    settings = {"parametrization": parametrization, "optimizer": optimizer, "form": form}
    return plan_from_facts(FACTS, base=16, target=64, **settings)


def worked_out(arithmetic: str) -> float:
    """Let Python work a printed product out."""
    factor = r"(\([\d/]+\)|[\d./]+)\^(-?\d+(?:/\d+)?)"
    text = re.sub(factor, r"((\1)**(\2))", arithmetic.replace("·", "*"))
    return float(eval(text, {"min": min}))


def printed(steps: str) -> list[float]:
    """Work out every side of the printed equations, but for the cell in letters."""
    equation = steps.partition(";")[0]
    sides = [side for side in equation.split(" = ") if "fan" not in side]
    return [worked_out(side.removeprefix("the rule is ")) for side in sides]


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_the_printed_arithmetic_gives_the_row(name, optimizer, form) -> None:
    plan = planned(name, optimizer, form)
    for row in plan.rows:
        found = derivation(plan, row.name)
        assert found.lr.value == row.lr_factor
        by_library = re.search(r"; over (\S+), torch", found.lr.steps)
        over = float(by_library[1]) if by_library else 1.0
        rates = [rate / over for rate in printed(found.lr.steps)]
        assert rates == pytest.approx([row.lr_factor] * len(rates), rel=1e-5)
        assert rates
        if found.eps is not None:
            assert printed(found.eps.steps)[-1] == pytest.approx(row.eps_factor, rel=1e-5)
        assert printed(found.multiplier.steps)[0] == pytest.approx(row.multiplier, rel=1e-5)
        kept = found.decay["constant-product"]
        assert printed(kept.steps)[0] == pytest.approx(row.decay_factor, rel=1e-5)
        if "independent" in found.decay:
            assert found.decay["independent"].value * row.lr_factor == pytest.approx(1)


@pytest.mark.parametrize("name", [name for name in PARAMETRIZATIONS if name != "none"])
def test_what_the_authors_init_lacks_is_a_printed_quotient(name) -> None:
    plan = planned(name)
    for row in plan.rows:
        steps = derivation(plan, row.name).init.steps
        quotient = re.search(r"; (\S+ / \S+) is missing", steps)
        shown = worked_out(quotient[1]) if quotient else printed(steps)[-1]
        assert shown == pytest.approx(row.init_factor, rel=1e-5)
        own = re.search(r"scales as (\S+) = (\S+);", steps)
        if own is not None:
            assert worked_out(own[1]) == pytest.approx(float(own[2]), rel=1e-5)


def test_one_parameter_is_derived_from_shapes_to_numbers() -> None:
    assert explain(planned(), "module.blocks.0.up").splitlines()[:-2] == [
        "blocks.0.up",
        f"  role      hidden: {REASONS[Role.HIDDEN]}",
        "  base      (16, 16) at width 16",
        "  target    (72, 64) at width 64",
        "  axis 0    16 -> 72: fan-out",
        "  axis 1    16 -> 64: fan-in",
        "  optimizer adamw",
        "  ratios    fan_in = 4, fan_out = 9/2",
        "  init x    1: fan_in^-1/2 = 4^-1/2 = 0.5; your own init scales as 4^-1/2 = 0.5; "
        "0.5 / 0.5 is missing",
        "  lr x      0.25: fan_in^-1 = 4^-1 = 0.25 (entrywise update)",
        "  eps x     0.222222: min(fan_out^-1, fan_in^-1/2 fan_out^-1/2) = "
        "min((9/2)^-1, 4^-1/2 · (9/2)^-1/2) = 0.222222",
        "  decay x   4: fan_in = 4 (constant-product)",
        "  decay x   1: taken literally (coupled)",
        "  decay x   4: 4 over your rate: a step removes decay · schedule (independent)",
        "  input x   1: nothing is installed",
    ]


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("power", [ONE, FAN_OUT**HALF])
def test_a_tied_table_says_where_its_multiplier_is(power, form) -> None:
    """With √width on the embedding, as in Gemma, the rule beside it is shifted."""
    tied = {"readouts": ("head",), "own_multiplier": power, "own_readout": FAN_OUT**-HALF}
    table = fact("embed", Role.INPUT, 1, 4, (11, 64), (11, 16), **tied)
    plan = plan_from_facts([table], base=16, target=64, form=form)
    found, row = derivation(plan, "embed"), plan["embed"]
    over = re.search(r"; over (\S+), your own", found.multiplier.steps)
    shown = printed(found.multiplier.steps)[-1] / float(over[1])
    assert shown == row.multiplier == (0.5 if power == ONE else 1.0)
    assert printed(found.lr.steps)[-1] == row.lr_factor == (1.0 if power == ONE else 0.5)
    assert printed(found.eps.steps)[-1] == row.eps_factor
    assert found.own_multiplier.value == (1.0 if power == ONE else 2.0)
    text = explain(plan, "embed")
    assert (
        "  own x     2: your forward pass, or attention, multiplies it by fan_out^1/2" in text
    ) is (power != ONE)
    assert ("; at 'head'\n" in text) is (power == ONE)


def test_a_plan_is_a_line_per_set_of_numbers_and_says_why_where_a_role_is_unusual() -> None:
    lines = explain(planned()).splitlines()
    assert lines[0] == (
        "mup (table-3) for adamw: base width 16, target 64, width multiplier 4; "
        "9 tensors, 7 parameter groups"
    )
    assert [" ".join(line.split()) for line in lines[2:11]] == [
        "n role r_in r_out init x lr x eps x decay x parameters",
        "1 input 1 4 1 1 0.25 1 embed",
        "2 vector 1 4 1 1 0.25 1 blocks.*.gain",
        "1 hidden 4 9/2 1 0.25 0.222222 4 blocks.0.up",
        "1 bottleneck, told 4 1 0.5 0.25 0.5 4 blocks.0.router",
        "1 hidden 4 4 0.5 0.25 0.25 4 blocks.1.up",
        "1 hidden 4 4 1 0.5 0.125 2 scaled",
        "1 output 4 1 0.5 0.25 1 4 head",
        "1 fixed 1 1 1 1 1 1 head.bias",
    ]
    assert lines[12:14] == [
        "bottleneck, told  as told by roles=: blocks.0.router",
        "hidden            your forward pass, or attention, multiplies it by ratio^-1/2: scaled",
    ]
    assert "eps x" not in explain(planned(optimizer="lion"))


def test_a_plan_of_a_thousand_names_fits_a_terminal() -> None:
    names = [f"layers.{k}.{part}.weight" for k in range(500) for part in ("query", "key_value")]
    rows = [fact(name, Role.HIDDEN, 4, 4, (64, 64), (16, 16)) for name in names]
    rows += [fact(f"{chr(97 + k) * 20}.w", Role.VECTOR, 1, 4, (64,), (16,)) for k in range(26)]
    text = explain(plan_from_facts(rows, base=16, target=64), width=80)
    assert len(text.splitlines()) < 50
    assert "layers.*.{query,key_value}.weight" in text


def spelled_out(pattern: str, every: list[str]) -> set[str]:
    """Read a pattern as a person does."""
    parts = []
    for part in re.findall(r"\{[^}]*\}|[^.{]+", pattern):
        choices = []
        for choice in part.strip("{}").split(","):
            first, dots, last = choice.partition("..")
            numbers = range(int(first), int(last) + 1) if dots else []
            choices += map(str, numbers) if dots else [choice]
        parts.append(choices)
    found = set()
    for choice in itertools.product(*parts):
        matcher = re.escape(".".join(choice)).replace(r"\*", r"\d+")
        found |= {name for name in every if re.fullmatch(matcher, name)}
    return found


@pytest.mark.parametrize("modulus", [1, 2, 3, 5])
def test_patterns_stand_for_just_the_names_that_are_meant(modulus) -> None:
    every = [f"blocks.{k}.{p}.{w}" for k in range(6) for p in "qkv" for w in ("weight", "bias")]
    every += [f"experts.{k}.{j}.w" for k in range(3) for j in range(6)] + ["w.0", "w.1", "norm"]
    for remainder in range(modulus):
        names = [name for k, name in enumerate(every) if k % modulus == remainder]
        patterns = folded(names, every)
        assert set().union(*(spelled_out(pattern, every) for pattern in patterns)) == set(names)
        assert len(patterns) <= len(names)


def test_an_argument_of_the_other_subject_is_refused() -> None:
    with pytest.raises(RuleError) as refused:
        explain("mup", "head")
    assert str(refused.value) == (
        "'mup' is a parametrization's table, which has no parameter 'head'\n"
        "  why: factors are derived from the shapes of a model, which only a plan has\n"
        "  fix: explain(plan, 'head'), or explain('mup', optimizer='adamw')"
    )
    with pytest.raises(RuleError) as refused:
        explain(planned(), optimizer="sgd")
    assert str(refused.value) == (
        "optimizer='sgd' was given with a plan, which is for adamw\n"
        "  why: a plan holds the numbers of one optimizer\n"
        "  fix: make_plan(..., optimizer='sgd')"
    )


@pytest.mark.parametrize("optimizer", [None, *OPTIMIZERS])
@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_a_table_as_data_has_the_cells_that_are_printed(name, optimizer) -> None:
    data = json.loads(json.dumps(rule_data(name, optimizer=optimizer)))
    text = explain(name, optimizer=optimizer)
    assert all(source in text for source in data["source"])
    for form, roles in data["forms"].items():
        assert f"form: {form}\n" in text
        for role, cells in roles.items():
            row = f"{role} {' '.join(cell or '-' for cell in cells.values())}"
            assert row in {" ".join(line.split()) for line in text.splitlines()}
            assert Role(role)
            assert cells.keys() >= {"multiplier", "init_std"}


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "adafactor", "muon", "sgd"])
def test_plans_and_derivations_are_as_their_schemas_say(optimizer) -> None:
    plan = planned(optimizer=optimizer)
    data = {"plan": [json.loads(plan.to_json())]}
    data["derivation"] = [
        json.loads(json.dumps(derivation(plan, row.name).to_data(), allow_nan=False))
        for row in plan.rows
    ]
    for name, documents in data.items():
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
        for document in documents:
            jsonschema.validate(document, schema)
            assert document.keys() == schema["properties"].keys()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data["plan"][0], "base": "16"}, schema)
