"""This file is what a rule must know of an optimizer: update family, decay kind, epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mutransfer.errors import RuleError, nearest


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

    times_rate: a step shrinks the weight by rate · decay (AdamW, Lion, and SGD, whose
        L2 term is multiplied by the rate as well).
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
        eps: The library's default epsilon, or None where the optimizer has none.
        path: The class that the name stands for.
    """

    name: str
    update: Update
    decay: DecayKind
    eps: float | None
    path: str


# fmt: off
OPTIMIZERS = {
    row.name: row
    for row in (
        Optimizer("sgd",     Update.GRADIENT,  DecayKind.TIMES_RATE,  None, "torch.optim.SGD"),
        Optimizer("adam",    Update.ENTRYWISE, DecayKind.IN_GRADIENT, 1e-8, "torch.optim.Adam"),
        Optimizer("adamw",   Update.ENTRYWISE, DecayKind.TIMES_RATE,  1e-8, "torch.optim.AdamW"),
        Optimizer("nadam",   Update.ENTRYWISE, DecayKind.IN_GRADIENT, 1e-8, "torch.optim.NAdam"),
        Optimizer("rmsprop", Update.ENTRYWISE, DecayKind.IN_GRADIENT, 1e-8, "torch.optim.RMSprop"),
        Optimizer("lion",    Update.ENTRYWISE, DecayKind.TIMES_RATE,  None, "lion_pytorch.Lion"),
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
