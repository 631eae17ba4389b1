"""`studies`: the shipped studies are listed, printed and run."""

import json
import subprocess
import sys

import pytest

from mutransfer.cli.commands import sweep
from mutransfer.sweep import SweepSummary
from mutransfer.workflows.studies import catalog, ladder
from mutransfer.workflows.studies.catalog import study_text

TINY = """# Question: is it tiny?
# Command:  mutransfer demo
schema = 1
[study]
name = "tiny"
[axes]
parametrization = ["sp", "mup"]
width = [16, 32]
lr = [0.01, 0.02, 0.04]
[lab]
base_width = 16
steps = 3
warmup = 1
batch = 2
depth = 1
context = 16
"""


def test_every_shipped_study_is_listed_with_its_question(run) -> None:
    status, out, _ = run("studies")
    assert status == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert list(lines) == ["demo", "demo-large", "eleuther-ladder"]
    assert lines["eleuther-ladder"] == "on the way from SP to µP, which step repairs what?"
    assert run("studies list")[1] == out


def test_every_study_file_states_its_question_and_expected_answer(run) -> None:
    data = json.loads(run("studies --json")[1])
    assert data["schema"] == 1
    for study in data["studies"]:
        assert all(study.values()), study
        assert study["question"].endswith("?")
    assert data["studies"][-1]["command"] == "mutransfer studies run eleuther-ladder"
    # A header may go on over several lines, and ends where the next one begins.
    assert data["studies"][-1]["expected"] == (
        "SP, + hidden init and + hidden rate fail, each for what is still missing; the last two "
        "pass. It takes about a minute."
    )


def test_a_study_file_is_printed_unchanged(run) -> None:
    assert run("studies show demo")[1] == study_text("demo")
    data = json.loads(run("studies show demo --json")[1])
    assert data == {"schema": 1, "name": "demo", "text": study_text("demo")}


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys\nfrom mutransfer.cli import main\n"
        "try: main(['studies'])\n"
        "except SystemExit: print([m for m in ('torch', 'altair') if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines()[-1] == "[]"


def test_a_named_sweep_runs_like_the_demo(run, monkeypatch) -> None:
    monkeypatch.setattr(catalog, "study_text", lambda name: TINY)
    status, out, err = run("demo -o store --workers 1")
    assert status == 0
    assert err.startswith("The demo trains a small transformer")
    assert "report: store/report.html\nstore:  store" in out
    again = run("studies run demo -o store")
    assert again[:2] == (0, out)
    assert again[2].startswith("Is it tiny?\n12 trials\n")
    data = json.loads(run("studies run demo -o store --json")[1])
    assert data["report"] == "store/report.html"
    assert set(data["analysis"]["groups"]) == {"mup", "sp"}


class FakeCheck:
    """A coordinate check with a given outcome."""

    diagnoses = ()
    reasons = ("add seeds",)

    def __init__(self, outcome: str) -> None:
        self.outcome = outcome

    def to_json(self) -> dict:
        return {
            "outcome": self.outcome, "findings": [], "diagnoses": [], "reasons": [], "power": {},
            "settings": {},
        }  # fmt: skip


@pytest.mark.parametrize(("last", "status"), [("pass", 0), ("fail", 0), ("undetermined", 3)])
def test_a_ladder_exits_with_0_unless_a_check_is_undetermined(
    last, status, run, monkeypatch, tmp_path
) -> None:
    def check_rung(spec, rules):
        return FakeCheck(last if "attention" in rules else "fail")

    monkeypatch.setattr(ladder, "check_rung", check_rung)
    exit_status, out, err = run("studies run eleuther-ladder")
    assert exit_status == status
    assert f"+ attention          {last}" in out
    assert out.endswith("pages and ladder.json: runs/eleuther-ladder\n")
    assert err.splitlines()[0] == "checking SP"
    assert (tmp_path / "runs/eleuther-ladder/rung-5.html").exists()
    exit_status, out, _ = run("studies run eleuther-ladder -o here --json")
    assert (exit_status, json.loads(out)["folder"]) == (status, "here")
    assert json.loads(out)["rungs"][4]["outcome"] == last


ERRORS = {
    "studies run elether-ladder": (
        "UsageError: there is no study 'elether-ladder'\n"
        "  why: another study would answer another question\n"
        "  fix: did you mean 'eleuther-ladder'?\n"
    ),
    "studies show ../pyproject": (
        "UsageError: there is no study '../pyproject'\n"
        "  why: another study would answer another question\n"
        "  fix: choose from 'demo', 'demo-large', 'eleuther-ladder'\n"
    ),
    "studies show": (
        "UsageError: show needs the name of a study\n"
        "  why: several studies ship with mutransfer\n"
        "  fix: mutransfer studies show NAME, with a name from `mutransfer studies list`\n"
    ),
    "studies list demo": (
        "UsageError: list takes no name, but got 'demo'\n"
        "  why: it would be ignored, because every study is listed\n"
        "  fix: mutransfer studies show demo\n"
    ),
    "studies show demo --workers 2": (
        "UsageError: --output and --workers apply to run, not to show\n"
        "  why: they would be ignored, because nothing is run\n"
        "  fix: mutransfer studies run demo, or leave them out\n"
    ),
    "studies run eleuther-ladder --workers 2": (
        "UsageError: --workers applies to sweeps, and eleuther-ladder is a ladder of coordinate "
        "checks\n"
        "  why: it would be ignored, because one process checks one rung after another\n"
        "  fix: mutransfer studies run eleuther-ladder\n"
    ),
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_is_printed_in_three_lines(line, run) -> None:
    status, out, err = run(line)
    assert (status, out, err) == (2, "", ERRORS[line])


def test_failed_trials_of_a_named_study_need_another_folder(tmp_path) -> None:
    """`studies run` and `demo` have no --retry-failed."""
    failed, store = {"failed": {"id": "boom"}, "points": {"id": {"lr": 1}}}, tmp_path
    for counts, advice in (
        ({"exhausted": 1}, "next:  fix the cause, then name another --output"),
        ({"given_up": 1}, "skipped 1 trial, after failures in two earlier runs: "
         "name another --output to try again"),
    ):  # fmt: skip
        summary = SweepSummary(1, **failed, **counts)
        assert sweep.format_summary(summary, store, "name another --output").splitlines() == [
            "0 of 1 trial done",
            "1 trial failed: boom",
            "    at lr=1",
            f"logs:  {store}/*/attempts/*/ (error.txt, stdout.txt, stderr.txt)",
            advice,
            f"store: {store}",
        ]
