"""An optimizer is recognized by its name, by its class, or by what a factory returns."""

from functools import partial

import pytest
import torch
from check_models import BASE, WIDTHS, diagnosed_faults, mlp, run_check
from torch import nn

from mutransfer.coordcheck.runs.optimizers import make_optimizers, names_of

MATRICES = ("2.weight", "4.weight")


class FusedAdam(torch.optim.AdamW):
    """A subclass of AdamW with a name of its own, as in other libraries."""


class Muon(torch.optim.SGD):
    """A Muon with another shape factor than torch's, for which there is no rule."""


class Sideways(torch.optim.Optimizer):
    """An unknown optimizer, which follows the sign of the gradient."""

    def __init__(self, params, lr=1e-3):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad.sign()


def muon_and_adamw(model, power=0.0, kind=torch.optim.Muon):
    """Use Muon for the hidden matrices, and AdamW with hand-written µP for the rest."""
    named = dict(model.named_parameters())
    m = model[2].in_features / BASE
    rest = [p for name, p in named.items() if name not in (*MATRICES, "6.weight")]
    groups = [
        {"params": rest, "lr": 2**-6},
        {"params": [named["6.weight"]], "lr": 2**-6 / m},
    ]
    muon = kind([named[name] for name in MATRICES], lr=0.05 * m**power)
    return [muon, torch.optim.AdamW(groups, weight_decay=0.0)]


def small_readout(width):
    model = mlp(width)
    with torch.no_grad():
        model[6].weight *= (width / BASE) ** -0.5
    return model


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (torch.optim.NAdam, "nadam"),
        (FusedAdam, "adamw"),
        (lambda model: torch.optim.SGD(model.parameters(), momentum=0.9), "sgd"),
        (partial(muon_and_adamw, kind=Muon), "Muon"),
        (lambda model: Sideways(model.parameters()), "Sideways"),
    ],
)
def test_an_optimizer_is_recognized_by_its_class(kind, name) -> None:
    model = mlp(BASE)
    assert names_of(make_optimizers(kind, 0.1, model, None), model)["2.weight"] == name


def test_torchs_muon_is_recognized_by_its_shape_factor() -> None:
    model = mlp(BASE)
    matched = partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")
    for kind, name in ((torch.optim.Muon, "muon"), (matched, "muon-match-rms")):
        names = names_of(tuple(muon_and_adamw(model, kind=kind)), model)
        assert (names["2.weight"], names["6.weight"]) == (name, "adamw")


def test_the_groups_of_an_optimizer_that_combines_muon_and_adamw_are_distinguished() -> None:
    named = dict(mlp(BASE).named_parameters())
    groups = [
        {"params": [named["2.weight"]], "use_muon": True},
        {"params": [named["6.weight"]], "use_muon": False},
    ]
    model = mlp(BASE)
    for group, name in zip(groups, ("2.weight", "6.weight"), strict=True):
        group["params"] = [dict(model.named_parameters())[name]]
    assert names_of((Muon(groups, lr=1.0),), model) == {"2.weight": "Muon", "6.weight": "adamw"}


def test_a_factory_has_the_rules_of_the_optimizer_that_it_returns() -> None:
    """With the factors of AdamW the hidden layers would stop learning under SGD."""
    check = run_check(optimizer=partial(torch.optim.SGD, momentum=0.9), lr=0.05)
    assert check.outcome == "pass", str(check)
    assert check.settings["optimizer"] == "sgd"


def test_an_unknown_class_is_reported_and_treated_like_adamw() -> None:
    check = run_check(optimizer=Sideways, lr=2**-8)
    assert check.outcome == "pass", str(check)
    assert check.settings["optimizer"] == "Sideways"


@pytest.mark.parametrize(
    ("optimizer", "lr"),
    [("muon-match-rms", 2**-6), ("muon", {"muon": 0.05, "adamw": 2**-6})],
)
def test_a_correct_plan_passes_under_muon(optimizer, lr) -> None:
    check = run_check(optimizer=optimizer, lr=lr)
    assert check.outcome == "pass", str(check)
    assert all(check.power.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("power", "faults"),
    [(0.0, []), (0.5, [("rate", "hidden", 0.5)]), (-0.5, [("rate", "hidden", -0.5)])],
)
def test_an_own_implementation_with_muon_needs_a_constant_rate(power, faults) -> None:
    """Orthogonalized updates keep their size at a constant rate."""
    own = {"parametrization": None, "optimizer": partial(muon_and_adamw, power=power)}
    check = run_check(small_readout, **own)
    assert diagnosed_faults(check) == faults, str(check)
    assert check.outcome == ("fail" if faults else "pass"), str(check)
    assert check.settings["optimizer"] == "muon, adamw"


@pytest.mark.slow
def test_the_readout_init_of_sp_fails_under_muon() -> None:
    """Negative control: the init shows whatever optimizer trains the matrices."""
    own = {"parametrization": None, "optimizer": muon_and_adamw}
    assert diagnosed_faults(run_check(mlp, **own)) == [("init", "output", 0.5)]


def test_a_factory_that_returns_sgd_is_compared_with_the_rule_of_sgd() -> None:
    """SGD's hidden rate does not change with width; under AdamW 1/width would be right."""

    def sgd(model: nn.Module) -> torch.optim.Optimizer:
        m = model[2].in_features / BASE
        hidden = [p for name, p in model.named_parameters() if name in MATRICES]
        vectors = [p for name, p in model.named_parameters() if name.endswith("bias")]
        rest = [model[0].weight, model[6].weight]
        groups = [
            {"params": hidden, "lr": 0.1 / m},  # wrong: the rule of AdamW
            {"params": vectors + rest[:1], "lr": 0.1 * m},
            {"params": rest[1:], "lr": 0.1 / m},
        ]
        return torch.optim.SGD(groups)

    check = run_check(small_readout, parametrization=None, optimizer=sgd, widths=WIDTHS)
    texts = {(d.fault, d.role): d.text for d in check.diagnoses}
    hint = "its learning rate scales as width^-1, but the rule as width^+0"
    assert texts["rate", "hidden"].endswith(hint)


def bags(width, sparse):
    table = nn.EmbeddingBag(16, width, sparse=sparse)
    return nn.Sequential(table, nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))


def two_adams(kind, groups):
    """Pass the table to one optimizer and the rest to another."""
    rest, table = [], None
    for group in groups:
        for name, p in zip(group["param_names"], group["params"], strict=True):
            if name == "0.weight":
                table = kind([p], lr=group["lr"])
            else:
                rest.append({"params": [p], "lr": group["lr"]})
    return [torch.optim.Adam(rest), table]


@pytest.mark.parametrize("optimizer", ["sgd", "SparseAdam"])
def test_sparse_gradients_are_measured_as_dense_ones(optimizer) -> None:
    """Every row is in the batch, so SparseAdam takes the steps of Adam, up to the place of eps."""
    batch = torch.arange(256).view(64, 4) * 7 % 16, torch.arange(64) % 4
    slopes = []
    for sparse in (True, False):
        adams = partial(two_adams, torch.optim.SparseAdam if sparse else torch.optim.Adam)
        kind = adams if optimizer == "SparseAdam" else optimizer
        build = partial(bags, sparse=sparse)
        check = run_check(build, optimizer=kind, batch=batch, seeds=[0, 1], steps=3)
        slopes.append({(f.quantity, f.name): f.slope for f in check.findings})
    assert ("update", "0.weight") in slopes[0]
    assert slopes[0] == pytest.approx(slopes[1], abs=5e-3)
