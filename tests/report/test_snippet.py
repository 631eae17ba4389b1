"""The code that a prediction suggests runs, and does what the library does."""

import re

import pytest
import torch
from torch import nn

from mutransfer.analysis import Estimate, Prediction
from mutransfer.errors import UsageError
from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.report.text.snippet import snippet

NOWHERE = Estimate(undetermined="not asked")


def prediction(group: str = "mup", width: float = 256, lr: float | None = 0.01) -> Prediction:
    rate = Estimate(lr, 0.008, 0.013) if lr else Estimate(undetermined="one seed: add seeds")
    log2_lr = Estimate(-6.64)
    rest = {"loss": NOWHERE, "regret": NOWHERE, "regret_share": NOWHERE}
    return Prediction(
        group,
        "width",
        "lr",
        width,
        4.0,
        rate,
        log2_lr,
        **rest,
        law="constant",
        laws=(),
        warnings=(),
    )


class Layers(nn.Module):
    """A model with twelve equal layers, whose numbers fold into one pattern."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(12))
        self.head = nn.Linear(width, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = torch.relu(block(x))
        return self.head(x)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_the_snippet_does_what_apply_and_param_groups_do(optimizer: str) -> None:
    """Executed as it stands: same weights, and the same rate, decay and epsilon for each."""
    plan = make_plan(Layers, base=64, target=256, optimizer=optimizer)
    code = re.sub(r"(?m)^(weight_decay.*) = 0\.0", r"\1 = 0.1", snippet(prediction(), plan))
    torch.manual_seed(0)
    model = Layers(256)
    space = {"torch": torch, "re": re, "model": model}
    exec(code, space)
    torch.manual_seed(0)
    expected = apply(Layers(256), plan)
    groups = param_groups(expected, plan, lr=0.01, weight_decay=0.1)
    weights = {
        name: torch.cat([p.detach().ravel() for p in m.parameters()])
        for name, m in (("ours", model), ("theirs", expected))
    }
    torch.testing.assert_close(weights["ours"], weights["theirs"], rtol=1e-6, atol=0)
    options = {id(p): g for g in space["optimizer"].param_groups for p in g["params"]}
    wanted = {id(p): g for g in groups for p in g["params"]}
    for mine, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        for key in {"lr", "weight_decay", "eps"} & set(wanted[id(theirs)]):
            assert options[id(mine)][key] == pytest.approx(wanted[id(theirs)][key], rel=1e-9)
    assert code.count("blocks") == 2  # twelve layers are one pattern for weights, one for biases


def test_a_plan_for_another_width_is_refused() -> None:
    """Its factors would be wrong, silently."""
    plan = make_plan(Layers, base=64, target=256)
    with pytest.raises(UsageError, match="for width 256, the prediction for 512") as refused:
        snippet(prediction(width=512), plan)
    assert refused.value.fix.endswith("--base 64 --target 512 -o plan.json")


def test_a_plan_for_two_optimizers_or_two_epsilons_is_refused() -> None:
    """The snippet has one optimizer with one epsilon."""
    for optimizer in ("muon", "adafactor"):
        plan = make_plan(Layers, base=64, target=256, optimizer=optimizer)
        with pytest.raises(UsageError, match=f"the plan is for '{optimizer}', which") as refused:
            snippet(prediction(), plan)
        assert refused.value.fix.endswith("mutransfer.param_groups")


def test_the_snippet_for_mup_says_to_keep_its_rule_and_that_for_sp_needs_none() -> None:
    """Plain groups under µP would train at the wrong rates."""
    assert snippet(prediction("sp")).splitlines()[-1] == "lr = 0.01"
    assert "rule" not in snippet(prediction("sp"))
    code = snippet(prediction("mup"))
    assert "model.parameters()" not in code
    assert "under the same rule" in code
    compile(code, "snippet", "exec")


def test_a_hostile_name_stays_in_its_comment() -> None:
    """A group's name comes from a file."""
    code = snippet(prediction('x"\nimport os\n#'))
    assert "\nimport" not in code
    assert code.startswith("# x")


def test_without_a_rate_there_is_no_recommendation() -> None:
    """Only the reason."""
    assert snippet(prediction(lr=None)) == "# no recommendation: one seed: add seeds"
