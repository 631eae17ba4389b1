"""Traces of forward passes: axes, readouts, the author's own multipliers, attention scales."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from strangers import (
    VOCABULARY,
    ConvNet,
    EinsumGPT,
    Gemma,
    LoRA,
    Mamba,
    MoE,
    Queries,
    UnitNorm,
    ViT,
)
from torch import nn
from torch.distributions import Categorical
from zoo import error_text

import mutransfer as mt
from mutransfer.parametrize import apply, make_plan, param_groups

TOKENS = torch.randint(0, VOCABULARY, (4, 16), generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
ROWS = torch.randn(64, 8, generator=torch.Generator().manual_seed(2))

# What an expert writes by hand: role, init x, lr x at sixteen times the base's width. The inits
# of all hidden weights scale as the rule says already.
EXPECTED = {
    "einsum, tied": (
        partial(EinsumGPT, readout=-1.0), TOKENS,
        {"wte wpe": ("input", 1, 1), "wq wk wv wo w1 w2": ("hidden", 1, 1 / 16),
         "g1 g2 gf": ("vector", 1, 1)},
    ),
    "einsum, heads that widen": (
        partial(EinsumGPT, heads=4, readout=-1.0), TOKENS,
        {"wte": ("input", 1, 1), "wq": ("hidden", 1 / 4, 1 / 64), "wk wv": ("hidden", 1, 1 / 16)},
    ),
    "experts": (
        MoE, TOKENS,
        {"up down": ("hidden", 1, 1 / 16), "router.weight": ("bottleneck", 1, 1 / 16),
         "head.weight": ("output", 1 / 4, 1 / 16), "emb.weight": ("input", 1, 1)},
    ),
    "convolutions": (
        ConvNet, IMAGES,
        {"head": ("output", 1 / 4, 1 / 16), "scale dw.weight": ("input", 1, 1),
         "pw.weight": ("hidden", 1, 1 / 16), "bias": ("fixed", 1, 1)},
    ),
    # Table p = 1/2, q = -1/2: init and rate r^-1/2. Heads widen: queries lack r^-1/2.
    "gemma": (
        Gemma, TOKENS,
        {"emb.weight": ("input", 1 / 4, 1 / 4), "q.weight": ("hidden", 1 / 4, 1 / 64),
         "k.weight v.weight o.weight": ("hidden", 1, 1 / 16)},
    ),
    "state space": (
        Mamba, TOKENS,
        {"A_log": ("input", 1, 1), "D": ("vector", 1, 1), "dt.weight": ("input", 1, 1),
         "xp.weight": ("bottleneck", 1, 1 / 16), "head.weight": ("output", 1 / 4, 1 / 16)},
    ),
    "low rank": (
        LoRA, ROWS, {"A": ("bottleneck", 1, 1 / 16), "B": ("input", 1, 1)},
    ),
    "low rank, merged": (
        partial(LoRA, merged=True), ROWS, {"A": ("bottleneck", 1, 1 / 16), "B": ("input", 1, 1)},
    ),
    "class token": (
        ViT, IMAGES, {"cls pos": ("input", 1, 1), "head.weight": ("output", 1 / 4, 1 / 16)},
    ),
    "learned queries": (
        Queries, torch.randn(2, 5, 8),
        {"q": ("input", 1, 1), "value.weight policy.weight": ("output", 1 / 4, 1 / 16)},
    ),
    "norms by hand": (
        UnitNorm, ROWS,
        {"v": ("output", 1 / 4, 1 / 16), "g1 g2": ("vector", 1, 1), "scale": ("fixed", 1, 1),
         "w.weight": ("hidden", 1, 1 / 16)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_strangers_models_get_the_plan_of_an_expert(name):
    build, inputs, expected = EXPECTED[name]
    plan = make_plan(lambda width: build(width), base=32, target=512, example_inputs=inputs)
    for names, factors in expected.items():
        for row in (plan[name] for name in names.split()):
            assert (row.role, row.init_factor, row.lr_factor) == factors, row
    assert all(row.multiplier == 1 for row in plan.rows)


# --- multipliers and attention: the same network, written with and without them ---


class Scaled(nn.Module):
    """A network whose author multiplies somewhere by a power of width, or has 1/√d attention."""

    def __init__(self, width, place="", power=0.0, root=False):
        super().__init__()
        self.place, self.by, self.root = place, (width / 16) ** power, root
        self.embed, self.head = nn.Embedding(11, width), nn.Linear(width, 11)
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)

    def times(self, place, x):
        return x * self.by if place == self.place else x

    def forward(self, tokens):
        x = self.times("embedding", self.embed(tokens))
        q, k, v = (m(x).unflatten(-1, (2, -1)).transpose(1, 2) for m in (self.q, self.k, self.v))
        d = q.shape[-1]
        scale = d**-0.5 if self.root else 8**0.5 / d
        a = F.scaled_dot_product_attention(q, k, v, scale=scale)
        x = x + self.times("hidden", self.out(a.transpose(1, 2).flatten(2)))
        logits = self.head(self.times("before the readout", x.relu()))
        return self.times("behind the readout", logits)


def losses(width, optimizer, **options):
    build = partial(Scaled, **options)
    tokens = torch.randint(11, (8, 6), generator=torch.Generator().manual_seed(0))
    plan = make_plan(build, base=16, target=width, optimizer=optimizer, example_inputs=tokens)
    torch.manual_seed(3)
    model = apply(build(width), plan)
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    stepper = kind(param_groups(model, plan, lr=2**-6, weight_decay=0.125))
    history = []
    for _ in range(10):
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(1).flatten())
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        history.append(loss.item())
    return history


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize(
    "options",
    [
        {"place": "embedding", "power": 0.5},
        {"place": "hidden", "power": -0.5},
        {"place": "before the readout", "power": -0.5},
        {"place": "behind the readout", "power": -1.0},
        {"root": True},
    ],
    ids=str,
)
def test_a_network_written_with_multipliers_trains_bit_for_bit_as_without(options, optimizer):
    """The abc-symmetry: init and learning rate undo the author's multiplier."""
    assert losses(64, optimizer, **options) == losses(64, optimizer)


