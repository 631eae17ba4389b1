"""Runs that did not finish are left out and counted, in the words of every tool."""

from pathlib import Path

import pytest
from planted_surfaces import columns as planted
from planted_surfaces import quadratic

from mutransfer.analysis import Results, analyze, load_results
from mutransfer.analysis.loading.state_words import (
    ENDED,
    FINISHED,
    NOT_STARTED,
    UNFINISHED,
    outcome_of_text,
)
from mutransfer.errors import ResultsError


def load(place: Path, header: str, cells: str, losses: str = "", name: str = "runs.csv") -> Results:
    """Load runs with these state cells, one per word; their rates are 1, 2, 3 and so on."""
    states = cells.split("|")
    values = losses.split() or ["3.5"] * len(states)
    rows = [
        f"64,{k},{loss},{state}"
        for k, (loss, state) in enumerate(zip(values, states, strict=True), 1)
    ]
    file = place / name
    file.write_text("\n".join([f"width,lr,loss,{header}", *rows]))
    return load_results(file)


@pytest.mark.parametrize(
    ("header", "cells", "finished"),
    [
        ("State", "finished|crashed|failed|killed|running|pending|preempting|Finished", [1, 8]),
        ("Status", "FINISHED|FAILED|KILLED|RUNNING|SCHEDULED|FINISHED", [1, 6]),
        ("state", "COMPLETE|PRUNED|FAIL|RUNNING|WAITING|COMPLETE", [1, 6]),
        ("state", "TrialState.COMPLETE|TrialState.PRUNED", [1]),
        ("done", "True|False|True", [1, 3]),
        ("trial status", "TERMINATED|ERROR|PENDING|RUNNING|PAUSED|TERMINATED", [1, 6]),
        (
            "status",
            "completed|published|closed|stopped|failed|in_progress|queued|created",
            [1, 2, 3],
        ),
        ("hasCrashed,running", "false,false|true,false|false,true", [1]),
        ("sys/state,sys/failed", "Inactive,False|Active,False|Inactive,True", [1]),
        ("sys/state", "idle|running|idle", [1, 3]),
        ("Executor,State", "dvc-task,|dvc-task,Failed|,Queued|,|dvc-task,Running", [1, 4]),
        ("TYPE", "Succeeded|Failed|EarlyStopped|MetricsUnavailable|Killed|Succeeded", [1, 6]),
        ("State,ExitCode", "COMPLETED,0:0|TIMEOUT,0:0|OUT_OF_MEMORY,0:125|NODE_FAIL,1:0", [1]),
        ("State", "COMPLETED|CANCELLED by 1000|PREEMPTED|COMPLETING", [1]),
        ("status", "completed|terminated|error|staged|running", [1]),
        ("TrainingJobStatus", "Completed|Stopped|InProgress|Stopping|Failed", [1]),
        ("status", "Completed|Canceled|NotResponding|CancelRequested|NotStarted", [1]),
        ("state", "JOB_STATE_SUCCEEDED|JOB_STATE_CANCELLED|PIPELINE_STATE_FAILED", [1]),
        ("info.status", "COMPLETED|INTERRUPTED|TIMEOUT_DIED|PROBABLY_DEAD|DIED", [1]),
        ("trial_status", "COMPLETED|ABANDONED|EARLY_STOPPED|CANDIDATE|INVALID", [1]),
        ("status", "Completed|OOMKilled|CrashLoopBackOff|Evicted|Terminating", [1]),
        ("exit_code", "0|1|137|-9|0", [1, 5]),
        ("Exitval", "0|1|137", [1]),
        ("finished", "yes|no|YES|", [1, 3]),
        ("early_stopped", "0|1|0", [1, 3]),
        ("error", "|CUDA out of memory|None|", [1, 3, 4]),
        ("status", "completed|broken|suspended|new|reserved", [1]),
        ("conclusion", "success|failure|cancelled|timed_out", [1]),
        ("how it ended", "done|time-out|Training completed successfully", [1, 3]),
    ],
)
def test_only_finished_runs_remain(
    tmp_path: Path, header: str, cells: str, finished: list[int]
) -> None:
    """The states are those that each tool documents; the rates number the rows."""
    results = load(tmp_path, header, cells)
    assert results.axes["lr"] == finished
    num_left_out = len(cells.split("|")) - len(finished)
    counted = [int(note.split()[0]) for note in results.notes if "left out" in note]
    assert sum(counted) == num_left_out


