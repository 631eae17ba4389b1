"""Two processes that shard one model in every way and write their losses and weights to a file."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from test_identities import Network, training_losses
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.parallel import DistributedDataParallel

from mutransfer.parametrize import apply, guard, make_plan, param_groups

FORMS = ("table-3", "table-8")


def network() -> Network:
    torch.manual_seed(3)
    return Network(64)


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def fsdp(model: torch.nn.Module, mesh: DeviceMesh) -> torch.nn.Module:
    for layer in (model.up, model.down, model.head):
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def tensor_parallel(model: torch.nn.Module, mesh: DeviceMesh) -> torch.nn.Module:
    layers = {
        "up": ColwiseParallel(),
        "down": RowwiseParallel(),
        "head": ColwiseParallel(output_layouts=Replicate()),
    }
    return parallelize_module(model, mesh, layers)


def ddp(model: torch.nn.Module, mesh: DeviceMesh) -> torch.nn.Module:
    return DistributedDataParallel(model)


WAYS = {"fsdp": fsdp, "tensor parallel": tensor_parallel, "ddp": ddp}


def losses(model, plan) -> list[float]:
    """Train both processes on one batch, so that the mean of their gradients equals each."""
    optimizer = torch.optim.AdamW(param_groups(model, plan, lr=2**-7, weight_decay=0.1))
    guard(optimizer, plan)
    return training_losses(model, optimizer, steps=5)


def facts_of_sharding(mesh: DeviceMesh) -> dict[str, object]:
    facts: dict[str, object] = {}
    for form in FORMS:
        plan = make_plan(Network, base=16, target=64, form=form)
        alone = apply(network(), plan)
        weights = [p.detach().clone() for p in alone.parameters()]
        expected = losses(alone, plan)
        for name, wrap in WAYS.items():
            for order in ("before", "after"):
                model = network()
                if order == "before":
                    model = wrap(apply(model, plan), mesh)
                else:
                    model = apply(wrap(model, mesh), plan)
                case = f"{name}, applied {order}, {form}"
                pairs = zip(model.parameters(), weights, strict=True)
                facts[case] = {
                    "weights equal": all(torch.equal(full_tensor(p), w) for p, w in pairs),
                    "losses": losses(model, plan),
                    "expected losses": expected,
                }
    facts["from meta"] = from_meta(mesh)
    return facts


def from_meta(mesh: DeviceMesh) -> dict[str, float]:
    """What large models do: shard without memory, materialise, initialise, then apply."""
    plan = make_plan(Network, base=16, target=64)
    with torch.device("meta"):
        model = Network(64)
    fsdp(model, mesh).to_empty(device="cpu")
    torch.manual_seed(dist.get_rank())
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    before = {name: full_tensor(p).detach().clone() for name, p in model.named_parameters()}
    apply(model, plan)
    return {
        name: (full_tensor(p).detach() / before[name]).nanmean().item()
        for name, p in model.named_parameters()
    }


def main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    facts = facts_of_sharding(init_device_mesh("cpu", (2,)))
    if rank == 0:
        (Path(folder) / "facts.json").write_text(json.dumps(facts))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(main, (sys.argv[1],), nprocs=2)
