"""Copies of trained parameters stay copies: teachers, moving averages and target networks."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from zoo import error_text

from mutransfer.parametrize import apply, make_plan
from mutransfer.rules import Plan, Role

BASE, TARGET = 32, 512
X = torch.randn(4, 8)


def network(width):
    hidden = [nn.Linear(8, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(*hidden, nn.ReLU(), nn.Linear(width, 6))


class Pair(nn.Module):
    """A student with a predictor behind it, and a frozen copy of it without one, as in BYOL."""

    def __init__(self, width, frozen=True, make_teacher=copy.deepcopy):
        super().__init__()
        self.student = network(width)
        self.teacher = make_teacher(self.student).requires_grad_(not frozen)
        self.predictor = nn.Linear(6, 6)

    def forward(self, x):
        return self.predictor(self.student(x)), self.teacher(x).detach()


class Momentum(Pair):
    """A momentum encoder that is built first, filled afterwards, and the readout's own input."""

    def __init__(self, width):
        nn.Module.__init__(self)
        self.teacher, self.student = network(width).requires_grad_(False), network(width)
        self.teacher.load_state_dict(self.student.state_dict())

    def forward(self, x):
        return self.student(x), self.teacher(x)


class Targets(nn.Module):
    """Policy and target network of DQN: the forward pass uses the policy only."""

    def __init__(self, width, make=lambda policy: copy.deepcopy(policy).requires_grad_(False)):
        super().__init__()
        self.student = network(width)
        self.teacher = make(self.student)

    def forward(self, x):
        return self.student(x)


class Averaged(Targets):
    """A moving average of weights inside the model; torch leaves its parameters trainable."""

    def __init__(self, width):
        super().__init__(width, AveragedModel)


