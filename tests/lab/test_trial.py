"""Trials: plain PyTorch at the base width, the same bits twice, divergence as a result."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lion_pytorch import Lion

import mutransfer
from mutransfer.errors import DataError, ModelError
from mutransfer.lab.counts import num_warmup_steps
from mutransfer.lab.data.batches import HeldOut, TrainingBatches
from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.decoder import Decoder
from mutransfer.lab.decoder_config import DecoderConfig
from mutransfer.lab.loop import train
from mutransfer.lab.optimizers import OPTIMIZERS, lab_optimizers
from mutransfer.lab.trial import lab_model, lab_plan, run_trial
from mutransfer.records import LabRunner, LabSettings, TrialResult, TrialSpec
from mutransfer.rules import Plan

SMALL: dict[str, Any] = {
    "width": 32, "base_width": 32, "lr": 2**-6, "depth": 1, "context": 16, "batch": 4,
    "steps": 10, "warmup": 3,
}  # fmt: skip


def spec(text: str | None = None, **settings: Any) -> TrialSpec:
    runner = LabRunner(numerics=1, data=corpus_hash(text))
    return TrialSpec(runner=runner, axes={**SMALL, **settings})


def settings_of(trial: TrialSpec) -> LabSettings:
    return LabSettings.model_validate(trial.axes)


def reproducible_fields(result: TrialResult) -> dict[str, Any]:
    """Return all fields but those that differ between two runs of one trial."""
    return result.model_dump(exclude={"seconds", "finished"})


def plain_curve(s: LabSettings) -> tuple[tuple[tuple[int, float], ...], float]:
    """Train with torch alone: one group, one rate, and an explicit schedule."""
    tokens = load_tokens(None)
    batches = TrainingBatches(tokens.train, s.batch, s.context, s.seed)
    torch.manual_seed(s.seed)
    model = Decoder(DecoderConfig(width=s.width, depth=s.depth, context=s.context))
    optimizer: torch.optim.Optimizer = {
        "adamw": lambda p: torch.optim.AdamW(
            p, lr=s.lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=s.weight_decay, fused=True
        ),
        "sgd": lambda p: torch.optim.SGD(
            p, lr=s.lr, momentum=0.9, weight_decay=s.weight_decay, fused=True
        ),
        "lion": lambda p: Lion(p, lr=s.lr, betas=(0.9, 0.95), weight_decay=s.weight_decay),
    }[s.optimizer](model.parameters())
    curve = []
    for step in range(1, s.steps + 1):
        rest = (s.steps - step) / (s.steps - num_warmup_steps(s))
        warmup = num_warmup_steps(s)
        share = step / warmup if step <= warmup else 1e-4 + 0.9999 * rest
        optimizer.param_groups[0]["lr"] = s.lr * share
        windows_BW = torch.from_numpy(np.array(batches.at(step))).long()
        loss = F.cross_entropy(model(windows_BW[:, :-1]).view(-1, 256), windows_BW[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        if s.clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), s.clip)
        optimizer.step()
        optimizer.zero_grad()
        curve.append((step, loss.item()))
    with torch.no_grad():
        held_out = [
            F.cross_entropy(model(w[:, :-1]).view(-1, 256), w[:, 1:].flatten()).item()
            for w in (torch.from_numpy(np.array(b)).long() for b in HeldOut(tokens.held_out, 16))
        ]
    return tuple(curve), sum(held_out) / len(held_out)


@pytest.mark.parametrize(
    ("optimizer", "lr", "extra"),
    [
        ("adamw", 2**-6, {"weight_decay": 0.1}),
        ("sgd", 2**-3, {"clip": 0.0}),
        ("lion", 2**-9, {"weight_decay": 0.1, "seed": 1}),
    ],
)
def test_at_the_base_width_every_parametrization_is_plain_pytorch_bit_for_bit(
    optimizer: str, lr: float, extra: dict[str, Any]
) -> None:
    trial = spec(optimizer=optimizer, lr=lr, **extra)
    curve, loss = plain_curve(settings_of(trial))
    for parametrization in ("none", "sp", "mup"):
        result = run_trial(spec(parametrization=parametrization, **{**trial.axes}))
        assert result.curve == curve, parametrization
        assert result.loss == pytest.approx(loss, abs=1e-9)


def test_away_from_the_base_width_parametrizations_differ() -> None:
    """The control of the identity above."""
    losses = {p: run_trial(spec(parametrization=p, width=64)).loss for p in ("none", "sp", "mup")}
    assert len(set(losses.values())) == 3


def test_a_trial_gives_the_same_bits_twice_and_leaves_torch_as_it_was() -> None:
    torch.manual_seed(5)
    state, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    first = run_trial(spec(width=64))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.get_num_threads() == 1
    torch.manual_seed(6)
    second = run_trial(spec(width=64))
    assert reproducible_fields(first) == reproducible_fields(second)
    assert first.curve != run_trial(spec(width=64, seed=1)).curve


def test_a_model_learns() -> None:
    result = run_trial(spec(depth=2, context=32, batch=8, steps=60, warmup=6))
    assert result.loss is not None
    assert result.untrained_loss is not None
    assert result.diverged_at is None
    assert result.loss < result.untrained_loss - 2
    # ORACLE: logits of variance 1/n on an untrained model.
    assert result.untrained_loss == pytest.approx(math.log(256) + 1 / 64, abs=0.05)


def test_an_untrained_zero_readout_scores_ln_256() -> None:
    result = run_trial(spec(readout_init="zero", width=64))
    assert result.untrained_loss == pytest.approx(math.log(256), abs=1e-6)


def test_a_rate_that_explodes_is_a_result() -> None:
    result = run_trial(spec(optimizer="sgd", lr=1e30, clip=0.0, steps=50))
    assert result.loss is None
    assert result.diverged_at is not None
    assert 1 < result.diverged_at < 20
    # Training stopped there, the finite losses are kept, and the record can be written.
    assert result.tokens == result.diverged_at * 4 * 16
    assert [step for step, _ in result.curve] == list(range(1, result.diverged_at))
    assert TrialResult.model_validate_json(result.model_dump_json()) == result


def test_a_rate_that_ends_worse_than_untrained_is_a_result_with_its_loss() -> None:
    result = run_trial(spec(optimizer="adamw", lr=8.0))
    assert result.loss is not None
    assert result.untrained_loss is not None
    assert result.loss > result.untrained_loss
    assert result.diverged_at == 10
    assert len(result.curve) == 10


def test_the_last_update_may_be_the_one_that_breaks_the_model() -> None:
    """Every training loss is finite, the held-out loss at the end is not."""
    result = run_trial(
        spec(optimizer="sgd", lr=1e38, clip=0.0, steps=1, warmup=0, schedule="constant")
    )
    assert result.loss is None
    assert result.diverged_at == 1
    assert len(result.curve) == 1


def test_a_result_stores_its_cost_and_provenance() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    trial = spec(width=64)
    result = run_trial(trial)
    plan = lab_plan(settings_of(trial))
    model = lab_model(settings_of(trial), plan)
    assert (result.id, result.spec) == (trial.id, trial)
    assert result.tokens == 10 * 4 * 16
    assert result.parameters == sum(p.numel() for p in model.parameters())
    weights = result.parameters - 256 * 64  # looking up an embedding is no product
    assert result.flops == 640 * 6 * (weights + 2 * 16 * 64)
    assert 0 < result.seconds < 60
    assert before <= datetime.fromisoformat(result.finished) <= datetime.now(UTC)
    assert result.host
    assert result.versions["torch"] == version("torch")
    assert {"python", "numpy", "mutransfer"} <= set(result.versions)


def test_the_commit_of_a_checkout_is_stored() -> None:
    root = Path(mutransfer.__file__).parents[2]
    if not (root / ".git").is_dir():
        pytest.skip("the package does not run from a checkout")
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True)
    assert run_trial(spec(steps=4)).commit == head.stdout.decode().strip()


def test_settings_may_come_from_the_study_the_axes_or_be_derived() -> None:
    runner = {"numerics": 1, "data": corpus_hash(None)}
    rest = {k: v for k, v in SMALL.items() if k not in ("width", "lr")}
    spread = TrialSpec(
        runner=LabRunner(**runner, settings=rest, derived={"weight_decay": "lr * 2"}),
        axes={"width": 64, "lr": 2**-6},
    )
    assert run_trial(spread).curve == run_trial(spec(width=64, weight_decay=2**-5)).curve


def test_the_plan_is_written_to_the_folder_of_the_trial(tmp_path: Path) -> None:
    trial = spec(width=64)
    run_trial(trial, trial_dir=tmp_path)
    assert Plan.from_json((tmp_path / "plan.json").read_text()) == lab_plan(settings_of(trial))


@pytest.mark.parametrize("switch", [{"biases": True}, {"norm_gains": "vector"}, {"clip": 0.05},
    {"query_init": "zero"}, {"readout_init": "sp"}, {"schedule": "wsd"}, {"momentum": 0.5},
    {"decay_mode": "coupled"}, {"decay_mode": "independent"}, {"beta1": 0.5}, {"beta2": 0.5},
    {"eps": 0.1}, {"dtype": "bfloat16"}, {"cooldown": 0.5}], ids=str)  # fmt: skip
def test_every_setting_changes_training_and_every_such_model_learns(switch: dict[str, Any]) -> None:
    base: dict[str, Any] = {"width": 64, "weight_decay": 1.0, "steps": 12}
    if "momentum" in switch:
        base |= {"optimizer": "sgd", "lr": 0.25}
    if "cooldown" in switch:
        base |= {"schedule": "wsd"}
    usual, switched = run_trial(spec(**base)), run_trial(spec(**{**base, **switch}))
    assert usual.loss != switched.loss
    assert switched.loss is not None
    assert switched.untrained_loss is not None
    assert switched.diverged_at is None
    if switch == {"dtype": "bfloat16"}:
        assert switched.loss == pytest.approx(usual.loss, abs=0.05)


def test_optimizers_are_those_of_torch_and_lion_pytorch() -> None:
    kinds = {
        "adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD,
        "lion": Lion, "adafactor": torch.optim.Adafactor, "muon": torch.optim.Muon,
    }  # fmt: skip
    assert set(kinds) == set(OPTIMIZERS) == set(get_args(optimizer_names()))
    for name, kind in kinds.items():
        s = settings_of(spec(optimizer=name, width=64, beta1=0.7, beta2=0.8, momentum=0.6))
        plan = lab_plan(s)
        optimizers = lab_optimizers(lab_model(s, plan), plan, s)
        assert [type(o) for o in optimizers] == [
            kind,
            *([kinds["adamw"]] if name == "muon" else []),
        ]
        expected = {"sgd": {"momentum": 0.6}, "muon": {"momentum": 0.6}, "adafactor": {}}.get(
            name, {"betas": (0.7, 0.8)}
        )
        for group in optimizers[0].param_groups:
            assert {k: group[k] for k in expected} == expected


def optimizer_names() -> Any:
    return LabSettings.model_fields["optimizer"].annotation


def test_a_mup_trial_trains_hidden_weights_at_the_scaled_rate() -> None:
    s = settings_of(spec(width=128))
    plan = lab_plan(s)
    model = lab_model(s, plan)
    rates = {
        id(p): g["lr"] for g in lab_optimizers(model, plan, s)[0].param_groups for p in g["params"]
    }
    for name, parameter in model.named_parameters():
        share = 1 if name == "embedding.weight" else 1 / 4
        assert rates[id(parameter)] == s.lr * share, name


def test_a_long_curve_has_about_two_hundred_evenly_spaced_points() -> None:
    s = LabSettings(width=32, base_width=32, lr=0.1, steps=1001, warmup=0)
    model = torch.nn.Embedding(256, 256)
    tokens = torch.zeros(1, 1, dtype=torch.long)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = train(model, [optimizer], lambda step: (tokens, tokens), s, torch.device("cpu"))
    steps = [step for step, _ in run.curve]
    assert (steps[0], steps[-1], run.steps) == (1, 1001, 1001)
    assert 150 <= len(steps) <= 201
    assert len({b - a for a, b in itertools.pairwise(steps[:-1])}) == 1


def test_a_trial_trains_on_the_users_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcdefgh\n" * 8000)
    result = run_trial(spec(str(text), steps=40), source=str(text))
    assert result.loss is not None
    assert result.loss < 0.5
    assert json.loads(result.model_dump_json())["spec"]["runner"]["data"] == corpus_hash(str(text))


def test_a_text_that_is_not_the_trials_own_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("never mapped before\n" * 8000)
    trial = spec(str(text))
    text.write_text("something else\n" * 8000)
    with pytest.raises(DataError, match="has changed since the study was started"):
        run_trial(trial, source=str(text))


def test_a_text_too_short_for_the_context_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("short")
    with pytest.raises(DataError, match="the training part of the text has 0 tokens"):
        run_trial(spec(str(text)), source=str(text))


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99"])
def test_an_unavailable_device_is_an_error_that_names_it(device: str) -> None:
    with pytest.raises(ModelError) as error:
        run_trial(spec(), device=device)
    what, why, fix = str(error.value).split("\n")
    assert what.startswith(f"no device '{device}': ")
    assert why == "  why: models would be trained on this device"
    assert fix == "  fix: set device = 'cpu' in [lab]"
