"""The code that a prediction suggests runs, and does what the library does."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mutransfer.analysis import Estimate, PointPrediction, PredictedValue, Prediction
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
        {"width": width},
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


class Tied(nn.Module):
    """A model whose readout shares the embedding's table."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 32, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.hidden(self.embed(tokens))))


INPUTS = {Layers: torch.linspace(-1, 1, 24).reshape(3, 8), Tied: torch.arange(6).reshape(2, 3)}
CASES = [
    *((Layers, "table-3", optimizer) for optimizer in ("adamw", "adam", "sgd")),
    *((Layers, "table-8", optimizer) for optimizer in ("adamw", "sgd")),
    (Tied, "table-3", "adamw"),
    (Tied, "table-8", "adamw"),
]


@pytest.mark.parametrize(("build", "form", "optimizer"), CASES)
def test_the_snippet_does_what_apply_and_param_groups_do(
    build: type[nn.Module], form: str, optimizer: str, tmp_path: Path
) -> None:
    """Executed as it stands: same weights, same outputs, and the same options of each group."""
    plan = make_plan(build, base=64, target=256, optimizer=optimizer, form=form)
    file = tmp_path / "plan.json"
    file.write_text(plan.to_json())
    printed = snippet(prediction(), plan, plan_file=file)
    code = re.sub(r"(?m)^(weight_decay.*) = 0\.0", r"\1 = 0.1", printed)
    torch.manual_seed(0)
    model = build(256)
    space = {"model": model}
    exec(code, space)
    torch.manual_seed(0)
    expected = apply(build(256), plan)
    groups = param_groups(expected, plan, lr=0.01, weight_decay=0.1)
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=1e-6, atol=0)
    x = INPUTS[build]
    torch.testing.assert_close(model(x), expected(x), rtol=1e-4, atol=1e-6)
    options = {id(p): g for g in space["optimizer"].param_groups for p in g["params"]}
    wanted = {id(p): g for g in groups for p in g["params"]}
    for mine, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        for key in {"lr", "weight_decay", "eps"} & set(wanted[id(theirs)]):
            assert options[id(mine)][key] == pytest.approx(wanted[id(theirs)][key], rel=1e-9)


def test_equal_layers_share_a_pattern() -> None:
    """Twelve layers are one pattern for weights, one for biases."""
    assert snippet(prediction(), make_plan(Layers, base=64, target=256)).count("blocks") == 2


def test_a_plan_with_multipliers_is_applied_by_the_library_alone() -> None:
    """Factors printed next to `apply` would rescale the weights twice."""
    code = snippet(prediction(), make_plan(Tied, base=64, target=256))
    assert "factors" not in code
    assert "mul_" not in code
    assert "it also multiplies the input of 'head'." in code


def test_a_parameter_without_factors_is_named() -> None:
    """The printed loop must not end in a bare StopIteration."""
    code = snippet(prediction(), make_plan(Layers, base=64, target=256))
    with pytest.raises(KeyError, match=r"the plan has no parameter weight"):
        exec(code, {"model": nn.Linear(2, 2)})


@pytest.mark.parametrize("tuned", ["learning_rate", "init_std", "lambda", "a b"])
@pytest.mark.parametrize("has_plan", [True, False])
def test_the_code_runs_whatever_the_name_of_the_hyperparameter(tuned: str, has_plan: bool) -> None:
    """The code of a plan needs a variable lr; a keyword of Python is not a variable."""
    plan = make_plan(Layers, base=64, target=256) if has_plan else None
    space = {"model": Layers(256)}
    exec(snippet(replace(prediction(), hyperparameter=tuned), plan), space)
    name = {"learning_rate": "lr", "init_std": "init_std"}.get(tuned, "value")
    assert space[name] == 0.01


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
    assert "\x00" not in snippet(prediction("a\x00b"))
    rate = Estimate(undetermined="one seed: add values of x\nimport os")
    assert "\n" not in snippet(replace(prediction(), lr=rate))


def test_without_a_rate_there_is_no_recommendation() -> None:
    """Only the reason."""
    assert snippet(prediction(lr=None)) == "# no recommendation: one seed: add seeds"


def point(**tuned: float) -> PointPrediction:
    values = tuple(
        PredictedValue(name, "log", Estimate(value, value / 2, 2 * value), value, {}, NOWHERE)
        for name, value in tuned.items()
    )
    return PointPrediction(
        "mup", "width", 256, {"width": 256}, 4.0, values, NOWHERE, NOWHERE, NOWHERE, ()
    )


@pytest.mark.parametrize("build", [Layers, Tied])
def test_every_tuned_value_that_groups_take_reaches_the_optimizer(build, tmp_path: Path) -> None:
    """The others are named, so that none is lost in silence."""
    plan = make_plan(build, base=64, target=256)
    file = tmp_path / "plan.json"
    file.write_text(plan.to_json())
    tuned = {"lr": 0.01, "wd": 0.2, "eps": 1e-6, "beta2": 0.95, "init_std": 0.5}
    code = snippet(point(**tuned, lr_multiplier_input=4.0), plan, plan_file=file)
    assert "init_std = 0.5  # 90 % interval [0.25, 1]; no part of the optimizer: set it" in code
    space = {"model": build(256)}
    exec(code, space)
    groups = param_groups(
        build(256),
        plan,
        lr=0.01,
        weight_decay=0.2,
        eps=1e-6,
        betas=(0.9, 0.95),
        lr_multiplier={"input": 4.0},
    )
    keys = ("lr", "weight_decay", "eps", "betas", "lr_factor")
    mine = [[group[key] for key in keys] for group in space["optimizer"].param_groups]
    assert mine == [[group[key] for key in keys] for group in groups]


@pytest.mark.parametrize("name", ["weight_decay", "eps", "lr_multiplier_input"])
def test_a_single_tuned_value_is_not_replaced_by_a_default(name: str, tmp_path: Path) -> None:
    """A rate that was not tuned is yours; what was tuned is used."""
    plan = make_plan(Layers, base=64, target=256)
    file = tmp_path / "plan.json"
    file.write_text(plan.to_json())
    space = {"model": Layers(256)}
    exec(snippet(replace(prediction(), hyperparameter=name), plan, plan_file=file), space)
    argument = {"lr_multiplier": {"input": 0.01}} if name.startswith("lr_") else {name: 0.01}
    groups = param_groups(Layers(256), plan, lr=1e-3, **argument)
    expected = {
        p.shape: (g["lr"], g["weight_decay"], g["eps"]) for g in groups for p in g["params"]
    }
    for group in space["optimizer"].param_groups:
        for parameter in group["params"]:
            wanted = expected[parameter.shape]
            assert (group["lr"], group["weight_decay"], group["eps"]) == pytest.approx(wanted)


def test_a_role_that_the_plan_lacks_is_refused() -> None:
    plan = make_plan(Layers, base=64, target=256)
    with pytest.raises(UsageError) as refused:
        snippet(point(lr=0.01, lr_multiplier_bottleneck=2.0), plan)
    assert str(refused.value) == (
        "'lr_multiplier_bottleneck' was tuned, and the plan has no parameter of this role\n"
        "  why: its value would have no effect on this model\n"
        "  fix: make the plan from the model that was tuned: mutransfer plan PKG.MOD:BUILD "
        "--base 64 --target 256 -o plan.json"
    )
