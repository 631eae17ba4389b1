"""A program's loss: from CSV, JSON, JSONL, a regex over stdout, or a file named by a variable."""

import math
import time

import pytest

from mutransfer.errors import TrialError
from mutransfer.records.program.loss_source import LossSource
from mutransfer.sweep.runners.losses import read_loss

CSV = "iter,val_loss\n0,5.0\n5,\n10,2.5\n20,3.0\n"
JSONL = (
    '{"step": 0, "val": {"loss": 5}}\n\n{"lr": 1}\n{"val": {"loss": 2.5}}\n{"val": {"loss": 3}}\n'
)

VALID = {
    "the last value of a column": ({"csv": "f", "column": "val_loss"}, CSV, 3.0),
    "the minimum": ({"csv": "f", "column": "val_loss", "reduce": "min"}, CSV, 2.5),
    "the mean": ({"csv": "f", "column": "val_loss", "reduce": "mean"}, CSV, 3.5),
    "semicolons": ({"csv": "f"}, "a;loss\n1;2.5\n", 2.5),
    "tabs and Windows lines": ({"csv": "f"}, "a\tloss\r\n1\t2.5\r\n", 2.5),
    "an incomplete last row": ({"csv": "f"}, "a,loss\n1,2.5\n2", 2.5),
    "NaN, which is divergence": ({"csv": "f"}, "loss\n2.5\nnan\n", math.nan),
    "a minimum in spite of NaN before": (
        {"csv": "f", "reduce": "min"},
        "loss\n2.5\nnan\n-inf\n3\n",
        2.5,
    ),
    "a minimum of a run that ended in NaN": (
        {"csv": "f", "reduce": "min"},
        "loss\n2\nnan\n",
        math.nan,
    ),
    "a key of each line": ({"jsonl": "f", "key": "val.loss"}, JSONL, 3.0),
    "a name with a dot": ({"jsonl": "f", "key": "val.loss"}, '{"val.loss": 1}\n', 1.0),
    "an incomplete last line": ({"jsonl": "f"}, '{"loss": 2.5}\n{"lo', 2.5),
    "null for NaN": ({"json": "f"}, '{"loss": null}', math.nan),
    "NaN in JSON": ({"json": "f"}, '{"loss": NaN, "info": "nan"}', math.nan),
    "a number as text": ({"json": "f"}, '{"loss": "2.5"}', 2.5),
    "a group": ({"regex": r"val (\S+)"}, "val 9\nx\nstep 2: val 2.5, 1 s\n", 2.5),
    "a group that is divergence": ({"regex": r"val (\S+)"}, "val 9\nval nan\n", math.nan),
    "the last of two groups in a line": (
        {"regex": r"loss (\S+)"},
        "step 5: train loss 4.0, val loss 3.0\nstep 10: train loss 2.5, val loss 2.0\n",
        2.0,
    ),
    "a divergence at the end of a line": ({"regex": r"loss (\S+)"}, "loss 2, loss nan\n", math.nan),
    "a group that may be empty, and is so at the end of each line": (
        {"regex": "(.*)"},
        "9.0\r\n2.5\r\n",
        2.5,
    ),
    "the end of a Windows line": ({"regex": r"loss (\S+)$"}, "loss 9\r\nloss 2\r\n", 2.0),
    "a progress bar that returns to the start of its line": (
        {"regex": r"loss=(\S+)"},
        "\r 50%| loss=4.0, 3.1it/s]\r100%| loss=2.5, 3.1it/s]",
        2.5,
    ),
    "the mean of the last values": (
        {"csv": "f", "column": "val_loss", "reduce": {"mean": 2}},
        CSV,
        2.75,
    ),
    "the mean of the last lines": (
        {"regex": r"val (\S+)", "reduce": {"mean": 2}},
        "val 9\nval 1\nval 2",
        1.5,
    ),
    "NaN among the last values": (
        {"jsonl": "f", "reduce": {"mean": 2}},
        '{"loss": 2}\n{"loss": null}\n{"loss": 2}\n',
        math.nan,
    ),
    "NaN before the last values": ({"csv": "f", "reduce": {"mean": 2}}, "loss\nnan\n2\n3\n", 2.5),
    "a run that ended in NaN before it had as many values": (
        {"csv": "f", "reduce": {"mean": 50}},
        "loss\n9\ninf\n",
        math.inf,
    ),
    "a bare number": ({"env": "RESULT"}, "2.5\n", 2.5),
    "a bare nan": ({"env": "RESULT"}, "nan", math.nan),
    "an object": ({"env": "RESULT", "key": "x"}, '{"x": 2.5}', 2.5),
}
PLACES = {"regex": "stdout.txt", "env": "loss"}


def read(attempt, source: dict, text: str) -> float:
    name = next((PLACES[key] for key in PLACES if key in source), "f")
    (attempt / name).write_text(text, newline="")
    return read_loss(LossSource.model_validate(source), attempt)


