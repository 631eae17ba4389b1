"""Small models that tests make plans for, some of which `make_plan` rejects."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mutransfer.errors import MutransferError


def mlp(width: int, std: float | None = None, power: float = 0.0) -> nn.Module:
    model = nn.Sequential(
        nn.Linear(12, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 7)
    )
    if std is not None:
        for layer in model[::2]:
            nn.init.normal_(layer.weight, std=std * layer.in_features**power)
            nn.init.zeros_(layer.bias)
    return model


class Raw(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.up = nn.Linear(5, width)


class Tied(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, width)
        self.head = nn.Linear(width, 9, bias=False)
        self.head.weight = self.embed.weight


class Router(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, width)
        self.router = nn.Linear(width, 4)
        self.head = nn.Linear(width, 9)


def glorot(width: int) -> nn.Module:
    model = mlp(width)
    nn.init.xavier_normal_(model[4].weight, gain=1.0)
    nn.init.normal_(model[2].weight, std=(width + 64) ** -0.5)
    return model


def lazy(width: int) -> nn.Module:
    return nn.Sequential(nn.LazyLinear(width))


def failing(width: int) -> nn.Module:
    raise ZeroDivisionError("heads")


class Gains(nn.Module):
    """A raw vector in each of six uses: four are gains, two are dot products."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(5, width)
        for name in ("llama", "gemma", "cast", "functional", "dot", "two_steps"):
            self.register_parameter(name, nn.Parameter(torch.ones(width)))

    def forward(self, x_BD: torch.Tensor) -> torch.Tensor:
        h = self.llama * self.up(x_BD)
        h = h * (1 + self.gemma.float())
        h = (h.float() * self.cast.to(torch.float32)[None]).type_as(x_BD)
        h = F.rms_norm(h, (h.shape[-1],), self.functional)
        return h @ self.dot + (h * self.two_steps).sum(-1)


def error_text(call) -> str:
    """Return the class and the message of the error that a call raises."""
    with pytest.raises(MutransferError) as error:
        call()
    return f"{type(error.value).__name__}: {error.value}"
