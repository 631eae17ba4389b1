"""A plan, a check and a lab model leave the user's random state as it was."""

import torch
from zoo import mlp

from mutransfer.parametrize import make_plan
from mutransfer.parametrize.model.build import temporary_seed


def test_making_a_plan_leaves_the_random_state() -> None:
    state = torch.get_rng_state()
    make_plan(mlp, base=16, target=64)
    assert torch.equal(state, torch.get_rng_state())


def test_an_unused_cuda_keeps_the_users_seed(monkeypatch) -> None:
    """torch.manual_seed also seeds CUDA, at its first use, and fork_rng does not undo that."""
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    with temporary_seed(5):
        sample = torch.rand(3)
    assert seeds == []
    torch.manual_seed(5)
    assert seeds == [5]  # control: the call that is avoided
    assert torch.equal(sample, torch.rand(3))
