"""Broken rules are caught and named; correct ones pass, however the model is written."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import mutransfer as mt
from mutransfer.coordcheck import CoordCheck
from mutransfer.models import Decoder, DecoderShape
from mutransfer.rules import Role

BASE, WIDTHS = 32, [32, 64, 128, 256]
LR = {"adamw": 2**-6, "sgd": 0.1}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def mlp(width: int) -> nn.Module:
    body = [nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    body += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*body, nn.Linear(width, 4))


def points() -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(1)
    x = torch.randn(64, 16, generator=drawn)
    return x, (x @ torch.randn(16, 4, generator=drawn)).argmax(1)


def cross_entropy(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def checked(build: Callable[[int], nn.Module] = mlp, **options: Any) -> CoordCheck:
    given = {"batch": points(), "loss": cross_entropy, "steps": 4, "widths": WIDTHS} | options
    return mt.coord_check(build, base=BASE, **given)


def broken(
    field: str, belongs: Callable[[Any], bool], power: float, form: str = "table-3"
) -> CoordCheck:
    """Check an implementation of my own whose rule is off by a power of width."""

    @cache
    def plan(width: int) -> mt.Plan:
        made = mt.make_plan(mlp, base=BASE, target=width, form=form)
        times = (width / BASE) ** power
        rows = [
            replace(row, **{field: getattr(row, field) * times}) if belongs(row) else row
            for row in made.rows
        ]
        return replace(made, rows=tuple(rows))

    def build(width: int) -> nn.Module:
        model = mlp(width)
        return mt.apply(model, plan(width), init=not model[0].weight.is_meta)

    def adamw(model: nn.Module) -> torch.optim.Optimizer:
        width = model[0].out_features
        return torch.optim.AdamW(mt.param_groups(model, plan(width), lr=LR["adamw"]))

    return checked(build, parametrization=None, optimizer=adamw, form=form)


def role(one: str) -> Callable[[Any], bool]:
    return lambda row: row.role == one


def blamed(check: CoordCheck) -> list[tuple[str, str, float]]:
    return [(one.fault, one.role, round(2 * one.power) / 2) for one in check.diagnoses]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_correct_mlp_passes(optimizer):
    check = checked(optimizer=optimizer, lr=LR[optimizer])
    assert check.outcome == "pass", str(check)
    assert not check.diagnoses
    assert check.status == 0
    assert all(check.power.values())


def test_a_correct_implementation_of_my_own_passes():
    check = broken("lr_factor", role("none"), 1.0)
    assert check.outcome == "pass", str(check)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "of", "power", "form", "blame"),
    [
        ("lr_factor", "hidden", 1.0, "table-3", ("rate", "hidden", 1.0)),
        ("lr_factor", "hidden", -0.5, "table-3", ("rate", "hidden", -0.5)),
        ("lr_factor", "input", -1.0, "table-3", ("rate", "input", -1.0)),
        ("lr_factor", "output", -1.0, "table-3", ("rate", "output", -1.0)),
        ("lr_factor", "output", 0.5, "table-3", ("rate", "output", 0.5)),
        ("lr_factor", "vector", -0.5, "table-3", ("rate", "vector", -0.5)),
        ("init_factor", "hidden", 0.5, "table-3", ("init", "hidden", 0.5)),
        ("init_factor", "input", -0.5, "table-3", ("init", "input", -0.5)),
        ("init_factor", "output", 0.5, "table-3", ("init", "output", 0.5)),
        ("multiplier", "output", 1.0, "table-8", ("multiplier", "output", 1.0)),
        ("multiplier", "hidden", -0.5, "table-8", ("multiplier", "hidden", -0.5)),
    ],
)
def test_a_broken_rule_is_named(field, of, power, form, blame):
    check = broken(field, role(of), power, form)
    assert check.outcome == "fail", str(check)
    assert blamed(check) == [blame]
    assert check.status == 1


@pytest.mark.slow
def test_one_layer_with_a_wrong_rate_is_named_alone():
    check = broken("lr_factor", lambda row: row.name == "2.weight", 1.0)
    (told,) = check.diagnoses
    assert (told.fault, told.names) == ("rate", ("2.weight",))
    assert "look at lr_factor of '2.weight'" in told.text


@pytest.mark.slow
def test_the_standard_parametrization_fails_for_its_known_reasons():
    check = checked(parametrization="sp")
    assert check.outcome == "fail"
    told = set(blamed(check))
    assert {("rate", "hidden", 1.0), ("init", "output", 0.5), ("rate", "output", 1.0)} <= told


@pytest.mark.slow
def test_the_reference_decoder_passes():
    drawn = torch.Generator().manual_seed(2)
    text = torch.randint(0, 256, (4, 33), generator=drawn)

    def loss(model, batch):
        return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    check = checked(
        lambda width: Decoder(DecoderShape(width=width, depth=2)), batch=text, loss=loss, lr=2**-7
    )
    assert check.outcome == "pass", str(check)


def test_a_rate_too_small_to_see_a_fault_in_is_not_called_correct():
    """Behind a rate of nothing the weights do not move: no fault could show."""
    check = checked(lr=1e-30)
    assert check.outcome == "undetermined"
    assert not any(check.power[name] for name in ("hidden", "output"))
    assert "a planted fault of half a power in the rate of" in check.reasons[-1]
    assert check.status == 3


# --- models as people write them ---


class Twice(nn.Module):
    """Calls its hidden layer twice."""

    def __init__(self, width: int, recompute: bool = False) -> None:
        super().__init__()
        self.enter, self.hidden = nn.Linear(16, width), nn.Linear(width, width)
        self.leave, self.recompute = nn.Linear(width, 4), recompute

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.enter(x))
        for _ in range(2):
            x = checkpoint(self._once, x, use_reentrant=False) if self.recompute else self._once(x)
        return self.leave(x)

    def _once(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.hidden(x))


@dataclass
class Answer:
    """What some libraries return."""

    logits: torch.Tensor
    hidden: None = None


class Wrapped(nn.Module):
    """Takes keywords, returns a dataclass."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = mlp(width)

    def forward(self, *, inputs: torch.Tensor) -> Answer:
        return Answer(self.body(inputs))