class Clones(Pair):
    """Layers that are copies of one another, and a teacher of all of them."""

    def __init__(self, width):
        super().__init__(width)
        layer = nn.TransformerEncoderLayer(width, width // 8, width, 0.0, batch_first=True)
        encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.student = nn.Sequential(nn.Linear(8, width), encoder, nn.Linear(width, 6))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def forward(self, x):
        return self.predictor(self.student(x[None])), self.teacher(x[None])


def teacher_and_student(build, width, plan=None):
    torch.manual_seed(0)
    model = build(width) if plan is None else apply(build(width), plan)
    model.eval()
    x = X[None] if build is Clones else X
    with torch.no_grad():
        return model.teacher(x), model.student(x)


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("build", [Pair, Momentum, Targets, Averaged, Clones])
def test_a_teacher_equals_its_student_bit_for_bit(build, form) -> None:
    plan = make_plan(build, base=BASE, target=TARGET, example_inputs=X, form=form)
    assert torch.equal(*teacher_and_student(build, TARGET, plan))
    for row in plan.rows:
        if row.name.startswith("teacher."):
            original = row.name.replace("teacher.module.", "teacher.").replace("teacher", "student")
            assert row.reason == f"copy of {original}"
            assert (row.role, row.init_factor, row.multiplier) == (
                plan[original].role, plan[original].init_factor, plan[original].multiplier
            )  # fmt: skip
        else:
            assert "copy" not in row.reason
    assert Plan.from_json(plan.to_json()) == plan
    at_base = make_plan(build, base=BASE, target=BASE, example_inputs=X, form=form)
    assert torch.equal(
        teacher_and_student(build, BASE, at_base)[0], teacher_and_student(build, BASE)[0]
    )


def test_the_plan_says_that_a_teacher_is_a_copy() -> None:
    text = make_plan(Pair, base=BASE, target=TARGET, example_inputs=X).to_text(1000)
    copied = "a copy of a trained tensor in your fresh model, whose factors it gets: "
    assert f"bottleneck  {copied}teacher.5.weight" in text


def test_shapes_alone_determine_a_readout_that_has_a_copy() -> None:
    plan = make_plan(Momentum, base=BASE, target=TARGET)
    assert plan["teacher.5.weight"].role == plan["student.5.weight"].role == Role.OUTPUT


def test_a_frozen_network_with_its_own_draw_is_no_copy() -> None:
    """Negative control: a random target, which the forward pass uses as a readout."""
    build = lambda width: Pair(width, make_teacher=lambda student: network(student[0].out_features))  # noqa: E731
    plan = make_plan(build, base=BASE, target=TARGET, example_inputs=X)
    assert plan["teacher.5.weight"].role is Role.OUTPUT
    assert plan["student.5.weight"].role is Role.BOTTLENECK
    assert not any("copy" in row.reason or row.notes for row in plan.rows)


def test_constants_are_no_copies_by_themselves() -> None:
    """A frozen gain of ones equals every other gain of ones in the model."""

    class Gains(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.enter, self.norm = nn.Linear(8, width), nn.LayerNorm(width)
            self.frozen, self.leave = nn.LayerNorm(width).requires_grad_(False), nn.Linear(width, 6)

        def forward(self, x):
            return self.leave(self.frozen(self.norm(self.enter(x))))

    plan = make_plan(Gains, base=BASE, target=TARGET, example_inputs=X)
    assert not any("copy" in row.reason for row in plan.rows)


def test_a_role_of_the_user_wins_over_a_copy() -> None:
    plan = make_plan(
        Pair, base=BASE, target=TARGET, example_inputs=X, roles={r"teacher\.5\.weight": Role.OUTPUT}
    )
    assert plan["teacher.5.weight"].role is Role.OUTPUT
    assert plan["teacher.3.weight"].reason == "copy of student.3.weight"


def test_a_copy_that_is_trained_or_a_buffer_gets_a_note() -> None:
    def with_buffer(width):
        model = network(width)
        model.register_buffer("average", model[3].weight.detach() * 1)
        model.register_buffer("gain", torch.ones(width))
        nn.init.normal_(model[3].weight, std=0.02)
        model.average.copy_(model[3].weight.detach())
        return model

    plan = make_plan(lambda w: Pair(w, frozen=False), base=BASE, target=TARGET, example_inputs=X)
    assert plan["teacher.5.weight"].notes == (
        "after apply not equal to 'student.5.weight', unlike in your fresh model: if it is a copy, "
        "freeze it with requires_grad_(False)",
    )
    assert plan["teacher.3.weight"].notes == ()
    plan = make_plan(with_buffer, base=BASE, target=TARGET)
    assert plan["3.weight"].init_factor == 0.25
    assert {row.name: row.notes for row in plan.rows if row.notes} == {
        "3.weight": (
            "after apply not equal to 'average', because buffers are not rescaled: copy the values "
            "again",
        )
    }


class TiedTeacher(nn.Module):
    """A tied language model; its teacher holds the shared table once, or twice."""

    def __init__(self, width, twice):
        super().__init__()
        self.student = nn.ModuleDict({"e": nn.Embedding(9, width), "h": nn.Linear(width, 9, False)})
        self.student["h"].weight = self.student["e"].weight
        self.teacher = copy.deepcopy(self.student)
        if twice:
            self.teacher["h"].weight = nn.Parameter(self.student["h"].weight.detach().clone())
        self.teacher.requires_grad_(False)

    def forward(self, ids):
        return tuple(net["h"](net["e"](ids)) for net in (self.student, self.teacher))


@pytest.mark.parametrize("form", ["table-3", "table-8"])
@pytest.mark.parametrize("twice", [False, True])
def test_the_teacher_of_a_tied_model_equals_it(twice, form) -> None:
    build = lambda width: TiedTeacher(width, twice)  # noqa: E731
    ids = torch.arange(9)
    plan = make_plan(build, base=BASE, target=TARGET, example_inputs=ids, form=form)
    torch.manual_seed(0)
    student, teacher = apply(build(TARGET), plan)(ids)
    assert torch.equal(student, teacher)


def test_a_copy_without_a_plan_for_its_use_needs_no_role() -> None:
    """A target network that no forward pass reaches had an undetermined readout."""
    random = lambda width: Targets(width, lambda policy: network(policy[0].out_features))  # noqa: E731
    message = error_text(lambda: make_plan(random, base=BASE, target=TARGET, example_inputs=X))
    assert "the role of 'teacher.5.weight' is undetermined" in message


class ScaleNorm(nn.Module):
    """A norm whose gain starts at the square root of the width."""

    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(width**0.5))

    def forward(self, x):
        return self.gain * nn.functional.normalize(x, dim=-1)


def test_a_scale_that_starts_at_a_power_of_width_is_copied() -> None:
    """No forward pass reaches the target network, so its own start tells nothing."""

    class Scaled(Targets):
        def __init__(self, width):
            super().__init__(width)
            self.student = network(width)
            self.student[1] = ScaleNorm(width)
            self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    plan = make_plan(Scaled, base=BASE, target=TARGET, example_inputs=X)
    assert torch.equal(*teacher_and_student(Scaled, TARGET, plan))
    own, copied = plan["student.1.gain"], plan["teacher.1.gain"]
    assert copied.reason == "copy of student.1.gain"
    assert own.start_power == copied.start_power == 0.5
    assert own.init_factor == copied.init_factor == 1
