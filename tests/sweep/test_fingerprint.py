"""An edited function is another: its old results are not taken for its new ones."""

import functools

import pytest

import mutransfer as mt
from mutransfer.errors import StudyError
from mutransfer.sweep.runners.fingerprint import fingerprint

STUDY = {"schema": 1, "study": {"name": "f"}, "axes": {"width": [8], "lr": [0.5]}}


def made(source: str):
    """Define a function as an edited file would; line numbers and comments do not matter."""
    scope: dict = {"__name__": "mine"}
    exec(source, scope)
    return scope["train"]


BASE = """
scale = 2.0
def helper(x): return x + 1
def train(width, lr, k=3):
    return scale * helper(width) + sum(v for v in (lr, k))
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scale *", "scale +"),
        ("x + 1", "x + 2"),
        ("scale = 2.0", "scale = 3.0"),
        ("k=3", "k=4"),
        ("(lr, k)", "(lr, lr)"),
        ("v for v", "-v for v"),
    ],
)
def test_a_change_that_matters_is_noticed(old, new) -> None:
    assert fingerprint(made(BASE)) == fingerprint(made("# a comment\n\n" + BASE))
    assert fingerprint(made(BASE)) != fingerprint(made(BASE.replace(old, new)))


def test_functions_that_call_each_other_are_told_once() -> None:
    """Without a memory of what was told this would take years."""
    names = [f"f{k}" for k in range(60)]
    body = " or ".join(f"{name}(x)" for name in names)
    source = "".join(f"def {name}(x): return {body}\n" for name in names)
    recursive = made(f"{source}data = []\ndata.append(data)\ndef train(width, lr): return f0(data)")
    assert fingerprint(recursive) == fingerprint(recursive)


class Trains:
    def __init__(self, loss: float) -> None:
        self.loss = loss

    def __call__(self, width, lr):
        return self.loss


def closed_over(loss: float):
    return lambda width, lr: loss


@pytest.mark.parametrize("make", [Trains, closed_over, lambda x: functools.partial(Trains(x))])
def test_results_of_another_value_are_refused_and_those_of_the_same_are_taken(
    make, tmp_path
) -> None:
    store = tmp_path / "store"
    assert mt.run_study(STUDY, runner=make(1.0), store=store).summary.ran == 1
    assert mt.run_study(STUDY, runner=make(1.0), store=store).summary.ran == 0
    with pytest.raises(StudyError) as refused:
        mt.run_study(STUDY, runner=make(2.0), store=store)
    assert refused.value.what.endswith(f"is not the function that left 1 results in {store}")
    assert f"store='{store}-2'" in refused.value.fix


def test_a_function_that_has_only_failed_may_be_mended(tmp_path) -> None:
    def fails(width, lr):
        raise ValueError

    good = made(BASE)
    fails.__module__, fails.__qualname__ = good.__module__, good.__qualname__
    store = tmp_path / "store"
    assert mt.run_study(STUDY, runner=fails, store=store).summary.failed
    assert mt.run_study(STUDY, runner=good, store=store).summary.ran == 1
