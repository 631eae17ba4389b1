"""Plans of many kinds of models: roles, the author's own init, and clear refusals."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mutransfer.errors import MutransferError
from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.rules import Role


def mlp(width: int, std: float | None = None, power: float = 0.0) -> nn.Module:
    model = nn.Sequential(
        nn.Linear(12, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 7)
    )
    if std is not None:
        for layer in model[::2]:
            nn.init.normal_(layer.weight, std=std * layer.in_features**power)
            nn.init.zeros_(layer.bias)
    return model


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
def test_only_what_the_authors_init_lacks_is_supplied(std, power, hidden, readout) -> None:
    plan = make_plan(lambda width: mlp(width, std, power), base=16, target=256)
    assert plan["2.weight"].init_factor == pytest.approx(hidden)
    assert plan["4.weight"].init_factor == pytest.approx(readout)
    assert plan["0.weight"].init_factor == 1.0
    assert plan["4.bias"].init_factor == 1.0  # zeros stay zeros


def test_torchs_default_init_lacks_the_same_as_in_microsoft_mup() -> None:
    """There: sqrt(m) for a hidden layer's bias and for a Table-8 readout, 1 for hidden weights."""
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
    """Table 8: every gradient shrinks as 1/m; SP: -1/2, -1/2, 0. The facts' section F."""
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
    """The facts' section H: slope 0 in µP for every layer; hidden and readout near 1 in SP."""
    assert update_slopes("mup") == pytest.approx([0, 0, 0], abs=0.2)
    _, hidden, readout = update_slopes("sp")
    assert hidden > 0.6
    assert readout > 0.25


