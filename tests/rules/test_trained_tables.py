"""Training under rule tables: equivalent tables give the same losses, others do not."""

import itertools

import pytest
import torch
from torch import nn

from mutransfer.lab.data.corpus import EMBEDDED_HASH
from mutransfer.lab.trial import run_trial
from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.records import LabRunner, LabSettings, TrialSpec
from mutransfer.rules import PARAMETRIZATIONS


def build(width: int) -> nn.Module:
    hidden = nn.Linear(width, width)
    return nn.Sequential(nn.Embedding(11, width), hidden, nn.ReLU(), nn.Linear(width, 11))


def losses(parametrization: str, form: str = "table-3", optimizer: str = "adamw") -> list[float]:
    """Train five steps at three times the base width."""
    plan = make_plan(
        build, base=32, target=96, parametrization=parametrization, form=form, optimizer=optimizer
    )
    torch.manual_seed(0)
    model = apply(build(96), plan)
    if optimizer == "adamw":
        groups = param_groups(model, plan, lr=0.02, weight_decay=0.1, eps=1e-5)
        optim: torch.optim.Optimizer = torch.optim.AdamW(groups)
    else:
        optim = torch.optim.SGD(param_groups(model, plan, lr=0.05), momentum=0.9)
    x_B = torch.arange(11).repeat(4)
    curve = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(model(x_B), (3 * x_B + 1) % 11)
        optim.zero_grad()
        loss.backward()
        optim.step()
        curve.append(loss.item())
    return curve


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_equivalent_tables_train_identically_and_others_do_not(optimizer) -> None:
    """With multipliers installed and without: {µP, mean-field} and {SP full alignment, NTK}."""
    classes = (("mup", "mfp"), ("sp-full-align", "ntk"))
    runs = [
        [losses(name, form, optimizer) for name in names for form in ("table-3", "table-8")]
        for names in classes
    ]
    for same in runs:
        for curve in same[1:]:
            assert curve == pytest.approx(same[0], abs=1e-5)
    unequal = [runs[0][0], runs[1][0], losses("sp", optimizer=optimizer)]
    unequal.append(losses("umup", optimizer=optimizer))
    for first, second in itertools.combinations(unequal, 2):
        assert abs(first[-1] - second[-1]) > 1e-4


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_every_table_plans_and_applies_to_an_untied_model(name) -> None:
    plan = make_plan(build, base=32, target=64, parametrization=name)
    model = apply(build(64), plan)
    assert {row.multiplier for row in plan.rows} == {1.0}
    assert model(torch.arange(3)).isfinite().all()


@pytest.mark.parametrize("name", ["sp+embd", "mup-last", "sp-full-align", "ntk", "mfp", "umup"])
def test_the_lab_trains_under_other_tables(name) -> None:
    settings = LabSettings(
        width=64, base_width=32, lr=2**-6, parametrization=name, steps=20, depth=1, batch=4
    )
    runner = LabRunner(numerics=1, data=EMBEDDED_HASH, settings=settings.non_default_fields())
    result = run_trial(TrialSpec(runner=runner, axes={}))
    assert result.loss is not None
    assert result.loss < result.untrained_loss
