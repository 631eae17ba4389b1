"""Studies beside the paper: planted losses, a transfer, a drift, and what is undetermined."""

import json
import math
from pathlib import Path

import pytest
from study_cases import planted, planted_store, planted_studies, study_of

from mutransfer.analysis import analyze, compare_studies
from mutransfer.errors import ResultsError
from mutransfer.literature import published_experiment
from mutransfer.report.text.studies import format_compared_study, format_comparison
from mutransfer.workflows.comparison.compare import (
    ComparedStudy,
    StudyComparison,
    compare_finished,
    compare_store,
    compare_with_paper,
)
from mutransfer.workflows.comparison.studies import stored_studies
from mutransfer.workflows.studies import catalog

LOSSES = {
    "baseline": planted(),
    "cosine": planted(shift=0.02),  # transfers in the paper too
    "norm-gains-vector": planted(  # as in the paper
        drift=-0.5, log2_best=-4.2, shift=0.01, curvature=0.3
    ),
    "lion": planted(
        log2_best=-7.2, shift=-0.01
    ),  # does not transfer in the paper, at a small regret
    "zero-query": planted(drift=-0.5, log2_best=-4.4, curvature=0.4),  # transfers in the paper
    "swiglu": planted(curvature=0.0005),  # too flat for a minimum
    "geglu": planted(shift=-0.05),  # no experiment of the paper
}


@pytest.fixture(scope="module")
def comparison() -> StudyComparison:
    rows, reports = compare_finished(planted_studies(LOSSES))
    return StudyComparison("planted trials", rows, reports)


def study(comparison: StudyComparison, name: str) -> ComparedStudy:
    return next(row for row in comparison.studies if row.study == name)


def test_planted_verdicts_are_compared_with_the_papers(comparison: StudyComparison) -> None:
    outcomes = {row.study: row.agreement.outcome for row in comparison.studies}
    assert outcomes == {
        "baseline": "agrees",
        "cosine": "agrees",
        "norm-gains-vector": "agrees",
        "lion": "disagrees",
        "zero-query": "disagrees",
        "swiglu": "undetermined here",
        "geglu": "not reported by the paper",
    }
    assert {
        row.study: row.agreement.cause for row in comparison.studies if row.agreement.cause
    } == {
        "lion": "criterion",
        "zero-query": "results",
    }
    assert study(comparison, "zero-query").published == published_experiment("zero_query")


def test_the_numbers_are_those_of_an_analysis_of_each_study_alone(
    comparison: StudyComparison,
) -> None:
    for finished in planted_studies(LOSSES):
        (alone,) = analyze(finished.results).values()
        row = study(comparison, finished.name)
        assert row.report.regret_share == alone.regret_share
        assert row.report.drift == alone.drift
        data = row.to_json()["ours"]
        assert (data["verdict"], data["reason"]) == (alone.verdict, alone.reason)
        assert data["best_rates"][0]["grid_log2_lr"] == alone.optimum[0].grid_log2_lr


def test_the_loss_is_compared_with_the_baseline_at_each_ones_best_rate(
    comparison: StudyComparison,
) -> None:
    results = {s.name: s.results for s in planted_studies(LOSSES)}
    expected = compare_studies(results, "baseline")
    for name in ("cosine", "norm-gains-vector", "lion", "zero-query", "geglu"):
        loss = study(comparison, name).loss
        assert loss.difference == expected[name].difference
        has_seeds_of_baseline = name not in ("lion", "zero-query")  # they have two more
        assert (loss.width, loss.is_paired, loss.parameters) == (
            128.0, has_seeds_of_baseline, 1.0
        )  # fmt: skip
    assert study(comparison, "cosine").loss.difference.value == pytest.approx(0.02, abs=0.003)
    assert study(comparison, "geglu").loss.difference.value == pytest.approx(-0.05, abs=0.003)
    assert study(comparison, "baseline").loss.difference.value == 0.0


