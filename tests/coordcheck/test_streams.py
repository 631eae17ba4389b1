"""A multiplier of the embeddings that is off is found where a residual stream begins."""

import pytest
import torch
import torch.nn.functional as F
from check_models import BASE, diagnosed_faults, run_check
from torch import nn

TOKENS = torch.randint(0, 64, (16, 9), generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    """Two pre-norm blocks over the sum of two tables; a function scales that sum."""

    def __init__(self, width: int, scale, *, norm=nn.RMSNorm) -> None:
        super().__init__()
        self.ratio, self.scale = width / BASE, scale
        self.table, self.positions = nn.Embedding(64, width), nn.Embedding(16, width)
        self.norms = nn.ModuleList(norm(width) for _ in range(2))
        self.ups = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(2))
        self.downs = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(2))
        self.head = nn.Linear(width, 64, bias=False)
        with torch.no_grad():
            self.head.weight *= self.ratio**-0.5

    def forward(self, tokens):
        x = self.scale(self, self.table(tokens) + self.positions(torch.arange(tokens.shape[1])))
        for norm, up, down in zip(self.norms, self.ups, self.downs, strict=True):
            x = x + down(F.gelu(up(norm(x))))
        return self.head(x)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    groups = []
    for name, parameter in model.named_parameters():
        is_slow = parameter.dim() == 2 and not name.startswith(("table", "positions"))
        groups.append({"params": [parameter], "lr": 2**-7 / (model.ratio if is_slow else 1)})
    return torch.optim.Adam(groups)


def next_token(model, text):
    return F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())


def check(scale, **options):
    defaults = {
        "batch": TOKENS, "loss": next_token, "parametrization": None, "optimizer": adam, "steps": 3,
        "widths": [32, 64, 128], "seeds": [0, 1],
    }  # fmt: skip
    norm = options.pop("norm", nn.RMSNorm)
    return run_check(lambda w: Residual(w, scale, norm=norm), **(defaults | options))


def vector(m, x, power: float):
    """Multiply by a vector of constants, which no layer's multiplier shows."""
    return x * torch.full((x.shape[-1],), m.ratio**power)


SCALES = {
    "number": lambda m, x, power: x * m.ratio**power,
    "vector": vector,
}


@pytest.mark.parametrize(("spelling", "power"), [("number", -0.5), ("vector", 0.5)])
def test_the_multiplier_of_the_embeddings_is_named(spelling, power) -> None:
    result = check(lambda m, x: SCALES[spelling](m, x, power))
    assert diagnosed_faults(result) == [("multiplier", "input", power)], str(result)
    (diagnosis,) = result.diagnoses
    assert diagnosis.names[0] == "norms.0"
    assert diagnosis.text.startswith("the residual stream that 'norms.0' reads scales as width^")
    assert diagnosis.text.endswith("look at the multiplier of the embeddings before 'norms.0'")


def test_a_correct_residual_stream_passes() -> None:
    result = check(lambda m, x: x, seeds=3)
    assert result.outcome == "pass", str(result)
    assert [f.name for f in result.findings if f.quantity == "stream"] == ["norms.0", "norms.1"]


def test_an_init_that_explains_the_stream_is_named_alone() -> None:
    def build(width):
        model = Residual(width, lambda m, x: x)
        with torch.no_grad():
            for table in (model.table, model.positions):
                table.weight *= model.ratio**0.5
        return model

    options = {"parametrization": None, "optimizer": adam, "batch": TOKENS, "loss": next_token}
    result = run_check(build, **options, steps=3, widths=[32, 64, 128], seeds=[0, 1])
    assert diagnosed_faults(result) == [("init", "input", 0.5)], str(result)


def test_a_norm_that_nothing_goes_around_undoes_a_multiplier() -> None:
    """Only the normed activations are used, so their size before the norm has no effect."""

    def normed_first(m, x):
        return F.layer_norm(x * m.ratio**0.5, x.shape[-1:])

    result = check(normed_first, seeds=3)
    assert result.outcome == "pass", str(result)


@pytest.mark.slow
def test_without_a_norm_the_place_is_the_first_layer_whose_input_is_off() -> None:
    result = check(
        lambda m, x: vector(m, x, 0.5), norm=lambda width: nn.Identity(), seeds=3, steps=5
    )
    (diagnosis,) = result.diagnoses
    assert (diagnosis.fault, diagnosis.role, diagnosis.names) == ("multiplier", "input", ("ups.0",))
    assert diagnosis.text.startswith("the input of 'ups.0' scales as width^+0.")
