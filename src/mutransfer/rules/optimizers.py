"""This file is what a rule must know of an optimizer: update family, decay kind, epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mutransfer.errors import RuleError, nearest
from mutransfer.rules.roles import Role


class Update(StrEnum):
    """How an update's size depends on the gradient's and the weight's.

    entrywise: every entry moves by about the rate (Adam and its kin, RMSprop, Lion, sign-like).
    gradient: the step is proportional to the gradient (SGD, momentum).
    spectral: the update is orthogonalised, its singular values are about 1 (Muon).
    relative: the step is proportional to the weight's RMS (parameter-scaled Adafactor).
    """

    ENTRYWISE = "entrywise"
    GRADIENT = "gradient"
    SPECTRAL = "spectral"
    RELATIVE = "relative"


class DecayKind(StrEnum):
    """Where weight decay enters.

    times_rate: a step shrinks the weight by rate · decay (AdamW, Lion, Adafactor, Muon, and
        SGD, whose L2 term is multiplied by the rate as well).
    in_gradient: L2 added to a gradient that is then normalised (torch's Adam).
    """

    TIMES_RATE = "times_rate"
    IN_GRADIENT = "in_gradient"


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One row: how rules apply to an optimizer.

    Args:
        name: As written in a study file and in `make_plan`.
        update: The family whose rate column applies.
        decay: Where weight decay enters.
        eps: The library's default epsilon; Adafactor's pair, of a gradient (None: the data
            type's) and of a weight; None where rules know of none.
        path: The class that the name stands for.
        has_betas: Whether the class takes `betas`.
        adjust_lr_fn: What torch's Muon is told to multiply a matrix's rate by.
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
        """The class in lower case: 'muon' for both of Muon's names."""
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


def optimizer_named(name: str) -> Optimizer:
    """Look an optimizer up.

    Raises:
        RuleError: There is no rule for that optimizer.

    Example:
        >>> optimizer_named("adamw").update
        <Update.ENTRYWISE: 'entrywise'>
    """
    if name not in OPTIMIZERS:
        raise RuleError(
            f"there are no rules for the optimizer '{name}'",
            why="without its update family a rate would be scaled wrongly, silently",
            fix=f"{nearest(name, OPTIMIZERS)}; momentum is 'sgd'",
        )
    return OPTIMIZERS[name]


def optimizers_of(name: str) -> tuple[Optimizer, ...]:
    """Give the optimizers that a plan of this name needs: beside Muon stands AdamW.

    Example:
        >>> [each.name for each in optimizers_of("muon")]
        ['muon', 'adamw']
    """
    chosen = optimizer_named(name)
    beside = (OPTIMIZERS["adamw"],) if chosen.update is Update.SPECTRAL else ()
    return chosen, *beside


def optimizer_of(name: str, role: Role, sides: int = 2) -> Optimizer:
    """Give the optimizer that takes a parameter: beside Muon, AdamW takes all but hidden matrices.

    Args:
        name: The plan's optimizer.
        role: The parameter's role.
        sides: How many axes it has; torch's Muon takes matrices only.

    Source:
        Which weights are orthogonalised: arXiv:2505.02222, and the documentation of
        `torch.optim.Muon`.

    Example:
        >>> optimizer_of("muon", Role.HIDDEN).name, optimizer_of("muon", Role.OUTPUT).name
        ('muon', 'adamw')
    """
    first, *beside = optimizers_of(name)
    is_matrix = role in (Role.HIDDEN, Role.BOTTLENECK) and sides == 2
    return beside[0] if beside and not is_matrix else first
