"""Random search: Sobol points over the ranges of several hyperparameters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mutransfer.records.tables.search import SearchTable

BITS = 30  # of each coordinate; the digits of a value are fewer


def random_points(search: SearchTable) -> list[Mapping[str, float]]:
    """Return the random points of a study, the same for the same seed on every machine.

    The points are a Sobol sequence, whose first n points fill the ranges more evenly than
    independent ones, for every n. They are shifted digit by digit, as the seed says: an unshifted
    sequence begins in a corner.

    Source:
        Sobol sequences: https://doi.org/10.1137/070709359; the shift: Owen, Monte Carlo theory,
        methods and examples, section 17.1.

    Example:
        >>> search = SearchTable(strategy="random", samples=2, ranges={"lr": "2^-6 .. 2^-4"})
        >>> len(random_points(search)), sorted(random_points(search)[0])
        (2, ['lr'])
    """
    import numpy as np  # both are slow to import, and a grid needs neither
    from scipy.stats import qmc

    names, num = list(search.ranges), search.num_samples
    sequence = qmc.Sobol(len(names), scramble=False, bits=BITS)
    # The number of drawn points must be a power of two; the first ones do not depend on it.
    points_SH = sequence.random_base2((num - 1).bit_length())[:num]
    digits_SH = np.round(points_SH * 2**BITS).astype(np.int64)
    shift_H = np.array([_shift(search.seed, position) for position in range(len(names))])
    shares_SH = ((digits_SH ^ shift_H) + 0.5) / 2**BITS
    ranges = search.ranges.values()
    return [
        {name: ends.at(share) for name, ends, share in zip(names, ranges, row, strict=True)}
        for row in shares_SH.tolist()
    ]


def _shift(seed: int, position: int) -> int:
    """Return the digits by which a coordinate is shifted."""
    digest = hashlib.sha256(f"{seed}/{position}".encode()).digest()
    return int.from_bytes(digest[:8]) >> (64 - BITS)
