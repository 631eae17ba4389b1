"""Dictionaries in cells, as pandas writes them, become columns; nothing in them is executed."""

from __future__ import annotations

import csv
import json
import math
import time
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutransfer.analysis import load_results
from mutransfer.analysis.loading.formats.dictionary import parse_dictionary
from mutransfer.errors import ResultsError

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.text(max_size=8)
dictionaries = st.dictionaries(
    keys,
    st.recursive(scalars, lambda leaf: st.dictionaries(keys, leaf) | st.lists(leaf), max_leaves=8),
)


def same(value: object) -> object:
    """Return a value in a form in which NaN equals NaN, and in which texts have no controls."""
    return json.dumps(value, sort_keys=True)


@settings(max_examples=40, deadline=None)
@given(dictionaries)
def test_the_repr_and_the_json_of_a_dictionary_are_parsed(data) -> None:
    """The oracle is the dictionary itself; `repr` escapes control characters with a code."""
    assert same(parse_dictionary(json.dumps(data))) == same(data)
    if "\\x" not in repr(data) and "\\u" not in repr(data) and "\\U" not in repr(data):
        assert same(parse_dictionary(repr(data))) == same(data)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.1), 0.1),
        (np.float32("nan"), math.nan),
        (np.int64(64), 64),
        (-math.inf, -math.inf),
        (OrderedDict(lr=0.1), {"lr": 0.1}),
        (SimpleNamespace(lr=0.1, dim=64), {"lr": 0.1, "dim": 64}),
        (Path("runs/a"), "runs/a"),
        ((1, 2), [1, 2]),
        ({3, 4}, [3, 4]),
        (np.zeros(2), [0.0, 0.0]),
        (Exception, []),
        ('it\'s "quoted" \\ and\nbroken', 'it\'s "quoted" \\ and\nbroken'),
    ],
)
def test_what_python_prints_of_a_value_is_parsed(value, expected) -> None:
    assert same(parse_dictionary(repr({"x": value}))["x"]) == same(expected)


@pytest.mark.parametrize(
    "text",
    [
        "{'lr': open('/etc/passwd').read()}",
        "{'lr': 2 ** 9 ** 9}",
        "{'lr': [x for x in 'ab']}",
        "{'lr': 0.1, 'lr': 0.2}",
        "{'lr': 0.1, 'dim': 6",  # a spreadsheet cuts cells that are too long
        "{'lr': 0.1} {}",
        "{'lr'}",
        "{" + "'a': {" * 100_000,
        "{'a': " + "[" * 100_000,
        "{'a': " + "<" * 100_000,
        "{'a': '" + "\\" * 100_000,
    ],
)
def test_anything_else_is_an_error_in_linear_time(text) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r".{8}"):
        parse_dictionary(text)
    assert time.perf_counter() - start < 1


# --- tables

WIDTHS, RATES = (64, 128), (0.1, 0.2, 0.4)


def export(file: Path, *, text=repr, broken: int | None = None, **columns: object) -> Path:
    """Write the table of W&B's documentation: summary, config and name."""
    runs = [(width, lr) for width in WIDTHS for lr in RATES]
    rows = []
    for k, (width, lr) in enumerate(runs):
        loss = math.nan if lr == RATES[-1] else 3 - lr
        summary = {"loss": loss, "_step": 9, "lr": lr / 10, "eval": {"loss": loss + 1}, "tags": [1]}
        config = {"lr": lr, "model": {"n_embd": width}, "seed": 0, "note": None}
        cells = [text(summary), text(config)]
        if k == broken:
            cells[1] = cells[1][:20]
        rows.append([k, *cells, f"run-{k}", *columns.values()])
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["", "summary", "config", "name", *columns], *rows])
    return file


MAPPING = {
    **{"width": "config.model.n_embd", "lr": "config.lr", "loss": "summary.eval.loss"},
    "seed": "config.seed",
}


@pytest.mark.parametrize("text", [repr, json.dumps])
def test_the_export_of_the_documentation_of_wandb_is_read(text, tmp_path) -> None:
    file = export(tmp_path / "project.csv", text=text)
    with pytest.raises(ResultsError) as raised:
        load_results(file)
    assert raised.value.fix.endswith(f"(in Python: columns={json.dumps(MAPPING)})")
    results = load_results(file, columns=MAPPING)
    assert results.axes["lr"] == [*RATES, *RATES]
    assert results.axes["width"] == [64] * 3 + [128] * 3
    assert results.loss[:2].tolist() == [3.9, 3.8]
    assert results.diverged.tolist() == [False, False, True] * 2
    assert "summary.tags" not in results.axes


def test_a_dictionary_that_cannot_be_read_is_named(tmp_path) -> None:
    file = export(tmp_path / "project.csv", broken=2)
    with pytest.raises(ResultsError) as raised:
        load_results(file, columns=MAPPING)
    assert str(raised.value) == (
        f"'{file}': the dictionaries in column 'config' cannot be read: the text ends where a "
        "value is expected, in line 4\n"
        "  why: the settings and losses in it would be missing from the analysis\n"
        "  fix: write one column per key, in pandas: "
        "df.join(pandas.json_normalize(df['config']).add_prefix('config.'))"
    )


def test_a_table_that_needs_no_dictionary_is_read_without_it(tmp_path) -> None:
    file = export(tmp_path / "project.csv", broken=2, width=64, lr=0.5, loss=3.0)
    results = load_results(file, columns={"loss": "loss"})
    assert len(results) == 6
    (note,) = results.notes
    assert note.startswith("the dictionaries in column 'config' cannot be read: ")


def test_braces_in_another_text_are_no_dictionary(tmp_path) -> None:
    """A template in one row and words in the others are text."""
    file = tmp_path / "runs.csv"
    file.write_text("width,lr,loss,note\n64,0.5,3,{best}\n64,0.25,3.1,usual\n")
    assert load_results(file).axes["note"] == ["{best}", "usual"]


def test_a_key_that_is_also_a_column_is_an_error(tmp_path) -> None:
    file = export(tmp_path / "project.csv", **{"config.lr": 0.5})
    with pytest.raises(ResultsError, match="occurs twice"):
        load_results(file, columns=MAPPING)


def test_more_keys_than_a_run_has_are_an_error(tmp_path) -> None:
    file = tmp_path / "runs.csv"
    rows = [[repr({f"k{row}_{k}": 0 for k in range(2_000)})] for row in range(6)]
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["config"], *rows])
    with pytest.raises(ResultsError, match="more than 10000 different keys"):
        load_results(file)
