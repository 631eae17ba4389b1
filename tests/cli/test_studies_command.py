"""`studies`: the shipped studies are listed, printed and run."""

import json
import subprocess
import sys

import pytest

from mutransfer.cli.commands import sweep
from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.sweep import SweepSummary, TrialStore
from mutransfer.workflows.studies import catalog, ladder, scales
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


def test_every_shipped_study_is_listed_by_source_with_its_question(run) -> None:
    status, out, _ = run("studies")
    assert status == 0
    blocks = [block.splitlines() for block in out.split("\n\n")]
    assert blocks[0] == ["study                   mini, min  paper, GPU h  question"]
    sources = [block[0].rpartition(" ")[2] for block in blocks[1:-1]]
    assert sources == ["demo", "lingle2024", "kalra2026", "eleutherai"]
    names = [[line.split()[0] for line in block[1:]] for block in blocks[1:-1]]
    assert names[0] == ["demo", "demo-large"]
    assert names[1][0] == "baseline"
    assert "norm-gains-vector" in names[1]
    assert names[2][:2] == ["embedding-rate", "hybrids"]
    assert "eleuther-ladder" in names[3]
    ladder = next(line for line in out.splitlines() if line.startswith("eleuther-ladder"))
    question = "on the way from SP to µP, which step repairs what?"
    assert ladder.split(maxsplit=3) == ["eleuther-ladder", "–", "–", question]
    assert "  970           does the best rate transfer with a cosine schedule?" in out
    assert out.endswith("paper: hours of one H100 at 40 % of its 989 TFLOP/s.\n")
    assert run("studies list")[1] == out


def test_every_study_file_states_its_question_and_expected_answer(run) -> None:
    data = json.loads(run("studies --json")[1])
    assert data["schema"] == 1
    studies = {study["name"]: study for study in data["studies"]}
    ladder = studies["eleuther-ladder"]
    assert ladder["command"] == "mutransfer studies run eleuther-ladder"
    # A header may go on over several lines, and ends where the next one begins.
    assert ladder["expected"] == (
        "SP, + hidden init and + hidden rate fail, each for what is still missing; the last two "
        "pass. It takes about a minute."
    )
    gains = studies["norm-gains-vector"]
    assert gains["source_name"] == "lingle2024"
    assert gains["experiment"] == "rmsnorm_gains_vector"
    assert gains["expected"].startswith("does not transfer: the best rate falls from 2^-4")


def test_a_study_file_is_printed_unchanged_or_expanded(run) -> None:
    assert run("studies show demo")[1] == study_text("demo")
    data = json.loads(run("studies show demo --json")[1])
    assert data == {"schema": 1, "name": "demo", "text": study_text("demo")}
    printed = run("studies show cosine --scale paper")[1]
    assert printed == study_text("cosine", "paper")
    assert 'schedule = "cosine"' in printed


def test_a_printed_study_can_be_saved_and_run(run, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(run("studies show cosine")[1])
    status, out, _ = run("sweep mine.toml --dry-run")
    assert status == 0
    assert "42 trials, 0 done" in out


COST = """width  trials  parameters  tokens each  FLOPs
128    5       12.9M       32.8B        1.0e19
512    5       108M        32.8B        9.7e19
2048   5       1.34B       32.8B        1.3e21

cosine: 15 trials; 1.4e21 FLOPs; 970 hours of one H100 at 40 % of its 989 TFLOP/s
"""


def test_a_dry_run_prints_trials_flops_and_gpu_hours(run, tmp_path) -> None:
    before = sorted(tmp_path.iterdir())
    assert run("studies run cosine --scale paper --dry-run")[:2] == (0, COST)
    data = json.loads(run("studies run cosine --scale paper --dry-run --json")[1])
    assert (data["name"], data["scale"], data["cost"]["trials"]) == ("cosine", "paper", 15)
    assert [row["width"] for row in data["cost"]["widths"]] == [128, 512, 2048]
    assert run("studies run cosine --dry-run")[1].endswith("minutes on two cores\n")
    assert sorted(tmp_path.iterdir()) == before


def test_a_dry_run_of_a_source_sums_up_all_its_studies(run) -> None:
    status, out, _ = run("studies run lingle2024 --scale paper --dry-run")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split(maxsplit=3) == ["study", "trials", "FLOPs", "GPU hours"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:-2]}
    assert rows["large-scale"][0] == "12"
    total = sum(int(trials) for trials, *_ in rows.values())
    assert lines[-1].startswith(f"all studies: {total} trials; ")
    data = json.loads(run("studies run lingle2024 --scale paper --dry-run --json")[1])
    assert set(data["studies"]) == set(rows)
    assert data["cost"]["trials"] == total


