"""A check that only a high rate leaves open is repeated once at a quarter of the rate."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from check_models import BASE, mlp, run_check
from torch import nn

import mutransfer as mt
from mutransfer.coordcheck import Finding
from mutransfer.coordcheck import check as checks
from mutransfer.coordcheck.diagnosis.reasons import reason_to_lower_rate, reasons_undetermined

EARLY = Finding(
    quantity="step", name="norm.weight", role="vector", steps=(0, 2), expected=0.0, slope=0.0,
    low=-0.1, high=0.1, outcome="pass", by_step=(0.0, 0.0, 0.0, 0.3, 0.3), tolerance=(0.25, 0.25),
)  # fmt: skip
LATE = replace(EARLY, steps=(3, 4), slope=0.3, low=0.2, high=0.4, outcome="undetermined")
TEXT = "the first steps are right, but the last ones deviate, or nearly do: 'norm.weight (step)'"
RISES = np.array([[[2.0, 3.0]], [[2.0, 3.0]]])


def readings(loss=RISES[:, :, ::-1], eps: float = 0.0):
    settings = {("set eps", "norm.weight"): eps, ("gradient", "norm.weight"): 1.0}
    return {("loss", ""): loss} | {
        key: np.full((2, 1, 1), value) for key, value in settings.items()
    }


@pytest.mark.parametrize(
    ("findings", "is_detected", "values", "reason"),
    [
        ([EARLY, LATE], True, readings(), TEXT),
        ([EARLY], True, readings(), ""),
        ([replace(EARLY, outcome="undetermined"), LATE], True, readings(), ""),
        ([EARLY, LATE], False, readings(), ""),
        ([EARLY, LATE], True, readings(eps=0.1), ""),
        ([EARLY, LATE], True, readings() | {("reached", "b"): np.zeros((2, 1, 1))}, ""),
        ([replace(EARLY, outcome="undetermined")], True, readings(RISES),
         "the loss rose from 2 to 3 at width 32"),
    ],
    ids=["late", "none", "early", "power", "epsilon", "untrained", "loss"],
)  # fmt: skip
def test_the_rate_is_lowered_where_nothing_else_is_open(
    findings, is_detected, values, reason
) -> None:
    assert reason_to_lower_rate(findings, {"vector": is_detected}, values, (32, 64)) == reason


def test_a_loss_that_explodes_is_the_only_reason_that_is_printed() -> None:
    """More seeds or widths would not help, and late steps follow from the explosion."""
    findings = [replace(EARLY, outcome="undetermined", high=0.5), LATE]
    explodes = readings(np.array([[[3.5, 4.5e9]], [[3.5, 4.5e9]]]))
    assert reasons_undetermined(findings, {"vector": False}, explodes, 12, (32, 64)) == [
        "the loss rose from 3.5 to 4.5e+09 at width 32: the learning rate is too high, so lower it"
    ]


class Recorder(torch.optim.SGD):
    """An optimizer of the user's own that records the rates of its first steps."""

    rates: list[float]

    def step(self, closure=None):
        self.rates.append(self.param_groups[0]["lr"])
        return super().step(closure)


def small_readout(width: int) -> nn.Module:
    model = mlp(width)
    with torch.no_grad():
        model[6].weight *= (width / BASE) ** -0.5
    return model


def test_the_second_check_lowers_the_rates_of_an_own_optimizer(monkeypatch) -> None:
    """Rates near zero leave the outcome open, here and at a quarter."""
    monkeypatch.setattr(checks, "reason_to_lower_rate", lambda *args: "the reason")
    monkeypatch.setattr(Recorder, "rates", [], raising=False)
    own = {"parametrization": None, "optimizer": lambda m: Recorder(m.parameters(), lr=2.0**-60)}
    check = run_check(small_readout, **own, widths=[16, 32, 64], steps=3, seeds=[0, 1])
    assert check.outcome == "undetermined"
    assert check.reasons[-1] == (
        "a second check at a quarter of all learning rates is undetermined as well"
    )
    half = len(Recorder.rates) // 2
    assert {*Recorder.rates[:6]} == {2.0**-60}
    assert {*Recorder.rates[half : half + 6]} == {2.0**-62}


def test_the_check_that_decides_says_why_the_rate_was_lowered(monkeypatch) -> None:
    """Only the first of two checks is made undetermined."""
    reasons = iter([["the loss rose"], []])
    monkeypatch.setattr(checks, "reasons_undetermined", lambda *args: next(reasons))
    monkeypatch.setattr(checks, "reason_to_lower_rate", lambda *args: "the loss rose")
    check = run_check(lr=2**-6, steps=3, seeds=[0, 1, 2], widths=[32, 64, 128])
    assert (check.outcome, check.settings["lr"]) == ("pass", 2**-8)
    text = (
        "checked a second time, at a quarter of the learning rate (0.00391 instead of 0.0156), "
        "because at the first rate the loss rose"
    )
    assert check.to_json()["second_check"] == text
    assert f"  {text}" in str(check).splitlines()


# --- the network that a default rate left open ---


class Block(nn.Module):
    """Grouped-query attention and a gated MLP, each behind an RMSNorm."""

    def __init__(self, width: int, head: int = 16) -> None:
        super().__init__()
        kv = max(1, width // head // 2) * head
        self.head, self.norms = head, nn.ModuleList(nn.RMSNorm(width) for _ in range(2))
        self.q = nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, kv, bias=False) for _ in range(2))
        self.o = nn.Linear(width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, 4 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        y = self.norms[0](x)
        q, k, v = (
            layer(y).unflatten(-1, (-1, self.head)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        y = self.norms[1](x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Transformer(nn.Module):
    """Two blocks, and a table shared by embedding and readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(128, width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.norm, self.readout = nn.RMSNorm(width), nn.Linear(width, 128, bias=False)
        self.readout.weight = self.table.weight

    def forward(self, text):
        return self.readout(self.norm(self.blocks(self.table(text))))


def next_token(model, text):
    return F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())


@pytest.mark.slow
def test_a_correct_transformer_passes_at_the_default_rate() -> None:
    text = torch.randint(0, 128, (8, 33), generator=torch.Generator().manual_seed(0))
    check = mt.coord_check(
        Transformer, base=BASE, widths=[32, 64, 128, 256], batch=text, loss=next_token
    )
    assert check.outcome == "pass", str(check)
    assert check.second_check.startswith("checked a second time, at a quarter of the learning rate")
    assert check.settings["lr"] == 2**-9
