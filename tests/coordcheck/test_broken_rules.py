"""Broken rules are detected and named; correct implementations pass."""

import pytest
import torch
import torch.nn.functional as F
from check_models import LR, check_with_broken_rule, diagnosed_faults, of_role, run_check

import mutransfer as mt
from mutransfer.lab.decoder import Decoder
from mutransfer.lab.decoder_config import DecoderConfig


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
def test_a_correct_mlp_passes(optimizer):
    check = run_check(optimizer=optimizer, lr=LR[optimizer])
    assert check.outcome == "pass", str(check)
    assert not check.diagnoses
    assert check.status == 0
    assert all(check.power.values())


def test_a_correct_own_implementation_passes():
    check = check_with_broken_rule("lr_factor", of_role("none"), 1.0)
    assert check.outcome == "pass", str(check)
    assert not any(f.under_sp for f in check.findings)


def test_exponents_under_sp_are_reported_and_not_judged():
    """The hidden rate of SP deviates at the first step."""
    hidden = [
        f for f in run_check(seeds=2).findings if (f.quantity, f.role) == ("effect", "hidden")
    ]
    assert all(f.outcome == "pass" and f.under_sp[0] > 0.7 for f in hidden)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "role", "power", "form", "fault"),
    [
        ("lr_factor", "hidden", 1.0, "table-3", ("rate", "hidden", 1.0)),
        ("lr_factor", "hidden", -0.5, "table-3", ("rate", "hidden", -0.5)),
        ("lr_factor", "input", -1.0, "table-3", ("rate", "input", -1.0)),
        ("lr_factor", "output", -1.0, "table-3", ("rate", "output", -1.0)),
        ("lr_factor", "output", 0.5, "table-3", ("rate", "output", 0.5)),
        ("lr_factor", "vector", -0.5, "table-3", ("rate", "vector", -0.5)),
        ("init_factor", "vector", 0.5, "table-3", ("init", "vector", 0.5)),
        ("init_factor", "hidden", 0.5, "table-3", ("init", "hidden", 0.5)),
        ("init_factor", "input", -0.5, "table-3", ("init", "input", -0.5)),
        ("init_factor", "output", 0.5, "table-3", ("init", "output", 0.5)),
        ("multiplier", "output", 1.0, "table-8", ("multiplier", "output", 1.0)),
        ("multiplier", "hidden", -0.5, "table-8", ("multiplier", "hidden", -0.5)),
    ],
)
def test_a_broken_rule_is_named(field, role, power, form, fault):
    check = check_with_broken_rule(field, of_role(role), power, form)
    assert check.outcome == "fail", str(check)
    assert diagnosed_faults(check) == [fault]
    assert check.status == 1


@pytest.mark.slow
def test_one_layer_with_a_wrong_rate_is_named_alone():
    check = check_with_broken_rule("lr_factor", lambda row: row.name == "2.weight", 1.0)
    (diagnosis,) = check.diagnoses
    assert (diagnosis.fault, diagnosis.names) == ("rate", ("2.weight",))
    assert "look at the rate of '2.weight'" in diagnosis.text


@pytest.mark.slow
def test_the_standard_parametrization_fails_for_its_known_reasons():
    check = run_check(parametrization="sp")
    assert check.outcome == "fail"
    faults = set(diagnosed_faults(check))
    assert {("rate", "hidden", 1.0), ("init", "output", 0.5), ("rate", "output", 1.0)} <= faults


@pytest.mark.slow
def test_the_reference_decoder_passes():
    generator = torch.Generator().manual_seed(2)
    text = torch.randint(0, 256, (4, 33), generator=generator)

    def loss(model, batch):
        return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    check = run_check(
        lambda width: Decoder(DecoderConfig(width=width, depth=2)), batch=text, loss=loss, lr=2**-7
    )
    assert check.outcome == "pass", str(check)


def test_a_rate_too_small_to_detect_a_fault_is_undetermined():
    """With a rate near zero the weights do not move, so that no fault could show."""
    check = run_check(lr=1e-30)
    assert check.outcome == "undetermined"
    assert not any(check.power[name] for name in ("hidden", "output"))
    assert "a planted fault of half a power in the rate of" in check.reasons[-1]
    assert check.status == 3


# --- refusals ---

REFUSALS = {
    "two widths": (
        {"widths": [32, 128]},
        "ModelError: widths=[32, 128] are too few, or too close together\n"
        "  why: an exponent is fitted over widths, precisely enough to show half a power\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "widths too near": (
        {"widths": [32, 48, 64]},
        "ModelError: widths=[32, 48, 64] are too few, or too close together\n"
        "  why: an exponent is fitted over widths, precisely enough to show half a power\n"
        "  fix: widths=[32, 64, 128, 256]",
    ),
    "one seed": (
        {"seeds": 1},
        "ModelError: seeds=1: the noise of an exponent cannot be estimated\n"
        "  why: without its noise an exponent cannot be compared with the expected one\n"
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
        "ModelError: loss(model, batch) returned Tensor (64, 4), not a scalar tensor\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: return the loss: loss=lambda model, batch: model(batch).square().mean()",
    ),
    "a device that does not exist": (
        {"device": "nowhere"},
        "ModelError: no device 'nowhere': Expected one of cpu",
    ),
    "a factory that returns no optimizer": (
        {"optimizer": lambda groups: groups},
        "ModelError: optimizer= returned list, not a torch optimizer\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer='adamw', a class, or a factory that returns an optimizer, or several in "
        "a list",
    ),
    "one rate for two optimizers": (
        {"optimizer": torch.optim.Muon},
        "RuleError: lr=0.0078125 is one rate for Muon and AdamW\n"
        "  why: Muon's is the size of a matrix's change, AdamW's that of an entry: one number "
        "cannot fit both\n"
        "  fix: lr={'muon': 0.0078125, 'adamw': 0.003}, or make_plan(..., "
        "optimizer='muon-match-rms'), whose rates are alike",
    ),
    "a factory that fails": (
        {"optimizer": lambda model: torch.optim.SGD(model.heads, lr=1), "parametrization": None},
        "ModelError: optimizer= raised AttributeError when called with the model: 'Sequential' "
        "object has no attribute 'heads'\n"
        "  why: the check takes a few steps with it\n"
        "  fix: optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=2**-8)",
    ),
    "a loss that fails": (
        {"loss": lambda model, batch: model(batch)},
        "ModelError: loss(model, batch) raised TypeError at width 32: linear(): argument 'input' "
        "(position 1) must be Tensor, not tuple\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: make loss(build(32), batch) work by itself; batch is tuple",
    ),
    "a loss without a gradient": (
        {"loss": lambda model, batch: model(batch[0]).detach().sum()},
        "ModelError: loss(model, batch) returned a loss without a gradient\n"
        "  why: the check trains the model for a few steps\n"
        "  fix: do not detach it or compute it under torch.no_grad()",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_settings_that_cannot_decide_are_refused_in_three_lines(case):
    options, text = REFUSALS[case]
    with pytest.raises(mt.MutransferError) as caught:
        run_check(**options)
    shown = f"{type(caught.value).__name__}: {caught.value}"
    assert shown == text or (shown.startswith(text) and shown.endswith("\n  fix: device='cpu'"))
