"""Explanations: the arithmetic holds, and abbreviated names cover exactly the parameters meant."""

import itertools
import json
import re
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest

from mutransfer.errors import RuleError
from mutransfer.rules import OPTIMIZERS, PARAMETRIZATIONS, Role, derivation, explain, rule_data
from mutransfer.rules.formatting.names import abbreviate
from mutransfer.rules.plan import OwnInit, ParameterFacts, Plan, plan_from_facts
from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE
from mutransfer.rules.roles import REASONS, ROLE_OVERRIDE

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
    fact("blocks.0.router", Role.BOTTLENECK, 4, 1, (8, 64), (8, 16), reason=ROLE_OVERRIDE),
    fact("blocks.1.gain", Role.VECTOR, 1, 4, (64,), (16,)),
    fact("blocks.1.up", Role.HIDDEN, 4, 4, (64, 64), (16, 16)),
    fact("scaled", Role.HIDDEN, 4, 4, (64, 64), (16, 16), own_multiplier=FAN_IN**-HALF),
    fact("head", Role.OUTPUT, 4, 1, (11, 64), (11, 16), own=-1),
    fact("head.bias", Role.FIXED, 1, 1, (11,), (11,)),
]


def plan_of(parametrization: str = "mup", optimizer: str = "adamw", form: str = "table-3") -> Plan:
    settings = {"parametrization": parametrization, "optimizer": optimizer, "form": form}
    return plan_from_facts(FACTS, base=16, target=64, **settings)


def evaluate(arithmetic: str) -> float:
    """Evaluate a printed product with Python."""
    factor = r"(\([\d/]+\)|[\d./]+)\^(-?\d+(?:/\d+)?)"
    text = re.sub(factor, r"((\1)**(\2))", arithmetic.replace("·", "*"))
    return float(eval(text, {"min": min}))


def evaluate_sides(steps: str) -> list[float]:
    """Evaluate every side of the printed equations, except for the cell in letters."""
    equation = steps.partition(";")[0]
    sides = [side for side in equation.split(" = ") if "fan" not in side]
    return [evaluate(side.removeprefix("the rule is ")) for side in sides]


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_the_printed_arithmetic_gives_the_row(name, optimizer, form) -> None:
    plan = plan_of(name, optimizer, form)
    for row in plan.rows:
        result = derivation(plan, row.name)
        assert result.lr.value == row.lr_factor
        library = re.search(r"; divided by (\S+), torch", result.lr.steps)
        divisor = float(library[1]) if library else 1.0
        rates = [rate / divisor for rate in evaluate_sides(result.lr.steps)]
        assert rates == pytest.approx([row.lr_factor] * len(rates), rel=1e-5)
        assert rates
        if result.eps is not None:
            assert evaluate_sides(result.eps.steps)[-1] == pytest.approx(row.eps_factor, rel=1e-5)
        assert evaluate_sides(result.multiplier.steps)[0] == pytest.approx(row.multiplier, rel=1e-5)
        decay = result.decay["constant-product"]
        assert evaluate_sides(decay.steps)[0] == pytest.approx(row.decay_factor, rel=1e-5)
        if "independent" in result.decay:
            assert result.decay["independent"].value * row.lr_factor == pytest.approx(1)


@pytest.mark.parametrize("name", [name for name in PARAMETRIZATIONS if name != "none"])
def test_the_missing_part_of_the_init_is_printed_as_a_quotient(name) -> None:
    plan = plan_of(name)
    for row in plan.rows:
        steps = derivation(plan, row.name).init.steps
        quotient = re.search(r", so (\S+ / \S+) is missing", steps)
        shown = evaluate(quotient[1]) if quotient else evaluate_sides(steps)[-1]
        assert shown == pytest.approx(row.init_factor, rel=1e-5)
        own = re.search(r"scales as (\S+) = (\S+),", steps)
        if own is not None:
            assert evaluate(own[1]) == pytest.approx(float(own[2]), rel=1e-5)


def test_one_parameter_is_derived_from_shapes_to_numbers() -> None:
    assert explain(plan_of(), "module.blocks.0.up").splitlines()[:-2] == [
        "blocks.0.up",
        f"  role      hidden: {REASONS[Role.HIDDEN]}",
        "  base      (16, 16) at width 16",
        "  target    (72, 64) at width 64",
        "  axis 0    16 -> 72: fan-out",
        "  axis 1    16 -> 64: fan-in",
        "  optimizer adamw",
        "  ratios    fan_in = 4, fan_out = 9/2",
        "  init x    1: fan_in^-1/2 = 4^-1/2 = 0.5; your own init scales as 4^-1/2 = 0.5, "
        "so 0.5 / 0.5 is missing",
        "  lr x      0.25: fan_in^-1 = 4^-1 = 0.25 (entrywise update)",
        "  eps x     0.222222: min(fan_out^-1, fan_in^-1/2 fan_out^-1/2) = "
        "min((9/2)^-1, 4^-1/2 · (9/2)^-1/2) = 0.222222",
        "  decay x   4: fan_in = 4 (constant-product)",
        "  decay x   1: the same coefficient in every group (coupled)",
        "  decay x   4: 4 over your rate, so that a step removes decay · schedule (independent)",
        "  forward x 1: nothing is installed",
    ]


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("power", [ONE, FAN_OUT**HALF])
def test_a_tied_table_shows_where_its_multiplier_is_installed(power, form) -> None:
    """With √width on the embedding, as in Gemma, the rest of the rule is shifted."""
    tied = {"readouts": ("head",), "own_multiplier": power, "own_readout": FAN_OUT**-HALF}
    table = fact("embed", Role.INPUT, 1, 4, (11, 64), (11, 16), **tied)
    plan = plan_from_facts([table], base=16, target=64, form=form)
    result, row = derivation(plan, "embed"), plan["embed"]
    divisor = re.search(r"; divided by (\S+), your own", result.multiplier.steps)
    shown = evaluate_sides(result.multiplier.steps)[-1] / float(divisor[1])
    assert shown == row.multiplier == (0.5 if power == ONE else 1.0)
    assert evaluate_sides(result.lr.steps)[-1] == row.lr_factor == (1.0 if power == ONE else 0.5)
    assert evaluate_sides(result.eps.steps)[-1] == row.eps_factor
    assert result.own_multiplier.value == (1.0 if power == ONE else 2.0)
    text = explain(plan, "embed")
    assert (
        "  own x     2: your forward pass, or attention, multiplies it by fan_out^1/2" in text
    ) is (power != ONE)
    assert ("; at 'head'\n" in text) is (power == ONE)