def frozen(width: int) -> nn.Module:
    model = mlp(width)
    model[0].requires_grad_(False)
    return model


def zero_readout(width: int) -> nn.Module:
    model = mlp(width)
    nn.init.zeros_(model[6].weight)
    nn.init.zeros_(model[6].bias)
    return model


@pytest.mark.slow
def test_a_layer_that_is_called_twice_is_checked():
    assert checked(Twice).outcome == "pass"


@pytest.mark.slow
def test_activation_checkpointing_changes_nothing():
    """What runs again in the backward pass is not measured twice."""
    plain, again = checked(Twice), checked(lambda width: Twice(width, recompute=True))
    assert [one.slope for one in again.findings] == [one.slope for one in plain.findings]


@pytest.mark.slow
def test_a_frozen_layer_is_left_out():
    check = checked(frozen)
    assert check.outcome != "fail", str(check)
    assert not [f for f in check.findings if f.name == "0.weight" and f.quantity == "effect"]


@pytest.mark.slow
def test_batches_of_keywords_and_outputs_in_dataclasses_are_read():
    x, y = points()

    def loss(model, batch):
        return F.cross_entropy(model(inputs=batch["inputs"]).logits, batch["labels"])

    check = checked(Wrapped, batch={"inputs": x, "labels": y}, loss=loss)
    assert check.outcome == "pass", str(check)
    assert [f for f in check.findings if f.name == "(output)"]


@pytest.mark.slow
def test_a_correct_mlp_passes_in_bfloat16():
    check = checked(dtype=torch.bfloat16)
    assert check.outcome == "pass", str(check)
    assert check.settings["dtype"] == "bfloat16"


@pytest.mark.slow
def test_a_readout_that_starts_at_zero_is_no_fault():
    """Hidden layers move from the second step on only: the first is not judged."""
    check = checked(zero_readout, steps=6)
    assert not check.failures, str(check)
    assert check.passed or check.reasons
    assert not [f for f in check.findings if f.quantity == "gain" and f.role == Role.OUTPUT]


# --- refusals ---

REFUSALS = {
    "two widths": (
        {"widths": [32, 128]},
        "ModelError: widths=[32, 128] are too few, or too near each other\n"
        "  why: an exponent is fitted over widths, and half a power must show\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths too near": (
        {"widths": [32, 48, 64]},
        "ModelError: widths=[32, 48, 64] are too few, or too near each other\n"
        "  why: an exponent is fitted over widths, and half a power must show\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "one seed": (
        {"seeds": 1},
        "ModelError: seeds=1: the noise of an exponent cannot be seen\n"
        "  why: without its noise an exponent is neither equal to what is expected nor different\n"
        "  fix: seeds=3",
    ),
    "two steps": (
        {"steps": 2},
        "ModelError: steps=2 is fewer than 3\n"
        "  why: behind a zero init the first update changes nothing\n"
        "  fix: steps=10",
    ),
    "a loss that is nan": (
        {"loss": lambda model, batch: model(batch[0]).sum() * float("nan")},
        "ModelError: the loss at width 32 is nan at step 0\n"
        "  why: sizes of coordinates mean nothing once a model has diverged\n"
        "  fix: lower lr=, or look at the init of the widest model",
    ),
    "a loss per row": (
        {"loss": lambda model, batch: model(batch[0])},
        "ModelError: loss(model, batch) gave Tensor, not a scalar tensor\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: return the loss: loss=lambda model, batch: model(batch).square().mean()",
    ),
    "an optimizer that is none": (
        {"optimizer": lambda groups: groups},
        "ModelError: optimizer= gave list, not a torch optimizer\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer='adamw', a class, or a factory that returns an optimizer",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_decides_nothing_is_refused_in_three_lines(case):
    options, text = REFUSALS[case]
    with pytest.raises(mt.MutransferError) as caught:
        checked(**options)
    assert f"{type(caught.value).__name__}: {caught.value}" == text
