"""Predictions, scaling in numbers, notes and titles of the page: true, escaped, reasons once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_cases import (
    HOSTILE,
    no_scaling,
    planted_results,
    predictions_of,
    report_of,
    report_of_groups,
    scaling_results,
)
from test_page import Elements, words

from mutransfer.analysis import Estimate, Prediction, Report, Results, analyze
from mutransfer.analysis.format import format_power, format_rate
from mutransfer.report.format import format_number, format_slope
from mutransfer.report.page.cards import headline, verdicts
from mutransfer.report.page.elements import Footnotes
from mutransfer.report.page.page import page, question
from mutransfer.report.page.scaling import planes_note, scaling_table
from mutransfer.report.page.sections.predictions import prediction_section


@pytest.fixture(scope="module")
def results() -> Results:
    return scaling_results(("mup", "sp", HOSTILE))


@pytest.fixture(scope="module")
def report(results: Results) -> Report:
    return report_of(results)


@pytest.fixture(scope="module")
def predictions(results: Results) -> list[Prediction]:
    return predictions_of(results)


def test_a_card_has_the_prediction(report: Report, predictions: list[Prediction]) -> None:
    text = words(prediction_section(report, predictions, {}))
    for prediction in predictions:
        rate = prediction.log2_lr
        assert rate.value is not None
        assert rate.low is not None
        assert f"learning rate {format_rate(rate.value)} [{format_power(rate.low)}, " in text
        assert prediction.lr.value == pytest.approx(2.0**rate.value)
    assert "SP at width 16384" in text
    assert "power law (it moves as a power of the scale): weight " in text
    assert "<pre" not in prediction_section(report, predictions, {})


def test_a_snippet_is_shown_as_it_stands(report: Report, predictions: list[Prediction]) -> None:
    html = prediction_section(report, predictions, {"sp": f"lr = 1\n# {HOSTILE}\n"})
    assert "<script>" not in html
    tags = [tag for tag, _ in Elements(html).elements]
    assert (tags.count("pre"), tags.count("button")) == (1, 1)
    assert "".join(Elements(html).text).count(f"lr = 1\n# {HOSTILE}\n") == 1


def test_a_copy_button_waits_for_scripts(report: Report, predictions: list[Prediction]) -> None:
    html = prediction_section(report, predictions, {"sp": "lr = 1"})
    (button,) = [attributes for tag, attributes in Elements(html).elements if tag == "button"]
    assert "hidden" in button


def test_a_missing_prediction_has_its_reason_once(
    report: Report, predictions: list[Prediction]
) -> None:
    no = Estimate(undetermined="no optimum: add rates")
    bare = replace(predictions[0], lr=no, log2_lr=no, loss=no, regret=no, regret_share=no,
                   warnings=(HOSTILE,))  # fmt: skip
    html = prediction_section(report, [bare], {})
    assert html.count("No optimum: add rates.") == 1
    assert "<script>" not in html
    assert "nan" not in words(html).lower()


def test_many_predictions_are_a_table(report: Report, predictions: list[Prediction]) -> None:
    html = prediction_section(report, predictions * 3, {"sp": "lr = 1"})
    assert html.count("<tr>") == 10
    assert html.count("<details>") == 3


def test_the_table_has_every_number_of_every_group(report: Report) -> None:
    text = words(scaling_table(report))
    for group in report.values():
        for estimate in (group.laws.alpha, group.laws.beta, group.kappa):
            assert estimate.value is not None
            assert estimate.low is not None
            assert f"{format_slope(estimate.value)} [{format_slope(estimate.low)}, " in text
        assert group.E.value is not None
        assert format_number(group.E.value) in text
    assert "R(∞), L∞ above the lower envelope of" in text


def test_a_number_with_a_wrong_sign_would_be_noticed(report: Report) -> None:
    """Negative control of the test above."""
    laws = replace(report["sp"].laws, beta=Estimate(-0.123))
    group = replace(report["sp"], scaling=replace(report["sp"].scaling, laws=laws))
    assert "−0.123" in words(scaling_table(replace(report, groups={"sp": group})))
    assert "−0.123" not in words(scaling_table(report))


def test_a_reason_is_listed_once_under_the_table() -> None:
    group = replace(
        report_of(planted_results(("mup",)))["mup"],
        scaling=no_scaling("one width: add <two>"),
    )
    html = scaling_table(report_of_groups({"mup": group, "sp": group}))
    assert html.count("add &lt;two&gt;") == 1
    assert "Undetermined: L∞, α, β," in words(html)
    assert planes_note(report_of_groups({"mup": group})) == (
        "No group has both E and κ: one width: add &lt;two&gt;."
    )


def test_a_reason_in_a_footnote_is_referred_to(report: Report) -> None:
    reason = "one width: add <two>"
    bare = replace(report["sp"], scaling=no_scaling(reason))
    half = replace(no_scaling(reason), kappa=report["sp"].kappa)
    group = replace(report["sp"], scaling=half)
    html = scaling_table(report_of_groups({"mup": group, "sp": bare}))
    assert html.count("add &lt;two&gt;") == 1
    assert "See <sup>a</sup>." in html


def test_footnotes_share_a_letter() -> None:
    notes = Footnotes()
    estimates = [Estimate(1.0, undetermined=reason) for reason in ("a", "b", "a")]
    cells = [notes.estimate(estimate, format_number) for estimate in estimates]
    assert [cell[-7:-6] for cell in cells] == ["a", "b", "a"]
    assert notes.to_html().count("<li>") == 2


def test_a_card_has_a_reason_once() -> None:
    report = report_of(planted_results(("mup",), widths=(32, 64)))
    html = verdicts(report)
    assert report["mup"].sensitivity.undetermined is not None
    assert html.count(report["mup"].sensitivity.undetermined[1:].replace("'", "&#x27;")) == 1


def test_the_first_note_is_under_the_headline_and_all_are_below(results: Results) -> None:
    report = replace(report_of(results), notes=(f"2 rows {HOSTILE}", "one <b> more"))
    html = page(results, report)
    text = words(html)
    assert f"About the data: 2 rows {HOSTILE}".split("\u2028")[0] in text
    assert "1 more below." in text
    assert "One <b> more." in text
    assert "<b> more" not in html


def test_without_groups_the_headline_names_none() -> None:
    report = analyze(planted_results(("mup",)), group_by=(), draws=1000)
    assert list(report) == ["all"]
    assert headline(report) == "The best learning rate <b>transfers</b>."
    undecided = analyze(planted_results(("mup",), widths=(64,)), group_by=(), draws=1000)
    assert headline(undecided) == "Whether the best learning rate transfers is <b>undetermined</b>."


@pytest.mark.parametrize(
    ("study", "source", "expected"),
    [
        ('[study]\nname = "demo"', "x.csv", "demo: does the best"),
        ('{"study": {"name": "demo"}}', "x.csv", "demo: does the best"),
        ("not = [a study", "/data/someone/losses.csv", "losses.csv: does the best"),
        ('{"name": 3}', "'runs/demo'", "demo: does the best"),
        ("", "columns", "Does the best"),
        ("[" * 100_000, "columns", "Does the best"),
    ],
)
def test_the_title_names_the_study_or_the_file(study: str, source: str, expected: str) -> None:
    assert question(report_of(planted_results(("mup",))), study, source).startswith(expected)


def test_axes_claim_nothing_about_the_loss_or_the_rate(results: Results, report: Report) -> None:
    text = page(results, report)
    assert "held-out loss" not in text
    assert "nats per token" not in text
    assert "at the base" not in text


def test_a_hostile_name_is_text_in_every_part(
    results: Results, report: Report, predictions: list[Prediction]
) -> None:
    hostile = replace(report, scale=HOSTILE, hyperparameter=HOSTILE, reference=HOSTILE)
    renamed = [replace(p, scale=HOSTILE, hyperparameter=HOSTILE) for p in predictions]
    html = page(results, hostile, predictions=renamed, snippets={HOSTILE: HOSTILE})
    assert "<script>alert(1)" not in html
