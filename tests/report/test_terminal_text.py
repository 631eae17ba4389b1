"""Analyses and predictions as terminal text: rates, units and reasons."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from report_cases import planted_results, predictions_of, report_of, scaling_results

from mutransfer.analysis import Results, analyze
from mutransfer.report.figures.panels import loss_panels
from mutransfer.report.format import as_sentence
from mutransfer.report.page.cards import verdicts
from mutransfer.report.page.scaling import scaling_table
from mutransfer.report.text.analysis import prediction_text, verdict_text
from mutransfer.report.theme import paper_theme


def test_rates_are_powers_of_two_with_the_decimal() -> None:
    report = report_of(planted_results(("mup",)))
    rate = report["mup"].optimum[0].log2_lr.value
    assert rate is not None
    assert f"best lr                 32: 2^{round(rate, 2):g} ({2**rate:.4g}), 64: 2^" in (
        verdict_text(report)
    )
    long_name = verdict_text(replace(report, hyperparameter="lr_multiplier_input"))
    assert "best lr_multiplier_input 32: 2^" in long_name
    (prediction,) = predictions_of(scaling_results(("mup",)))
    assert prediction.log2_lr.value is not None
    assert prediction.lr.value is not None
    expected = f"2^{round(prediction.log2_lr.value, 2):g} ({prediction.lr.value:.4g}) ["
    assert expected in prediction_text(prediction).splitlines()[1]


def test_a_unit_is_shown_only_where_it_is_known() -> None:
    """A loss of a stranger's file may be in bits, or no cross-entropy at all."""
    report = report_of(scaling_results())
    (prediction, *_) = predictions_of(scaling_results())
    for unit in (None, "nats"):
        known = replace(report, loss_unit=unit)
        texts = [
            verdict_text(known),
            prediction_text(replace(prediction, loss_unit=unit)),
            verdicts(known).replace(report["sp"].reason, ""),
            scaling_table(known),
        ]
        assert ["nats" in text for text in texts] == [unit is not None] * 4
        titles = [str(panel.template) for panel in loss_panels(known, paper_theme(9), (320, 250))]
        assert ["loss (nats)" in title for title in titles] == [unit is not None] * len(titles)
    assert "nats²" in scaling_table(replace(report, loss_unit="nats"))


def test_a_reason_of_several_numbers_is_printed_once() -> None:
    text = verdict_text(report_of(planted_results(("mup",), seeds=1, rates=(-5, -4, -3))))
    assert text.count("one seed, and the rates near the best ones are too few") == 1
    assert "undetermined: loss at infinity L∞, loss exponent α, " in text


def test_unfinished_trials_are_counted_first() -> None:
    report = report_of(planted_results(("mup",)))
    assert verdict_text(report, 1).splitlines()[0] == "1 unfinished trial"
    assert verdict_text(report, 2).splitlines()[0] == "2 unfinished trials"


def test_rounding_error_is_shown_as_zero() -> None:
    """Losses with one minimum at every width have no drift and no regret but in the last bits."""
    trials = [
        (n, 2.0**k, seed, 3.0 + 8 / n + 0.05 * (k + 6.2) ** 2)
        for n in (64, 128, 256, 512)
        for k in range(-9, -2)
        for seed in (0, 1)
    ]
    names = ("width", "lr", "seed", "loss")
    columns = dict(zip(names, map(list, zip(*trials, strict=True)), strict=True))
    report = analyze(Results.from_columns(columns))
    assert abs(report["all"].drift.low or 1.0) < 1e-9
    text = verdict_text(report)
    page = verdicts(report) + scaling_table(report)
    assert not re.search(r"e-1\d|10⁻¹[²-⁹]|at most 0\b", text + page)
    assert "drift                   0 [0, 0] octaves" in text
    assert "raises the loss by less than 0.001 %, no more than the threshold of 1 %" in text
    assert report.to_json()["groups"]["all"]["drift"]["low"] == report["all"].drift.low


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("one-sided bounds: see below", "One-sided bounds: see below."), ("a, b", "A, b."),
        ("µP without a raised rate", "µP without a raised rate."), ("κ grows", "κ grows."),
        ("sp+embd is better", "sp+embd is better."), ("mup-embd", "mup-embd."),
        ("sp is worse", "sp is worse."), ("mup: not run", "mup: not run."),
        ("log.csv is empty", "log.csv is empty."), ("lr 0.1", "lr 0.1."),
        ("none of them trained?", "None of them trained?"), ("", "."),
    ],
)  # fmt: skip
def test_a_sentence_begins_with_a_capital_unless_its_first_word_is_a_name(text, sentence) -> None:
    assert as_sentence(text) == sentence
