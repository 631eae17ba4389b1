"""Optimizers: the update family, kind of decay and epsilon that scaling rules depend on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mutransfer.errors import RuleError, nearest
from mutransfer.rules.roles import Role


class Update(StrEnum):
    """Family of update rules: how the size of a step depends on gradient and weight.

    entrywise: every entry moves by about the rate (Adam and its kin, RMSprop, Lion, sign-like).
    gradient: the step is proportional to the gradient (SGD, momentum).
    spectral: the update is orthogonalized, its singular values are about 1 (Muon).
    relative: the step is proportional to the weight's RMS (parameter-scaled Adafactor).
    """

    ENTRYWISE = "entrywise"
    GRADIENT = "gradient"
    SPECTRAL = "spectral"
    RELATIVE = "relative"


class DecayKind(StrEnum):
    """Where weight decay enters the update.

    times_rate: a step shrinks the weight by rate · decay (AdamW, Lion, Adafactor, Muon, and
        SGD, whose L2 term is multiplied by the rate as well).
    in_gradient: an L2 term is added to a gradient that is then normalized (torch's Adam).
    """

    TIMES_RATE = "times_rate"
    IN_GRADIENT = "in_gradient"


@dataclass(frozen=True, slots=True)
class Optimizer:
    """How scaling rules apply to one optimizer.

    Args:
        name: Name in study files and `make_plan`.
        update: The family whose rate column applies.
        decay: Where weight decay enters.
        eps: Default epsilon of the library; for Adafactor a pair, for the gradient (None is the
            machine epsilon of the data type) and for the weight; None without an epsilon.
        path: Import path of the class.
        has_betas: Whether the class takes `betas`.
        adjust_lr_fn: Argument of torch's Muon that selects the shape factor on its rate.
    """

    name: str
    update: Update
    decay: DecayKind
    eps: float | tuple[float | None, float] | None
    path: str
    has_betas: bool
    adjust_lr_fn: str | None = None

    @property
    def class_name(self) -> str:
        """Name of the class in lower case: 'muon' for both of Muon's names."""
        return self.path.rpartition(".")[2].lower()


# fmt: off
OPTIMIZERS = {
    row.name: row
    for row in (
        Optimizer("sgd",            Update.GRADIENT,  DecayKind.TIMES_RATE,  None,         "torch.optim.SGD",       False),
        Optimizer("adam",           Update.ENTRYWISE, DecayKind.IN_GRADIENT, 1e-8,         "torch.optim.Adam",      True),
        Optimizer("adamw",          Update.ENTRYWISE, DecayKind.TIMES_RATE,  1e-8,         "torch.optim.AdamW",     True),
        Optimizer("nadam",          Update.ENTRYWISE, DecayKind.IN_GRADIENT, 1e-8,         "torch.optim.NAdam",     True),
        Optimizer("rmsprop",        Update.ENTRYWISE, DecayKind.IN_GRADIENT, 1e-8,         "torch.optim.RMSprop",   False),
        Optimizer("lion",           Update.ENTRYWISE, DecayKind.TIMES_RATE,  None,         "lion_pytorch.Lion",     True),
        Optimizer("adafactor",      Update.RELATIVE,  DecayKind.TIMES_RATE,  (None, 1e-3), "torch.optim.Adafactor", False),
        Optimizer("muon",           Update.SPECTRAL,  DecayKind.TIMES_RATE,  1e-7,         "torch.optim.Muon",      False, "original"),
        Optimizer("muon-match-rms", Update.SPECTRAL,  DecayKind.TIMES_RATE,  1e-7,         "torch.optim.Muon",      False, "match_rms_adamw"),
    )
}
# fmt: on


def get_optimizer(name: str) -> Optimizer:
    """Return an optimizer by name.

    Raises:
        RuleError: There are no rules for that optimizer.

    Example:
        >>> get_optimizer("adamw").update
        <Update.ENTRYWISE: 'entrywise'>
    """
    if not isinstance(name, str) or name not in OPTIMIZERS:
        # A class, or an optimizer, whose text begins with the name of its class.
        name = str(getattr(name, "__name__", name)).partition(" (")[0]
        raise RuleError(
            f"there are no rules for the optimizer '{name}'",
            why="the scaling of a learning rate depends on the update family, which is unknown here",
            fix=f"{nearest(name, OPTIMIZERS)} (SGD with momentum is 'sgd')",
        )
    return OPTIMIZERS[name]


def optimizers_of(name: str) -> tuple[Optimizer, ...]:
    """Return the optimizers that a plan needs: Muon comes with AdamW for all but the matrices.

    Example:
        >>> [optimizer.name for optimizer in optimizers_of("muon")]
        ['muon', 'adamw']
    """
    optimizer = get_optimizer(name)
    if optimizer.update is Update.SPECTRAL:
        return optimizer, OPTIMIZERS["adamw"]
    return (optimizer,)


def optimizer_of(name: str, role: Role, num_axes: int = 2) -> Optimizer:
    """Return the optimizer of one parameter: under Muon, AdamW trains all but hidden matrices.

    Args:
        name: The plan's optimizer.
        role: The parameter's role.
        num_axes: Axes of the parameter; torch's Muon accepts matrices only.

    Source:
        Which weights are orthogonalized: arXiv:2505.02222, documentation of `torch.optim.Muon`.

    Example:
        >>> optimizer_of("muon", Role.HIDDEN).name, optimizer_of("muon", Role.OUTPUT).name
        ('muon', 'adamw')
    """
    main, *fallback = optimizers_of(name)
    is_matrix = role in (Role.HIDDEN, Role.BOTTLENECK) and num_axes == 2
    return fallback[0] if fallback and not is_matrix else main