@pytest.mark.parametrize(
    "line", ["studies", "studies show cosine", "studies run lingle2024 --scale paper --dry-run"]
)
def test_what_trains_nothing_loads_no_torch(line) -> None:
    code = (
        "import sys\nfrom mutransfer.cli import main\n"
        f"try: main({line.split()!r})\n"
        "except SystemExit: print([m for m in ('torch', 'altair') if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines()[-1] == "[]"


def test_a_named_sweep_runs_like_the_demo(run, monkeypatch) -> None:
    shipped = catalog.study_file
    monkeypatch.setattr(catalog, "study_file", lambda n: TINY if n == "demo" else shipped(n))
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


SETTINGS = """# Settings: tiny ones.
schema = 1
[settings]
name = "lingle2024"
[mini.axes]
width = [16, 32]
lr = [0.01, 0.02, 0.04]
[mini.lab]
base_width = 16
steps = 3
warmup = 1
batch = 2
depth = 1
context = 16
[paper.axes]
width = [16]
lr = [0.01]
"""
SMALL = """# Question: is {name} small?
# Source:   {name}.
# Paper:    transfers (secondary).
schema = 1
[study]
name = "{name}"
settings = "lingle2024"
[lab]
{change}
"""
CHANGES = {
    "baseline": "",
    "sp": 'parametrization = "sp"\nattention_scale = "1/d"',
    "cosine": 'schedule = "cosine"',
}


@pytest.fixture
def small_studies(monkeypatch):
    """Replace the studies of a paper by three that take a second each."""
    monkeypatch.setattr(scales, "settings_text", lambda name: SETTINGS)
    monkeypatch.setattr(catalog, "_names", lambda: sorted(CHANGES))
    monkeypatch.setattr(
        catalog, "study_file", lambda name: SMALL.format(name=name, change=CHANGES[name])
    )


def test_a_run_prints_the_verdict_of_the_paper_below_its_own(run, small_studies) -> None:
    status, out, err = run("studies run cosine --workers 1")
    assert status == 0
    assert err.startswith("Is cosine small?\n6 trials\n")
    assert out.startswith("mup: undetermined")
    assert out.endswith(
        "the paper: transfers (secondary).\n\nreport: runs/cosine/report.html\n"
        "store:  runs/cosine\n"
    )


def test_all_studies_of_a_source_are_run_and_equal_trainings_once(run, small_studies) -> None:
    """At the base width SP is µP where both divide by d, so three trials are the baseline's."""
    status, out, err = run("studies run lingle2024 --workers 1")
    assert status == 0
    assert [line for line in out.splitlines() if line in CHANGES] == ["baseline", "sp", "cosine"]
    assert "3 already done" in err
    shared = [result for result in TrialStore("runs/lingle2024/sp").results() if result.shared_from]
    assert [result.spec.axes["width"] for result in shared] == [16, 16, 16]
    data = json.loads(run("studies run lingle2024 --json")[1])
    assert data["source"] == "lingle2024"
    assert [study["ran"] for study in data["studies"].values()] == [0, 0, 0]
    assert data["studies"]["sp"]["paper"] == "transfers (secondary)."


def test_a_study_trains_on_the_text_of_the_user(run, small_studies, tmp_path) -> None:
    (tmp_path / "corpus").mkdir()
    for number in range(40):
        (tmp_path / "corpus" / f"{number}.txt").write_text(f"{number} is a number. " * 40)
    assert run("studies run baseline --text corpus --workers 1")[0] == 0
    results = list(TrialStore("runs/baseline").results())
    assert {result.spec.runner.data for result in results} == {corpus_hash("corpus")}


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
        "  fix: `mutransfer studies` lists all of them\n"
    ),
    "studies show eleutherai": (
        "UsageError: 'eleutherai' is a source of studies, not a study\n"
        "  why: each of its studies has a file of its own\n"
        "  fix: name one of them: eleuther-ladder, guide-proxy-search, guide-proxy-target, "
        "practitioners-test\n"
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
    "studies run lingle2025": (
        "UsageError: there is no study 'lingle2025'\n"
        "  why: another study would answer another question\n"
        "  fix: did you mean 'lingle2024'?\n"
    ),
    "studies show demo --workers 2": (
        "UsageError: --workers applies to run, not to show\n"
        "  why: nothing is run, so it would be ignored\n"
        "  fix: mutransfer studies run demo, or leave --workers out\n"
    ),
    "studies list --scale paper --output here": (
        "UsageError: --scale and --output apply to run, not to list\n"
        "  why: nothing is run, so they would be ignored\n"
        "  fix: mutransfer studies run NAME, or leave --scale and --output out\n"
    ),
    "studies show demo --scale paper": (
        "UsageError: demo has no scales, but got --scale paper\n"
        "  why: its file is what it is; only studies of a paper's experiments have two scales\n"
        "  fix: leave out --scale: mutransfer studies show demo\n"
    ),
    "studies run cosine --scale papre": (
        "UsageError: --scale takes mini or paper, not 'papre'\n"
        "  why: --scale means: mini: minutes on two cores, the default; paper: the settings of "
        "the paper\n"
        "  fix: did you mean 'paper'?\n"
    ),
    "studies run cosine --dry-run --workers 2 -o here": (
        "UsageError: --dry-run trains nothing, so --output and --workers would be ignored\n"
        "  why: the cost depends on the study and its scale only\n"
        "  fix: leave --output and --workers out\n"
    ),
    "studies run eleuther-ladder --dry-run": (
        "UsageError: eleuther-ladder is a ladder of coordinate checks, which trains no trials\n"
        "  why: a scale, a text and a dry run would be ignored\n"
        "  fix: mutransfer studies run eleuther-ladder\n"
    ),
    "studies run cosine --text missing": (
        "DataError: --text missing does not exist\n"
        "  why: all trials are trained on this text\n"
        "  fix: name a file or a folder of text, or leave --text out for that of this package\n"
    ),
    "studies run eleuther-ladder --text .": (
        "UsageError: --text applies to sweeps, and eleuther-ladder is a ladder of coordinate "
        "checks\n"
        "  why: a ladder trains no trials: one process checks one rung after another\n"
        "  fix: mutransfer studies run eleuther-ladder\n"
    ),
    "studies run eleuther-ladder --workers 2": (
        "UsageError: --workers applies to sweeps, and eleuther-ladder is a ladder of coordinate "
        "checks\n"
        "  why: a ladder trains no trials: one process checks one rung after another\n"
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
