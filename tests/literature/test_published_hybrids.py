"""Released numbers of arXiv:2605.21486, and the effects of the four switches on E."""

import json
from dataclasses import replace

import pytest

from mutransfer.errors import ResultsError
from mutransfer.literature import (
    TransferTable,
    load_transfer_table,
    median_e,
    switch_effects,
    switches_on,
)
from mutransfer.literature.text import published_report

DECAYS = (0.0, 1e-4, 3e-4, 6e-4, 1e-3, 3e-3, 6e-3, 1e-2)

# E x 1000 by weight decay, with the digits of the released page.
E_1000 = {
    "sp": "48.6 9.6 124 8.3 11 21 21 21",
    "sp+attn": "- - 9.7 8.9 9.8 12 38 43",
    "sp+last": "- 23 - 10 10 21 23 25",
    "sp+ln": "135 140 215 231 197 120 39 11",
    "sp+embd": "2.9 0.91 0.45 0.60 0.51 2.2 7.2 22",
    "sp+attn+last": "25 21 26 7.3 7.5 14 16 36",
    "sp+attn+ln": "103 163 73 125 91 36 15 25",
    "sp+ln+last": "188 149 165 101 121 55 30 29",
    "sp+attn+embd": "0.37 0.42 0.42 0.61 0.84 3.4 11 19",
    "sp+embd+ln": "77 71 50 25 47 17 8.2 24",
    "sp+embd+last": "1.4 6.7 1.1 1.2 0.94 3.7 8.4 18",
    "mup-embd": "65 34 101 67 62 26 26 12",
    "mup-ln": "7.2 1.0 0.88 0.83 0.77 4.7 9.6 15",
    "mup-attn": "47 61 17 7.0 13 34 13 22",
    "mup-last": "32 5.6 5.8 7.0 10 20 11 6.4",  # the notes round 5.845 to 5.9
    "mup": "1.1 0.56 0.55 0.78 0.75 4.0 3.4 4.4",
}
# R(inf) in nats at 0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2; * is a failed fit.
R_INF = {
    "sp": "-0.11 0.15 -0.05 0.44 1.03 1.59",
    "sp+embd": "-0.04 0.05 0.07 0.27 0.59 1.15",
    "sp+attn+embd": "0.03 0.10 0.18 0.40 0.73 1.25",
    "mup-ln": "0.00 0.04 0.14 0.33 0.70 1.23",
    "mup-last": "0.12 0.09 0.11 0.09 0.13 0.22",
    "mup-embd": "-0.71* -0.72* -0.72* 0.03 0.01 0.70",
    "mup": "-0.05 -0.08 0.05 0.09 0.20 0.27",
    "sp+ln": "-2.20* -2.20* -2.20* -0.67* 0.61 -0.17",
    "sp+ln+last": "-2.20* -2.20* -2.20* -0.67* 0.49 0.57",
}
KAPPA = {
    "sp": [-0.23, -1.03, 0.48, -3.43, -3.56, -1.24, 1.19, -2.78],
    "sp+embd": [-0.24, -3.48, -3.42, 0.54, -2.33, -3.27, -1.72, -1.50],
    "mup": [-3.59, -1.32, -0.43, -2.43, -3.38, -2.42, -2.71, 0.58],
}


@pytest.fixture(scope="module")
def table() -> TransferTable:
    return load_transfer_table()


