"""Hand-written implementations: correct ones pass, wrong ones fail for the broken rule."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from check_models import BASE, diagnosed_faults, run_check
from torch import nn

from mutransfer.rules import Role

TOKENS = torch.randint(0, 32, (16, 9), generator=torch.Generator().manual_seed(1))
VECTORS = (
    torch.randn(64, 16, generator=torch.Generator().manual_seed(1)),
    torch.randint(0, 10, (64,), generator=torch.Generator().manual_seed(2)),
)


def by_hand(net, hidden, out, init=(), rate=(), make=torch.optim.Adam) -> dict[str, object]:
    """Return a hand-written µP for Adam, whose init and rate may be off by powers of width.

    Args:
        net: A function from a width to a model with torch's own init.
        hidden: Prefixes of the names of hidden layers.
        out: Prefixes of the names of readouts.
        init: Pairs of a prefix and a power.
        rate: Likewise.
        make: A function from groups to an optimizer.
    """

    def error(name: str, pairs, ratio: float) -> float:
        return ratio ** sum(power for prefix, power in pairs if name.startswith(prefix))

    def build(width: int) -> nn.Module:
        model = net(width)
        model.width = width
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                ratio = width / BASE
                if name.startswith(out) and parameter.dim() > 1:
                    parameter *= ratio**-0.5
                parameter *= error(name, init, ratio)
        return model

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        ratio, groups = model.width / BASE, []
        for name, parameter in model.named_parameters():
            slow = parameter.dim() > 1 and name.startswith((*hidden, *out))
            lr = 2**-6 * (1 / ratio if slow else 1.0) * error(name, rate, ratio)
            groups.append({"params": [parameter], "lr": lr})
        return make(groups)

    return {"build": build, "parametrization": None, "optimizer": optimizer, "steps": 5}


def next_token_loss(model, batch):
    logits = model(batch[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


class Mlp(nn.Module):
    """Three layers; a function computes the output from the readout."""

    def __init__(self, width: int, read_out: Callable = lambda m, h, x: m.c(h)) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 10)
        self.read_out, self.m = read_out, width / BASE

    def forward(self, x):
        return self.read_out(self, F.relu(self.b(F.relu(self.a(x)))), x)


def class_loss(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read_out", "init", "rate", "loss"),
    [
        (lambda m, h, x: m.c(h / m.m), 1, 1, class_loss),
        (lambda m, h, x: m.c(h) / m.m, 1, 1, class_loss),
        (lambda m, h, x: m.c(h), 1, 1, lambda m, b: F.cross_entropy(m(b[0]) / m.m, b[1])),
        (lambda m, h, x: m.c(h / m.m**0.5), 0.5, 0.5, class_loss),
        (lambda m, h, x: F.log_softmax(m.c(h), -1), 0, 0, lambda m, b: F.nll_loss(m(b[0]), b[1])),
        (lambda m, h, x: x[:, :10] - m.c(h), 0, 0, class_loss),
        (lambda m, h, x: (m.c(h).mean(), m.c(h)), 0, 0,
         lambda m, b: F.cross_entropy(m(b[0])[1], b[1])),
    ],
    ids=["before", "behind", "in the loss", "half", "log_softmax", "a skip", "a tuple"],
)  # fmt: skip
def test_a_correct_readout_passes_wherever_its_multiplier_is_written(
    read_out, init, rate, loss
) -> None:
    """The first four are the same network in different forms."""
    own = by_hand(lambda w: Mlp(w, read_out), ("b",), ("c",), [("c.weight", init)], [("c.w", rate)])
    form = "table-8" if init == 1 else "table-3"
    check = run_check(batch=VECTORS, loss=loss, form=form, **own)
    assert check.outcome == "pass", str(check)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read_out", "faults"),
    [
        (lambda m, h, x: m.c(h * m.m**0.5), [("multiplier", "output", 0.5)]),
        (lambda m, h, x: m.c(h) * m.m**-0.5, [("multiplier", "output", -0.5)]),
    ],
)
def test_a_wrong_multiplier_is_named_without_example_inputs(read_out, faults) -> None:
    own = by_hand(lambda w: Mlp(w, read_out), ("b",), ("c",))
    assert diagnosed_faults(run_check(batch=VECTORS, loss=class_loss, **own)) == faults


class Heads(Mlp):
    """A classifier with a second head that predicts a value."""

    def __init__(self, width: int) -> None:
        super().__init__(width, lambda m, h, x: (m.c(h), m.value(h)))
        self.value = nn.Linear(width, 1)


def loss_of_both_heads(model, batch):
    logits, value = model(batch[0])
    return F.cross_entropy(logits, batch[1]) + F.mse_loss(value[:, 0], batch[0][:, 0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("init", "rate", "faults"),
    [
        ([], [], []),
        ([("value.w", 0.5)], [], [("init", "output", 0.5)]),
        ([("value.w", 0.5)], [("value.w", 0.5)],
         [("init", "output", 0.5), ("rate", "output", 0.5)]),
        ([], [("c.bias", 1.0)], [("rate", "fixed", 1.0)]),
    ],
)  # fmt: skip
def test_two_heads_are_judged_separately(init, rate, faults) -> None:
    own = by_hand(Heads, ("b",), ("c", "value"), init, rate)
    roles = {"value.weight": Role.OUTPUT, "c.weight": Role.OUTPUT}
    check = run_check(batch=VECTORS, loss=loss_of_both_heads, roles=roles, **own)
    assert diagnosed_faults(check) == faults, str(check)
    assert check.outcome == ("fail" if faults else "pass"), str(check)


class Text(nn.Module):
    """A language model; a function computes what lies between the table and the readout."""

    def __init__(self, width: int, body: Callable, **layers: nn.Module) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(32, width), nn.Linear(width, 32)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.body, self.m = body, width / BASE

    def forward(self, tokens):
        return self.head(self.body(self, self.table(tokens)))


def lstm(width: int) -> nn.Module:
    layer = nn.LSTM(width, width, batch_first=True)
    return Text(width, lambda m, x: m.lstm(x)[0], lstm=layer)


def bert(width: int) -> nn.Module:
    """Queries, keys and values have biases; the gradient of the key's bias is rounding only."""
    layers = {name: nn.Linear(width, width) for name in "qkvo"}

    def body(m, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 16)).transpose(1, 2) for layer in (m.q, m.k, m.v))
        return x + m.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    return Text(width, body, **layers)


