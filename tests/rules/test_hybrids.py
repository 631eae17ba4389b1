"""The sixteen hybrids between SP and µP against a table written by hand."""

from fractions import Fraction

import pytest

from mutransfer.literature.hybrids import ORDER, switches_on
from mutransfer.rules import HYBRIDS, Role, in_form
from mutransfer.rules.decay import constant_product
from mutransfer.rules.hybrids import hybrid
from mutransfer.rules.optimizers import OPTIMIZERS, optimizer_of
from mutransfer.rules.power import FAN_IN, FAN_OUT, ONE, Ratios
from mutransfer.rules.tables import MUP, SP

WIDE = Ratios(fan_in=Fraction(4), fan_out=Fraction(4))
LOW, HIGH = Fraction(-1), Fraction(-1, 2)

# At four times the base width: AdamW rates of embedding, gains, hidden weights and readout; std of
# the readout's init; power of the head width on the attention logits.
BY_HAND = {
    "sp":           (1, 1,   1,   1,   1 / 2, HIGH),
    "sp+attn":      (1, 1,   1,   1,   1 / 2, LOW),
    "sp+embd":      (1, 1/4, 1/4, 1/4, 1 / 2, HIGH),
    "sp+ln":        (1, 4,   1,   1,   1 / 2, HIGH),
    "sp+last":      (1, 1,   1,   1,   1 / 4, HIGH),
    "sp+attn+embd": (1, 1/4, 1/4, 1/4, 1 / 2, LOW),
    "sp+attn+ln":   (1, 4,   1,   1,   1 / 2, LOW),
    "sp+attn+last": (1, 1,   1,   1,   1 / 4, LOW),
    "sp+embd+ln":   (1, 1,   1/4, 1/4, 1 / 2, HIGH),
    "sp+embd+last": (1, 1/4, 1/4, 1/4, 1 / 4, HIGH),
    "sp+ln+last":   (1, 4,   1,   1,   1 / 4, HIGH),
    "mup-attn":     (1, 1,   1/4, 1/4, 1 / 4, HIGH),
    "mup-embd":     (1, 4,   1,   1,   1 / 4, LOW),
    "mup-ln":       (1, 1/4, 1/4, 1/4, 1 / 4, LOW),
    "mup-last":     (1, 1,   1/4, 1/4, 1 / 2, LOW),
    "mup":          (1, 1,   1/4, 1/4, 1 / 4, LOW),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_every_hybrid_equals_the_table_written_by_hand(name) -> None:
    """arXiv:2605.21486; names with `embd` on in µP's gauge: the embedding has the user's rate."""
    rules = HYBRIDS[name].rules
    roles = (Role.INPUT, Role.VECTOR, Role.HIDDEN, Role.OUTPUT)
    rates = tuple(rules[role].rates.entrywise.at(WIDE) for role in roles)
    readout = rules[Role.OUTPUT].init_std.at(WIDE)
    assert (*rates, readout, HYBRIDS[name].attention) == BY_HAND[name]
    assert [rules[role].init_std.at(WIDE) for role in roles[:3]] == [1, 1, 1 / 2]
    assert rules[Role.BOTTLENECK].rates.entrywise == rules[Role.HIDDEN].rates.entrywise


def test_names_are_those_of_the_published_numbers() -> None:
    assert set(HYBRIDS) == set(ORDER) == set(BY_HAND)
    assert len(HYBRIDS) == 16


@pytest.mark.parametrize("name", BY_HAND)
def test_switches_are_ratios_to_the_hidden_rate(name) -> None:
    """Independent of the gauge; names are parsed by the code of `literature`, not by `hybrids`."""
    rules, on = HYBRIDS[name].rules, switches_on(name)
    hidden = rules[Role.HIDDEN].rates.entrywise.at(WIDE)
    assert rules[Role.INPUT].rates.entrywise.at(WIDE) / hidden == (4 if "embd" in on else 1)
    assert rules[Role.VECTOR].rates.entrywise.at(WIDE) / hidden == (4 if "ln" in on else 1)
    assert hybrid(on).name == name


def test_corners_are_the_tables_sp_and_mup_in_every_column() -> None:
    mup = in_form(MUP, "table-3")
    assert HYBRIDS["sp"].rules == SP.rules
    assert HYBRIDS["mup"].rules == mup.rules
    assert HYBRIDS["sp"].attention == SP.attention
    assert HYBRIDS["mup"].attention == mup.attention
    assert HYBRIDS["mup-last"].rules != mup.rules


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", HYBRIDS)
def test_every_factor_of_a_hybrid_is_exactly_one_at_the_base(name, optimizer) -> None:
    for role, rule in HYBRIDS[name].rules.items():
        trained_by = optimizer_of(optimizer, role)
        cells = (rule.multiplier, rule.init_std, rule.eps, rule.lr(trained_by.update))
        assert {cell.at(Ratios()) for cell in cells if cell is not None} == {1.0}
        assert constant_product(rule, trained_by).at(Ratios()) == 1.0


def test_derived_columns_follow_the_gauge_and_the_readout() -> None:
    """One hybrid per gauge, by hand: SGD's rates follow the gradient, whose size `last` sets."""
    mup_gauge, sp_gauge = HYBRIDS["mup-ln"].rules, HYBRIDS["sp+ln+last"].rules
    assert mup_gauge[Role.HIDDEN].rates == MUP.rules[Role.HIDDEN].rates
    assert mup_gauge[Role.VECTOR].rates.gradient == ONE
    assert sp_gauge[Role.HIDDEN].rates.gradient == FAN_OUT
    assert sp_gauge[Role.HIDDEN].rates.spectral == ONE
    assert sp_gauge[Role.HIDDEN].rates.relative == ONE
    assert sp_gauge[Role.OUTPUT].rates.relative == FAN_IN ** Fraction(1, 2)
    assert sp_gauge[Role.INPUT].eps == FAN_OUT**-1
    assert HYBRIDS["sp+ln"].rules[Role.INPUT].eps == ONE
