"""Several broken rules under optimizers without rules: rates are inferred from updates, as likely.

With an optimizer that has a rule every rate is read, whatever else is wrong; these tests are about
optimizers of the user's own, whose rates cannot be compared with a rule.
"""

import pytest
import torch
from check_models import BASE, diagnosed_faults, mlp, run_check
from torch import nn

ROLES = {"0.weight": "input", "2.weight": "hidden", "4.weight": "hidden", "6.weight": "output"}


class Muon(torch.optim.Optimizer):
    """A Muon of the user's own: exact orthogonal updates times √(fan-out/fan-in)."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.mul_(0.9).add_(p.grad)
                left, _, right = torch.linalg.svd(momentum, full_matrices=False)
                p -= group["lr"] * (p.shape[0] / p.shape[1]) ** 0.5 * left @ right


class Sign(torch.optim.Optimizer):
    """Steps of a fixed size."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad.sign()


class Plain(torch.optim.Optimizer):
    """Steps proportional to the gradient, under a name without a rule."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad


def adam_rate(role: str, m: float) -> float:
    return 2**-8 / (m if role in ("hidden", "output") else 1.0)


RATES = {
    Muon: lambda role, m: 0.05 if role == "hidden" else adam_rate(role, m),
    Sign: adam_rate,
    Plain: lambda role, m: 0.1 * {"hidden": 1.0, "output": 1 / m, "fixed": 1.0}.get(role, m),
}


def implementation(faults, kind) -> dict[str, object]:
    """Return an own implementation of µP in which rules are off by powers of width."""

    def error(rule: str, role: str, m: float) -> float:
        return m ** sum(power for *which, power in faults if which == [rule, role])

    def build(width: int) -> nn.Module:
        model = mlp(width)
        with torch.no_grad():
            for name, role in ROLES.items():
                own = -0.5 if role == "output" else 0.0
                weight = model.get_parameter(name)
                weight *= (width / BASE) ** own * error("init", role, width / BASE)
        return model

    def optimizer(model: nn.Module) -> list[torch.optim.Optimizer]:
        m, groups, hidden = model[2].in_features / BASE, [], []
        for name, parameter in model.named_parameters():
            role = ROLES.get(name, "fixed" if name == "6.bias" else "vector")
            lr = error("rate", role, m) * RATES[kind](role, m)
            own = hidden if kind is Muon and role == "hidden" else groups
            own.append({"params": [parameter], "lr": lr})
        if kind is Muon:
            return [Muon(hidden, {}), torch.optim.AdamW(groups, weight_decay=0.0)]
        return [kind(groups, {})]

    return {"build": build, "parametrization": None, "optimizer": optimizer}


def small(faults, kind):
    """Check three small widths, which takes half a second."""
    return run_check(**implementation(faults, kind), widths=[16, 32, 64], seeds=2, steps=3)


def test_a_rate_that_is_inferred_is_named_as_likely_while_inits_are_wrong() -> None:
    faults = [("init", "input", 0.5), ("rate", "hidden", -0.5), ("init", "output", -0.5)]
    check = small(faults, Muon)
    assert diagnosed_faults(check) == faults, str(check)
    assert [d.likely for d in check.diagnoses] == [False, True, False]
    assert check.diagnoses[1].text == (
        "the learning rate of hidden parameters is probably too small by width^-0.5 (2.weight and "
        "1 more): look at the rate of '2.weight'; this is inferred from the updates, so check "
        "again once the rest is mended"
    )


@pytest.mark.parametrize("kind", [Muon, Sign])
def test_no_rate_is_invented_where_only_inits_are_wrong(kind) -> None:
    faults = [("init", "input", 0.5), ("init", "output", 0.5)]
    assert diagnosed_faults(small(faults, kind)) == faults


def test_updates_that_follow_gradients_say_nothing_about_the_rate() -> None:
    """Wrong inits change the gradients, so updates deviate although no rate is compared."""
    check = small([("init", "input", 0.5), ("init", "output", 0.5)], Plain)
    assert {f.outcome for f in check.findings if f.name == "2.weight"} == {"fail"}
    assert "rate" not in {d.fault for d in check.diagnoses}, str(check)


def test_a_rate_that_is_inferred_alone_is_not_called_likely() -> None:
    (diagnosis,) = small([("rate", "hidden", 0.5)], Muon).diagnoses
    assert (diagnosis.fault, diagnosis.likely) == ("rate", False)


INITS = [("init", role, power) for role in ("input", "output") for power in (0.5, -0.5)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Muon, Sign])
@pytest.mark.parametrize("rate", [("hidden", 0.5), ("hidden", -0.5), ("vector", 0.5)])
@pytest.mark.parametrize("init", INITS, ids=str)
def test_an_init_and_a_rate_are_both_named(init, rate, kind) -> None:
    faults = [init, ("rate", *rate)]
    check = run_check(**implementation(faults, kind), steps=5)
    assert sorted(diagnosed_faults(check)) == sorted(faults), str(check)
