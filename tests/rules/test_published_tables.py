"""Tables of other papers against the printed values, and against each other by symmetry."""

from fractions import Fraction
from math import log

import pytest

from mutransfer.errors import RuleError
from mutransfer.rules import PARAMETRIZATIONS, Plan, Role, Update, explain, in_form
from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts
from mutransfer.rules.power import FAN_OUT, HALF, ONE, Ratios
from mutransfer.rules.registry import get_parametrization
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
    """Return the exponent of fan-in in a cell."""
    return round(log(cell.at(ratios), 16), 12)


@pytest.mark.parametrize("name", EXPONENTS)
@pytest.mark.parametrize("position", range(3), ids=MATRICES)
def test_exponents_are_the_published_ones(name, position) -> None:
    rule, (a, b, c, g) = PARAMETRIZATIONS[name].rules[MATRICES[position]], EXPONENTS[name][position]
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
def test_sgd_takes_steps_of_the_same_size_as_adam(name) -> None:
    rates = [at(PARAMETRIZATIONS[name].rules[role].rates.gradient) for role in MATRICES]
    assert rates == list(SGD[name])


@pytest.mark.parametrize(
    ("name", "ratios"),
    [
        ("sp-full-align", (1 / 16, 1 / 8, 1 / 2, 1 / 2, 1 / 4)),
        ("ntk", (1 / 4, 2, 2, 1 / 8, 1 / 4)),
        ("mfp", (1 / 4, 4, 2, 1 / 32, 1 / 4)),
        ("umup", (1 / 4, 4, 2, 1 / 32, 1 / 4)),
    ],
)
def test_cells_where_fan_in_and_fan_out_grow_unequally(name, ratios) -> None:
    """A hidden weight at r_in = 16, r_out = 4: Adam, SGD, Muon, epsilon, relative; by hand."""
    rule = PARAMETRIZATIONS[name].rules[Role.HIDDEN]
    cells = [rule.lr(u) for u in (Update.ENTRYWISE, Update.GRADIENT, Update.SPECTRAL)]
    cells += [rule.eps, rule.lr(Update.RELATIVE)]
    wide = Ratios(fan_in=Fraction(16), fan_out=Fraction(4))
    assert tuple(cell.at(wide) for cell in cells) == ratios


def test_ntk_equals_sp_and_mean_field_equals_mup_by_the_symmetry() -> None:
    """arXiv:2407.05872: {SP, NTK} and {µP, mean-field} are two classes, every column included."""
    plain = {t.name: in_form(t, "table-3").rules for t in (SP_FULL_ALIGN, NTK, MUP, MFP, UMUP)}
    assert plain["ntk"] == plain["sp-full-align"]
    assert plain["mfp"] == plain["mup"]
    assert plain["ntk"] != plain["mup"]


def test_umup_differs_from_mup_in_the_embedding_only() -> None:
    umup, mup = in_form(UMUP, "table-3").rules, in_form(MUP, "table-3").rules
    assert [role for role in Role if umup[role] != mup[role]] == [Role.INPUT]
    assert umup[Role.INPUT].rates.entrywise == FAN_OUT**-HALF


@pytest.mark.parametrize("table", PARAMETRIZATIONS.values(), ids=lambda t: t.name)
def test_converting_between_forms_and_back_changes_nothing(table) -> None:
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
def test_the_attention_scale_is_printed(name, scale) -> None:
    assert f"\nattention scale: {scale}\n" in explain(name)


def test_a_hybrid_with_reordered_switches_is_an_error_with_its_registered_name() -> None:
    with pytest.raises(RuleError) as error:
        get_parametrization("sp+embd+attn")
    assert str(error.value) == (
        "there is no parametrization 'sp+embd+attn'\n"
        "  why: every parametrization has its own learning rates\n"
        "  fix: write 'sp+attn+embd' (`mutransfer rules` lists the names)"
    )
