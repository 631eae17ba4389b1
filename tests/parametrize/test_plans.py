"""Plans of small models: roles, ratios, factors on the author's init, and what they achieve."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from zoo import Gains, Raw, Router, error_text, mlp

from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.rules import Role


def test_roles_follow_from_which_axes_grow() -> None:
    plan = make_plan(mlp, base=32, target=128)
    assert {row.name: row.role.value for row in plan.rows} == {
        "0.weight": "input",
        "0.bias": "vector",
        "2.weight": "hidden",
        "2.bias": "vector",
        "4.weight": "output",
        "4.bias": "fixed",
    }


def test_sides_may_grow_by_unequal_ratios() -> None:
    def build(width: int) -> nn.Module:
        return nn.Sequential(
            nn.Embedding(9, width), nn.Linear(width, 8 + width), nn.Linear(8 + width, 3)
        )

    row = make_plan(build, base=8, target=56)["1.weight"]
    assert (row.r_in, row.r_out) == (7, 4)
    assert row.lr_factor == pytest.approx(1 / 7)
    assert row.eps_factor == pytest.approx(1 / math.sqrt(28))


@pytest.mark.parametrize(
    ("std", "power", "hidden", "readout"),
    [
        # What the author's init lacks of µP at m = 16: hidden m^-1/2, Table-3 readout m^-1.
        (0.02, 0.0, 16**-0.5, 16**-1.0),
        (1.0, -0.5, 1.0, 16**-0.5),
        (1.0, -1.0, 16**0.5, 1.0),
    ],
)
def test_the_init_factor_is_what_the_authors_init_lacks(std, power, hidden, readout) -> None:
    plan = make_plan(lambda width: mlp(width, std, power), base=16, target=256)
    assert plan["2.weight"].init_factor == pytest.approx(hidden)
    assert plan["4.weight"].init_factor == pytest.approx(readout)
    assert plan["0.weight"].init_factor == 1.0
    assert plan["4.bias"].init_factor == 1.0  # zeros stay zeros


def test_torchs_default_init_lacks_the_same_as_in_microsoft_mup() -> None:
    """In mup: sqrt(m) for a hidden layer's bias and a Table-8 readout, 1 for hidden weights."""
    plan = make_plan(mlp, base=32, target=128, form="table-8")
    names = ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"]
    assert [plan[name].init_factor for name in names] == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]


def test_apply_rescales_and_keeps_shapes_of_distributions_and_zeros() -> None:
    plan = make_plan(lambda width: mlp(width, 0.02), base=16, target=256)
    torch.manual_seed(1)
    fresh = mlp(256, 0.02)
    torch.manual_seed(1)
    model = apply(mlp(256, 0.02), plan)
    assert torch.equal(model[2].weight, fresh[2].weight * 0.25)
    assert not model[2].bias.any()


@pytest.mark.parametrize(
    "init", [nn.init.orthogonal_, nn.init.trunc_normal_, nn.init.xavier_uniform_]
)
def test_other_inits_are_measured_too(init) -> None:
    def build(width: int) -> nn.Module:
        model = mlp(width, 0.02)
        init(model[2].weight)
        return model

    constant = init is nn.init.trunc_normal_
    factor = make_plan(build, base=32, target=128)["2.weight"].init_factor
    assert factor == pytest.approx(0.5 if constant else 1.0)


def gradient_slopes(parametrization: str) -> list[float]:
    """Fit the exponent of each weight's gradient RMS at init against width."""
    widths, rms_WL = (64, 128, 256, 512), []
    for width in widths:
        plan = make_plan(
            mlp, base=64, target=width, parametrization=parametrization, form="table-8"
        )
        square_SL = []
        for seed in range(8):
            torch.manual_seed(seed)
            model = apply(mlp(width), plan)
            F.cross_entropy(model(torch.randn(64, 12)), torch.randint(7, (64,))).backward()
            square_SL.append([model[k].weight.grad.square().mean() for k in (0, 2, 4)])
        rms_WL.append(torch.tensor(square_SL).mean(0).sqrt())
    x_W = torch.tensor(widths).log2()
    x_W = (x_W - x_W.mean())[:, None]
    return ((x_W * torch.stack(rms_WL).log2()).sum(0) / x_W.square().sum()).tolist()


