"""A forward pass is followed: whose a multiplier is, what is attention, which table reads out."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mutransfer.tracing.functions import Follower


def followed(model, *given, after=lambda output: output):
    """Run a model under a follower, told of layers as probes tell it."""
    follower = Follower()
    names = {module: name for name, module in model.named_modules() if name}

    def enters(module, inputs):
        norm = "norm" in type(module).__name__.lower()
        follower.enters(names[module], inputs[0], norm=norm)

    def leaves(module, inputs, output):
        follower.leaves(names[module], output, keeps=isinstance(module, nn.Embedding))

    for module in names:
        module.register_forward_pre_hook(enters, prepend=True)
        module.register_forward_hook(leaves)
    with follower:
        after(model(*given))
    return follower


class Net(nn.Module):
    """Two layers, a norm and a table; what happens between them is said by a function."""

    def __init__(self, between) -> None:
        super().__init__()
        self.table, self.first = nn.Embedding(8, 4), nn.Linear(4, 4)
        self.norm, self.last = nn.LayerNorm(4), nn.Linear(4, 3)
        self.between = between

    def forward(self, x):
        return self.between(self, x)


X = torch.randn(5, 4)
TOKENS = torch.arange(5)


@pytest.mark.parametrize(
    ("between", "by"),
    [
        (lambda m, x: m.last(m.first(x)), {}),
        (lambda m, x: m.last(torch.relu(m.first(x)) / 4), {"last": 0.25}),
        (lambda m, x: m.last(m.first(x) * 0.5), {"last": 0.5}),
        (lambda m, x: 2 * m.last(m.first(x)).view(-1).float() * 3, {"last": 6.0}),
        (lambda m, x: m.last(x + 0.5 * m.first(x)), {"first": 0.5}),
        (lambda m, x: m.last(m.norm(x) * torch.tensor(3.0)), {"last": 3.0}),
        (lambda m, x: m.last(m.norm(x) * 3 * nn.Parameter(torch.tensor(2.0))), {"norm": 3.0}),
        (lambda m, x: m.last(m.norm(m.first(x) * 3)), {}),
        (lambda m, x: m.last(F.dropout(m.table(TOKENS) * 2, 0.0)), {"table": 2.0}),
    ],
    ids=["none", "before", "between", "behind", "branch", "constant", "learned", "norm", "table"],
)
def test_a_number_belongs_to_the_layer_that_takes_it_or_else_to_that_which_gave_it(
    between, by
) -> None:
    follower = followed(Net(between), X)
    names = ("table", "first", "norm", "last")
    assert {n: m for n in names if (m := follower.multiplier(n)) != 1} == pytest.approx(by)


def test_a_multiplier_in_the_loss_is_the_readouts() -> None:
    follower = followed(
        Net(lambda m, x: m.last(m.first(x))), X, after=lambda logits: F.log_softmax(logits / 8, -1)
    )
    assert follower.multiplier("last") == 0.125
    assert follower.behind("last") == 0.125


def test_what_a_norm_undoes_is_told_apart() -> None:
    assert followed(Net(lambda m, x: m.norm(m.first(x) * 3)), X).normed == {"first": 3.0}
    assert followed(Net(lambda m, x: F.layer_norm(m.first(x) * 3, (4,))), X).normed == {
        "first": 3.0
    }


def test_a_hook_on_the_input_is_measured_with_the_layer() -> None:
    net = Net(lambda m, x: m.last(m.table(TOKENS)))
    follower = Follower()
    net.last.register_forward_pre_hook(lambda m, inputs: (inputs[0] * 0.5,))
    net.table.register_forward_hook(lambda m, i, out: follower.leaves("table", out, keeps=True))
    net.last.register_forward_pre_hook(
        lambda m, inputs: follower.enters("last", inputs[0], norm=False), prepend=True
    )
    with follower:
        net(X)
    assert (follower.multiplier("table"), follower.multiplier("last")) == (1.0, 1.0)


# --- attention ---

Q, K, V = (torch.randn(2, 3, 6, 4) for _ in range(3))


def by_hand(q, k, v):
    return (q @ k.mT / 2).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf).softmax(-1) @ v


def by_exp(q, k, v):
    weights = torch.exp(torch.einsum("bhqd,bhkd->bhqk", q, k) * 0.5)
    return weights / weights.sum(-1, keepdim=True) @ v


@pytest.mark.parametrize(
    "attention",
    [by_hand, by_exp, F.scaled_dot_product_attention],
    ids=["softmax", "exp", "torch's own"],
)
def test_logits_are_those_before_the_softmax(attention) -> None:
    with Follower() as follower:
        attention(Q, K, V)
    first = follower.products[0]
    logits = Q @ K.mT / 2
    kept = logits[..., torch.ones(6, 6).tril().bool()] if attention is by_hand else logits
    assert (first.size, first.logits) == (4, True)
    assert first.root * first.by == pytest.approx(float(kept.square().mean().sqrt()), rel=1e-5)


def test_logits_inside_torchs_module_are_computed_again() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 6, 8)
    with Follower() as follower:
        attention(x, x, x, need_weights=False)
    (one,) = follower.products
    projected = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).detach()
    q, k, _ = projected.chunk(3, -1)
    q, k = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in (q, k))
    assert (one.size, one.logits) == (4, True)
    assert one.root == pytest.approx(float((q @ k.mT / 2).square().mean().sqrt()), rel=1e-5)


def test_what_scales_queries_is_no_multiplier_of_their_layer() -> None:
    net = Net(lambda m, x: F.softmax((m.first(x) * 0.5).view(5, 4) @ x.T, -1) @ x)
    follower = followed(net, X)
    assert follower.multiplier("first") == 1.0
    assert [one.logits for one in follower.products] == [True, False]


@pytest.mark.parametrize(
    "weight", [lambda w: w, lambda w: w.T.clone().T, lambda w: w * 0.1], ids=["", "copy", "scaled"]
)
def test_a_router_is_no_attention(weight) -> None:
    """Its weight is a parameter, or was made of nothing else."""
    router = nn.Parameter(torch.randn(4, 3))
    with Follower() as follower:
        (X @ weight(router)).softmax(-1)
    assert follower.products == []


@pytest.mark.parametrize(
    "product",
    [lambda q, k: (q * k).sum(-1) * 0.5, lambda q, k: 0.5 * torch.einsum("...d,...d->...", q, k)],
    ids=["elementwise", "einsum"],
)
def test_a_product_without_a_softmax_is_noted_with_its_scale(product) -> None:
    with Follower() as follower:
        product(Q, K)
    (one,) = follower.products
    assert (one.size, one.by, one.logits) == (4, 0.5, False)
    assert one.root == pytest.approx(float((Q * K).sum(-1).square().mean().sqrt()), rel=1e-5)
    assert math.isfinite(one.root)


def test_a_square_is_no_product_of_two_activations() -> None:
    with Follower() as follower:
        (Q * Q).sum(-1)
    assert follower.products == []


def test_a_table_that_is_looked_up_and_multiplied_reads_out() -> None:
    table = nn.Embedding(8, 4)
    for shares, run in (
        (True, lambda: table(TOKENS) @ table.weight.T),
        (True, lambda: F.linear(table.weight[TOKENS], table.weight)),
        (False, lambda: table(TOKENS) @ nn.Linear(4, 4).weight.T),
    ):
        with Follower() as follower:
            run()
        assert follower.shares is shares
