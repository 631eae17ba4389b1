"""The page's predictions, scaling in numbers, notes and titles: true, escaped, reasons once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_cases import HOSTILE, judged, no_scaling, planted, predicted, reported, scaling_results
from test_page import Elements, shown

from mutransfer.analysis import Estimate, Prediction, Report, Results, analyze
from mutransfer.report.format import number, power, slope_text
from mutransfer.report.page.cards import headline, verdicts
from mutransfer.report.page.footnotes import Footnotes
from mutransfer.report.page.page import page, question
from mutransfer.report.page.predictions import prediction_section
from mutransfer.report.page.scaling import planes_note, scaling_table


@pytest.fixture(scope="module")
def results() -> Results:
    return scaling_results(("mup", "sp", HOSTILE))


@pytest.fixture(scope="module")
def report(results: Results) -> Report:
    return judged(results)


@pytest.fixture(scope="module")
def predictions(results: Results) -> list[Prediction]:
    return predicted(results)


def test_a_card_tells_what_was_predicted(report: Report, predictions: list[Prediction]) -> None:
    text = shown(prediction_section(report, predictions, {}))
    for one in predictions:
        assert one.lr.value is not None
        assert one.log2_lr.value is not None
        assert f"learning rate {number(one.lr.value)} [" in text
        assert f"{power(one.log2_lr.value)} [" in text
    assert "SP at width 16384" in text
    assert "the best rate moves as a power law" in text
    assert "<pre" not in prediction_section(report, predictions, {})


def test_a_snippet_is_shown_as_it_is_and_is_text(
    report: Report, predictions: list[Prediction]
) -> None:
    html = prediction_section(report, predictions, {"sp": f"lr = 1\n# {HOSTILE}\n"})
    assert "<script>" not in html
    tags = [tag for tag, _ in Elements(html).found]
    assert (tags.count("pre"), tags.count("button")) == (1, 1)
    assert "".join(Elements(html).text).count(f"lr = 1\n# {HOSTILE}\n") == 1


def test_a_copy_button_waits_for_scripts(report: Report, predictions: list[Prediction]) -> None:
    html = prediction_section(report, predictions, {"sp": "lr = 1"})
    (button,) = [attributes for tag, attributes in Elements(html).found if tag == "button"]
    assert "hidden" in button


def test_what_cannot_be_predicted_says_why_once(
    report: Report, predictions: list[Prediction]
) -> None:
    no = Estimate(undetermined="no optimum: add rates")
    bare = replace(predictions[0], lr=no, log2_lr=no, loss=no, regret=no, regret_share=no,
                   warnings=(HOSTILE,))  # fmt: skip
    html = prediction_section(report, [bare], {})
    assert html.count("No optimum: add rates.") == 1
    assert "<script>" not in html
    assert "nan" not in shown(html).lower()


def test_many_predictions_are_a_table(report: Report, predictions: list[Prediction]) -> None:
    html = prediction_section(report, predictions * 3, {"sp": "lr = 1"})
    assert html.count("<tr>") == 10
    assert html.count("<details>") == 3


def test_the_table_has_every_number_of_every_group(report: Report) -> None:
    text = shown(scaling_table(report))
    for group in report.values():
        for estimate in (group.laws.alpha, group.laws.beta, group.kappa):
            assert estimate.value is not None
            assert estimate.low is not None
            assert f"{slope_text(estimate.value)} [{slope_text(estimate.low)}, " in text
        assert group.E.value is not None
        assert number(group.E.value) in text
    assert "R(∞), L∞ above the lower envelope of" in text


def test_a_number_that_is_wrong_by_its_sign_would_be_seen(report: Report) -> None:
    """Negative control of the test above."""
    laws = replace(report["sp"].laws, beta=Estimate(-0.123))
    group = replace(report["sp"], scaling=replace(report["sp"].scaling, laws=laws))
    assert "−0.123" in shown(scaling_table(replace(report, groups={"sp": group})))
    assert "−0.123" not in shown(scaling_table(report))


def test_a_reason_is_said_once_under_the_table() -> None:
    group = replace(judged(planted(("mup",)))["mup"], scaling=no_scaling("one width: add <two>"))
    html = scaling_table(reported({"mup": group, "sp": group}))
    assert html.count("add &lt;two&gt;") == 1
    assert "Not known: L∞, α, β," in shown(html)
    assert planes_note(reported({"mup": group})) == (
        "No group has both E and κ: one width: add &lt;two&gt;."
    )


def test_a_reason_that_a_footnote_says_is_referred_to(report: Report) -> None:
    why = "one width: add <two>"
    bare = replace(report["sp"], scaling=no_scaling(why))
    half = replace(no_scaling(why), kappa=report["sp"].kappa)
    group = replace(report["sp"], scaling=half)
    html = scaling_table(reported({"mup": group, "sp": bare}))
    assert html.count("add &lt;two&gt;") == 1
    assert "See <sup>a</sup>." in html


def test_footnotes_share_a_letter() -> None:
    notes = Footnotes()
    told = [notes.estimate(Estimate(1.0, undetermined=why), number) for why in ("a", "b", "a")]
    assert [text[-7:-6] for text in told] == ["a", "b", "a"]
    assert notes.told().count("<li>") == 2


def test_a_card_says_a_reason_once() -> None:
    report = judged(planted(("mup",), widths=(32, 64)))
    html = verdicts(report)
    assert report["mup"].sensitivity.undetermined is not None
    assert html.count(report["mup"].sensitivity.undetermined[1:].replace("'", "&#x27;")) == 1


def test_notes_are_told_under_the_headline_and_in_full_below(results: Results) -> None:
    report = replace(judged(results), notes=(f"2 rows {HOSTILE}", "one <b> more"))
    html = page(results, report)
    text = shown(html)
    assert f"About the data: 2 rows {HOSTILE}".split("\u2028")[0] in text
    assert "1 more below." in text
    assert "One <b> more." in text
    assert "<b> more" not in html


def test_without_groups_the_headline_names_none() -> None:
    report = analyze(planted(("mup",)), group_by=(), draws=1000)
    assert list(report) == ["all"]
    assert headline(report) == "The best learning rate <b>transfers</b>."
    one = analyze(planted(("mup",), seeds=1), group_by=(), draws=1000)
    assert headline(one) == "Whether the best learning rate transfers is <b>undetermined</b>."


@pytest.mark.parametrize(
    ("study", "source", "told"),
    [
        ('[study]\nname = "demo"', "x.csv", "demo: does the best"),
        ('{"study": {"name": "demo"}}', "x.csv", "demo: does the best"),
        ("not = [a study", "/data/someone/losses.csv", "losses.csv: does the best"),
        ('{"name": 3}', "'runs/demo'", "demo: does the best"),
        ("", "columns", "Does the best"),
        ("[" * 100_000, "columns", "Does the best"),
    ],
)
def test_the_title_names_the_study_or_the_file(study: str, source: str, told: str) -> None:
    assert question(judged(planted(("mup",))), study, source).startswith(told)


def test_axes_claim_nothing_about_the_loss_or_the_rate(results: Results, report: Report) -> None:
    text = page(results, report)
    assert "held-out loss" not in text
    assert "nats per token" not in text
    assert "at the base" not in text


def test_a_hostile_name_is_text_in_every_new_part(
    results: Results, report: Report, predictions: list[Prediction]
) -> None:
    hostile = replace(report, scale=HOSTILE, hyperparameter=HOSTILE, reference=HOSTILE)
    told = [replace(one, scale=HOSTILE, hyperparameter=HOSTILE) for one in predictions]
    html = page(results, hostile, predictions=told, snippets={HOSTILE: HOSTILE})
    assert "<script>alert(1)" not in html
