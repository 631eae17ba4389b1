"""Whatever a program leaves behind, its loss is a number or is said to be missing."""

from __future__ import annotations

import os

import pytest
from hostile import BYTES, TEXTS, as_json, chosen, fuzz, mutated, spoiled, texts, values
from hypothesis import strategies as st
from shares import cases
from watched import case_folder, insist, watch

from mutransfer.errors import TrialError
from mutransfer.records.command import LossSource
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
reduces = st.sampled_from(["last", "min", "mean"])


@st.composite
def sources(draw: st.DrawFn) -> dict:
    """Say where a loss is."""
    kind = draw(st.sampled_from(["csv", "json", "jsonl", "regex", "env"]))
    place = {"regex": st.sampled_from(PATTERNS), "env": st.just("LOSS")}.get(kind, names)
    found = {kind: draw(place), "reduce": draw(reduces)}
    if kind != "regex":
        found["column" if kind == "csv" else "key"] = draw(keys)
    return found


lines = st.lists(mutated(RECORDS).map(as_json), max_size=4).map(b"\n".join)
left = spoiled(
    st.one_of(
        chosen([*TABLES, *PRINTED, *BYTES]),
        st.builds(lambda a, b: a + b.encode(errors="replace"), st.sampled_from(TABLES), texts),
        mutated(RECORDS).map(as_json),
        lines,
        values.map(as_json),
    )
)


@cases("losses")
def test_a_loss_is_a_number_or_missing(cases) -> None:
    fuzz(cases, st.tuples(sources(), left), _read)


def _read(case: tuple[dict, bytes]) -> None:
    source, content = case
    with case_folder() as here:
        (here / "sub").mkdir()
        (here / "folder").mkdir()
        for name in ("f", "sub/f", "stdout.txt", "loss"):
            (here / name).write_bytes(content)
        os.mkfifo(here / "fifo")
        (here / "link").symlink_to(here.parents[2] / "out" / "secret.txt")
        found = []
        said = watch(here, lambda: found.append(read_loss(LossSource(**source), here)))
        insist(said)
        assert (said.status == 0) == bool(found)
        assert all(isinstance(loss, float) for loss in found)
        assert found or said.err.startswith("TrialError: no loss in ")


@pytest.mark.parametrize("text", [t for t in TEXTS if len(t) < 100])
def test_a_log_is_searched_as_text(tmp_path, text) -> None:
    (tmp_path / "log").write_text(text, errors="replace", newline="")
    assert any_line_matches("never there", [tmp_path / "log"]) is False


def test_a_record_nested_too_deeply_is_no_loss(tmp_path) -> None:
    (tmp_path / "f").write_text('{"loss":' * 100_000)
    with pytest.raises(TrialError, match="no loss in f: the file is not JSON"):
        read_loss(LossSource(json="f"), tmp_path)