def test_gradients_scale_as_the_epsilon_column_says() -> None:
    """By hand: in Table 8 every gradient shrinks as 1/m; in SP the exponents are -1/2, -1/2, 0."""
    assert gradient_slopes("mup") == pytest.approx([-1, -1, -1], abs=0.15)
    assert gradient_slopes("sp") == pytest.approx([-0.5, -0.5, 0], abs=0.15)


def update_slopes(parametrization: str) -> list[float]:
    """Fit the exponent of each layer's update response after five Adam steps."""
    widths, rms_WL = (64, 128, 256, 512), []
    for width in widths:
        plan = make_plan(mlp, base=64, target=width, parametrization=parametrization)
        sizes_L = torch.zeros(3)
        for seed in range(4):
            torch.manual_seed(seed)
            model = apply(mlp(width), plan)
            optimizer = torch.optim.AdamW(param_groups(model, plan, lr=2**-7))
            before = [model[k].weight.detach().clone() for k in (0, 2, 4)]
            x_BD, y_B = torch.randn(64, 12), torch.randint(7, (64,))
            for _ in range(5):
                optimizer.zero_grad()
                F.cross_entropy(model(x_BD), y_B).backward()
                optimizer.step()
            for i, k in enumerate((0, 2, 4)):
                h = model[:k](x_BD)
                change = F.linear(h, model[k].weight - before[i])
                sizes_L[i] += (change.square().mean().sqrt() / h.square().mean().sqrt()).detach()
        rms_WL.append(sizes_L)
    x_W = torch.tensor(widths).log2()
    x_W = (x_W - x_W.mean())[:, None]
    return ((x_W * torch.stack(rms_WL).log2()).sum(0) / x_W.square().sum()).tolist()


def test_updates_move_every_layer_alike_at_every_width() -> None:
    """In µP every layer has slope 0; in SP those of hidden layers and readout are near 1."""
    assert update_slopes("mup") == pytest.approx([0, 0, 0], abs=0.2)
    _, hidden, readout = update_slopes("sp")
    assert hidden > 0.6
    assert readout > 0.25


def test_a_raw_vector_takes_the_role_that_the_user_sets() -> None:
    row = make_plan(Raw, base=16, target=64, roles={"gain": Role.VECTOR}, optimizer="sgd")["gain"]
    assert (row.role, row.r_out, row.lr_factor, row.reason) == (
        Role.VECTOR, 4, 4.0, "set by roles="
    )  # fmt: skip


def test_a_forward_pass_distinguishes_a_gain_from_a_dot_product() -> None:
    inputs = torch.randn(3, 5)
    plan = make_plan(Gains, base=16, target=64, example_inputs=inputs)
    roles = {row.name: row.role for row in plan.rows}
    assert {n for n, role in roles.items() if role is Role.OUTPUT} == {"dot", "two_steps"}
    assert {n for n, role in roles.items() if role is Role.VECTOR} == {
        "up.bias", "llama", "gemma", "cast", "functional"
    }  # fmt: skip


def test_a_forward_pass_that_raises_is_a_model_error() -> None:
    message = error_text(lambda: make_plan(Gains, base=16, target=64, example_inputs={"y": 1}))
    assert message.startswith("ModelError: the forward pass at width 16 raised TypeError")


def test_a_router_and_a_readout_have_different_init_factors() -> None:
    roles = {r"router\.weight": Role.BOTTLENECK, r"head\.weight": Role.OUTPUT}
    plan = make_plan(Router, base=16, target=64, roles=roles)
    assert plan["router.weight"].init_factor == 1.0
    assert plan["head.weight"].init_factor == 0.5
