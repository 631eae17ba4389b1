"""Options of embeddings that a plan depends on: `max_norm` and sparse gradients."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn
from zoo import error_text

from mutransfer.parametrize import apply, make_plan
from mutransfer.parametrize.model.embeddings import TAKE_SPARSE_GRADIENTS
from mutransfer.rules import OPTIMIZERS, Plan, Role, explain
from mutransfer.rules.optimizers import get_optimizer

BASE, TARGET = 32, 512
IDS = torch.arange(9)


def table(kind=nn.Embedding, max_norm=lambda width: None, **options):
    def build(width):
        embedding = kind(9, width, max_norm=max_norm(width), **options)
        nn.init.ones_(embedding.weight)
        return nn.Sequential(embedding, nn.Linear(width, width), nn.Linear(width, 9))

    return build


def planned(build, **options) -> Plan:
    return make_plan(build, base=BASE, target=TARGET, **options)


BOUNDS = {  # kind of norm, bound at width n, power with which the norm of a row grows
    "2": (2.0, lambda n: 1.0, lambda n: 0.125 * n**0.5, "0.5"),
    "1": (1.0, lambda n: n**0.5, lambda n: 0.8 * n, "1"),
    "4": (4.0, lambda n: n**0.5, lambda n: 0.7 * n**0.25, "0.25"),
    "inf": (float("inf"), lambda n: n**0.5, lambda n: 0.5, "0"),
}


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
@pytest.mark.parametrize("norm", BOUNDS)
def test_max_norm_must_grow_as_the_norm_of_a_row(norm, kind) -> None:
    """The p-norm of n entries of equal size is n^(1/p) times that size."""
    norm_type, wrong, right, power = BOUNDS[norm]
    message = error_text(lambda: planned(table(kind, wrong, norm_type=norm_type)))
    assert f"the norm of a row of n entries grows as n^{power};" in message
    build = table(kind, right, norm_type=norm_type)
    plan = planned(build)
    assert plan["0.weight"].notes == ()
    # The oracle: entries of the cut rows are as large at the target as at the base.
    with torch.no_grad():
        narrow, wide = build(BASE)[0](IDS[:, None]), apply(build(TARGET), plan)[0](IDS[:, None])
    assert float(wide.max()) == pytest.approx(float(narrow.max()), rel=1e-4)
    assert float(wide.max()) < 0.9  # the norm cuts, indeed


class Multiplied(nn.Module):
    """A table whose rows are multiplied by the square root of the width, as in a transformer."""

    def __init__(self, width: int, power: float = 0.0) -> None:
        super().__init__()
        self.scale = width**0.5
        self.table = nn.Embedding(9, width, max_norm=0.125 * width**power)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 9)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.table(ids) * self.scale))


def test_max_norm_takes_the_models_own_multiplier_into_account() -> None:
    """The oracle: a row that is cut and multiplied has entries of one size at every width."""
    plan = planned(Multiplied, example_inputs=IDS)
    narrow, wide = Multiplied(BASE), apply(Multiplied(TARGET), plan)
    sizes = [(m.table(IDS) * m.scale).square().mean().sqrt().item() for m in (narrow, wide)]
    assert sizes == pytest.approx([0.125, 0.125])
    growing = partial(Multiplied, power=0.5)
    message = error_text(lambda: planned(growing, example_inputs=IDS))
    assert "grows as n^0, because the model multiplies the row by a power of n;" in message


def test_a_constant_max_norm_is_refused_in_three_lines() -> None:
    assert error_text(lambda: planned(table(max_norm=lambda width: 1.0))) == (
        "ModelError: '0.weight' has max_norm=1.0 for rows of 32 entries at width 32, and "
        "max_norm=1.0 for 64 entries at 64\n"
        "  why: the norm of a row of n entries grows as n^0.5; where max_norm does not, it cuts "
        "entries to a size that changes with width, and so does the effect of a step\n"
        "  fix: nn.Embedding(..., max_norm=1.0 * (width / 32) ** 0.5); or "
        "roles={'0.weight': Role.INPUT}, which keeps the norm as it is"
    )


def test_a_max_norm_at_some_widths_only_is_refused() -> None:
    for present in (BASE, TARGET):
        build = table(max_norm=lambda width, at=present: 2.0 if width == at else None)
        assert "max_norm=None" in error_text(lambda build=build: planned(build))


def test_a_constant_max_norm_can_be_kept() -> None:
    """By a role, with a note; and where nothing is scaled."""
    build = table(max_norm=lambda width: 1.0)
    plan = planned(build, roles={r"0\.weight": Role.INPUT})
    note = "max_norm is kept as your build sets it, 1.0 at the base"
    assert plan["0.weight"].notes == (note,)
    assert Plan.from_json(plan.to_json()) == plan
    assert f"{note}: 0.weight" in plan.to_text()
    for name in ("none", "sp"):
        planned(build, parametrization=name)


def test_a_table_whose_rows_keep_their_length_keeps_max_norm() -> None:
    def build(width):
        fixed = nn.Embedding(9, 8, max_norm=1.0)
        return nn.Sequential(fixed, nn.Linear(8, width), nn.Linear(width, 9))

    assert planned(build)["0.weight"].notes == ()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_that_refuse_sparse_gradients_are_named(name) -> None:
    """The oracle is a step of the optimizer itself."""
    module, _, attribute = get_optimizer(name).path.rpartition(".")
    optimizer = getattr(pytest.importorskip(module), attribute)
    layer = nn.Embedding(9, 4, sparse=True)
    layer(IDS).square().sum().backward()
    accepts = name in TAKE_SPARSE_GRADIENTS
    with nullcontext() if accepts else pytest.raises(RuntimeError, match="sparse"):
        optimizer(layer.parameters(), lr=0.1).step()
    plan = planned(table(sparse=True), optimizer=name)
    assert bool(plan["0.weight"].notes) != accepts
    assert not any(row.notes for row in planned(table(), optimizer=name).rows)


def test_the_note_on_sparse_gradients_is_printed() -> None:
    plan = planned(table(nn.EmbeddingBag, sparse=True), optimizer="muon")
    note = (
        "torch.optim.AdamW does not take sparse gradients: write sparse=False, or train it with "
        "torch.optim.SparseAdam, whose factor on lr is the same"
    )
    assert plan["0.weight"].notes == (note,)
    assert f"{note}: 0.weight" in plan.to_text(1000)
    assert explain(plan, "0.weight").endswith(f"note      {note}")


def test_a_frozen_or_tied_table_has_no_sparse_gradient() -> None:
    def frozen(width):
        model = table(sparse=True)(width)
        model[0].weight.requires_grad_(False)
        return model

    def tied(width):
        model = table(sparse=True)(width)
        model[2].weight = model[0].weight
        return model

    model = tied(BASE)
    model(IDS).square().sum().backward()
    assert model[0].weight.grad.layout is torch.strided
    for build in (frozen, tied):
        assert planned(build)["0.weight"].notes == ()