def unit(printed: str) -> float:
    """Return half of the last printed digit, and a little more for numbers rounded half up."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2]) + 1e-6


def test_the_table_has_124_cells_and_21_failed_fits(table: TransferTable) -> None:
    assert len(table.cells) == 124
    assert sum(cell.failed for cell in table.cells) == 21
    assert all(cell.failed == (cell.R_inf <= -0.5) for cell in table.cells)
    assert sum(cell.R_inf < 0 for cell in table.cells) == 29
    assert table.weight_decays == DECAYS
    assert list(table.parametrizations) == list(E_1000)


def test_four_cells_were_not_released(table: TransferTable) -> None:
    missing = [(p, d) for p in table.parametrizations for d in DECAYS if table.cell(p, d) is None]
    assert missing == [("sp+attn", 0.0), ("sp+attn", 1e-4), ("sp+last", 0.0), ("sp+last", 3e-4)]


@pytest.mark.parametrize(("name", "row"), E_1000.items())
def test_the_errors_are_the_released_ones(table: TransferTable, name: str, row: str) -> None:
    for decay, printed in zip(DECAYS, row.split(), strict=True):
        cell = table.cell(name, decay)
        if printed == "-":
            assert cell is None
        else:
            assert cell is not None
            assert pytest.approx(float(printed), abs=unit(printed)) == 1000 * cell.E


@pytest.mark.parametrize(("name", "row"), R_INF.items())
def test_the_loss_gaps_and_failed_fits_are_the_released_ones(
    table: TransferTable, name: str, row: str
) -> None:
    for decay, printed in zip((0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2), row.split(), strict=True):
        cell = table.cell(name, decay)
        assert cell is not None
        assert cell.failed == printed.endswith("*")
        assert cell.R_inf == pytest.approx(float(printed.rstrip("*")), abs=0.0051)


@pytest.mark.parametrize(("name", "row"), KAPPA.items())
def test_the_kappas_are_the_released_ones(
    table: TransferTable, name: str, row: list[float]
) -> None:
    assert [table.cell(name, decay).kappa for decay in DECAYS] == pytest.approx(row, abs=0.0051)


@pytest.mark.parametrize(
    ("bounds", "num_cells", "published"),
    [
        ({"highest": 1e-3}, 76, {"embd": -1.14, "ln": 0.93, "attn": -0.43, "last": -0.13}),
        ({"lowest": 3e-3}, 48, {"embd": -0.43, "ln": 0.11, "attn": -0.14, "last": -0.05}),
    ],
)
def test_the_effects_of_the_switches_are_the_published_ones(
    table: TransferTable, bounds, num_cells, published
) -> None:
    effects = switch_effects(table, **bounds)
    assert {e.switch: round(e.log10.value, 2) for e in effects} == published
    assert {e.num_cells for e in effects} == {num_cells}


def test_the_effects_as_factors_are_the_published_ones(table: TransferTable) -> None:
    """E divided by 14, times 8.5, divided by 2.7 and 1.4."""
    embd, ln, attn, last = (e.factor.value for e in switch_effects(table, highest=1e-3))
    assert (round(1 / embd), round(ln, 1), round(1 / attn, 1), round(1 / last, 1)) == (
        (14, 8.5, 2.7, 1.4)
    )


def test_the_intervals_of_effects_are_those_of_ordinary_least_squares() -> None:
    """16 hybrids twice, log10 E = -2 - [embd on] +- 0.1: the standard error follows by hand."""
    table = load_transfer_table()
    cells = [
        replace(
            table.cell(name, 1e-3),
            weight_decay=decay,
            E=10 ** (-2.0 - ("embd" in switches_on(name)) + sign * 0.1),
        )
        for name in table.parametrizations
        for decay, sign in ((0.0, 1.0), (1.0, -1.0))
    ]
    embd, ln, *_ = switch_effects(replace(table, cells=tuple(cells)))
    # s^2 = 32 * 0.01 / 27; each effect is a difference of two means of 16; t(27, 0.95) = 1.70329.
    half_width = 1.70329 * (32 * 0.01 / 27 * 2 / 16) ** 0.5
    assert (embd.log10.value, embd.log10.low, embd.log10.high) == pytest.approx(
        (-1.0, -1.0 - half_width, -1.0 + half_width), abs=1e-5
    )
    assert (ln.log10.value, ln.log10.high) == pytest.approx((0.0, half_width), abs=1e-5)
    assert embd.factor.low == pytest.approx(10 ** (-1.0 - half_width), rel=1e-4)


@pytest.mark.parametrize(
    ("selection", "published"),
    [
        ({"on": ["embd"], "highest": 1e-3}, "1.2e-03"),
        ({"off": ["embd"], "highest": 1e-3}, "6.6e-02"),
        ({"on": ["embd"], "off": ["ln"], "highest": 1e-3}, "8.6e-04"),
        ({"off": ["embd"], "highest": 0.0}, "8.4e-02"),
        ({"on": ["embd"], "off": ["ln", "attn", "last"], "highest": 1e-3}, "6.0e-04"),
        ({"on": ["embd", "ln", "attn", "last"], "highest": 1e-3}, "7.5e-04"),
        ({"off": ["embd", "ln", "attn", "last"], "highest": 1e-3}, "1.1e-02"),
        ({"on": ["ln"], "off": ["embd", "attn", "last"], "highest": 1e-3}, "2.0e-01"),
    ],
)
def test_the_medians_of_the_error_are_the_published_ones(
    table: TransferTable, selection, published
) -> None:
    assert f"{median_e(table, **selection).value:.1e}" == published


def test_the_median_error_depends_on_weight_decay_as_published(table: TransferTable) -> None:
    """It is 2.4e-2 without embd from 3e-3 on; with embd it is lowest, 1e-3, from 3e-4 to 1e-3."""
    without_embd = [median_e(table, off=["embd"], lowest=d, highest=d).value for d in DECAYS]
    with_embd = [median_e(table, on=["embd"], lowest=d, highest=d).value for d in DECAYS]
    assert without_embd[5:] == pytest.approx([0.024] * 3, abs=0.001)
    assert with_embd[2:5] == pytest.approx([0.001] * 3, abs=0.00012)
    assert max(with_embd[2:5]) < min(with_embd[:2] + with_embd[5:])


def test_switches_in_a_name_may_have_any_order_but_must_exist(table: TransferTable) -> None:
    assert table.cell("sp+last+attn", 0.0) == table.cell("sp+attn+last", 0.0)
    assert switches_on("mup") == {"embd", "ln", "attn", "last"}
    for wrong in ("sp-ln", "mup+ln", "sp+ln+ln", "sp+", "spp", "mup-embd+ln"):
        with pytest.raises(ResultsError, match="there is no hybrid"):
            table.cell(wrong, 0.0)
    with pytest.raises(ResultsError) as raised:
        table.cell("mup", 2e-3)
    assert raised.value.fix == "choose from 0, 0.0001, 0.0003, 0.0006, 0.001, 0.003, 0.006, 0.01"


def test_a_range_without_enough_cells_is_an_error(table: TransferTable) -> None:
    with pytest.raises(ResultsError) as raised:
        switch_effects(table, lowest=1.0)
    assert str(raised.value) == (
        "0 cells have a weight decay from 1 to inf\n"
        "  why: four effects, an intercept and their errors need at least six cells\n"
        "  fix: widen the range: the table has 0 to 0.01"
    )
    with pytest.raises(ResultsError, match="there is no switch 'emdb'"):
        median_e(table, on=["emdb"])
    with pytest.raises(ResultsError, match="no released cell has these switches"):
        median_e(table, on=["embd"], off=["embd"])


def test_the_report_shows_tables_effects_and_cautions() -> None:
    text, data = published_report("kalra2026")
    lines = text.splitlines()
    for line in (
        "                     0   0.0001   0.0003   0.0006    0.001    0.003    0.006     0.01",
        "sp+attn              -        -     9.65     8.88     9.78     11.7     38.4     43.1",
        "sp+ln              135†     140†     215†     231†     197†     120     39.2     10.8",
        "sp+ln            -2.20†   -2.20†   -2.20†   -2.20†   -0.67†    0.61     0.40    -0.17",
        "mup              -3.59    -1.32    -0.43    -2.43    -3.38    -2.42    -2.71     0.58",
        "124 cells; 21 failed fits, marked †; - was not released",
        "  embd:  E / 14 [9.61, 19.7]    log10 -1.14",
        "  ln:    E x 8.5 [5.92, 12.2]   log10 +0.93",
        "  last:  E / 1.4 [0.948, 1.95]  log10 -0.13  the interval includes no effect",
    ):
        assert line in lines
    assert text.count("†") == 3 * 21 + 2
    for caution in ("bimodal", "-2.20, -0.72 and -0.67 are failed", "No intervals", "flag is ours"):
        assert caution in text
    assert "License: MIT, Copyright (c) 2026 Dayal Kalra" in text
    assert max(map(len, lines)) <= 100
    json.dumps(data, allow_nan=False)
    assert (data["schema"], len(data["cells"]), len(data["effects"])) == (1, 124, 2)
    assert data["effects"][0]["switches"][0]["num_cells"] == 76