def test_the_title_of_a_plan_counts_in_the_singular() -> None:
    facts = [fact("head", Role.OUTPUT, 4, 1, (10, 64), (10, 16))]
    title = explain(plan_from_facts(facts, base=16, target=64)).splitlines()[0]
    assert title == (
        "mup (table-3) for adamw: base width 16, target 64, width multiplier 4; "
        "1 tensor, 1 parameter group"
    )


def test_a_plan_has_a_line_per_set_of_factors_and_explains_unusual_roles() -> None:
    lines = explain(plan_of()).splitlines()
    assert lines[0] == (
        "mup (table-3) for adamw: base width 16, target 64, width multiplier 4; "
        "9 tensors, 7 parameter groups"
    )
    assert [" ".join(line.split()) for line in lines[2:11]] == [
        "n role r_in r_out init x lr x eps x decay x parameters",
        "1 input 1 4 1 1 0.25 1 embed",
        "2 vector 1 4 1 1 0.25 1 blocks.*.gain",
        "1 hidden 4 9/2 1 0.25 0.222222 4 blocks.0.up",
        "1 bottleneck (set) 4 1 0.5 0.25 0.5 4 blocks.0.router",
        "1 hidden 4 4 0.5 0.25 0.25 4 blocks.1.up",
        "1 hidden 4 4 1 0.5 0.125 2 scaled",
        "1 output 4 1 0.5 0.25 1 4 head",
        "1 fixed 1 1 1 1 1 1 head.bias",
    ]
    assert lines[12:14] == [
        "bottleneck (set)  set by roles=: blocks.0.router",
        "hidden            your forward pass, or attention, multiplies it by ratio^-1/2: scaled",
    ]
    assert "eps x" not in explain(plan_of(optimizer="lion"))


def test_a_plan_of_a_thousand_names_fits_a_terminal() -> None:
    names = [f"layers.{k}.{part}.weight" for k in range(500) for part in ("query", "key_value")]
    rows = [fact(name, Role.HIDDEN, 4, 4, (64, 64), (16, 16)) for name in names]
    rows += [fact(f"{chr(97 + k) * 20}.w", Role.VECTOR, 1, 4, (64,), (16,)) for k in range(26)]
    text = explain(plan_from_facts(rows, base=16, target=64), width=80)
    assert len(text.splitlines()) < 50
    assert "layers.*.{query,key_value}.weight" in text


def expand(pattern: str, every: list[str]) -> set[str]:
    """Return the names that a pattern covers, as a person would read it."""
    parts = []
    for part in re.findall(r"\{[^}]*\}|[^.{]+", pattern):
        choices = []
        for choice in part.strip("{}").split(","):
            first, dots, last = choice.partition("..")
            numbers = range(int(first), int(last) + 1) if dots else []
            choices += map(str, numbers) if dots else [choice]
        parts.append(choices)
    covered = set()
    for choice in itertools.product(*parts):
        matcher = re.escape(".".join(choice)).replace(r"\*", r"\d+")
        covered |= {name for name in every if re.fullmatch(matcher, name)}
    return covered


@pytest.mark.parametrize("modulus", [1, 2, 3, 5])
def test_abbreviations_cover_exactly_the_names_given(modulus) -> None:
    every = [f"blocks.{k}.{p}.{w}" for k in range(6) for p in "qkv" for w in ("weight", "bias")]
    every += [f"experts.{k}.{j}.w" for k in range(3) for j in range(6)] + ["w.0", "w.1", "norm"]
    for remainder in range(modulus):
        names = [name for k, name in enumerate(every) if k % modulus == remainder]
        patterns = abbreviate(names, every)
        assert set().union(*(expand(pattern, every) for pattern in patterns)) == set(names)
        assert len(patterns) <= len(names)


def test_an_argument_that_does_not_apply_to_the_subject_is_an_error() -> None:
    with pytest.raises(RuleError) as error:
        explain("mup", "head")
    assert str(error.value) == (
        "'mup' is the table of a parametrization, which has no parameter 'head'\n"
        "  why: factors are derived from the shapes of a model, which only a plan has\n"
        "  fix: explain(plan, 'head'), or explain('mup', optimizer='adamw')"
    )
    with pytest.raises(RuleError) as error:
        explain(plan_of(), optimizer="sgd")
    assert str(error.value) == (
        "optimizer='sgd' was passed with a plan, which is for adamw\n"
        "  why: a plan holds the factors of one optimizer\n"
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
def test_plans_and_derivations_match_their_schemas(optimizer) -> None:
    plan = plan_of(optimizer=optimizer)
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