def test_losses_are_not_compared_without_a_baseline_or_after_other_lengths() -> None:
    rows, _ = compare_finished(planted_studies({"cosine": planted()}))
    assert rows[0].loss.difference.undetermined == (
        "the baseline is missing: mutransfer studies run baseline"
    )
    studies = planted_studies({"baseline": planted(), "cosine": planted()})
    longer = [{**row, "tokens": 2 * int(str(row["tokens"]))} for row in studies[1].table.rows]
    table = type(studies[1].table)(studies[1].table.axes, tuple(longer))
    changed = type(studies[1])(studies[1].study, "mini", table, studies[1].results)
    rows, _ = compare_finished([studies[0], changed])
    assert rows[1].loss.difference.undetermined == (
        "it was trained on another number of tokens than the baseline"
    )


def test_one_seed_leaves_everything_undetermined() -> None:
    """Control: without an estimate of the noise nothing is confirmed or refuted."""
    (finished,) = planted_studies({"baseline": planted()})
    rows = tuple(
        row
        for row in finished.table.rows
        if row["seed"] == 0 and abs(math.log2(float(str(row["lr"]))) + 5) < 0.6
    )
    table = type(finished.table)(finished.table.axes, rows)
    results = table.results("one seed", study_of("baseline"))
    compared, _ = compare_finished([type(finished)(finished.study, "mini", table, results)])
    assert compared[0].agreement.outcome == "undetermined here"
    assert compared[0].agreement.why.startswith("one seed, and the rates near the best ones are")


def test_the_json_is_one_finite_document(comparison: StudyComparison) -> None:
    text = json.dumps(comparison.to_json(), allow_nan=False)
    data = json.loads(text)
    assert data["schema"] == 1
    assert data["counts"] == {
        "agrees": 3,
        "disagrees": 2,
        "undetermined here": 1,
        "not reported by the paper": 1,
    }
    # A planted trial takes a tenth of a second per channel.
    axes = study_of("baseline").axes
    assert data["studies"][0]["cost"]["trials"] == study_of("baseline").num_trials
    seconds = 0.1 * sum(axes["width"]) * len(axes["lr"]) * len(axes["seed"])
    assert data["studies"][0]["cost"]["core_minutes"] == pytest.approx(seconds / 60)
    assert data["studies"][0]["paper"]["verdict"] == "transfers"
    assert data["studies"][-1]["paper"] is None or data["studies"][-1]["study"] != "geglu"


def test_the_terminal_table_is_grouped_and_fits_100_columns(comparison: StudyComparison) -> None:
    text = format_comparison(comparison.to_json())
    assert max(map(len, text.splitlines())) <= 100
    titles = [
        "Agrees with the paper: 3 studies", "Disagrees with the paper: 2 studies",
        "Undetermined at this scale: 1 study", "Not reported by the paper: 1 study",
    ]  # fmt: skip
    positions = [text.index(title) for title in titles]
    assert positions == sorted(positions)
    gains = next(line for line in text.splitlines() if line.startswith("norm-gains-vector"))
    share = study(comparison, "norm-gains-vector").report.regret_share
    assert gains.split()[1:6] == ["no", "2.04", "%", "no", ">="]
    assert gains.split()[6] == f"{100 * share.low:.3g}"
    assert "3 agree with the paper; 2 disagree (1 by criterion, 1 in the result itself); " in text


def test_limits_of_the_papers_cells_are_shown(comparison: StudyComparison) -> None:
    """Lion's lowest rate is its best one at width 128; the gains' minima are inside the grid."""
    edge = "minimum on the edge of the grid at width 128: the optimum may be lower"
    assert study(comparison, "lion").published.cautions == (edge,)
    assert study(comparison, "norm-gains-vector").published.cautions == ()
    assert format_comparison(comparison.to_json()).count(f"  in the paper: {edge}") == 1
    assert published_experiment("sp").cautions[1] == (
        "the best rate of the smallest width diverged at width 2048 (loss 7.247)"
    )


def test_studies_without_shipped_trials_are_named(comparison: StudyComparison) -> None:
    """Oracle: the files in the package, counted by hand."""
    folder = Path(catalog.__file__).parents[2] / "studies"
    files = {
        path.stem
        for path in folder.glob("*.toml")
        if 'settings = "lingle2024"' in path.read_text(encoding="utf-8")
    }
    missing = files - {path.stem for path in (folder / "results").glob("*.csv")}
    shipped = compare_with_paper()
    assert set(shipped.not_run) == missing
    text = format_comparison({**comparison.to_json(), "not_run": ["geglu", "tied"]})
    assert "\nNot run yet: geglu, tied: mutransfer studies run NAME\n" in text
    assert "Not run yet" not in format_comparison(comparison.to_json())


