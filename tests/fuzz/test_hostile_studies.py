"""Hostile study files: their trials are listed or they are refused, and nothing is executed."""

from __future__ import annotations

import copy

import pytest
from case_counts import cases
from hypothesis import strategies as st
from sandbox import run_command, sandbox_folder
from strategies import as_toml, corrupted, fuzz, mutated

from mutransfer.errors import StudyError
from mutransfer.sweep import read_study

HEAD = {"schema": 1, "study": {"name": "s"}}
AXES = {"width": [64, 128], "lr": [0.25, 0.5]}
RUNNER = {
    "command": "{python} train.py {seed} {parametrization} --lr={lr} --h={heads} --out={trial_dir}",
    "cwd": ".",
    "env": {"A": "{lr}"},
    "loss": {"csv": "log.csv", "column": "loss", "reduce": "last"},
    "diverged": {"regex": "nan", "exit": 3},
    "timeout": "2h",
    "retries": 1,
}
PLAIN = {"command": "sh -c 'touch ran' {lr} {width}", "loss": {"regex": r"loss (\S+)"}}
STUDIES = [
    {
        **HEAD,
        "axes": {**AXES, "parametrization": ["sp", "mup"], "seed": [0, 1]},
        "derived": {"heads": "width // 64"},
        "runner": RUNNER,
        "search": {"strategy": "grid"},
        "analysis": {
            "scale": "width",
            "hyperparameter": "lr",
            "group_by": ["parametrization"],
            "threshold": 0.01,
        },
    },
    {**HEAD, "axes": {**AXES, "lr": "2^-6 .. 2^-2 step 1/2"}, "runner": PLAIN},
    {
        **HEAD,
        "axes": {**AXES, "seed": [0]},
        "derived": {"min": "lr / 10"},
        "runner": {"command": "{python} t.py {width} {min} {seed}", "loss": {"env": "LOSS"}},
    },
    {
        **HEAD,
        "axes": AXES,
        "lab": {"base_width": 64, "steps": 10, "depth": 1, "text": "words.txt", "device": "cpu"},
        "derived": {"seed": "width // 64"},
    },
]

files = corrupted(mutated(STUDIES).map(as_toml))
flags = st.sampled_from(
    [[], [], ["--json"], ["--only", "width=64"], ["--only", "lr=x"], ["--store", "../s"]]
)


@cases("studies")
def test_a_study_is_listed_or_refused(cases) -> None:
    fuzz(cases, st.tuples(files, flags), _list)


def _list(case: tuple[bytes, list[str]]) -> None:
    content, options = case
    with sandbox_folder() as here:
        (here / "s.toml").write_bytes(content)
        (here / "words.txt").write_text("some words\n" * 50)
        run_command(here, "sweep", "s.toml", "--dry-run", *options)
        assert sorted(path.name for path in here.iterdir()) == ["s.toml", "words.txt"]


@pytest.mark.parametrize("number", range(len(STUDIES)))
def test_the_studies_are_valid_before_they_are_corrupted(number) -> None:
    with sandbox_folder() as here:
        (here / "s.toml").write_bytes(as_toml(STUDIES[number]))
        (here / "words.txt").write_text("some words\n" * 50)
        assert "width=128" in run_command(here, "sweep", "s.toml", "--dry-run").out


DIGITS = "1" * 5000
REFUSED = {
    "a number of 5000 digits": (f"a = {DIGITS}", "s.toml is not TOML: Exceeds the limit"),
    "a list in a list in a list": ("a = " + "[" * 5000, "s.toml is not TOML: maximum recursion"),
    "a table in a table in a table": ("a" + ".a" * 5000 + " = 1", "s.toml is not plain data: max"),
    "too large a file": (" " * (2**20 + 1), "s.toml is larger than 1048576 bytes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_oversized_toml_is_refused(tmp_path, what) -> None:
    text, message = REFUSED[what]
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(StudyError) as caught:
        read_study(tmp_path / "s.toml")
    assert message in caught.value.what


def test_an_endless_file_is_refused_at_the_size_limit() -> None:
    with pytest.raises(StudyError, match="/dev/zero is larger than 1048576 bytes"):
        read_study("/dev/zero")


INVALID = {
    "a nested set": (0, ("runner", "diverged", "regex"), "[[a]", "Possible nested set"),
    "a step of nothing": (
        0,
        ("axes", "lr"),
        "2^0 .. 2^1 step 1/" + "9" * 400,
        "neither a list",
    ),
    "an odd number": (0, ("derived", "heads"), "1if 2else 3", "has more than + - * /"),
    "a folder with a zero byte": (0, ("runner", "cwd"), "a\x00b", "is not a valid path"),
    "a folder with a long name": (0, ("runner", "cwd"), "x" * 300, "is not a valid path"),
    "a folder far away": (0, ("runner", "cwd"), "x/" * 2500, "is not a valid path"),
    "a text with a zero byte": (3, ("lab", "text"), "\x00", "is not a valid path"),
    "several values in [lab]": (3, ("lab", "steps"), [1, 2], "'steps' must be one number, text"),
    "no number in [lab]": (3, ("lab", "steps"), float("nan"), "'steps' must be one number, text"),
    "lines of our own": (0, ("study", "x\n  fix: rm"), 1, "unknown key 'study.x\\n  fix: rm'"),
}


@pytest.mark.parametrize("what", INVALID)
def test_a_study_that_once_caused_an_internal_error_is_refused(what) -> None:
    number, path, value, reason = INVALID[what]
    study = copy.deepcopy(STUDIES[number])
    study[path[0]] = {**study[path[0]], path[1]: {"regex": value} if path[2:] else value}
    with sandbox_folder() as here:
        (here / "s.toml").write_bytes(as_toml(study))
        output = run_command(here, "sweep", "s.toml", "--dry-run")
        assert output.status == 2
        assert reason in output.err.splitlines()[0]
