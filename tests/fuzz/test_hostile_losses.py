"""Hostile output of programs: the loss is a number, or is reported as missing."""

from __future__ import annotations

import os

import pytest
from case_counts import cases
from hypothesis import strategies as st
from sandbox import check_output, run_sandboxed, sandbox_folder
from strategies import BYTES, TEXTS, as_json, choice, corrupted, fuzz, mutated, texts, values

from mutransfer.errors import TrialError
from mutransfer.records.program.loss_source import LossSource
from mutransfer.sweep.runners.losses import any_line_matches, read_loss

TABLES = [
    b"step,loss\n1,2.5\n2,2.25\n",
    b"loss;x\n1;2\n",
    b"loss\tx\r\n1\t2\r\n",
    b'loss\n"1\n2"\n',
]
RECORDS = [{"loss": 2.5}, {"eval": {"loss": 2.5}}, {"a": [1, {"loss": 2}]}, 2.5, "2.5", [2.5]]
PRINTED = [b"step 1 loss 2.5\nstep 2 loss 2.25\n", b"loss=nan\n", b"2.5", b"\n\n"]
PATTERNS = [r"loss (\S+)", r"(\S+)", "loss(.*)", "(.*)", "(?i)LOSS.(.*)"]

names = st.sampled_from(["f", "sub/f", "./f", "absent", "stdout.txt", "link", "fifo", "folder"])
keys = st.one_of(st.none(), st.sampled_from(["loss", "eval.loss", "a", ".", "a..b"]), texts)
reduces = st.sampled_from(["last", "min", "mean", {"mean": 2}])


@st.composite
def sources(draw: st.DrawFn) -> dict:
    """Draw the source of a loss."""
    kind = draw(st.sampled_from(["csv", "json", "jsonl", "regex", "env"]))
    value = {"regex": st.sampled_from(PATTERNS), "env": st.just("LOSS")}.get(kind, names)
    source = {kind: draw(value), "reduce": draw(reduces)}
    if kind in ("json", "env"):  # one value, which has no mean
        source["reduce"] = draw(reduces.filter(lambda reduce: isinstance(reduce, str)))
    if kind != "regex":
        source["column" if kind == "csv" else "key"] = draw(keys)
    return source


lines = st.lists(mutated(RECORDS).map(as_json), max_size=4).map(b"\n".join)
files = corrupted(
    st.one_of(
        choice([*TABLES, *PRINTED, *BYTES]),
        st.builds(lambda a, b: a + b.encode(errors="replace"), st.sampled_from(TABLES), texts),
        mutated(RECORDS).map(as_json),
        lines,
        values.map(as_json),
    )
)


@cases("losses")
def test_a_loss_is_a_number_or_missing(cases) -> None:
    fuzz(cases, st.tuples(sources(), files), _read)


def _read(case: tuple[dict, bytes]) -> None:
    source, content = case
    with sandbox_folder() as here:
        (here / "sub").mkdir()
        (here / "folder").mkdir()
        for name in ("f", "sub/f", "stdout.txt", "loss"):
            (here / name).write_bytes(content)
        os.mkfifo(here / "fifo")
        (here / "link").symlink_to(here.parents[2] / "out" / "secret.txt")
        losses = []
        output = run_sandboxed(here, lambda: losses.append(read_loss(LossSource(**source), here)))
        check_output(output)
        assert (output.status == 0) == bool(losses)
        assert all(isinstance(loss, float) for loss in losses)
        assert (
            losses or output.err.startswith("TrialError: no loss in ") or "fewer than" in output.err
        )


@pytest.mark.parametrize("text", [t for t in TEXTS if len(t) < 100])
def test_a_log_is_searched_as_text(tmp_path, text) -> None:
    (tmp_path / "log").write_text(text, errors="replace", newline="")
    assert any_line_matches("never there", [tmp_path / "log"]) is False


def test_a_record_nested_too_deeply_is_no_loss(tmp_path) -> None:
    (tmp_path / "f").write_text('{"loss":' * 100_000)
    with pytest.raises(TrialError, match="no loss in f: the file is not JSON"):
        read_loss(LossSource(json="f"), tmp_path)