def spellings(words: str) -> list[str]:
    """Return a state as programs write it: in any case, with any separator, or in one word."""
    snake = words.replace(" ", "_")
    camel = words.title().replace(" ", "")
    return [words, words.upper(), f" {snake} ", snake.upper(), words.replace(" ", "-"), camel]


@pytest.mark.parametrize(
    ("words", "outcome"), [(FINISHED, "finished"), (UNFINISHED, "unfinished"),
                           (NOT_STARTED, "not started"), (ENDED, "ended")]
)  # fmt: skip
def test_case_and_separators_make_no_difference(words: frozenset[str], outcome: str) -> None:
    texts = [text for word in words for text in spellings(word)]
    assert {text for text in texts if outcome_of_text(text) != outcome} == set()
    assert {outcome_of_text(f"TrialState.{text.strip()}") for text in texts} == {outcome}


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("state", "solid|liquid"),
        ("state", "OK|TX|CA"),  # states of America
        ("state", "NO|SE"),
        ("status", "looks good|second try|looks good"),
        ("done", "3|1|2"),  # a number of epochs
        ("done", "1|1|1|2"),
        ("running", "0.5|1"),
        ("random_state", "0|1|0"),
        ("optimizer_state", "fp32|8bit|fp32"),
        ("config.early_stopped", "true|false|true"),
        ("params/pruned", "True|False"),
        ("lifecycle_stage", "active|deleted"),
        ("tied", "True|False|yes|no"),
        ("optimizer", "adam|lion"),
        ("compiles", "ok|failed"),
        ("error", "mse|mae"),
        ("error", "0.1||0.2"),
        ("timeout", "3600|7200"),
        ("State", "finished|Finished|FINISHED"),
        ("status", "TERMINATED|TERMINATED"),
    ],
)
def test_other_columns_leave_no_run_out(tmp_path: Path, header: str, cells: str) -> None:
    results = load(tmp_path, header, cells)
    assert len(results) == len(cells.split("|"))
    assert not any("left out" in note and "no run" not in note for note in results.notes)


def test_a_state_column_without_a_known_state_is_named(tmp_path: Path) -> None:
    note = "the column 'state' holds no known state of a run, so no run is left out by it"
    assert load(tmp_path, "state", "solid|liquid").notes == (note,)
    assert load(tmp_path, "random_state", "a|b").notes == ()


