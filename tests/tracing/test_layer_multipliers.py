"""One traced forward pass: multipliers of layers, attention logits, tables that read out."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mutransfer.tracing import Tracer


def tracer_of(model, *inputs):
    """Return a tracer of a model's forward pass, or of a function without parameters."""
    parameters = dict(model.named_parameters()) if isinstance(model, nn.Module) else {}
    tracer = Tracer(parameters, {}, frozenset())
    tracer.add_inputs(inputs)
    return tracer


def run_traced(model, *inputs, after=lambda output: output):
    """Run a model under a tracer that is notified of layers, as the probes do."""
    tracer = tracer_of(model, *inputs)
    names = {module: name for name, module in model.named_modules() if name}

    def enter(module, args):
        tracer.enter(names[module], args[0], is_norm="norm" in type(module).__name__.lower())

    def leave(module, args, output):
        tracer.leave(names[module], output, keeps_factor=isinstance(module, nn.Embedding))

    for module in names:
        module.register_forward_pre_hook(enter, prepend=True)
        module.register_forward_hook(leave)
    with tracer:
        after(model(*inputs))
    return tracer.ledger


class Net(nn.Module):
    """Two layers, a norm and a table, called by a function."""

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
    ("between", "multipliers"),
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
def test_a_scalar_belongs_to_the_layer_behind_it_or_else_to_the_layer_before_it(
    between, multipliers
) -> None:
    layers = run_traced(Net(between), X).layers
    names = ("table", "first", "norm", "last")
    assert {n: m for n in names if (m := layers.of(n)) != 1} == pytest.approx(multipliers)


def test_a_multiplier_in_the_loss_belongs_to_the_readout() -> None:
    net = Net(lambda m, x: m.last(m.first(x)))
    layers = run_traced(net, X, after=lambda logits: F.log_softmax(logits / 8, -1)).layers
    assert layers.of("last") == 0.125
    assert layers.behind("last") == 0.125


@pytest.mark.parametrize(
    "norm",
    [
        lambda m, x: m.norm(x),
        lambda m, x: F.layer_norm(x, (4,)),
        lambda m, x: F.rms_norm(x, (4,)),
        lambda m, x: F.normalize(x, dim=-1),
        lambda m, x: x / x.square().mean(-1, keepdim=True).sqrt(),
    ],
    ids=["module", "function", "rms", "unit", "by hand"],
)
def test_a_multiplier_that_a_norm_divides_out_is_recorded_apart(norm) -> None:
    layers = run_traced(Net(lambda m, x: norm(m, m.first(x) * 3)), X).layers
    assert (layers.normed, layers.of("first")) == ({"first": 3.0}, 1.0)


def test_a_hook_on_the_input_is_measured_with_the_layer() -> None:
    net = Net(lambda m, x: m.last(m.table(TOKENS)))
    tracer = tracer_of(net, X)
    net.last.register_forward_pre_hook(lambda m, inputs: (inputs[0] * 0.5,))
    net.table.register_forward_hook(lambda m, i, out: tracer.leave("table", out, keeps_factor=True))
    net.last.register_forward_pre_hook(
        lambda m, inputs: tracer.enter("last", inputs[0], is_norm=False), prepend=True
    )
    with tracer:
        net(X)
    layers = tracer.ledger.layers
    assert (layers.of("table"), layers.of("last")) == (1.0, 1.0)


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
    with tracer_of(attention, Q, K, V) as tracer:
        attention(Q, K, V)
    first = tracer.ledger.products[0]
    logits = Q @ K.mT / 2
    unmasked = logits[..., torch.ones(6, 6).tril().bool()] if attention is by_hand else logits
    assert (first.width, first.is_logits) == (4, True)
    assert first.rms == pytest.approx(float(unmasked.square().mean().sqrt()), rel=1e-5)


def test_logits_inside_the_attention_module_of_torch_are_measured() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 6, 8)
    with tracer_of(attention, x) as tracer:
        attention(x, x, x, need_weights=False)
    (product,) = tracer.ledger.products
    projected = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).detach()
    q, k, _ = projected.chunk(3, -1)
    q, k = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in (q, k))
    assert (product.width, product.is_logits) == (4, True)
    assert product.rms == pytest.approx(float((q @ k.mT / 2).square().mean().sqrt()), rel=1e-5)


