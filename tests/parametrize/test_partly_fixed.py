"""Recurrent layers, whose init follows the hidden size, and inputs of which a part is fixed."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from zoo import error_text

import mutransfer as mt
from mutransfer.parametrize import apply, make_plan
from mutransfer.rules import Role

BASE, TARGET, FEATURES, VOCAB = 32, 128, 24, 9
R = TARGET / BASE
PARTLY = (TARGET + FEATURES) / (BASE + FEATURES)
SIZES = {"fixed": lambda n: FEATURES, "width": lambda n: n, "partly": lambda n: n + FEATURES}
KINDS = [nn.RNN, nn.GRU, nn.LSTM]


class Recurrent(nn.Module):
    def __init__(self, width, kind, size, **options):
        super().__init__()
        self.table = nn.Embedding(VOCAB, size(width))
        self.body = kind(size(width), width, batch_first=True, **options)
        self.head = nn.Linear(width, VOCAB)

    def forward(self, ids):
        return self.head(self.body(self.table(ids))[0])


def recurrent(kind, size, **options):
    return lambda width: Recurrent(width, kind, SIZES[size], **options)


# Torch draws all of a layer's weights with std ~ (hidden size)^-1/2. Under µP an input matrix keeps
# its init and rate, a hidden one scales as fan_in^-1/2 and its Adam rate as 1/fan_in.
BY_HAND = {  # role, init factor and rate factor of weight_ih_l0
    "fixed": (Role.INPUT, R**0.5, 1.0),
    "width": (Role.HIDDEN, 1.0, 1 / R),
    "partly": (Role.HIDDEN, PARTLY**-0.5 * R**0.5, 1 / PARTLY),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", BY_HAND)
def test_a_recurrent_layer_has_the_factors_derived_by_hand(size, kind) -> None:
    build = recurrent(kind, size, num_layers=2)
    plan = make_plan(build, base=BASE, target=TARGET)
    for name, expected in {
        "weight_ih_l0": BY_HAND[size],
        "weight_hh_l0": (Role.HIDDEN, 1.0, 1 / R),
        "weight_ih_l1": (Role.HIDDEN, 1.0, 1 / R),
        "bias_ih_l0": (Role.VECTOR, R**0.5, 1.0),
        "bias_hh_l1": (Role.VECTOR, R**0.5, 1.0),
    }.items():
        row = plan[f"body.{name}"]
        assert (row.role, row.init_factor, row.lr_factor) == (
            expected[0], pytest.approx(expected[1]), pytest.approx(expected[2])
        ), name  # fmt: skip
    apply(build(TARGET), plan)  # finds the weights to be as fresh as they are


@pytest.mark.parametrize("extra", [1, 8, 500])
def test_the_init_of_a_recurrent_layer_is_exact_whatever_its_input(extra) -> None:
    """Oracle: the weights of the plan's model against those of the base, entry by entry."""

    def build(width):
        model = nn.ModuleDict({"body": nn.GRUCell(width + extra, width), "h": nn.Linear(width, 2)})
        nn.init.constant_(model["body"].weight_ih, width**-0.5)
        return model

    plan = make_plan(
        build, base=BASE, target=TARGET, parametrization="mup", roles={"body.bias.*": Role.VECTOR}
    )
    ratio = (TARGET + extra) / (BASE + extra)
    base, target = build(BASE)["body"].weight_ih, apply(build(TARGET), plan)["body"].weight_ih
    assert target[0, 0].item() / base[0, 0].item() == pytest.approx(ratio**-0.5, rel=1e-6)


def test_an_init_along_either_axis_is_measured_and_another_is_refused() -> None:
    """A matrix whose sides grow differently: by 152 / 56 and by 4."""

    def build(std):
        def model(width):
            layer = nn.Linear(width + FEATURES, width, bias=False)
            nn.init.normal_(layer.weight, std=std(layer.in_features, layer.out_features))
            return nn.Sequential(nn.Linear(5, width + FEATURES), layer, nn.Linear(width, 3))

        return model

    def init_factor(std):
        return make_plan(build(std), base=BASE, target=TARGET)["1.weight"].init_factor

    assert init_factor(lambda fan_in, fan_out: fan_in**-0.5) == 1.0
    assert init_factor(lambda fan_in, fan_out: fan_out**-0.5) == pytest.approx((R / PARTLY) ** 0.5)
    assert init_factor(lambda fan_in, fan_out: 0.02) == pytest.approx(PARTLY**-0.5)
    message = error_text(lambda: init_factor(lambda fan_in, fan_out: (fan_in + fan_out) ** -0.5))
    assert "'1.weight' ∝ ratio^" in message


