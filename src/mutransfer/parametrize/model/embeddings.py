"""Options of embeddings that concern a plan: `max_norm` and sparse gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from mutransfer.errors import ModelError
from mutransfer.parametrize.model.shapes import ParameterInfo
from mutransfer.rules.optimizers import OPTIMIZERS, Update
from mutransfer.rules.roles import ROLE_OVERRIDE
from mutransfer.rules.rows import PlanRow

Infos = Mapping[int, Mapping[str, ParameterInfo]]  # by width, the base first, and by name

TINY = 1e-9  # in place of zero
EXPONENT_TOLERANCE = 0.1  # of a norm that is rounded from the power it should have [assumed]
# The rest raises in step(), of torch's optimizers and Lion [measured: test_embeddings.py].
TAKE_SPARSE_GRADIENTS = ("sgd", "lion")


def check_max_norms(infos: Infos, powers: Mapping[str, Fraction]) -> None:
    """Raise if `max_norm` cuts the rows of a table to entries whose size depends on width.

    A row of n entries of size c has the p-norm c · n^(1/p), so its bound must grow by that. Where
    the model multiplies the row by n^a, the plan makes c smaller by as much.

    Args:
        infos: Parameters by width and name.
        powers: The exponents a of the parameters whose bounds are checked.

    Raises:
        ModelError: A bound does not grow by that power.
    """
    (base, first), *others = infos.items()
    for name, table in first.items():
        for width, wider in ((width, models[name]) for width, models in others):
            octaves = abs(math.log2(width / base))
            if name not in powers or not octaves or table.max_norm is wider.max_norm is None:
                continue
            power = 1 / (table.norm_type or TINY) - float(powers[name])
            if (
                abs(_log_size(wider, power) - _log_size(table, power))
                > EXPONENT_TOLERANCE * octaves
            ):
                raise _max_norm_error(table, wider, (base, width), power)


def _log_size(table: ParameterInfo, power: float) -> float:
    """Return the logarithm of the size that a row is cut to, over its rule; inf without a bound."""
    if table.max_norm is None:
        return math.inf
    return math.log2(table.max_norm or TINY) - math.log2(table.shape[1]) * power


def _max_norm_error(
    table: ParameterInfo, wider: ParameterInfo, widths: tuple[int, int], power: float
) -> ModelError:
    """Return the error for a bound that does not grow with the length of a row."""
    norm, (base, width) = table.max_norm or wider.max_norm, widths
    multiplied = power != 1 / (table.norm_type or TINY)
    scaled = f"{norm} * (width / {base}) ** {power:.3g}" if power else f"{norm}, at every width"
    return ModelError(
        f"'{table.name}' has max_norm={table.max_norm} for rows of {table.shape[1]} entries at "
        f"width {base}, and max_norm={wider.max_norm} for {wider.shape[1]} entries at {width}",
        why=f"the norm of a row of n entries grows as n^{power:.3g}"
        + ", because the model multiplies the row by a power of n" * multiplied
        + "; where max_norm does not, it "
        "cuts entries to a size that changes with width, and so does the effect of a step",
        fix=f"nn.{table.kind.__name__}(..., max_norm={scaled}); or "
        f"roles={{'{table.name}': Role.INPUT}}, which keeps the norm as it is",
    )


def embedding_notes(row: PlanRow, table: ParameterInfo) -> tuple[str, ...]:
    """Return notes on a bound that is kept, and on gradients that the optimizer does not take."""
    notes = []
    if table.max_norm is not None and row.reason == ROLE_OVERRIDE:
        notes.append(f"max_norm is kept as your build sets it, {table.max_norm} at the base")
    optimizer = OPTIMIZERS[row.optimizer]
    is_refused = optimizer.name not in TAKE_SPARSE_GRADIENTS
    if table.sparse and is_refused and not table.is_frozen and not table.readouts:
        note = f"{optimizer.path} does not take sparse gradients: write sparse=False"
        if optimizer.update is Update.ENTRYWISE:
            note += ", or train it with torch.optim.SparseAdam, whose factor on lr is the same"
        notes.append(note)
    return tuple(notes)
