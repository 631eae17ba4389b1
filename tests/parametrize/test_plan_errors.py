"""Errors of plans: every model or setting that is not supported, and its three-line message."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from zoo import Raw, Router, error_text, failing, glorot, lazy, mlp

from mutransfer.parametrize import apply, guard, make_plan, param_groups
from mutransfer.rules import Role


def apply_twice() -> None:
    plan = make_plan(mlp, base=16, target=64)
    apply(apply(mlp(64), plan), plan)


ERRORS = {
    "meta device": (
        lambda: make_plan(lambda width: nn.Linear(8, width, device="meta"), base=16, target=64),
        "ModelError: build(16) returned a model on the meta device, which has no weights\n"
        "  why: your init is measured, and the model is run, at small widths\n"
        "  fix: create tensors without naming a device; make_plan itself selects the meta device "
        "where it needs no weights",
    ),
    "raw parameter": (
        lambda: make_plan(Raw, base=16, target=64),
        "RoleError: the role of 'gain' is undetermined: a raw parameter (Raw, shape (16,) at the "
        "base)\n"
        "  why: whether an axis is summed over or broadcast decides its init and its rate\n"
        "  fix: pass example_inputs=x, the inputs of the model; or "
        "roles={'gain': Role.VECTOR} (VECTOR if it is applied elementwise, OUTPUT or BOTTLENECK if "
        "it is summed over)",
    ),
    "two readouts": (
        lambda: make_plan(Router, base=16, target=64),
        "RoleError: the readout is undetermined: 'router.weight', 'head.weight' map a growing "
        "axis to a fixed one\n"
        "  why: a readout's init and rate shrink with width, a router's or bottleneck's do not\n"
        "  fix: pass example_inputs=x, the inputs of the model; or set the role: "
        "roles={'router.weight': Role.BOTTLENECK} if other weights follow, Role.OUTPUT for every "
        "head",
    ),
    "a head behind a bottleneck": (
        lambda: make_plan(
            lambda w: nn.Sequential(nn.Linear(8, w), nn.Linear(w, 64), nn.Linear(64, 9)),
            base=16,
            target=128,
        ),
        "RoleError: the readout is undetermined: '1.weight' map a growing axis to a fixed one, "
        "and '2.weight' is registered after it\n"
        "  why: a readout's init and rate shrink with width, a router's or bottleneck's do not\n"
        "  fix: pass example_inputs=x, the inputs of the model; or set the role: "
        "roles={'1.weight': Role.BOTTLENECK} if other weights follow, Role.OUTPUT for every head",
    ),
    "nothing grows": (
        lambda: make_plan(lambda w: nn.Linear(4, 4), base=16, target=64),
        "RoleError: no parameter grows with width: 'weight', 'bias' keep their shapes\n"
        "  why: roles are inferred from the axes that grow\n"
        "  fix: make build(width) use its width",
    ),
    "a model, not a function": (
        lambda: make_plan(mlp(16), base=16, target=64),
        "ModelError: build is a model, not a function that builds one\n"
        "  why: the plan compares the shapes of your model at several widths\n"
        "  fix: pass a function: make_plan(lambda width: MyModel(width), ...)",
    ),
    "unused pattern": (
        lambda: make_plan(mlp, base=16, target=64, roles={"haed": Role.OUTPUT}),
        "RoleError: roles={'haed': ...} matches no parameter\n"
        "  why: a pattern that matches nothing would silently leave the role as it was\n"
        "  fix: match a whole name: '0.weight', '0.bias', '2.weight', '2.bias', '4.weight' "
        "and 1 more",
    ),
    "impossible role": (
        lambda: make_plan(mlp, base=16, target=64, roles={"0.weight": Role.HIDDEN}),
        "RoleError: '0.weight' of base shape (16, 12) cannot be hidden\n"
        "  why: hidden means: fan-in and fan-out grow with width\n"
        "  fix: correct roles=, or build a target whose axes differ from the base's",
    ),
    "depth": (
        lambda: make_plan(
            lambda w: nn.Sequential(*(nn.Linear(w, w) for _ in range(w // 16))), base=16, target=64
        ),
        "CoverageError: build(16) and build(32) disagree on '1.bias', '1.weight'\n"
        "  why: parameters are matched by name across widths\n"
        "  fix: let width change shapes only, not the number or the names of layers",
    ),
    "lazy layer": (
        lambda: make_plan(lazy, base=16, target=64),
        "ModelError: '0.weight' is lazy and has no shape yet\n"
        "  why: roles are inferred from shapes\n"
        "  fix: run the model once inside build, or use nn.Linear(in, out)",
    ),
    "factory fails": (
        lambda: make_plan(failing, base=16, target=64),
        "ModelError: build(16) raised ZeroDivisionError: heads\n"
        "  why: the plan compares the shapes of your model at several widths\n"
        "  fix: make build(16) work by itself; at the target it is built on the meta device, "
        "so create tensors without naming a device",
    ),
    "no module": (
        lambda: make_plan(lambda width: width, base=16, target=64),
        "ModelError: build(16) returned int, not a torch.nn.Module\n"
        "  why: a plan is made from the parameters of a module\n"
        "  fix: return the model: build = lambda width: MyModel(width)",
    ),
    "no width": (
        lambda: make_plan(mlp, base=16, target={"width": 64}),
        "ModelError: target={'width': 64} is not a width\n"
        "  why: only width scales in this version: a whole number of channels\n"
        "  fix: write target=256",
    ),
    "wrong model": (
        lambda: apply(mlp(32), make_plan(mlp, base=16, target=64)),
        "CoverageError: plan and model disagree on '0.weight ((32, 12), planned (64, 12))', "
        "'0.bias ((32,), planned (64,))', '2.weight ((32, 32), planned (64, 64))', "
        "'2.bias ((32,), planned (64,))', '4.weight ((7, 32), planned (7, 64))'\n"
        "  why: a parameter without its rule would silently train at the wrong rate\n"
        "  fix: make the plan from this model: make_plan(build, base=16, target=64), "
        "then apply it to build(64)",
    ),
    "applied twice": (
        apply_twice,
        "InitError: a plan has already been applied to this model\n"
        "  why: a second rescaling would square every factor\n"
        "  fix: apply once, to a fresh build(width)",
    ),
    "decay mode": (
        lambda: param_groups(
            mlp(64),
            make_plan(mlp, base=16, target=64, optimizer="adam"),
            lr=1.0,
            decay_mode="independent",
        ),
        "RuleError: weight decay cannot be independent of the learning rate with 'adam'\n"
        "  why: its decay is a term of the gradient, which the update then normalizes\n"
        "  fix: use 'adamw', or decay_mode='constant-product'",
    ),
    "epsilon": (
        lambda: param_groups(
            mlp(64), make_plan(mlp, base=16, target=64, optimizer="sgd"), lr=1.0, eps=1e-8
        ),
        "RuleError: 'sgd' has no epsilon, but eps=1e-08 was passed\n"
        "  why: a setting without effect hides a misunderstanding\n"
        "  fix: leave eps= out, or make the plan for another optimizer",
    ),
}


def groups(**settings: object) -> object:
    return param_groups(mlp(64), make_plan(mlp, base=16, target=64), **settings)


NO_RULES = (
    "  why: the scaling of a learning rate depends on the update family, which is unknown here\n"
    "  fix: did you mean 'adamw'? (SGD with momentum is 'sgd')"
)
BY_NAME = "  why: every parameter of a model gets its rule by name\n"
SCALED = "  why: the plan multiplies it by a factor for each parameter group\n"
ERRORS |= {
    "the class of an optimizer": (
        lambda: make_plan(mlp, base=16, target=64, optimizer=torch.optim.AdamW),
        f"RuleError: there are no rules for the optimizer 'AdamW'\n{NO_RULES}",
    ),
    "an optimizer, not its name": (
        lambda: make_plan(
            mlp, base=16, target=64, optimizer=torch.optim.AdamW(mlp(16).parameters())
        ),
        f"RuleError: there are no rules for the optimizer 'AdamW'\n{NO_RULES}",
    ),
    "no parametrization": (
        lambda: make_plan(mlp, base=16, target=64, parametrization=None),
        "RuleError: there is no parametrization 'None'\n"
        "  why: every parametrization has its own learning rates\n"
        "  fix: did you mean 'none'? (`mutransfer rules` lists the names)",
    ),
    "roles without a role": (
        lambda: make_plan(mlp, base=16, target=64, roles=["head"]),
        "ModelError: roles must be of type Mapping, not list\n"
        f"{BY_NAME}  fix: roles={{'head.weight': Role.OUTPUT}}",
    ),
    "a pattern that is not text": (
        lambda: make_plan(mlp, base=16, target=64, roles={3: Role.OUTPUT}),
        "RoleError: roles={3: <Role.OUTPUT: 'output'>} is invalid: first argument must be string "
        "or compiled pattern\n"
        "  why: a role that is ignored would leave a wrong rate in place\n"
        "  fix: write a regular expression and one of 'input', 'vector', 'hidden', 'output', "
        "'bottleneck', 'fixed'",
    ),
    "no plan": (
        lambda: apply(mlp(64), None),
        "ModelError: plan must be of type Plan, not NoneType\n"
        f"{BY_NAME}  fix: plan = make_plan(build, base=256, target=4096)",
    ),
    "a path, not a plan": (
        lambda: param_groups(mlp(64), "plan.json", lr=0.1),
        "ModelError: plan must be of type Plan, not str\n"
        f"{BY_NAME}  fix: plan = make_plan(build, base=256, target=4096)",
    ),
    "parameters, not a model": (
        lambda: param_groups(mlp(64).parameters(), make_plan(mlp, base=16, target=64), lr=0.1),
        "ModelError: model must be of type Module, not generator\n"
        f"{BY_NAME}  fix: pass the model that the plan was made for",
    ),
    "a guard without a plan": (
        lambda: guard(torch.optim.AdamW(groups(lr=0.1)), None),
        "ModelError: plan must be of type Plan, not NoneType\n"
        f"{BY_NAME}  fix: pass the plan whose param_groups the optimizer has",
    ),
    "a guard of a model": (
        lambda: guard(mlp(64), make_plan(mlp, base=16, target=64)),
        "ModelError: optimizer must be of type Optimizer, not Sequential\n"
        f"{BY_NAME}  fix: pass the optimizer",
    ),
    "a rate that is text": (
        lambda: groups(lr="0.1"),
        f"RuleError: lr='0.1' is not a number\n{SCALED}  fix: write a number, such as lr=0.01",
    ),
    "rates that are text": (
        lambda: groups(lr={"adamw": "x"}),
        f"RuleError: lr='x' is not a number\n{SCALED}  fix: write a number, such as lr=0.01",
    ),
    "a decay that is text": (
        lambda: groups(lr=0.1, weight_decay={"output": "x"}),
        f"RuleError: weight_decay['output'] is 'x', which is not a number\n"
        f"{SCALED}  fix: weight_decay={{'output': 0.1}}",
    ),
    "no decay": (
        lambda: groups(lr=0.1, weight_decay=None),
        f"RuleError: weight_decay=None is not a number\n"
        f"{SCALED}  fix: write a number, such as weight_decay=0.01",
    ),
    "an epsilon that is text": (
        lambda: groups(lr=0.1, eps="1e-8"),
        f"RuleError: eps='1e-8' is not a number\n{SCALED}  fix: write a number, such as eps=0.01",
    ),
    "no decay mode": (
        lambda: groups(lr=0.1, decay_mode=None),
        "RuleError: there is no decay mode 'None'\n"
        "  why: papers disagree on how weight decay scales, so the choice must be explicit\n"
        "  fix: choose from 'constant-product', 'coupled', 'independent'",
    ),
}


def pruned(width: int) -> nn.Module:
    model = mlp(width)
    model[2].weight = nn.Parameter(model[2].weight.detach().to_sparse())
    return model


def quantised(width: int) -> nn.Module:
    model = mlp(width)
    integers = model[2].weight.detach().to(torch.int8)
    model[2].weight = nn.Parameter(integers, requires_grad=False)
    return model


def with_parametrization(function, layer: int):
    def build(width: int) -> nn.Module:
        model = mlp(width)
        function(model[layer])
        return model

    return build


COMPUTED = (
    "  why: such a function may undo the scale that a rule gives a weight; of "
    "torch.nn.utils.parametrizations only weight_norm is supported\n"
    "  fix: call torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') inside build"
)
DENSE = (
    "  why: a plan rescales fresh weights and the settings of their optimizer\n"
    "  fix: build the model in float32 and dense; quantise or prune it after training"
)
ERRORS |= {
    "sparse": (
        lambda: make_plan(pruned, base=16, target=64),
        f"ModelError: '2.weight' is sparse_coo: quantised and sparse weights have no plan\n{DENSE}",
    ),
    "complex": (
        lambda: make_plan(
            lambda w: nn.Linear(w, w, bias=False, dtype=torch.complex64), base=16, target=64
        ),
        "ModelError: 'weight' is complex\n"
        "  why: the rules and the optimizers' updates are defined for real numbers\n"
        "  fix: store it as a real parameter, torch.view_as_real(w), and use "
        "torch.view_as_complex in forward",
    ),
    "quantised": (
        lambda: make_plan(quantised, base=16, target=64),
        f"ModelError: '2.weight' is int8: quantised and sparse weights have no plan\n{DENSE}",
    ),
    "spectral norm": (
        lambda: make_plan(
            with_parametrization(parametrizations.spectral_norm, 2), base=16, target=64
        ),
        "ModelError: 'weight' of '2' is computed from parameters by _SpectralNorm\n" + COMPUTED,
    ),
    "orthogonal": (
        lambda: make_plan(with_parametrization(parametrizations.orthogonal, 2), base=16, target=64),
        "ModelError: 'weight' of '2' is computed from parameters by _Orthogonal\n" + COMPUTED,
    ),
    "a normed readout": (
        lambda: make_plan(
            with_parametrization(parametrizations.weight_norm, 4), base=16, target=64
        ),
        "RoleError: '4.parametrizations.weight.original1' is the readout, and weight_norm divides "
        "by its size\n"
        "  why: the init of a readout must shrink with width, but weight_norm undoes any init\n"
        "  fix: call torch.nn.utils.parametrize.remove_parametrizations(readout, 'weight') inside "
        "build",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_not_supported_is_an_error_in_three_lines(case) -> None:
    call, message = ERRORS[case]
    assert error_text(call) == message


def test_an_init_that_is_not_a_power_of_width_is_an_error_with_its_exponent() -> None:
    message = error_text(lambda: make_plan(glorot, base=64, target=256))
    assert "the init between widths 64 and 128 is not clearly a power" in message
    assert "'2.weight' ∝ ratio^-0.2" in message


def test_trained_weights_are_not_fresh() -> None:
    plan, model = make_plan(mlp, base=16, target=64), mlp(64)
    with torch.no_grad():
        model[2].weight.mul_(0.7)
    message = error_text(lambda: apply(model, plan))
    assert message.startswith(
        "InitError: these weights are not a fresh init of width 64: '2.weight (RMS"
    )
    assert "apply(model, plan, init=False)" in message
    apply(model, plan, init=False)
