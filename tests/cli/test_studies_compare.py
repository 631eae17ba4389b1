"""`studies compare`: trials beside the paper, without training; and a run that ends with both."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from study_cases import (
    planted,
    planted_hybrids,
    planted_store,
    planted_table,
    stored,
    study_of,
)

from mutransfer.workflows.comparison import studies

LOSSES = {
    "baseline": planted(),
    "cosine": planted(shift=0.02),
    "lion": planted(log2_best=-7.2),
    "norm-gains-vector": planted(log2_best=-4.2, drift=-0.5, curvature=0.3),
}


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """A folder of finished stores, as `studies run lingle2024` leaves it."""
    for name, loss in LOSSES.items():
        planted_store(tmp_path / "runs" / "lingle2024" / name, study_of(name), loss)
    return tmp_path / "runs" / "lingle2024"


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch) -> Path:
    """The same trials as tables that ship."""
    folder = tmp_path / "results"
    folder.mkdir()
    for name, loss in LOSSES.items():
        (folder / f"{name}.csv").write_text(planted_table(name, loss).to_csv())
    provenance = {"schema": 1, "studies": {"lion": {"machine": "a machine", "commits": ["0123"]}}}
    (folder / "provenance.json").write_text(json.dumps(provenance))
    monkeypatch.setattr(studies, "_results_folder", lambda: folder)
    return folder


def test_own_stores_are_compared(run, stores: Path) -> None:
    status, out, err = run("studies compare runs/lingle2024")
    assert (status, err) == (0, "")
    trials = sum(study_of(name).num_trials for name in LOSSES)
    assert f"Trials: 'runs/lingle2024'; {trials} trials, " in out
    assert "Agrees with the paper: 3 studies\nbaseline " in out
    assert "Disagrees with the paper: 1 study\nlion " in out
    assert max(map(len, out.splitlines())) <= 100


def test_shipped_trials_give_the_same_rows_as_their_stores(
    run, stores: Path, shipped: Path
) -> None:
    own = json.loads(run("studies compare runs/lingle2024 --json")[1])
    theirs = json.loads(run("studies compare --json")[1])
    assert theirs["studies"] == own["studies"]
    assert theirs["counts"] == own["counts"]
    assert theirs["source"] == "the trials that ship with mutransfer"
    assert theirs["provenance"]["studies"]["lion"]["machine"] == "a machine"


def test_the_page_is_written_and_named(run, shipped: Path, tmp_path: Path) -> None:
    status, out, _ = run("studies compare --report page.html")
    assert status == 0
    assert out.endswith("\n\nreport: page.html\n")
    page = (tmp_path / "page.html").read_text()
    assert "Which changes keep the best learning rate?" in page
    assert "a machine" in page
    data = json.loads(run("studies compare --report page.html --json")[1])
    assert data["report"] == "page.html"


def test_a_run_ends_with_its_verdict_beside_the_papers(run, stores: Path) -> None:
    """All trials are done, so nothing is trained."""
    status, out, _ = run("studies run norm-gains-vector -o runs/lingle2024/norm-gains-vector")
    assert status == 0
    lines = out.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("the paper  "))
    assert lines[start].startswith("the paper  does not transfer (marked in Table 1")
    assert any(line.startswith("together   agrees: neither transfers: ") for line in lines[start:])
    assert "nats beside the baseline at width 128" in " ".join(out.split())
    assert lines[-2].startswith("report: ")
    command = "studies run norm-gains-vector -o runs/lingle2024/norm-gains-vector --json"
    (row,) = json.loads(run(command)[1])["comparison"]
    assert row["agreement"]["outcome"] == "agrees"


def test_a_study_that_the_paper_lacks_keeps_the_words_of_its_file(run, tmp_path: Path) -> None:
    planted_store(tmp_path / "geglu", study_of("geglu"), planted())
    out = run("studies run geglu -o geglu")[1]
    assert "\n\nthe paper: not an experiment of the paper." in out


def test_comparing_loads_no_torch_and_takes_seconds(shipped: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from mutransfer.workflows.comparison import studies\n"
        f"studies._results_folder = lambda: pathlib.Path({str(shipped)!r})\n"
        "from mutransfer.cli import main\n"
        "try: main(['studies', 'compare'])\n"
        "except SystemExit: print([m for m in ('torch', 'altair') if m in sys.modules])"
    )
    start = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines()[-1] == "[]"
    assert time.monotonic() - start < 10


ERRORS = {
    "studies compare empty": (
        "ResultsError: 'empty' has no trial stores\n"
        "  why: studies are compared by their trials, one store per study\n"
        "  fix: mutransfer studies run lingle2024, which writes one store per study into "
        "runs/lingle2024\n"
    ),
    "studies compare missing": (
        "ResultsError: 'missing' cannot be read: No such file or directory\n"
        "  why: studies are compared by their trials, one store per study\n"
        "  fix: mutransfer studies compare, for the trials that ship; or mutransfer studies run "
        "lingle2024, which writes one store per study into runs/lingle2024\n"
    ),
    "studies compare kalra2026": (
        "ResultsError: 'kalra2026' is a source, and compare takes a folder of trial stores\n"
        "  why: without a folder it compares the trials that ship, of every paper\n"
        "  fix: mutransfer studies compare, or the folder into which you ran the studies\n"
    ),
    "studies compare --workers 2": (
        "UsageError: --workers applies to run, not to compare\n"
        "  why: nothing is run, so it would be ignored\n"
        "  fix: mutransfer studies run NAME, or leave --workers out\n"
    ),
    "studies run lion --report page.html": (
        "UsageError: --report applies to compare, not to run\n"
        "  why: the page is that of a comparison, so it would be ignored\n"
        "  fix: mutransfer studies compare, or leave --report out\n"
    ),
    "studies compare --report page.pdf": (
        "UsageError: --report page.pdf: the report is an HTML page, not .pdf\n"
        "  why: no program would open the file by its name\n"
        "  fix: --report page.html\n"
    ),
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_is_printed_in_three_lines(line: str, run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(line) == (2, "", ERRORS[line])


def test_a_run_of_the_other_paper_ends_with_its_claims(run, tmp_path: Path) -> None:
    """Every trial is done, so nothing is trained; without a drift of κ or E little is settled."""
    study = study_of("embedding-rate")
    losses = dict.fromkeys(("sp", "sp+embd", "mup", "mup-embd"), planted(log2_best=-4.2))
    stored(tmp_path / "embedding-rate", study, planted_hybrids(study, losses))
    status, out, _ = run("studies run embedding-rate -o embedding-rate")
    assert status == 0
    assert "\n\nclaim      embedding-rate (embedding-rate)\nthe paper  SP whose embedding" in out
    assert "\nhere       " in out
    assert "\ntogether   " in out
    rows = json.loads(run("studies run embedding-rate -o embedding-rate --json")[1])["claims"]
    assert [row["claim"] for row in rows][:2] == ["embedding-rate", "without-embedding"]
    assert all(row["study"] == "embedding-rate" for row in rows)
