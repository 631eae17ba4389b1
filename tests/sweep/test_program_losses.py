"""A program's loss: from CSV, JSON, JSONL, a regex over stdout, or a file named by a variable."""

import math

import pytest

from mutransfer.errors import TrialError
from mutransfer.records.command import LossSource
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