@pytest.mark.parametrize("case", VALID)
def test_a_loss_is_read(tmp_path, case) -> None:
    source, text, loss = VALID[case]
    assert read(tmp_path, source, text) == pytest.approx(loss, nan_ok=True)


INVALID = {
    "no column": ({"csv": "f"}, "a,b\n1,2\n", "no column 'loss' in its header 'a,b'"),
    "no row": ({"csv": "f"}, "loss\n", "no number in column 'loss'"),
    "text": ({"csv": "f"}, "loss\ntwo\n", "line 2 has 'two', which is not a number"),
    "an empty file": ({"csv": "f"}, "", "no column 'loss' in its header ''"),
    "an incomplete line in the middle": (
        {"jsonl": "f"},
        '{"l\n{"loss": 1}\n',
        "line 1 is not JSON",
    ),
    "no such key": ({"json": "f", "key": "a.b"}, '{"a": 1}', "no 'a.b'"),
    "no such key in any line": ({"jsonl": "f"}, '{"a": 1}\n{"b": 2}', "its lines have 'a', 'b'"),
    "true": ({"json": "f"}, '{"loss": true}', "line 1 has True, which is not a number"),
    "no JSON": ({"json": "f"}, "<html>", "the file is not JSON"),
    "no match": ({"regex": "loss=(.*)"}, "bye\n", "no line matches 'loss=(.*)'"),
    "a match that is not a number": (
        {"regex": "loss=(.*)"},
        "loss=x",
        "line 1 has 'x', which is not",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_missing_loss_is_an_error_that_says_why(tmp_path, case) -> None:
    source, text, problem = INVALID[case]
    with pytest.raises(TrialError) as raised:
        read(tmp_path, source, text)
    what, why, fix = str(raised.value).splitlines()
    assert problem in what
    assert why == "  why: a trial without a loss cannot be analyzed"
    assert fix.startswith("  fix: compare [runner] loss with what the program writes")


def test_fewer_values_than_a_mean_needs_are_an_error_with_the_number_to_write(tmp_path) -> None:
    with pytest.raises(TrialError) as raised:
        read(tmp_path, {"csv": "f", "column": "val_loss", "reduce": {"mean": 4}}, CSV)
    assert str(raised.value).splitlines() == [
        "f has 3 values of the loss, fewer than the 4 of reduce = {mean = 4}",
        "  why: a mean that reaches further back in training is higher, and not comparable",
        "  fix: write reduce = {mean = 3} or less, and run the same command: programs that ended "
        "are read again, not run again",
    ]


def test_a_log_of_many_matches_is_read_in_linear_time(tmp_path) -> None:
    """In quadratic time the long line alone would take minutes."""
    line = "loss 3.0 " * 100_000
    start = time.monotonic()
    loss = read(tmp_path, {"regex": r"loss (\S+)", "reduce": {"mean": 2}}, f"{line}\nloss 2.0\n")
    assert loss == 2.5
    assert time.monotonic() - start < 5


def advice(attempt, source: dict, **files: str) -> str:
    """Return what the error of a missing loss says about the files of the program."""
    for name, text in files.items():
        (attempt / f"{name}.txt").write_text(text)
    with pytest.raises(TrialError) as raised:
        read_loss(LossSource.model_validate(source), attempt)
    return raised.value.fix.partition("writes: ")[2]


def test_a_missing_loss_is_compared_with_what_the_program_wrote(tmp_path) -> None:
    regex = {"regex": r"^loss (\S+)"}
    assert advice(tmp_path, regex, stdout="", stderr="step 1\nloss 2\n").startswith(
        "the pattern matches in stderr.txt; write sh -c '... 2>&1'"
    )
    assert advice(tmp_path, regex, stdout="a\nLoss: 2.5\n\n", stderr="") == (
        "the last line of stdout.txt is 'Loss: 2.5'"
    )
    assert advice(tmp_path, {"csv": "log.csv"}) == (
        f"it wrote no file into {{trial_dir}}, {tmp_path}"
    )
    assert advice(tmp_path, {"csv": "log.csv"}, metrics="x") == "{trial_dir} has 'metrics.txt'"


def test_a_missing_file_is_an_error(tmp_path) -> None:
    with pytest.raises(TrialError, match=r"no loss in f: No such file or directory"):
        read_loss(LossSource(csv="f"), tmp_path)


def test_a_missing_file_is_named_by_its_variable(tmp_path) -> None:
    with pytest.raises(TrialError, match=r"no loss in the file that \$RESULT names: No such file"):
        read_loss(LossSource(env="RESULT"), tmp_path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path) -> None:
    (tmp_path / "secret").write_text("loss\n1\n")
    (tmp_path / "attempt").mkdir()
    (tmp_path / "attempt" / "f").symlink_to(tmp_path / "secret")
    with pytest.raises(TrialError, match="the file is outside the trial's folder"):
        read_loss(LossSource(csv="f"), tmp_path / "attempt")