class Raw(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.up = nn.Linear(5, width)


class Tied(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, width)
        self.head = nn.Linear(width, 9, bias=False)
        self.head.weight = self.embed.weight


class Router(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, width)
        self.router = nn.Linear(width, 4)
        self.head = nn.Linear(width, 9)


def glorot(width: int) -> nn.Module:
    model = mlp(width)
    nn.init.xavier_normal_(model[4].weight, gain=1.0)
    nn.init.normal_(model[2].weight, std=(width + 64) ** -0.5)
    return model


def lazy(width: int) -> nn.Module:
    return nn.Sequential(nn.LazyLinear(width))


def failing(width: int) -> nn.Module:
    raise ZeroDivisionError("heads")


def test_raw_vectors_take_the_role_they_are_told() -> None:
    row = make_plan(Raw, base=16, target=64, roles={"gain": Role.VECTOR}, optimizer="sgd")["gain"]
    assert (row.role, row.r_out, row.lr_factor, row.reason) == (
        Role.VECTOR, 4, 4.0, "as told by roles="
    )  # fmt: skip


class Gains(nn.Module):
    """Home-made: gains used in many ways, of which two are dot products."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(5, width)
        for name in ("llama", "gemma", "cast", "functional", "dot", "two_steps"):
            self.register_parameter(name, nn.Parameter(torch.ones(width)))

    def forward(self, x_BD: torch.Tensor) -> torch.Tensor:
        h = self.llama * self.up(x_BD)
        h = h * (1 + self.gemma.float())
        h = (h.float() * self.cast.to(torch.float32)[None]).type_as(x_BD)
        h = F.rms_norm(h, (h.shape[-1],), self.functional)
        return h @ self.dot + (h * self.two_steps).sum(-1)


def test_a_forward_pass_tells_a_gain_from_a_dot_product() -> None:
    inputs = torch.randn(3, 5)
    told = {"dot|two_steps": Role.OUTPUT}
    plan = make_plan(Gains, base=16, target=64, roles=told, example_inputs=inputs)
    found = {row.name: row.role for row in plan.rows}
    assert {n for n, role in found.items() if role is Role.VECTOR} == {
        "up.bias", "llama", "gemma", "cast", "functional"
    }  # fmt: skip
    message = refused(lambda: make_plan(Gains, base=16, target=64, example_inputs=(inputs,)))
    assert message.startswith("RoleError: cannot tell the role of 'dot', 'two_steps': ")


def test_a_forward_pass_that_fails_is_said_so() -> None:
    message = refused(lambda: make_plan(Gains, base=16, target=64, example_inputs={"y": 1}))
    assert message.startswith("ModelError: the forward pass at the base width raised TypeError")


def test_a_router_is_told_from_the_readout() -> None:
    told = {r"router\.weight": Role.BOTTLENECK, r"head\.weight": Role.OUTPUT}
    plan = make_plan(Router, base=16, target=64, roles=told)
    assert plan["router.weight"].init_factor == 1.0
    assert plan["head.weight"].init_factor == 0.5


def refused(call) -> str:
    with pytest.raises(MutransferError) as error:
        call()
    return f"{type(error.value).__name__}: {error.value}"


def apply_twice() -> None:
    plan = make_plan(mlp, base=16, target=64)
    apply(apply(mlp(64), plan), plan)


REFUSALS = {
    "raw": (
        lambda: make_plan(Raw, base=16, target=64),
        "RoleError: cannot tell the role of 'gain': a raw parameter of Raw, shape (16,) at the "
        "base\n"
        "  why: whether an axis is summed over or broadcast decides its init and its rate\n"
        "  fix: say it: roles={'gain': Role.VECTOR}, or pass example_inputs= so that a "
        "forward pass shows it",
    ),
    "tied": (
        lambda: make_plan(Tied, base=16, target=64),
        "RoleError: tied parameters are not supported yet: 'embed.weight', 'head.weight'\n"
        "  why: a table shared by embedding and readout needs its readout multiplied by 1/r_in\n"
        "  fix: untie them: give the readout a weight of its own",
    ),
    "two readouts": (
        lambda: make_plan(Router, base=16, target=64),
        "RoleError: cannot tell which is the readout: 'router.weight', 'head.weight' map a "
        "growing axis to a fixed one\n"
        "  why: a readout's init and rate shrink with width, a router's or bottleneck's do not\n"
        "  fix: say it: roles={'router.weight': Role.BOTTLENECK, 'head.weight': Role.OUTPUT} "
        "(every head of a model is Role.OUTPUT)",
    ),
    "a head behind a bottleneck": (
        lambda: make_plan(
            lambda w: nn.Sequential(nn.Linear(8, w), nn.Linear(w, 64), nn.Linear(64, 9)),
            base=16,
            target=128,
        ),
        "RoleError: cannot tell which is the readout: '1.weight' map a growing axis to a fixed "
        "one, and '2.weight' comes behind\n"
        "  why: a readout's init and rate shrink with width, a router's or bottleneck's do not\n"
        "  fix: say it: roles={'1.weight': Role.BOTTLENECK} (every head of a model is Role.OUTPUT)",
    ),
    "nothing grows": (
        lambda: make_plan(lambda w: nn.Linear(4, 4), base=16, target=64),
        "RoleError: no parameter grows with width: 'weight', 'bias' keep their shapes\n"
        "  why: a role is read from the axes that grow\n"
        "  fix: let build(width) use its width",
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
    "lazy": (
        lambda: make_plan(lazy, base=16, target=64),
        "ModelError: '0.weight' is lazy and has no shape yet\n"
        "  why: a role is read from shapes\n"
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
        "  why: only the width scales so far: a whole number of channels\n"
        "  fix: write target=256",
    ),
    "wrong model": (
        lambda: apply(mlp(32), make_plan(mlp, base=16, target=64)),
        "CoverageError: plan and model disagree on '0.weight ((32, 12), planned (64, 12))', "
        "'0.bias ((32,), planned (64,))', '2.weight ((32, 32), planned (64, 64))', "
        "'2.bias ((32,), planned (64,))', '4.weight ((7, 32), planned (7, 64))'\n"
        "  why: a parameter without its rule would train at the wrong rate, silently\n"
        "  fix: make the plan from this very model: make_plan(build, base=16, target=64), "
        "then apply it to build(64)",
    ),
    "twice": (
        apply_twice,
        "InitError: a plan was applied to this model before\n"
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
        "RuleError: decay cannot be independent of the rate with 'adam'\n"
        "  why: its decay is a term of the gradient, which the update then normalises\n"
        "  fix: use 'adamw', or decay_mode='constant-product'",
    ),
    "epsilon": (
        lambda: param_groups(
            mlp(64), make_plan(mlp, base=16, target=64, optimizer="sgd"), lr=1.0, eps=1e-8
        ),
        "RuleError: 'sgd' has no epsilon, but eps=1e-08 was given\n"
        "  why: a setting without effect hides a misunderstanding\n"
        "  fix: leave eps= out, or make the plan for another optimizer",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_not_handled_is_refused_in_three_lines(case) -> None:
    call, message = REFUSALS[case]
    assert refused(call) == message


def test_an_init_that_is_no_power_of_width_is_refused_with_its_number() -> None:
    message = refused(lambda: make_plan(glorot, base=64, target=256))
    assert "the init between widths 64 and 128 is not clearly a power" in message
    assert "'2.weight' ∝ ratio^-0.2" in message


def test_trained_weights_are_not_fresh() -> None:
    plan, model = make_plan(mlp, base=16, target=64), mlp(64)
    with torch.no_grad():
        model[2].weight.mul_(0.7)
    message = refused(lambda: apply(model, plan))
    assert message.startswith(
        "InitError: these weights are not a fresh init of width 64: '2.weight (RMS"
    )
    assert "apply(model, plan, init=False)" in message
    apply(model, plan, init=False)