def test_one_study_is_printed_beside_the_paper(comparison: StudyComparison) -> None:
    text = format_compared_study(study(comparison, "norm-gains-vector").to_json())
    lines = text.splitlines()
    assert lines[0] == (
        "the paper  does not transfer "
        "(marked in Table 1; its cells, transcribed from slides, agree)"
    )
    assert "at its own best rate; in the paper +0.042 at width 2048" in " ".join(text.split())
    cells = "best rates 2^-4, 2^-4, 2^-8; regret 0.000 nats (0 %) at width 512, 0.052 nats (2.04 %)"
    assert cells in " ".join(text.split())
    assert any(line.startswith("here       does not transfer: carrying 2^-") for line in lines)
    assert any(line.startswith("together   agrees: neither transfers: ") for line in lines)
    assert max(map(len, lines)) <= 100
    geglu = format_compared_study(study(comparison, "geglu").to_json())
    assert geglu.startswith("the paper  has no such experiment\nhere       transfers: ")


def test_own_stores_are_compared_and_what_is_missing_is_named(tmp_path: Path) -> None:
    planted_store(tmp_path / "baseline", study_of("baseline"), planted())
    planted_store(tmp_path / "lion", study_of("lion"), planted(log2_best=-8.1), without=7)
    other = study_of("cosine")
    changed = {"lab": other.lab.model_copy(update={"steps": 300})}
    planted_store(tmp_path / "cosine", other.model_copy(update=changed), planted())
    renamed = {"study": other.study.model_copy(update={"name": "mine"})}
    planted_store(tmp_path / "mine", other.model_copy(update=renamed), planted())
    finer = {"axes": {**other.axes, "lr": (0.01, 1 / 64, 1 / 32, 1 / 16, 0.125)}}
    planted_store(tmp_path / "finer", other.model_copy(update=finer), planted())
    (tmp_path / "notes").mkdir()
    found = compare_with_paper(tmp_path)
    assert [row.study for row in found.studies] == ["baseline"]
    assert found.source == f"'{tmp_path}'"
    assert [(e.folder, e.reason) for e in found.left_out] == [
        ("cosine", "its setting steps is 300, so it is another study than cosine"),
        (
            "finer",
            "its axis lr is 0.01, 0.01562, …, 0.125, so it is another study than cosine",
        ),
        ("lion", f"7 of {study_of('lion').num_trials} trials have no result"),
        ("mine", "its study 'mine' is none of the paper's"),
    ]
    commands = [entry.command for entry in found.left_out]
    assert commands[0] == f"mutransfer studies run cosine -o {tmp_path}/cosine"
    assert commands[2] == f"mutransfer studies run lion -o {tmp_path}/lion"
    text = format_comparison(found.to_json())
    assert "\nLeft out\n  cosine: its setting steps is 300" in text
    assert f"  next: {commands[2]}\n" in text


def test_a_text_of_ones_own_stays_in_the_command_and_keeps_its_own_baseline(
    tmp_path: Path,
) -> None:
    (tmp_path / "my text.txt").write_text("To be, or not to be, that is the question. " * 5000)
    text = str(tmp_path / "my text.txt")
    runs = tmp_path / "runs"
    planted_store(runs / "baseline", study_of("baseline"), planted())
    planted_store(runs / "cosine", study_of("cosine", text=text), planted())
    planted_store(
        runs / "lion", study_of("lion", text=text), planted(), without=study_of("lion").num_trials
    )
    found = compare_with_paper(runs)
    assert [row.study for row in found.studies] == ["baseline", "cosine"]
    assert found.studies[1].loss.difference.undetermined == (
        "the baseline was trained on another text"
    )
    assert found.left_out[0].command == (
        f"mutransfer studies run lion --text '{text}' -o {runs}/lion"
    )