class Joined(nn.Module):
    """A hidden state and raw features, concatenated before a layer of any role."""

    def __init__(self, width, outputs=lambda width: width, kind=nn.Linear):
        super().__init__()
        self.enter, self.joined = nn.Linear(5, width), kind(width + FEATURES, outputs(width))
        self.leave = nn.Linear(outputs(width), 3)


NOTE = (
    "24 of its 56 inputs at the base do not grow; the others should have {}, and these {}, which "
    "takes two layers: in place of cat([h, x]) write nn.Linear(32, ...)(h) + nn.Linear(24, ..., "
    "bias=False)(x)"
)


@pytest.mark.parametrize(
    ("options", "growing", "fixed"),
    [
        ({}, "lr x 0.25", "lr x 1"),
        ({"optimizer": "sgd"}, "lr x 1", "lr x 4"),  # fan_out / fan_in and fan_out
        ({"optimizer": "muon"}, "lr x 1", "lr x 1"),  # by Muon and by AdamW
    ],
)
def test_a_partly_fixed_input_has_the_rates_of_two_layers(options, growing, fixed) -> None:
    """Oracle: a plan of the two layers themselves."""

    class Split(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.enter, self.joined = nn.Linear(5, width), nn.Linear(width, width)
            self.features, self.leave = nn.Linear(FEATURES, width), nn.Linear(width, 3)

    note = make_plan(Joined, base=BASE, target=TARGET, **options)["joined.weight"].notes
    split = make_plan(Split, base=BASE, target=TARGET, **options)
    factors = [split[f"{name}.weight"].lr_factor for name in ("joined", "features")]
    assert [f"lr x {factor:g}" for factor in factors] == [growing, fixed]
    assert note == (NOTE.format(growing, fixed),)
    assert not any(row.notes for row in split.rows)


def test_a_partly_fixed_readout_has_a_note_in_both_forms() -> None:
    for form, growing in (("table-3", "lr x 0.25"), ("table-8", "lr x 1 and forward x 0.25")):
        plan = make_plan(
            lambda width: nn.Sequential(nn.Linear(5, width), nn.Linear(width + FEATURES, 3)),
            base=BASE, target=TARGET, form=form,
        )  # fmt: skip
        assert plan["1.weight"].notes == (NOTE.format(growing, "lr x 1"),)
        assert "forward x" not in plan["1.weight"].notes[0] or form == "table-8"


def test_the_note_of_a_recurrent_layer_says_where_to_put_the_two() -> None:
    plan = make_plan(recurrent(nn.GRU, "partly"), base=BASE, target=TARGET)
    note = NOTE.format("lr x 0.25", "lr x 1") + ", before the recurrent layer"
    assert plan["body.weight_ih_l0"].notes == (note,)
    assert f"{note}: body.weight_ih_l0" in plan.to_text(1000)


def rounded(width):
    """SwiGLU's width, rounded up to 64: 320 and 640 become 896 and 1728, which is 64 + 2.6 w."""
    inner = -(-width * 8 // 3 // 64) * 64
    return nn.Sequential(nn.Linear(width, inner), nn.Linear(inner, width), nn.Linear(width, 3))


@pytest.mark.parametrize("target", [640, 1280])
def test_a_rounded_width_is_not_partly_fixed(target) -> None:
    plan = make_plan(
        lambda width: nn.Sequential(nn.Linear(5, width), rounded(width)), base=320, target=target
    )
    assert not any(row.notes for row in plan.rows)


def test_a_fixed_part_is_found_where_the_target_is_the_probe() -> None:
    plan = make_plan(Joined, base=BASE, target=2 * BASE)
    assert plan["joined.weight"].notes == (NOTE.format("lr x 0.5", "lr x 1"),)
    for options in ({"target": BASE}, {"target": TARGET, "parametrization": "sp"}):
        assert not make_plan(Joined, base=BASE, **options)["joined.weight"].notes


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_layers_pass_the_coordinate_check(kind, size) -> None:
    ids = torch.randint(VOCAB, (16, 9), generator=torch.Generator().manual_seed(0))

    def loss(model, batch):
        return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())

    check = mt.coord_check(
        recurrent(kind, size), base=32, widths=[32, 64, 128, 256], batch=ids, loss=loss, steps=4
    )
    assert check.outcome == "pass"