def test_multipliers_are_not_detected_without_a_forward_pass():
    """Negative control of the test above: a multiplier that is not traced changes the training."""
    wrong = make_plan(partial(Scaled, place="embedding", power=0.5), base=16, target=64)
    assert wrong["embed.weight"].init_factor == 1


def test_a_multiplier_that_undoes_a_norm_belongs_to_no_weight():
    plan = make_plan(UnitNorm, base=16, target=64, example_inputs=ROWS)
    assert {row.own_power for row in plan.rows} == {0}


class Body(nn.Module):
    """A body; the tests below pass the function that follows it."""

    def __init__(self, width, end=None, **layers):
        super().__init__()
        self.width, self.end = width, end
        self.up, self.mid, self.head = (
            nn.Linear(8, width),
            nn.Linear(width, width),
            nn.Linear(width, 5),
        )
        for name, make in layers.items():
            setattr(self, name, make(width))

    def forward(self, x):
        return self.end(self, self.mid(self.up(x).relu()).relu())


@pytest.mark.parametrize("wrap", [SimpleNamespace, lambda logits: Categorical(logits=logits)])
def test_a_readout_is_found_in_whatever_the_model_returns(wrap):
    build = partial(Body, end=lambda net, h: wrap(logits=net.head(h)))
    plan = make_plan(build, base=16, target=64, example_inputs=ROWS)
    assert plan["head.weight"].role is mt.Role.OUTPUT


def test_dropout_does_not_change_the_scale_of_attention():
    def attended(net, h, dropout):
        q, k, v = (m(h).unflatten(-1, (4, -1)) for m in (net.q, net.k, net.v))
        return net.head(F.scaled_dot_product_attention(q, k, v, dropout_p=dropout).flatten(-2))

    layers = {name: lambda w: nn.Linear(w, w, bias=False) for name in "qkv"}
    plans = [
        make_plan(
            partial(Body, end=partial(attended, dropout=dropout), **layers),
            base=32, target=512, example_inputs=ROWS,
        )
        for dropout in (0.0, 0.1)
    ]  # fmt: skip
    for plan in plans:
        assert plan["q.weight"].lr_factor == 1 / 64
        assert {plan[f"{name}.weight"].lr_factor for name in "kv"} == {1 / 16}