def test_a_boolean_of_json_is_read(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    row = '{"width": 64, "lr": %d, "loss": 3.0, "done": %s}\n'
    file.write_text("".join(row % (k, done) for k, done in enumerate(("true", "false", "null"), 1)))
    results = load_results(file)
    assert results.axes == {"width": [64], "lr": [1]}
    assert results.notes == (
        "1 run has not finished and is left out, by the column 'done' ('False')",
        "1 run has no state in the column 'done' and is left out: "
        "write finished there if the loss is final",
    )


@pytest.mark.parametrize("odd", ["", "Finished (early)", "n/a", "completed with errors", "17"])
def test_an_odd_cell_does_not_switch_the_filter_off(tmp_path: Path, odd: str) -> None:
    """Its own run may not be final, so it is left out, and the note says what to write."""
    results = load(tmp_path, "State", f"{odd}|finished|crashed|finished")
    assert results.axes["lr"] == [2, 4]
    crashed, other = results.notes
    assert crashed == "1 run has not finished and is left out, by the column 'State' ('crashed')"
    assert other.endswith("is left out: write finished there if the loss is final")
    assert (f"'{odd}'" in other) == (odd not in ("", "n/a"))


def test_an_unknown_word_of_most_runs_keeps_them(tmp_path: Path) -> None:
    """Such a word is no slip, but what this tool calls a finished run."""
    results = load(tmp_path, "State", "gut|gut|gut|finished|crashed")
    assert results.axes["lr"] == [1, 2, 3, 4]
    assert (
        results.notes[1]
        == "3 runs have an unknown state in the column 'State' ('gut') and are kept"
    )


def test_a_run_that_diverged_counts_whatever_its_state(tmp_path: Path) -> None:
    """A loss of NaN is a result, except of a run that has not started."""
    cells = "finished|crashed|FAILED|running|killed|pending|queued"
    results = load(tmp_path, "State", cells, "3 nan inf nan 5 nan nan")
    assert results.axes["lr"] == [1, 2, 3, 4]
    assert results.diverged.tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("State", "finished|diverged|Failed: loss is NaN|crashed"),
        ("diverged", "no|yes|true|"),
        ("is_diverged", "0|1|1|0"),
    ],
)
def test_a_column_that_says_diverged_overrules_the_last_loss(
    tmp_path: Path, header: str, cells: str
) -> None:
    results = load(tmp_path, header, cells, "3.0 7.5 9.5 8.5")
    assert results.diverged.tolist()[:3] == [False, True, True]
    assert results.axes["lr"] == [1, 2, 3] + [4] * (header != "State")
    assert any("2 runs count as diverged" in note for note in results.notes)
    assert header not in results.axes


def test_a_table_without_a_finished_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as raised:
        load(tmp_path, "State", "running|running")
    assert raised.value.what.endswith("2 runs have not finished, and there is no other run")
    assert raised.value.fix == (
        "let the runs finish, or remove the column 'State' if their losses are final"
    )


def test_a_state_is_not_a_setting_that_distinguishes_runs(tmp_path: Path) -> None:
    """Without seeds, a finished and a diverged run at the same point are repetitions."""
    file = tmp_path / "runs.csv"
    file.write_text("width,lr,loss,ok?,done\n64,1,3,x,yes\n64,1,nan,x,no\n64,2,3,x,yes\n")
    results = load_results(file)
    assert "done" not in results.axes
    assert analyze(results)["all"].curves[0].num_diverged == (1, 0)


@pytest.mark.parametrize("first", ["finished", "", "preempting", "Finished (early)"])
def test_states_give_the_verdict_of_the_table_without_unfinished_runs(
    tmp_path: Path, first: str
) -> None:
    """The optimum falls with width, but unfinished runs at low rates hide that it does."""
    table = planted(quadratic(drift=-0.5), seeds=2, sd_within=0.003)
    rows = list(zip(*table.values(), strict=True))
    is_crashed = [width > 64 and lr < 2**-6 for width, lr, *_ in rows]
    lines, complete = ["width,lr,seed,loss,State"], ["width,lr,seed,loss"]
    for k, ((width, lr, seed, loss), crashed) in enumerate(zip(rows, is_crashed, strict=True)):
        state = "crashed" if crashed else "finished" if k else first
        lines.append(f"{width},{lr},{seed},{loss + 0.3 * crashed},{state}")
        if state == "finished":
            complete.append(f"{width},{lr},{seed},{loss}")
    (tmp_path / "all.csv").write_text("\n".join(lines))
    (tmp_path / "complete.csv").write_text("\n".join(complete))
    report, expected = (analyze(load_results(tmp_path / n)) for n in ("all.csv", "complete.csv"))
    assert report["all"].to_json() == expected["all"].to_json()
    assert report["all"].verdict == "undetermined"
    # Negative control: without the states, the unfinished runs change the answer.
    (tmp_path / "no_state.csv").write_text("\n".join(lines).replace("State", "remark"))
    stateless = [line.rsplit(",", 1)[0] for line in lines]
    (tmp_path / "no_state.csv").write_text("\n".join(stateless))
    assert analyze(load_results(tmp_path / "no_state.csv"))["all"].verdict == "transfers"
