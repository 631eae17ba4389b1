"""Factors under Muon, worked out by hand from shapes."""

from fractions import Fraction

import pytest

from mutransfer.rules import PARAMETRIZATIONS, Plan, Role, explain
from mutransfer.rules.muon import eps_cell
from mutransfer.rules.optimizers import OPTIMIZERS
from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts
from mutransfer.rules.power import FAN_IN, Ratios
from mutransfer.rules.symmetry import shift
from mutransfer.rules.tables import MUP

OWN = OwnInit(rms=0.1, error=0.01, exponent=Fraction(-1, 2), ratio=Fraction(4))
MUONS = ("muon", "muon-match-rms")


def fact(shape, r_in, r_out, role=Role.HIDDEN, *, is_transposed=False) -> ParameterFacts:
    ratios = Fraction(r_in), Fraction(r_out)
    return ParameterFacts("w", shape, role, *ratios, OWN, is_transposed=is_transposed)


def rate(name: str, facts: ParameterFacts, parametrization: str = "mup", form: str = "table-3"):
    (row,) = plan_from_facts(
        [facts], base=16, target=64, optimizer=name, parametrization=parametrization, form=form
    ).rows
    assert row.decay_factor == pytest.approx(1 / row.lr_factor)
    return row.lr_factor


@pytest.mark.parametrize(
    ("facts", "original", "match_rms"),
    [
        # Shape at the target; rule sqrt(r_out / r_in); torch's factor, target over base.
        (fact((64, 64), 4, 4), 1, 1 / 2),  # 1; 1; sqrt(64 / 16)
        (fact((192, 64), 4, 4), 1, 1 / 2),  # a fused QKV is one matrix: sqrt(3 / 3); sqrt(192 / 48)
        (fact((64, 256), 4, 4), 1, 1 / 2),
        (fact((8, 64), 4, 1, Role.BOTTLENECK), 1 / 2, 1 / 4),  # 1/2; 1; sqrt(64 / 16)
        (fact((256, 64), 4, 16), 1, 1 / 2),  # base (16, 16); rule 2; sqrt(4); sqrt(256 / 16)
        (fact((64, 256), 16, 4), 1 / 2, 1 / 8),  # the other way round: rule 1/2; 1; 4
        (fact((256, 64), 16, 4, is_transposed=True), 1 / 4, 1 / 8),  # rule 1/2; sqrt(4); 4
    ],
)
def test_the_librarys_own_factor_is_divided_out_of_the_spectral_rate(facts, original, match_rms):
    assert rate("muon", facts) == pytest.approx(original)
    assert rate("muon-match-rms", facts) == pytest.approx(match_rms)


@pytest.mark.parametrize("name", MUONS)
def test_under_sp_and_none_the_users_rate_is_passed_on_unchanged(name) -> None:
    """One rate at every width is what SP means, whatever the library makes of it."""
    facts = fact((256, 64), 4, 16)
    assert rate(name, facts, "sp") == rate(name, facts, "none") == 1


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("name", PARAMETRIZATIONS)
@pytest.mark.parametrize("optimizer", ["adafactor", *MUONS])
def test_plans_of_every_table_survive_json_and_are_one_at_the_base(optimizer, name, form) -> None:
    shapes = {Role.INPUT: (1, 4), Role.HIDDEN: (4, 4), Role.OUTPUT: (4, 1), Role.VECTOR: (1, 4)}
    facts = [
        ParameterFacts(
            role, (64,) if role is Role.VECTOR else (64, 64), role, *map(Fraction, r), OWN
        )
        for role, r in shapes.items()
    ]
    options = {"parametrization": name, "form": form, "optimizer": optimizer}
    plan = plan_from_facts(facts, base=16, target=64, **options)
    assert Plan.from_json(plan.to_json()) == plan
    muon = {row.name for row in plan.rows if row.optimizer in MUONS}
    assert muon == ({"hidden"} if optimizer in MUONS else set())
    update = "spectral" if muon else "relative"
    assert f"({update} update)" in explain(plan, "hidden")
    assert explain(name, optimizer=optimizer).count(f"lr ({optimizer})") >= 1
    one = Fraction(1)
    at_base = [ParameterFacts(f.name, f.shape, f.role, one, one, OWN) for f in facts]
    for row in plan_from_facts(at_base, base=64, target=64, **options).rows:
        factors = {row.lr_factor, row.eps_factor, row.eps2_factor, row.decay_factor, row.multiplier}
        assert factors == {1.0}


def test_muons_epsilon_follows_the_norm_of_the_whole_gradient() -> None:
    """In µP the n^2 entries of a hidden gradient shrink as 1/n, so its norm does not change."""
    cell = eps_cell(MUP.rules[Role.HIDDEN], OPTIMIZERS["muon"])
    assert cell.at(Ratios(fan_in=Fraction(16), fan_out=Fraction(16))) == 1
    shifted = eps_cell(shift(MUP.rules[Role.HIDDEN], FAN_IN), OPTIMIZERS["muon"])
    assert shifted == cell * FAN_IN


def test_a_plan_written_before_rows_named_their_optimizer_is_still_read() -> None:
    plan = plan_from_facts([fact((64, 64), 4, 4)], base=16, target=64)
    text = plan.to_json().replace('"optimizer": "adamw",\n   "eps2_factor": 1.0,', "")
    assert text.count("optimizer") == 1
    assert Plan.from_json(text) == plan
