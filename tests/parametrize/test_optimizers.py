"""Optimizer families: weight decay, epsilons, who trains what, Muon's shape factor, errors."""

import itertools
import math

import pytest
import torch
from lion_pytorch import Lion
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from zoo import Raw, Tied, error_text, mlp

from mutransfer.parametrize import apply, make_plan, param_groups
from mutransfer.rules import Plan, Role, explain

BASE, TARGET, STEPS = 16, 64, 20
MUON = {"muon": 2**-4, "adamw": 2**-6}
CLASSES = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "rmsprop": torch.optim.RMSprop,
    "lion": Lion,
    "adafactor": torch.optim.Adafactor,
    "muon": torch.optim.Muon,
}
RATE_TIMES_DECAY = ("sgd", "adamw", "lion", "adafactor", "muon", "muon-match-rms")
# By hand, of a hidden and a readout weight at r = 4: lr's factor, in table 3 and in table 8.
LR = {
    "sgd": (1, (1 / 4, 4)),
    "adamw": (1 / 4, (1 / 4, 1)),
    "lion": (1 / 4, (1 / 4, 1)),
    "adafactor": (1 / 2, (1, 1)),
    "muon": (1, (1 / 4, 1)),
    "muon-match-rms": (1 / 2, (1 / 4, 1)),
}


def warm_up_then_down(step: int) -> float:
    return min((step + 1) / 5, (STEPS - step) / (STEPS - 4))


def schedule() -> list[float]:
    return [warm_up_then_down(step) for step in range(STEPS)]


