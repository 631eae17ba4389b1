"""Results of an edited function are not mixed with those of its former version."""

import functools

import pytest

import mutransfer as mt
from mutransfer.errors import StudyError
from mutransfer.sweep.runners.fingerprint import fingerprint

STUDY = {"schema": 1, "study": {"name": "f"}, "axes": {"width": [8], "lr": [0.5]}}


def define_train(source: str):
    """Execute a source and return its function `train`."""
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
def test_a_change_of_code_or_value_changes_the_fingerprint_and_a_comment_does_not(old, new) -> None:
    assert fingerprint(define_train(BASE)) == fingerprint(define_train("# a comment\n\n" + BASE))
    assert fingerprint(define_train(BASE)) != fingerprint(define_train(BASE.replace(old, new)))


def test_functions_that_call_each_other_are_described_once() -> None:
    """Without a set of visited functions this would take years."""
    names = [f"f{k}" for k in range(60)]
    body = " or ".join(f"{name}(x)" for name in names)
    source = "".join(f"def {name}(x): return {body}\n" for name in names)
    recursive = define_train(
        f"{source}data = []\ndata.append(data)\ndef train(width, lr): return f0(data)"
    )
    assert fingerprint(recursive) == fingerprint(recursive)


class CallableObject:
    def __init__(self, loss: float) -> None:
        self.loss = loss

    def __call__(self, width, lr):
        return self.loss


def closure(loss: float):
    return lambda width, lr: loss


@pytest.mark.parametrize(
    "make", [CallableObject, closure, lambda x: functools.partial(CallableObject(x))]
)
def test_results_of_a_function_with_another_value_are_rejected(make, tmp_path) -> None:
    store = tmp_path / "store"
    assert mt.run_study(STUDY, runner=make(1.0), store=store).summary.ran == 1
    assert mt.run_study(STUDY, runner=make(1.0), store=store).summary.ran == 0
    with pytest.raises(StudyError) as raised:
        mt.run_study(STUDY, runner=make(2.0), store=store)
    assert raised.value.what.endswith(f"is not the function that left 1 result in {store}")
    assert f"store='{store}-2'" in raised.value.fix


def test_a_function_without_results_may_be_corrected(tmp_path) -> None:
    def fails(width, lr):
        raise ValueError

    good = define_train(BASE)
    fails.__module__, fails.__qualname__ = good.__module__, good.__qualname__
    store = tmp_path / "store"
    assert mt.run_study(STUDY, runner=fails, store=store).summary.failed
    assert mt.run_study(STUDY, runner=good, store=store).summary.ran == 1
