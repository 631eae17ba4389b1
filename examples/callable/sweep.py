"""Sweep the learning rate of your own model from Python: standard parametrization against µP.

    python sweep.py

A trial is a call of `train` at one point of the grid. Trials run in their own processes, and their
results are stored in runs/callable, so a second run only reads them. The same code works in a
notebook.
"""

import torch
import torch.nn.functional as F
from torch import nn

import mutransfer as mt

STUDY = {
    "schema": 1,
    "study": {"name": "callable"},
    "axes": {
        "parametrization": ["sp", "mup"],
        "width": [64, 256, 1024],
        "lr": [2.0**k for k in range(-14, -4)],
        "seed": [0, 1],
    },
}


def build(width: int) -> nn.Module:
    """Return the model at a width; mutransfer needs to know nothing else about it."""
    return nn.Sequential(
        nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )


def train(parametrization: str, width: int, lr: float, seed: int) -> float:
    """Train once to predict the classes that a random teacher assigns, and return the loss."""
    teacher = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 10))
    examples = torch.Generator().manual_seed(0)
    for parameter in teacher.parameters():
        nn.init.normal_(parameter, generator=examples)
    torch.manual_seed(seed)
    plan = mt.make_plan(
        build, base=64, target=width, parametrization=parametrization, optimizer="adamw"
    )
    model = mt.apply(build(width), plan)
    optimizer = torch.optim.AdamW(mt.param_groups(model, plan, lr=lr, weight_decay=0.0))
    for _ in range(200):
        inputs = torch.randn(128, 32, generator=examples)
        loss = F.cross_entropy(model(inputs), teacher(inputs).argmax(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    inputs = torch.randn(4096, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return F.cross_entropy(model(inputs), teacher(inputs).argmax(-1)).item()


def print_loss(outcome) -> None:
    """Print the loss of a finished trial."""
    if outcome.result is not None:
        print(outcome.spec.axes, f"loss {outcome.result.loss:.4f}")


run = mt.run_study(STUDY, runner=train, on_outcome=print_loss)
print(f"{run.summary.done} of {run.summary.total} trials done, in {run.store}")
results = mt.load_results(run.store)
report = mt.analyze(results)
for name, group in report.items():
    print(f"{name}: {group.verdict}; regret {group.regret.value} nats, drift {group.drift.value}")
print(mt.write_report("callable.html", results=results, report=report))