def remaining_shares(model: nn.Module, groups, name: str) -> dict[str, float]:
    """Train with zero gradients under a schedule; return the share of every weight that remains."""
    lists = groups if isinstance(groups, dict) else {name: groups}
    optimizers = [CLASSES[kind](own) for kind, own in lists.items()]
    schedulers = [LambdaLR(optimizer, warm_up_then_down) for optimizer in optimizers]
    before = {n: p.detach().double().norm() for n, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(STEPS):
        for stepper in (*optimizers, *schedulers):
            stepper.step()
    return {n: float(p.detach().double().norm() / before[n]) for n, p in model.named_parameters()}


@pytest.mark.parametrize("mode", ["constant-product", "coupled", "independent"])
@pytest.mark.parametrize("name", RATE_TIMES_DECAY)
@pytest.mark.parametrize(
    ("width", "form"), [(BASE, "table-3"), (TARGET, "table-3"), (TARGET, "table-8")]
)
def test_decay_under_a_schedule_shrinks_weights_by_the_closed_form(name, mode, width, form) -> None:
    """A step removes lr · decay · schedule of the group; the mode decides that product."""
    rates = MUON if name == "muon" else 2**-6
    plan = make_plan(mlp, base=BASE, target=width, optimizer=name, form=form)
    model = mlp(width)
    groups = param_groups(model, plan, lr=rates, weight_decay=0.5, decay_mode=mode)
    remaining = remaining_shares(model, groups, name)
    hidden, (plain, published) = LR[name] if width == TARGET else (1, (1, 1))
    readout = plain if form == "table-3" else published
    for weight, factor in {"2.weight": hidden, "4.weight": readout}.items():
        peak = rates["muon" if weight == "2.weight" else "adamw"] if name == "muon" else rates
        share = {
            "constant-product": peak * 0.5,
            "coupled": peak * factor * 0.5,
            "independent": 0.5,
        }[mode]
        expected = math.prod(1 - share * s for s in schedule())
        assert remaining[weight] == pytest.approx(expected, rel=2e-6), weight


def remaining_share_of_one_weight(
    name: str, start: float, lr: float, decay: float, eps: float
) -> float:
    """Return the share that plain torch leaves of a weight whose only gradient is its decay."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, start)
    groups = [{"params": [model.weight], "lr": lr, "weight_decay": decay, "eps": eps}]
    return remaining_shares(model, groups, name)["weight"]


@pytest.mark.parametrize("mode", ["constant-product", "coupled"])
@pytest.mark.parametrize("name", ["adam", "nadam", "rmsprop"])
@pytest.mark.parametrize("form", ["table-3", "table-8"])
def test_decay_in_a_normalised_gradient_keeps_its_share_of_the_gradient(name, mode, form) -> None:
    """By hand at r = 4: a weight is 1/init as large, its gradient 1/eps, and it takes steps of lr.

    In units of its own size it must move as a weight of 1 at the base, with the rate lr / init,
    the same epsilon, and the decay that the mode says.
    """
    lr, decay, eps = 2**-6, 2**-4, 2**-5
    plan = make_plan(mlp, base=BASE, target=TARGET, optimizer=name, form=form)
    model = mlp(TARGET)
    readout = (1 / 4, 1 / 4, 1) if form == "table-3" else (1, 1, 1 / 4)
    factors = {"2.weight": (1 / 2, 1 / 4, 1 / 4), "4.weight": readout}  # init, lr, eps
    with torch.no_grad():
        for weight, (init, _, _) in factors.items():
            model.get_parameter(weight).fill_(init)
    groups = param_groups(model, plan, lr=lr, weight_decay=decay, eps=eps, decay_mode=mode)
    remaining = remaining_shares(model, groups, name)
    for weight, (init, rate, epsilon) in factors.items():
        literal = 1 if mode == "constant-product" else init / epsilon
        expected = remaining_share_of_one_weight(name, 1.0, lr * rate / init, decay * literal, eps)
        assert expected < 0.995
        assert remaining[weight] == pytest.approx(expected, rel=1e-5), weight


class Mixed(nn.Module):
    """Matrices that Muon trains, and every kind of parameter that it does not."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.conv = nn.Conv1d(width, width, 3)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.experts = nn.Parameter(torch.randn(5, width, width) / width**0.5)
        self.router = nn.Linear(width, 5, bias=False)
        self.head = nn.Linear(width, 11)


ROLES = {"experts": Role.HIDDEN, "router.weight": Role.BOTTLENECK, "head.weight": Role.OUTPUT}


def test_muon_trains_hidden_matrices_and_adamw_the_rest_by_its_own_rules() -> None:
    plan = make_plan(Mixed, base=16, target=64, optimizer="muon", roles=ROLES)
    adamw = make_plan(Mixed, base=16, target=64, roles=ROLES)
    by_muon = {row.name for row in plan.rows if row.optimizer == "muon"}
    assert by_muon == {"qkv.weight", "router.weight"}
    assert all(plan[r.name] == r for r in adamw.rows if r.name not in by_muon)
    model = Mixed(64)
    groups = param_groups(model, plan, lr=MUON, betas=(0.9, 0.95), eps={"adamw": 1e-6})
    assert list(groups) == ["muon", "adamw"]
    ids = [id(p) for own in groups.values() for group in own for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    assert all("betas" not in g and g["adjust_lr_fn"] == "original" for g in groups["muon"])
    assert {g["betas"] for g in groups["adamw"]} == {(0.9, 0.95)}
    assert {g["eps"] for g in groups["adamw"]} == {1e-6, 1e-6 / 4}
    torch.optim.Muon(groups["muon"])  # raises for anything but matrices
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert [g["lr"] for g in param_groups(model, again, lr=MUON)["muon"]] == [
        g["lr"] for g in groups["muon"]
    ]
    (line,) = [line for line in explain(plan).splitlines() if "qkv.weight" in line]
    assert line.split()[-2:] == ["muon", "qkv.weight"]
    (line,) = [line for line in explain(plan).splitlines() if " embed.weight" in line]
    assert "  adamw  " in line
    assert "divided out of Muon's lr" in explain(plan)


def test_adafactors_epsilons_follow_gradient_and_weight() -> None:
    """By hand at r = 4: a hidden weight is 1/2 as large, a table-3 readout 1/4."""
    plan = make_plan(mlp, base=BASE, target=TARGET, optimizer="adafactor")

    def eps(**options: object) -> dict[int, tuple]:
        groups = param_groups(model, plan, lr=0.01, **options)
        return {id(p): g["eps"] for g in groups for p in g["params"]}

    model = mlp(TARGET)
    default, custom = eps(), eps(eps=(1.0, 2.0))
    first, hidden, readout = (id(model[k].weight) for k in (0, 2, 4))
    assert (default[first], default[hidden], default[readout]) == (
        (None, 1e-3), (None, 1e-3 / 2), (None, 1e-3 / 4)
    )  # fmt: skip
    assert (custom[first], custom[hidden], custom[readout]) == (
        (1 / 4, 2.0), (1 / 4, 1.0), (1.0, 1 / 2)
    )  # fmt: skip
    assert Plan.from_json(plan.to_json()) == plan


def zero_readout_losses(form: str, *, scale_eps2: bool = True) -> list[float]:
    """Train a readout of zeros: only Adafactor's second epsilon makes it move."""

    def build(width: int) -> nn.Module:
        model = mlp(width)
        nn.init.zeros_(model[4].weight)
        return model

    plan = make_plan(build, base=16, target=64, optimizer="adafactor", form=form)
    torch.manual_seed(0)
    model = apply(build(64), plan)
    groups = param_groups(model, plan, lr=2**-3, eps=(2**-50, 2**-4))
    if not scale_eps2:
        for group in groups:
            group["eps"] = (group["eps"][0], 2**-4)
    optimizer, losses = torch.optim.Adafactor(groups), []
    x_BD, y_B = torch.randn(64, 12), torch.randint(7, (64,))
    for _ in range(10):
        loss = F.cross_entropy(model(x_BD), y_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_readout_of_zeros_moves_alike_in_both_forms_under_adafactor() -> None:
    table_3, table_8 = zero_readout_losses("table-3"), zero_readout_losses("table-8")
    assert table_3 == table_8
    assert table_3[-1] < table_3[0]
    assert zero_readout_losses("table-3", scale_eps2=False) != table_3  # negative control


def uneven(width: int) -> nn.Module:
    """Hidden layers whose axes grow by unequal ratios: the middle one as width squared."""
    sizes = (12, width, width * width // 16, width, 7)
    layers = [nn.Linear(i, o) for i, o in itertools.pairwise(sizes)]
    return nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1])


def deep(width: int) -> nn.Module:
    hidden = [m for _ in range(2) for m in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(12, width), nn.ReLU(), *hidden, nn.Linear(width, 7))


def muon_slopes(build, name: str, widths, *, convert: bool = True, steps: int = 2) -> list[float]:
    """Fit, against width, the exponent of Muon's change of each hidden layer's output.

    Without `convert`, the spectral rule is used as if Muon had no factor of its own.
    """
    logs_WL = []
    for width in widths:
        plan = make_plan(build, base=widths[0], target=width, optimizer=name)
        torch.manual_seed(0)
        model = apply(build(width), plan)
        groups = param_groups(model, plan, lr=MUON if name == "muon" else 2**-7)
        if not convert:
            rows = {id(p): plan[n] for n, p in model.named_parameters()}
            for group in groups["muon"]:
                row = rows[id(group["params"][0])]
                group["lr"] *= math.sqrt(row.r_out / row.r_in) / row.lr_factor
        both = torch.optim.Muon(groups["muon"]), torch.optim.AdamW(groups["adamw"])
        before = [model[k].weight.detach().clone() for k in (2, 4)]
        x_BD, y_B = torch.randn(64, 12), torch.randint(7, (64,))
        for _ in range(steps):
            model.zero_grad()
            F.cross_entropy(model(x_BD), y_B).backward()
            for optimizer in both:
                optimizer.step()
        with torch.no_grad():
            h_L = [model[:k](x_BD) for k in (2, 4)]
            changes = [
                F.linear(h, model[k].weight - w)
                for h, k, w in zip(h_L, (2, 4), before, strict=True)
            ]
        rms = [
            (c.square().mean() / h.square().mean()).sqrt()
            for c, h in zip(changes, h_L, strict=True)
        ]
        logs_WL.append(torch.stack(rms).log2())
    x_W = torch.tensor(widths).log2()
    x_W = (x_W - x_W.mean())[:, None]
    return ((x_W * torch.stack(logs_WL)).sum(0) / x_W.square().sum()).tolist()


def test_muons_updates_change_layers_alike_and_without_its_factor_they_do_not() -> None:
    """Spectral condition: sqrt(out/in) is width-invariant; torch's factor on top of it is not.

    By hand: of sides that grow as n and n^2, 'original' has n^1/2 where out > in and none where
    not; 'match_rms_adamw' has n for both, n^1/2 where the sides are equal.
    """
    widths = (16, 32, 64)
    for name, build, wrong in (
        ("muon", uneven, [0.5, 0.0]),
        ("muon-match-rms", uneven, [1.0, 1.0]),
        ("muon-match-rms", deep, [0.5, 0.5]),
    ):
        assert muon_slopes(build, name, widths) == pytest.approx([0, 0], abs=0.15), name
        uncorrected = muon_slopes(build, name, widths, convert=False)
        assert uncorrected == pytest.approx(wrong, abs=0.15), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["muon", "muon-match-rms"])
def test_muons_updates_change_layers_alike_up_to_width_512(name) -> None:
    widths = (64, 128, 256, 512)
    assert muon_slopes(deep, name, widths, steps=6) == pytest.approx([0, 0], abs=0.15)


def groups_of(optimizer: str, **options: object):
    return param_groups(mlp(64), make_plan(mlp, base=16, target=64, optimizer=optimizer), **options)


ERRORS = {
    "one rate for two optimizers": (
        lambda: groups_of("muon", lr=0.02),
        "RuleError: lr=0.02 is one rate for Muon and AdamW\n"
        "  why: Muon's is the size of a matrix's change, AdamW's that of an entry: one number "
        "cannot fit both\n"
        "  fix: lr={'muon': 0.02, 'adamw': 0.003}, or make_plan(..., optimizer='muon-match-rms'), "
        "whose rates are alike",
    ),
    "a rate is missing": (
        lambda: groups_of("muon", lr={"muon": 0.02}),
        "RuleError: lr= has no rate for 'adamw'\n"
        "  why: every optimizer of the plan trains some parameters\n"
        "  fix: lr={'muon': 0.02, 'adamw': 0.003}",
    ),
    "a rate for another optimizer": (
        lambda: groups_of("adamw", lr={"adam": 0.02}),
        "RuleError: lr= names optimizers that the plan does not have: 'adam'\n"
        "  why: a setting without effect hides a misunderstanding\n"
        "  fix: choose from 'adamw'",
    ),
    "one epsilon for two optimizers": (
        lambda: groups_of("muon-match-rms", lr=0.02, eps=1e-8),
        "RuleError: eps=1e-08 is one epsilon for 'muon', 'adamw'\n"
        "  why: Muon's is compared with a matrix's norm, AdamW's with an entry\n"
        "  fix: eps={'adamw': 1e-08}",
    ),
    "one epsilon of a pair": (
        lambda: groups_of("adafactor", lr=0.02, eps=1e-8),
        "RuleError: eps=1e-08 is not what 'adafactor' takes\n"
        "  why: Adafactor takes two, for the gradient and for the weight; others take one\n"
        "  fix: eps=(None, 0.001)",
    ),
    "one beta": (
        lambda: groups_of("adamw", lr=0.02, betas=0.95),
        "RuleError: betas=0.95 is not a pair of numbers of at least 0 and below 1\n"
        "  why: the optimizer uses one number in each of two running averages\n"
        "  fix: betas=(0.95, 0.999)",
    ),
    "a beta of 1": (
        lambda: groups_of("adamw", lr=0.02, betas=(0.9, 1)),
        "RuleError: betas=(0.9, 1) is not a pair of numbers of at least 0 and below 1\n"
        "  why: the optimizer uses one number in each of two running averages\n"
        "  fix: betas=(0.9, 0.999)",
    ),
    "unused betas": (
        lambda: groups_of("adafactor", lr=0.02, betas=(0.9, 0.99)),
        "RuleError: 'adafactor' has no betas, but betas=(0.9, 0.99) was passed\n"
        "  why: a setting without effect hides a misunderstanding\n"
        "  fix: leave betas= out, or make the plan for another optimizer",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_settings_that_the_optimizer_does_not_take_are_errors(case) -> None:
    call, message = ERRORS[case]
    assert error_text(call) == message


def test_independent_decay_is_an_error_where_decay_is_part_of_the_gradient() -> None:
    for name in ("adam", "nadam", "rmsprop"):
        message = error_text(lambda name=name: groups_of(name, lr=0.1, decay_mode="independent"))
        assert message.startswith(
            f"RuleError: weight decay cannot be independent of the learning rate with '{name}'"
        )


class Conv1D(nn.Module):
    """As in Hugging Face's GPT-2: a linear layer stored as (in, out)."""

    def __init__(self, num_out: int, num_in: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_in, num_out) / num_in**0.5)


@pytest.mark.parametrize(
    ("layer", "factor"), [(nn.Linear, 1 / 2), (lambda i, o: Conv1D(o, i), 1 / 4)]
)
def test_torchs_muon_factor_is_computed_from_the_stored_matrix(layer, factor) -> None:
    """By hand: fan-in 16 becomes 256, fan-out 16 becomes 64: the rule is 1/2.

    'original' is the root of rows over columns, 2, if rows are fan-in.
    """

    def build(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(8, width**2 // 16), layer(width**2 // 16, width))

    plan = make_plan(build, base=16, target=64, optimizer="muon")
    assert plan["1.weight"].lr_factor == pytest.approx(factor)


def test_adamw_trains_a_table_that_embedding_and_readout_share() -> None:
    plan = make_plan(Tied, base=16, target=64, optimizer="muon")
    assert plan["embed.weight"] == make_plan(Tied, base=16, target=64)["embed.weight"]


def test_muon_does_not_train_a_raw_vector_that_is_contracted() -> None:
    plan = make_plan(Raw, base=16, target=64, roles={"gain": Role.BOTTLENECK}, optimizer="muon")
    assert plan["gain"].optimizer == "adamw"
