"""Studies of arXiv:2605.21486 beside its claims: planted stores, text, and a folder of both."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from study_cases import LN2, Loss, planted, planted_hybrids, planted_store, stored, study_of

from mutransfer.report.text.claims import effect_rows, format_claims, format_judgement
from mutransfer.report.text.studies import format_comparison
from mutransfer.workflows import analyze_path, compare_with_paper, judge_store, write_page
from mutransfer.workflows.comparison.claims import compare_claims
from mutransfer.workflows.comparison.studies import read_stored_study, scaled_studies

BUMPS = (0.0, -0.4, 1.0, -1.0, 0.4)


def hybrid(*, drift: float, bump: float) -> Loss:
    """Return a surface that departs from the laws at every width but the base."""

    def loss(width: float, log2_lr: float) -> float:
        steps = math.log2(width / 12)
        best = -4.2 + drift * steps
        reducible = 4.0 * 2 ** (-0.6 * steps) + bump * BUMPS[round(steps)]
        return 2.0 + reducible + 0.1 * ((log2_lr - best) * LN2) ** 2

    return loss


LOSSES = {
    "sp": hybrid(drift=-1.0, bump=0.2),
    "sp+embd": hybrid(drift=0.0, bump=0.04),
    "mup": hybrid(drift=0.0, bump=0.04),
    "mup-embd": hybrid(drift=-1.0, bump=0.2),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished study of this paper."""
    folder = tmp_path_factory.mktemp("runs")
    study = study_of("embedding-rate")
    stored(folder / "embedding-rate", study, planted_hybrids(study, LOSSES))
    return folder


@pytest.fixture(scope="module")
def data(runs: Path) -> dict[str, Any]:
    return compare_with_paper(runs).to_json()


def outcome(data: dict[str, Any], claim: str) -> str:
    (row,) = [row for row in data["claims"]["claims"] if row["claim"] == claim]
    return row["outcome"]


def test_a_folder_of_this_paper_has_its_claims_and_no_other_table(data: dict[str, Any]) -> None:
    assert data["studies"] == []
    assert outcome(data, "embedding-rate") == "agrees"
    assert outcome(data, "without-embedding") == "agrees"
    assert outcome(data, "transfer") == "disagrees"  # SP's drift is one of units only
    assert outcome(data, "theory") == "not tested"
    assert data["claims"]["counts"]["agrees"] == 5
    assert "hybrids" in data["claims"]["not_run"]
    text = format_comparison(data)
    assert "A Large-Scale Exploration" not in text
    assert text.startswith("Paper: Dayal Singh Kalra")


def test_the_json_has_all_three_metrics_with_intervals_and_their_differences(
    data: dict[str, Any],
) -> None:
    (study,) = data["claims"]["studies"]
    assert [group["group"] for group in study["groups"]] == sorted(LOSSES)
    for group in study["groups"]:
        for name in ("E", "kappa", "R_inf"):
            assert group[name]["low"] < group[name]["high"]
    pairs = {(pair["group"], pair["reference"]): pair for pair in study["differences"]}
    pair = pairs["sp", "sp+embd"]
    assert pair["is_paired"]
    assert pair["width"] == 192
    # A bump five times as large has an E 25 times as large, but for the noise.
    assert pair["log10_E"]["low"] < math.log10(25) < pair["log10_E"]["high"]


def test_regrets_are_shown_in_both_units(data: dict[str, Any]) -> None:
    (study,) = data["claims"]["studies"]
    sp, mup = ({g["group"]: g for g in study["groups"]}[name] for name in ("sp", "mup"))
    assert sp["drift"]["value"] == pytest.approx(-1, abs=0.02)
    assert sp["in_mup_gauge"]["drift"]["value"] == pytest.approx(0, abs=0.02)
    assert sp["verdict"] == "does not transfer"
    assert sp["in_mup_gauge"]["verdict"] == mup["verdict"] == "transfers"
    assert mup["in_mup_gauge"]["regret_share"] == pytest.approx(mup["regret_share"])
    text = " ".join(format_claims(data["claims"]).split())
    assert "regret in µP's units" in text
    assert "partly a statement about units" in text


def test_effects_are_beside_the_published_ones(data: dict[str, Any]) -> None:
    (effects,) = data["claims"]["effects"]
    rows = {row[0]: row for row in effect_rows(effects)}
    assert set(rows) == {"switch", "embd", "ln+attn+last"}
    embd = effects["switches"][0]
    assert embd["log10"]["value"] == pytest.approx(-math.log10(25), abs=0.15)
    assert embd["published"]["decays up to 0.001"]["value"] == pytest.approx(-1.14, abs=0.005)
    assert effects["switches"][1]["published"]["without decay"] is None


def test_the_text_fits_a_terminal_and_has_every_claim(data: dict[str, Any]) -> None:
    text = format_comparison(data)
    assert max(map(len, text.splitlines())) <= 100
    for row in data["claims"]["claims"]:
        assert f"claim      {row['claim']}" in text
    assert "Agrees with the paper: 5 judgements" in text


def test_both_papers_have_a_table_each(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "embedding-rate").symlink_to(runs / "embedding-rate")
    planted_store(tmp_path / "baseline", study_of("baseline"), planted())
    both = compare_with_paper(tmp_path).to_json()
    assert [row["study"] for row in both["studies"]] == ["baseline"]
    assert len(both["claims"]["claims"]) == 13
    text = format_comparison(both)
    assert text.index("A Large-Scale Exploration") < text.index("Dayal Singh Kalra")


def test_without_studies_of_this_paper_there_are_no_claims(tmp_path: Path) -> None:
    planted_store(tmp_path / "baseline", study_of("baseline"), planted())
    assert compare_with_paper(tmp_path).to_json()["claims"] is None
    assert compare_claims([]) is None


def test_the_study_of_one_store_is_judged_at_once(runs: Path, data: dict[str, Any]) -> None:
    judged = judge_store(runs / "embedding-rate")
    assert judged is not None
    assert judged["paper"] == data["claims"]["paper"]
    rows = judged["claims"]
    assert rows == [row for row in data["claims"]["claims"] if row["study"]]
    lines = format_judgement(rows[0]).splitlines()
    assert [line[:10].strip() for line in lines if line[0] != " "] == [
        "claim", "the paper", "here", "together"
    ]  # fmt: skip
    assert lines[-1] == "together   agrees"


def test_the_page_of_a_store_answers_its_claims_first(runs: Path, tmp_path: Path) -> None:
    store = runs / "embedding-rate"
    results, report = analyze_path(store)
    page, _ = write_page(store, tmp_path / "page.html", results=results, report=report)
    headings = re.findall(r"<h2[^>]*>([^<]+)</h2>", page.read_text(encoding="utf-8"))
    assert headings[:2] == ["Verdict", "Claim by claim"]
    assert headings.count("Claim by claim") == 1


def test_an_unfinished_store_is_not_judged(tmp_path: Path) -> None:
    study = study_of("embedding-rate")
    results = planted_hybrids(study, LOSSES)[:-1]
    assert judge_store(stored(tmp_path / "embedding-rate", study, results)) is None
    left_out = read_stored_study(tmp_path / "embedding-rate", scaled_studies())
    assert "1 of " in left_out.reason