def test_the_paper_scale_is_a_study_of_its_own(tmp_path: Path) -> None:
    planted_store(tmp_path / "a", study_of("baseline", "paper"), planted())
    studies, _ = stored_studies(tmp_path)
    assert [(s.name, s.scale) for s in studies] == [("baseline-paper", "paper")]


def test_a_store_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    planted_store(tmp_path / "baseline", study_of("baseline"), planted())
    store = planted_store(tmp_path / "lion", study_of("lion"), planted())
    (store / "study.json").write_text("{")
    assert compare_with_paper(tmp_path).left_out[0].reason.startswith("it cannot be read: ")


def test_a_store_with_the_trials_of_another_study_is_left_out(tmp_path: Path) -> None:
    """Its list of trials was edited, or copied from elsewhere."""
    planted_store(tmp_path / "baseline", study_of("baseline"), planted())
    store = planted_store(tmp_path / "cosine", study_of("cosine"), planted())
    listed = json.loads((store / "trials.json").read_text())
    (store / "trials.json").write_text(json.dumps({**listed, "trials": listed["trials"][:9]}))
    (entry,) = compare_with_paper(tmp_path).left_out
    total = study_of("cosine").num_trials
    assert entry.reason == f"its trials are not the {total} trials of cosine"
    (store / "study.json").unlink()
    (store / "study.json").symlink_to(tmp_path / "baseline" / "study.json")
    (entry,) = compare_with_paper(tmp_path).left_out
    assert entry.reason.startswith("it cannot be read: ")


def message(folder: Path) -> str:
    with pytest.raises(ResultsError) as raised:
        compare_with_paper(folder)
    return str(raised.value).replace(str(folder), "DIR")


def test_a_folder_without_finished_studies_is_refused(tmp_path: Path) -> None:
    runs = (
        "mutransfer studies run lingle2024, which writes one store per study into runs/lingle2024"
    )
    assert message(tmp_path) == (
        "'DIR' has no trial stores\n"
        "  why: studies are compared by their trials, one store per study\n"
        f"  fix: {runs}"
    )
    assert message(tmp_path / "none") == (
        "'DIR' cannot be read: No such file or directory\n"
        "  why: studies are compared by their trials, one store per study\n"
        f"  fix: mutransfer studies compare, for the trials that ship; or {runs}"
    )
    planted_store(tmp_path / "lion", study_of("lion"), planted(), without=1)
    num_trials = study_of("lion").num_trials
    assert message(tmp_path) == (
        f"'DIR' has no finished study of the paper: lion: 1 of {num_trials} trials have no result\n"
        "  why: a study is compared when all of its trials have a result\n"
        "  fix: mutransfer studies run lion -o DIR/lion"
    )
    assert message(tmp_path / "lion") == (
        "'DIR' is a store of one study\n"
        "  why: studies are compared, so a folder of stores is needed\n"
        f"  fix: mutransfer studies compare {tmp_path}"
    )


def test_two_stores_of_one_study_are_refused(tmp_path: Path) -> None:
    for name in ("lion", "lion-again"):
        planted_store(tmp_path / name, study_of("lion"), planted())
    assert message(tmp_path) == (
        "'DIR' has two stores of the study lion: lion and lion-again\n"
        "  why: one of them would be ignored\n"
        "  fix: move one of them out of DIR"
    )


def test_a_store_is_compared_with_the_baseline_beside_it(tmp_path: Path) -> None:
    planted_store(tmp_path / "cosine", study_of("cosine"), planted(shift=0.02))
    (alone,) = compare_store(tmp_path / "cosine")
    assert alone.loss.difference.undetermined.startswith("the baseline is missing")
    planted_store(tmp_path / "baseline", study_of("baseline"), planted())
    (row,) = compare_store(tmp_path / "cosine")
    assert (row.study, row.agreement.outcome) == ("cosine", "agrees")
    assert row.loss.difference.value == pytest.approx(0.02, abs=0.003)
    assert [row.study for row in compare_store(tmp_path / "baseline")] == ["baseline"]
    planted_store(tmp_path / "lion", study_of("lion"), planted(), without=1)
    assert compare_store(tmp_path / "lion") == ()