def test_a_scalar_of_the_queries_belongs_to_the_attention_and_to_no_layer() -> None:
    net = Net(lambda m, x: F.softmax((m.first(x) * 0.5).view(5, 4) @ x.T, -1) @ x)
    ledger = run_traced(net, X)
    assert ledger.layers.of("first") == 1.0
    assert [product.is_logits for product in ledger.products] == [True, False]


@pytest.mark.parametrize(
    "weight", [lambda w: w, lambda w: w.T.clone().T, lambda w: w * 0.1], ids=["", "copy", "scaled"]
)
def test_a_router_is_not_attention(weight) -> None:
    """Its weight is a parameter, or is computed from one alone."""
    router = nn.ParameterDict({"weight": torch.randn(4, 3)})
    with tracer_of(router, X) as tracer:
        (X @ weight(router["weight"])).softmax(-1)
    assert tracer.ledger.products == []


@pytest.mark.parametrize(
    "product",
    [lambda q, k: (q * k).sum(-1) * 0.5, lambda q, k: 0.5 * torch.einsum("...d,...d->...", q, k)],
    ids=["elementwise", "einsum"],
)
def test_a_product_without_a_softmax_is_recorded_with_its_scale(product) -> None:
    with tracer_of(product, Q, K) as tracer:
        product(Q, K)
    (record,) = tracer.ledger.products
    assert (record.width, record.scale, record.is_logits) == (4, 0.5, False)
    rms = float((Q * K).sum(-1).square().mean().sqrt())
    assert record.measured == pytest.approx(rms, rel=1e-5)
    assert math.isfinite(record.measured)


def test_a_scalar_of_one_part_of_a_split_does_not_belong_to_the_layer() -> None:
    """A fused layer of queries, keys and values is not scaled by what scales its queries."""
    net = Net(lambda m, x: torch.cat([part * 2 for part in m.first(x).chunk(2, -1)], -1))
    assert run_traced(net, X).layers.of("first") == 1.0
    whole = Net(lambda m, x: m.first(x) * 2)
    assert run_traced(whole, X).layers.of("first") == 2.0


def test_a_padding_mask_among_the_inputs_leaves_logits_what_they_are() -> None:
    with tracer_of(None, Q, K, mask := torch.rand(2, 3, 6, 6) < 0.5) as tracer:
        (Q @ K.mT).masked_fill(mask, -torch.inf).softmax(-1)
    (product,) = tracer.ledger.products
    assert product.is_logits


def test_a_square_is_not_a_product_of_two_activations() -> None:
    with tracer_of(None, Q) as tracer:
        (Q * Q).sum(-1)
    assert tracer.ledger.products == []


def test_a_table_that_is_looked_up_and_multiplied_reads_out() -> None:
    table = nn.Embedding(8, 4)
    for shares, run in (
        (True, lambda: table(TOKENS) @ table.weight.T),
        (True, lambda: F.linear(table.weight[TOKENS], table.weight)),
        (False, lambda: table(TOKENS) @ nn.Linear(4, 4).weight.T),
    ):
        with tracer_of(table, TOKENS) as tracer:
            run()
        assert tracer.ledger.shares_table is shares


@pytest.mark.parametrize(
    ("between", "streams"),
    [
        (lambda m, x: m.last((h := m.first(x)) + m.first(m.norm(h))), {"norm": 1.0}),
        (lambda m, x: m.last((h := m.first(x)) + m.first(F.layer_norm(h, (4,)))), {"norm 0": 1.0}),
        (lambda m, x: m.last((h := 2 * m.first(x)) + m.norm(h)), {"norm": 2.0}),
        (lambda m, x: m.last(m.norm(h := m.first(x)).add_(h)), {"norm": 1.0}),
        (lambda m, x: m.last(m.norm(m.first(x)) + x), {}),
        (lambda m, x: m.last(F.normalize(h := m.first(x)) + h), {}),
    ],
    ids=["module", "function", "scaled", "in place", "no stream", "a vector's norm"],
)
def test_a_stream_is_what_a_norm_and_a_sum_around_it_read(between, streams) -> None:
    net = Net(between)
    size = net.first(X).square().mean().sqrt().item()
    measured = run_traced(net, X).streams
    assert measured == pytest.approx({name: size * factor for name, factor in streams.items()})
