"""Models in many styles are checked, whatever their layers, outputs and batches are."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from check_models import BASE, LR, diagnosed_faults, mlp, points, run_check
from torch import nn
from torch.utils.checkpoint import checkpoint

from mutransfer.coordcheck.runs.train import move_batch
from mutransfer.rules import Role


class Twice(nn.Module):
    """A model that calls its hidden layer twice."""

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
class Output:
    """An output as some libraries return it."""

    logits: torch.Tensor
    hidden: None = None


class Wrapped(nn.Module):
    """A model that takes keyword arguments and returns a dataclass."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = mlp(width)

    def forward(self, *, inputs: torch.Tensor) -> Output:
        return Output(self.body(inputs))


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
    assert run_check(Twice).outcome == "pass"


@pytest.mark.slow
def test_activation_checkpointing_changes_nothing():
    """Layers that run again in the backward pass are not measured twice."""
    plain, recomputed = run_check(Twice), run_check(lambda width: Twice(width, recompute=True))
    assert [f.slope for f in recomputed.findings] == [f.slope for f in plain.findings]


@pytest.mark.slow
def test_a_frozen_layer_is_left_out():
    check = run_check(frozen)
    assert check.outcome != "fail", str(check)
    assert not [f for f in check.findings if f.name == "0.weight" and f.quantity == "effect"]


@pytest.mark.slow
def test_batches_may_be_dicts_and_outputs_dataclasses():
    x, y = points()

    def loss(model, batch):
        return F.cross_entropy(model(inputs=batch["inputs"]).logits, batch["labels"])

    check = run_check(Wrapped, batch={"inputs": x, "labels": y}, loss=loss)
    assert check.outcome == "pass", str(check)
    assert [f for f in check.findings if f.name == "(output)"]


@pytest.mark.slow
def test_a_correct_mlp_passes_in_bfloat16():
    check = run_check(dtype=torch.bfloat16)
    assert check.outcome == "pass", str(check)
    assert check.settings["dtype"] == "bfloat16"


@pytest.mark.slow
def test_a_readout_that_starts_at_zero_is_not_a_fault():
    """Hidden layers move from the second step on, so the first is not judged."""
    check = run_check(zero_readout, steps=6)
    assert not check.failures, str(check)
    assert check.passed or check.reasons
    assert not [f for f in check.findings if f.quantity == "gain" and f.role == Role.OUTPUT]


@pytest.mark.slow
def test_a_compiled_model_is_run_eagerly():
    """A hook inside a compiled graph would not be called."""
    plain = run_check(seeds=2)
    compiled = run_check(lambda width: torch.compile(mlp(width)), seeds=2)
    assert [f.slope for f in compiled.findings] == [f.slope for f in plain.findings]


def test_seeds_can_be_listed():
    """A number of seeds means the first ones; other seeds are other runs."""
    listed, counted = run_check(seeds=[0, 1]), run_check(seeds=2)
    assert [f.slope for f in listed.findings] == [f.slope for f in counted.findings]
    assert run_check(seeds=[5, 6]).findings != counted.findings
    assert listed.settings["seeds"] == 2


def test_a_batch_is_moved_to_the_device_of_the_models():
    x = torch.zeros(2)
    batch = move_batch({"x": x, "more": [x, (x, "name")], "n": 3}, "meta")
    assert batch["x"].is_meta
    assert batch["more"][0].is_meta
    assert batch["more"][1][0].is_meta
    assert (batch["more"][1][1], batch["n"]) == ("name", 3)
    assert not x.is_meta


# --- another style: einsum, a shared table, learned positions, growing heads ---