def test_a_learned_scalar_hides_neither_a_multiplier_nor_an_attention_scale():
    def ended(net, h):
        q, k, v = (m(h).unflatten(-1, (4, -1)) for m in (net.q, net.k, net.v))
        h = F.scaled_dot_product_attention(q * net.t.exp(), k, v).flatten(-2)
        return net.t * net.head(h) / net.width

    layers = {name: lambda w: nn.Linear(w, w, bias=False) for name in "qkv"}
    layers["t"] = lambda width: nn.Parameter(torch.ones(()))
    build = partial(Body, end=ended, **layers)
    plan = make_plan(build, base=32, target=512, example_inputs=ROWS)
    assert plan["q.weight"].lr_factor == 1 / 64
    assert (plan["head.weight"].init_factor, plan["head.weight"].lr_factor) == (4, 1)
    assert (plan["t"].init_factor, plan["t"].lr_factor, plan["t"].r_in) == (1, 1, 1)


def unit(x):
    return F.normalize(x, dim=-1)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(
    ("powers", "lacking"),  # of the gains and of the scale; the logits are their product · a cosine
    [((0, 0, 0), 0), ((0.5, 0.5, -1), 0), ((0.5, 0, -0.5), 0), ((0.5, 0, 0), 0.5)],
)
@pytest.mark.parametrize("written", ["start", "constant"])
def test_logits_of_normed_queries_and_keys_scale_as_their_gains(
    powers, lacking, per_channel, written
):
    starts = powers[:2] if written == "start" else (0, 0)

    def attended(net, h):
        q, k, v = (m(h).unflatten(-1, (4, -1)) for m in (net.q, net.k, net.v))
        d = q.shape[-1]
        q = unit(q) * d ** (powers[0] - starts[0]) * net.gq
        k = unit(k) * d ** (powers[1] - starts[1]) * net.gk
        return net.head(F.scaled_dot_product_attention(q, k, v, scale=d ** powers[2]).flatten(-2))

    def gain(power):
        return lambda w: nn.Parameter(
            torch.full((w // 4,) if per_channel else (), float(w // 4) ** power)
        )

    layers = {name: lambda w: nn.Linear(w, w, bias=False) for name in "qkv"}
    layers |= {"gq": gain(starts[0]), "gk": gain(starts[1])}
    make = partial(make_plan, partial(Body, end=attended, **layers), base=16, target=256)
    if lacking and not per_channel:  # no axis takes up the factor
        with pytest.raises(mt.MutransferError, match="neither factor is computed"):
            make(example_inputs=ROWS)
        return
    plan = make(example_inputs=ROWS)
    assert (plan["gq"].init_factor, plan["gk"].init_factor) == (16.0**-lacking, 1)
    assert {plan[f"{name}.weight"].lr_factor for name in "qkv"} == {1 / 16}


def test_linear_attention_that_divides_by_the_head_width_needs_no_correction():
    def attended(net, h):
        q, k, v = (m(h) for m in (net.q, net.k, net.v))
        return net.head(net.p(q / net.width @ (k.mT @ v)).relu())

    layers = {name: lambda w: nn.Linear(w, w) for name in "qkvp"}
    build = partial(Body, end=attended, **layers)
    plan = make_plan(build, base=32, target=512, example_inputs=ROWS[None])
    assert {plan[f"{name}.weight"].lr_factor for name in "qkvp"} == {1 / 16}


# --- refusals ---


class Backwards(nn.Module):
    """An embedding table that is used as a readout only."""

    def __init__(self, width):
        super().__init__()
        self.up, self.table = nn.Linear(8, width), nn.Embedding(9, width)

    def forward(self, x):
        return self.up(x) @ self.table.weight.T


class Adrift(nn.Module):
    """A residual stream with a multiplier that is behind no weight."""

    def __init__(self, width):
        super().__init__()
        self.width, self.up, self.head = width, nn.Linear(8, width), nn.Linear(width, 2)

    def forward(self, x):
        x = self.up(x).relu() * self.width**-0.5
        return self.head(x + x.tanh())


def test_a_layer_whose_use_contradicts_its_type_is_refused_with_both_fans():
    assert error_text(lambda: make_plan(Backwards, base=16, target=64, example_inputs=ROWS)) == (
        "RoleError: 'table.weight' of base shape (9, 16) belongs to Embedding, whose fan-in grows "
        "by 1 and fan-out by 4; in the forward pass fan-in grows by 4 and fan-out by 1\n"
        "  why: which axis is fan-in decides its init and its rate\n"
        "  fix: make it a raw parameter, whose role follows from the forward pass: "
        "nn.Parameter(torch.empty(9, 16))"
    )


def test_the_role_of_an_unused_head_must_be_set_by_the_user():
    build = partial(Body, end=lambda net, h: net.head(h), spare=lambda w: nn.Linear(w, 3))
    assert error_text(lambda: make_plan(build, base=16, target=64, example_inputs=ROWS)) == (
        "RoleError: the role of 'spare.weight' is undetermined: the forward pass does not use it "
        "(Linear, shape (3, 16) at the base)\n"
        "  why: whether an axis is summed over or broadcast decides its init and its rate\n"
        "  fix: pass example_inputs= that reach it; or roles={'spare.weight': Role.OUTPUT} (OUTPUT "
        "for a head of the model, BOTTLENECK if other weights follow)"
    )
    roles = {r"spare\.weight": mt.Role.OUTPUT}
    plan = make_plan(build, base=16, target=64, example_inputs=ROWS, roles=roles)
    assert plan["spare.weight"].role is mt.Role.OUTPUT


def test_an_output_without_tensors_is_refused():
    build = partial(Body, end=lambda net, h: float(net.head(h).mean()))
    message = error_text(lambda: make_plan(build, base=16, target=64, example_inputs=ROWS))
    assert message.startswith("ModelError: no weight reaches what the model returns, a float")


def test_a_multiplier_behind_no_weight_is_refused():
    message = error_text(lambda: make_plan(Adrift, base=16, target=64, example_inputs=ROWS))
    assert message == (
        "ModelError: the forward pass multiplies by 0.25 at width 16 and by 0.1768 at 32, neither "
        "behind a weight nor before one\n"
        "  why: the parameter whose rule it changes is undetermined\n"
        "  fix: put the multiplier directly behind, or before, a layer"
    )


def test_the_error_for_a_shared_readout_without_a_layer_states_the_line_to_type():
    """`EinsumGPT(readout=-1)` has this line, and its plan is right: see EXPECTED."""
    assert error_text(lambda: make_plan(EinsumGPT, base=32, target=512, example_inputs=TOKENS)) == (
        "RoleError: 'wte' is an embedding table, and the forward pass also multiplies by it "
        "outside of a linear layer\n"
        "  why: a readout that shares a table needs its input multiplied by width^-1, and there "
        "is no layer on which to install that\n"
        "  fix: x = x * (width / 32) ** (-1), in the line before the product with 'wte'"
    )


def test_attention_is_refused_where_queries_and_keys_share_a_weight():
    build = partial(ViT, heads=4)
    message = error_text(lambda: make_plan(build, base=32, target=512, example_inputs=IMAGES))
    assert message.startswith("RoleError: attention logits, or another product of two activations")
    assert "num_heads = width // 8" in message
    plan = make_plan(build, base=32, target=512, parametrization="sp", example_inputs=IMAGES)
    assert plan["head.weight"].lr_factor == 1  # SP leaves attention as it is


# --- the coordinate check agrees ---


def of_text(model, batch):
    out = model(batch)
    logits = out[0] if isinstance(out, tuple) else out
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())


def of_classes(model, batch):
    classes = torch.arange(len(batch)) % 10
    return F.cross_entropy(model(batch), classes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("einsum, tied", of_text), ("experts", of_text), ("convolutions", of_classes),
        ("gemma", of_text), ("state space", of_text), ("low rank", of_classes),
    ],
)  # fmt: skip
def test_the_coordinate_check_passes_for_strangers_models(name, loss):
    build, inputs, _ = EXPECTED[name]
    check = mt.coord_check(
        lambda width: build(width), base=32, widths=[32, 64, 128, 256], batch=inputs, loss=loss,
        lr=2**-8, steps=6, example_inputs=inputs,
    )  # fmt: skip
    assert check.outcome == "pass", str(check)