def root_d(width: int) -> nn.Module:
    """An embedding times √d, whose init and rate compensate for it."""
    return Text(width, lambda m, x: F.gelu(m.b(x * m.m**0.5)), b=nn.Linear(width, width))


def root_d_normed(width: int) -> nn.Module:
    """A norm undoes the multiplier, so nothing has to compensate for it."""
    layers = {"b": nn.Linear(width, width), "n": nn.LayerNorm(width)}
    return Text(width, lambda m, x: F.gelu(m.b(m.n(x * m.m**0.5))), **layers)


def gains(width: int) -> nn.Module:
    """Learned gains of residual branches."""
    model = Text(width, lambda m, x: x + m.gain * F.gelu(m.b(x)), b=nn.Linear(width, width))
    model.gain = nn.Parameter(torch.ones(()))
    return model


def normed(width: int) -> nn.Module:
    """Weight norm: its gains have two axes."""
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(width, width))
    return Text(width, lambda m, x: F.gelu(m.b(x)), b=layer)


ROOT = ([("table", -0.5)], [("table", -0.5)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "hidden", "init", "rate", "faults"),
    [
        (lstm, ("lstm",), [], [], []),
        (lstm, ("lstm",), [("lstm.weight_hh", 0.5)], [], [("init", "hidden", 0.5)]),
        (bert, ("q", "k", "v", "o"), [], [], []),
        (root_d, ("b",), *ROOT, []),
        (root_d, ("b",), [], [], [("multiplier", "input", 0.5)]),
        (root_d_normed, ("b",), [], [], []),
        (gains, ("b",), [], [], []),
        (gains, ("b",), [], [("gain", -1.0)], [("rate", "fixed", -1.0)]),
        (gains, ("b",), [("gain", -0.5)], [], [("init", "fixed", -0.5)]),
        (normed, ("b.parametrizations.weight.original1",), [], [], []),
        (normed, ("b.parametrizations.weight.original1",), [],
         [("b.parametrizations.weight.original0", 0.5)], [("rate", "vector", 0.5)]),
    ],
)  # fmt: skip
def test_language_models_fail_exactly_for_their_broken_rules(
    net, hidden, init, rate, faults
) -> None:
    own = by_hand(net, hidden, ("head",), init, rate)
    check = run_check(batch=TOKENS, loss=next_token_loss, **own)
    assert diagnosed_faults(check) == faults, str(check)
    assert check.outcome == ("fail" if faults else "pass"), str(check)