class EinsumGPT(nn.Module):
    """A GPT with four heads that grow, attention by einsum, and a table used at both ends."""

    def __init__(self, width: int, power: float = 1.0, readout: float = 1.0) -> None:
        super().__init__()
        self.multiplier = 2.0 / BASE * (width / BASE) ** -readout
        self.wte, self.wpe = nn.Embedding(64, width), nn.Embedding(24, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.w_qkv = nn.Linear(width, 3 * width, bias=False)
        self.w_o = nn.Linear(width, width, bias=False)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.n_head, self.n_embd = 4, width
        head = width // self.n_head
        self.scale = (BASE / self.n_head) ** (power - 0.5) * head**-power
        for table in (self.wte, self.wpe):
            nn.init.normal_(table.weight, std=0.5)

    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        b, t = idx.shape
        x = self.wte(idx) + self.wpe.weight[:t]
        q, k, v = self.w_qkv(self.norms[0](x)).view(b, t, 3, self.n_head, -1).unbind(2)
        att = torch.einsum("bqhd,bkhd->bhqk", q, k) * self.scale
        att = att.masked_fill(torch.triu(torch.ones(t, t, dtype=torch.bool), 1), -torch.inf)
        x = x + self.w_o(torch.einsum("bhqk,bkhd->bqhd", att.softmax(-1), v).flatten(2))
        x = x + self.fc2(F.gelu(self.fc1(self.norms[1](x))))
        return self.norms[2](x) @ self.wte.weight.t() * self.multiplier


def hand_written_adamw(model: nn.Module, power: float = 1.0) -> torch.optim.Optimizer:
    """Divide the rate of hidden matrices by width."""
    matrices = {"w_qkv.weight", "w_o.weight", "fc1.weight", "fc2.weight"}
    named = dict(model.named_parameters())
    by = (model.n_embd / BASE) ** power
    return torch.optim.AdamW(
        [
            {"params": [p for n, p in named.items() if n not in matrices], "lr": 2**-8},
            {"params": [named[n] for n in sorted(matrices)], "lr": 2**-8 / by},
        ],
        weight_decay=0.0,
    )


def text() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    successor = torch.randint(0, 64, (64,), generator=generator)
    rows = [torch.randint(0, 64, (8,), generator=generator)]
    for _ in range(20):
        rows.append(successor[rows[-1]])
    return torch.stack(rows, dim=1)


def next_token_loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "rate", "readout", "faults"),
    [
        (1.0, 1.0, 1.0, []),
        (0.5, 1.0, 1.0, [("attention scale", "", 0.5)]),
        (1.0, 0.5, 1.0, [("rate", "hidden", 0.5)]),
        (1.0, 1.0, 0.5, [("multiplier", "output", 0.5)]),
        (1.0, 1.0, 1.5, [("multiplier", "output", -0.5)]),
    ],
)
def test_the_broken_rule_of_a_hand_written_gpt_is_named(scale, rate, readout, faults):
    """A readout that shares the table is not a layer, so the gradient behind it is judged."""
    check = run_check(
        lambda width: EinsumGPT(width, power=scale, readout=readout),
        batch=text(),
        loss=next_token_loss,
        parametrization=None,
        optimizer=lambda model: hand_written_adamw(model, rate),
        form="table-8",
        steps=8,
    )
    assert diagnosed_faults(check) == faults, str(check)
    assert check.outcome == ("fail" if faults else "pass"), str(check)


# --- weight decay: reported in a note, without an effect on the outcome ---


@pytest.mark.parametrize(("power", "expected"), [(1.0, []), (0.0, [("decay", "hidden", -1.0)])])
def test_decay_that_weakens_with_width_is_noted(power, expected):
    """A step removes rate times decay, and the rate of hidden matrices falls with width."""

    def adamw(model):
        m = model[2].in_features / BASE
        slow = [model[2].weight, model[4].weight, model[6].weight]
        rest = [p for p in model.parameters() if not any(p is matrix for matrix in slow)]
        groups = [
            {"params": slow, "lr": LR["adamw"] / m, "weight_decay": 0.1 * m**power},
            {"params": rest, "lr": LR["adamw"], "weight_decay": 0.1},
        ]
        return torch.optim.AdamW(groups)

    def build(width):
        model = mlp(width)
        with torch.no_grad():
            model[6].weight *= (width / BASE) ** -0.5
        return model

    check = run_check(build, parametrization=None, optimizer=adamw)
    assert check.outcome == "pass", str(check)
    notes = [(d.fault, d.role, d.power) for d in check.notes if d.role == "hidden"]
    assert notes == expected
    assert ("note, decay" in str(check)) == bool(expected)
