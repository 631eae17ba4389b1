"""Tables of other papers: literals copied from them, and each other by the abc-symmetry."""

from fractions import Fraction

import pytest

from mutransfer.errors import RuleError
from mutransfer.rules import PARAMETRIZATIONS, Plan, Role, Update, explain, in_form
from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts
from mutransfer.rules.power import FAN_OUT, HALF, ONE, Ratios
from mutransfer.rules.registry import parametrization_named
from mutransfer.rules.tables import MFP, MUP, NTK, SP_FULL_ALIGN, UMUP

MATRICES = (Role.INPUT, Role.HIDDEN, Role.OUTPUT)
EVENLY = Ratios(fan_in=Fraction(16), fan_out=Fraction(16))  # 16^-1/2 is exact

# arXiv:2407.05872: multiplier n^-a, init std n^-b, Adam rate n^-c under full alignment, and the
# gradient n^-g, which epsilon must follow; embedding, hidden, readout.
H = 0.5
EXPONENTS = {
    "sp-full-align": ((0, 0, 0, H), (0, H, 1, H), (0, H, 1, 0)),
    "ntk": ((0, 0, 0, H), (H, 0, H, 1), (H, 0, H, H)),
    "mup": ((0, 0, 0, 1), (0, H, 1, 1), (1, 0, 0, 1)),
    "mfp": ((0, 0, 0, 1), (H, 0, H, 1.5), (1, 0, 0, 1)),
    # arXiv:2407.17465: as mean-field, but for the embedding's rate.
    "umup": ((0, 0, H, 1), (H, 0, H, 1.5), (1, 0, 0, 1)),
}


def at(cell, ratios: Ratios = EVENLY) -> float:
    """Give how a cell's factor goes with fan-in, as an exponent."""
    from math import log

    return round(log(cell.at(ratios), 16), 12)


@pytest.mark.parametrize("name", EXPONENTS)
@pytest.mark.parametrize("place", range(3), ids=MATRICES)
def test_exponents_are_the_published_ones(name, place) -> None:
    rule, (a, b, c, g) = PARAMETRIZATIONS[name].rules[MATRICES[place]], EXPONENTS[name][place]
    assert at(rule.multiplier) == -a
    assert at(rule.init_std) == -b
    assert at(rule.rates.entrywise) == -c
    assert at(rule.eps) == -g
    assert at(rule.rates.relative) == b - c


# Rates of SGD: Adam's step over the gradient, n^(g - c), by hand; SP's are those of NTK shifted.
SGD = {
    "sp-full-align": (0.5, -0.5, -1),
    "ntk": (0.5, 0.5, 0),
    "mfp": (1, 1, 1),
    "umup": (0.5, 1, 1),
}


@pytest.mark.parametrize("name", SGD)
def test_rates_of_sgd_take_the_step_that_adam_takes(name) -> None:
    found = [at(PARAMETRIZATIONS[name].rules[role].rates.gradient) for role in MATRICES]
    assert found == list(SGD[name])


@pytest.mark.parametrize(
    ("name", "ratios"),
    [
        ("sp-full-align", (1 / 16, 1 / 8, 1 / 2, 1 / 2, 1 / 4)),
        ("ntk", (1 / 4, 2, 2, 1 / 8, 1 / 4)),
        ("mfp", (1 / 4, 4, 2, 1 / 32, 1 / 4)),
        ("umup", (1 / 4, 4, 2, 1 / 32, 1 / 4)),
    ],
)
def test_sides_that_grow_unequally(name, ratios) -> None:
    """A hidden weight at r_in = 16, r_out = 4: Adam, SGD, Muon, epsilon, relative; by hand."""
    rule = PARAMETRIZATIONS[name].rules[Role.HIDDEN]
    cells = [rule.lr(u) for u in (Update.ENTRYWISE, Update.GRADIENT, Update.SPECTRAL)]
    cells += [rule.eps, rule.lr(Update.RELATIVE)]
    wide = Ratios(fan_in=Fraction(16), fan_out=Fraction(4))
    assert tuple(cell.at(wide) for cell in cells) == ratios


def test_equal_up_to_the_symmetry() -> None:
    """arXiv:2407.05872: {SP, NTK} and {µP, mean-field} are two classes, every column included."""
    plain = {t.name: in_form(t, "table-3").rules for t in (SP_FULL_ALIGN, NTK, MUP, MFP, UMUP)}
    assert plain["ntk"] == plain["sp-full-align"]
    assert plain["mfp"] == plain["mup"]
    assert plain["ntk"] != plain["mup"]


def test_umup_is_mup_but_for_the_embedding() -> None:
    umup, mup = in_form(UMUP, "table-3").rules, in_form(MUP, "table-3").rules
    assert [role for role in Role if umup[role] != mup[role]] == [Role.INPUT]
    assert umup[Role.INPUT].rates.entrywise == FAN_OUT**-HALF


@pytest.mark.parametrize("table", PARAMETRIZATIONS.values(), ids=lambda t: t.name)
def test_forms_go_there_and_back(table) -> None:
    plain = in_form(table, "table-3")
    assert all(rule.multiplier == ONE for rule in plain.rules.values())
    assert plain.form in ("table-3", "no multipliers")
    assert in_form(plain, "table-8") == in_form(plain, "published") == table
    assert in_form(table, table.form) == table


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_a_plan_of_every_table_survives_json_and_explains_itself(name, form) -> None:
    own = OwnInit(rms=0.1, error=0.01, exponent=Fraction(-1, 2), ratio=Fraction(3, 2))
    wide, one = Fraction(3, 2), Fraction(1)
    facts = [
        ParameterFacts("embedding", (96, 24), Role.INPUT, one, wide, own),
        ParameterFacts("gain", (24,), Role.VECTOR, one, wide, own),
        ParameterFacts("up", (96, 24), Role.HIDDEN, wide, wide, own),
        ParameterFacts("head", (96, 24), Role.OUTPUT, wide, one, own),
    ]
    plan = plan_from_facts(facts, base=16, target=24, parametrization=name, form=form)
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.form in explain(name)
    assert "(entrywise update)" in explain(plan, "head")
    at_base = [ParameterFacts(f.name, f.shape, f.role, one, one, own) for f in facts]
    for row in plan_from_facts(at_base, base=16, target=16, parametrization=name, form=form).rows:
        assert {row.lr_factor, row.eps_factor, row.decay_factor, row.multiplier} == {1.0}


@pytest.mark.parametrize(
    ("name", "scale"),
    [("mup", "(head width)^-1"), ("sp", "(head width)^-1/2"), ("none", "as it is")],
)
def test_the_attention_scale_is_told(name, scale) -> None:
    assert f"\nattention scale: {scale}\n" in explain(name)


def test_a_hybrid_spelled_otherwise_is_named() -> None:
    with pytest.raises(RuleError) as refused:
        parametrization_named("sp+embd+attn")
    assert str(refused.value) == (
        "there is no parametrization 'sp+embd+attn'\n"
        "  why: a wrong name would train with the wrong rates\n"
        "  fix: write 'sp+attn+embd'; `mutransfer rules` prints the tables"
    )
