"""Tables against the published ones, and what every table must satisfy."""

from fractions import Fraction

import pytest

from mutransfer.errors import RuleError
from mutransfer.rules import PARAMETRIZATIONS, Role, Update, explain, in_form, without_multiplier
from mutransfer.rules.decay import constant_product
from mutransfer.rules.optimizers import OPTIMIZERS, get_optimizer, optimizer_of
from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE, Power, Ratios
from mutransfer.rules.registry import get_parametrization
from mutransfer.rules.tables import MUP, SP

FORMS = [
    in_form(table, form) for table in PARAMETRIZATIONS.values() for form in ("table-8", "table-3")
]
WIDE = Ratios(fan_in=Fraction(16), fan_out=Fraction(4))


def test_table_8_without_its_multiplier_is_table_3() -> None:
    """Both tables are printed in arXiv:2203.03466; the paper says they are equal."""
    output = without_multiplier(MUP.rules[Role.OUTPUT])
    assert output.multiplier == ONE
    assert output.init_std == FAN_IN**-1
    assert output.rates.entrywise == FAN_IN**-1
    assert output.rates.gradient == FAN_IN**-1
    assert output.rates.relative == ONE
    assert output.eps == ONE


@pytest.mark.parametrize("table", FORMS, ids=lambda t: f"{t.name}-{t.form}")
def test_every_factor_is_exactly_one_at_the_base_shape(table) -> None:
    for role, rule in table.rules.items():
        cells = [rule.multiplier, rule.init_std, rule.eps, *(rule.lr(u) for u in Update)]
        cells += [constant_product(rule, optimizer_of(name, role)) for name in OPTIMIZERS]
        assert {cell.at(Ratios()) for cell in cells if cell is not None} == {1.0}, role


@pytest.mark.parametrize(
    ("role", "multiplier", "std", "adam", "sgd", "eps"),
    [
        # arXiv:2203.03466, Table 8, evaluated by hand at r_in = 16, r_out = 4.
        (Role.INPUT, 1, 1, 1, 4, 1 / 4),
        (Role.VECTOR, 1, 1, 1, 4, 1 / 4),
        (Role.HIDDEN, 1, 1 / 4, 1 / 16, 4 / 16, 1 / 8),
        (Role.OUTPUT, 1 / 16, 1, 1, 16, 1 / 16),
        (Role.BOTTLENECK, 1, 1 / 4, 1 / 16, 4 / 16, 1 / 4),
    ],
)
def test_mup_is_the_published_table_8(role, multiplier, std, adam, sgd, eps) -> None:
    """The hidden epsilon is min(1/r_out, (r_in r_out)^-1/2): 1/8 here, where 1/r_out is 1/4."""
    rule = MUP.rules[role]
    assert rule.multiplier.at(WIDE) == multiplier
    assert rule.init_std.at(WIDE) == std
    assert rule.rates.entrywise.at(WIDE) == adam
    assert rule.rates.gradient.at(WIDE) == sgd
    assert rule.eps.at(WIDE) == eps


def test_hidden_spectral_rate_is_the_spectral_condition() -> None:
    """arXiv:2310.17813: the update's spectral norm goes as sqrt(fan_out / fan_in)."""
    assert MUP.rules[Role.HIDDEN].rates.spectral == (FAN_OUT / FAN_IN) ** HALF


@pytest.mark.parametrize("role", list(Role))
def test_a_relative_rate_is_the_entrywise_one_over_the_init(role) -> None:
    """A step proportional to the weight's RMS already carries the init's factor."""
    for table in (MUP, in_form(MUP, "table-3")):
        rule = table.rules[role]
        assert rule.rates.relative == rule.rates.entrywise / rule.init_std


def test_sp_differs_from_mup_in_rates_and_readout_only() -> None:
    """Table 1 of arXiv:2203.03466 colours exactly these cells."""
    mup = in_form(MUP, "table-3")
    assert all(rule.rates.entrywise == ONE for rule in SP.rules.values())
    differing = [role for role in Role if SP.rules[role].init_std != mup.rules[role].init_std]
    assert differing == [Role.OUTPUT]


def test_every_table_has_a_source_and_every_role() -> None:
    for table in PARAMETRIZATIONS.values():
        assert all(source.title for source in table.source)
        assert set(table.rules) == set(Role)


def test_powers_print_as_in_papers() -> None:
    assert str(FAN_OUT / FAN_IN) == "fan_in^-1 fan_out"
    assert str(Power(fan_in=Fraction(-1, 2), depth=Fraction(1))) == "fan_in^-1/2 depth"


def test_unknown_names_are_errors_with_the_nearest_valid_name() -> None:
    with pytest.raises(RuleError) as parametrization:
        get_parametrization("muP")
    assert str(parametrization.value) == (
        "there is no parametrization 'muP'\n"
        "  why: every parametrization has its own learning rates\n"
        "  fix: did you mean 'mup'? (`mutransfer rules` lists the names)"
    )
    with pytest.raises(RuleError) as optimizer:
        get_optimizer("adamW")
    assert str(optimizer.value) == (
        "there are no rules for the optimizer 'adamW'\n"
        "  why: the scaling of a learning rate depends on the update family, which is unknown "
        "here\n"
        "  fix: did you mean 'adamw'? (SGD with momentum is 'sgd')"
    )
    with pytest.raises(RuleError) as optimizer:
        get_optimizer("adamv")
    assert str(optimizer.value) == (
        "there are no rules for the optimizer 'adamv'\n"
        "  why: the scaling of a learning rate depends on the update family, which is unknown "
        "here\n"
        "  fix: did you mean 'adam'? (SGD with momentum is 'sgd')"
    )
    with pytest.raises(RuleError) as form:
        in_form(MUP, "table-9")
    assert str(form.value) == (
        "there is no form 'table-9'\n"
        "  why: gradient clipping and the size of weights depend on the form, so a plan names it\n"
        "  fix: write form='table-3' (no multipliers) or form='table-8'"
    )


def test_a_table_prints_its_form_its_source_and_the_papers_cells() -> None:
    text = explain("mup", optimizer="adamw")
    assert "form: table-8" in text
    assert "form: table-3" in text
    assert "arXiv:2203.03466, Table 8" in text
    hidden = next(line for line in text.splitlines() if line.startswith("hidden"))
    assert hidden.split()[1:4] == ["1", "fan_in^-1/2", "fan_in^-1"]