class Own(nn.Module):
    """A hand-written norm; by its shape the gain could be a row of a matrix."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * x.pow(2).mean(-1, keepdim=True).rsqrt() * self.gain


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_roles_that_shapes_do_not_determine_are_inferred_from_the_loss(rate) -> None:
    def net(width):
        layers = {"n": Own(width), "b": nn.Linear(width, width)}
        return Text(width, lambda m, x: F.gelu(m.b(m.n(x))), **layers)

    own = by_hand(net, ("b",), ("head",), rate=[("n.gain", rate)])
    check = run_check(batch=TOKENS, loss=next_token_loss, **own)
    assert diagnosed_faults(check) == ([("rate", "vector", rate)] if rate else []), str(check)


class Pairs(nn.Module):
    """A contrastive model, whose output has the width of the batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width))
        self.head = nn.Linear(width, 8, bias=False)  # with a bias, two seeds are too few

    def forward(self, a, b):
        u, v = (F.normalize(self.head(F.relu(self.body(x))), dim=-1) for x in (a, b))
        return 5 * u @ v.T


def test_a_contrastive_model_is_checked() -> None:
    """Its output is as wide as the batch, so no bias of a readout fits it."""

    def loss(model, batch):
        return F.cross_entropy(model(batch, batch.roll(1, -1)), torch.arange(64))

    roles = {"head.weight": Role.BOTTLENECK}
    check = run_check(Pairs, batch=VECTORS[0], loss=loss, roles=roles, seeds=2)
    assert check.outcome != "fail", str(check)


# --- parameters that are not trained cannot be checked ---


@pytest.mark.parametrize(
    ("read_out", "missing", "reason"),
    [
        (lambda m, h, x: m.c(h.detach()), (), "no gradient reaches 'a.weight', 'a.bias'"),
        (lambda m, h, x: m.c(h), ("b.weight",), "no optimizer holds 'b.weight'"),
    ],
)
def test_an_untrained_parameter_makes_the_outcome_undetermined(read_out, missing, reason) -> None:
    def adam(groups):
        names = ("a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias")
        pairs = zip(groups, names, strict=True)
        return torch.optim.Adam([group for group, name in pairs if name not in missing])

    own = by_hand(lambda w: Mlp(w, read_out), ("b",), ("c",), make=adam)
    check = run_check(batch=VECTORS, loss=class_loss, **own)
    assert check.outcome == "undetermined"
    assert check.reasons[0].startswith(reason)


# --- several faults at once, and equivalent forms ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("init", "rate", "faults"),
    [
        ([("b.w", 0.5)], [("a.w", -0.5)], [("init", "hidden", 0.5), ("rate", "input", -0.5)]),
        ([("b.w", -0.5)], [("c.w", 0.5)], [("init", "hidden", -0.5), ("rate", "output", 0.5)]),
        ([("c.w", 0.5)], [("c.w", 0.5)], [("init", "output", 0.5), ("rate", "output", 0.5)]),
        ([("a.w", 0.5), ("c.w", -0.5)], [], [("init", "input", 0.5), ("init", "output", -0.5)]),
    ],
)
def test_two_faults_at_once_are_both_named(init, rate, faults) -> None:
    """Inits and rates are read, so that they show whatever other faults do to updates."""
    own = by_hand(Mlp, ("b",), ("c",), init, rate)
    assert sorted(diagnosed_faults(run_check(batch=VECTORS, loss=class_loss, **own))) == sorted(
        faults
    )


@pytest.mark.slow
def test_a_form_other_than_the_declared_one_is_not_a_second_fault() -> None:
    """A hand-written Table 8 is checked as Table 3: only its wrong rate is named."""
    rates = [("c.w", 1.0), ("c.w", 0.5)]
    own = by_hand(
        lambda w: Mlp(w, lambda m, h, x: m.c(h) / m.m), ("b",), ("c",), [("c.w", 1)], rates
    )
    assert diagnosed_faults(run_check(batch=VECTORS, loss=class_loss, **own)) == [
        ("rate", "output", 0.5)
    ]
