"""Polynomials of the loss in several hyperparameters, many at once, and their minima in a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.types.estimates import Floats

# Shape legend: P points, H hyperparameters, K coefficients, D draws.

SWEEPS = 300  # of coordinate descent; a correlation of 0.95 shrinks by 0.9 in each [derived]
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a polynomial: 1, z, z², then z³, then products of two, if it has them.

    Cubic terms describe a loss that is steeper on one side of its minimum than on the other.
    """

    num_hyperparameters: int
    has_products: bool
    has_cubes: bool

    @property
    def count(self) -> int:
        """Number of coefficients.

        Example:
            >>> Terms(2, True, False).count, Terms(3, True, False).count
            (6, 10)
        """
        count = self.num_hyperparameters
        products = count * (count - 1) // 2 if self.has_products else 0
        return 1 + (3 if self.has_cubes else 2) * count + products

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of hyperparameters that have a product."""
        return list(combinations(range(self.num_hyperparameters), 2)) if self.has_products else []

    def at(self, z_PH: Floats) -> Floats:
        """Return every term at every point."""
        cubes = [z_PH**3] if self.has_cubes else []
        products = [z_PH[:, [a]] * z_PH[:, [b]] for a, b in self.pairs]
        return np.hstack([np.ones((len(z_PH), 1)), z_PH, z_PH**2, *cubes, *products])

    def polynomials(self, coefficients_DK: Floats) -> Polynomials:
        """Arrange coefficients by their order."""
        count = self.num_hyperparameters
        constant_D, rest = coefficients_DK[:, 0], coefficients_DK[:, 1:]
        slope_DH, square_DH = rest[:, :count], rest[:, count : 2 * count]
        products_D, cube_DH = rest[:, 2 * count :], np.zeros_like(slope_DH)
        if self.has_cubes:
            cube_DH, products_D = products_D[:, :count], products_D[:, count:]
        hessian_DHH = np.zeros((len(coefficients_DK), count, count))
        diagonal = np.arange(count)
        hessian_DHH[:, diagonal, diagonal] = 2 * square_DH
        for k, (a, b) in enumerate(self.pairs):
            hessian_DHH[:, a, b] = hessian_DHH[:, b, a] = products_D[:, k]
        return Polynomials(constant_D, slope_DH, hessian_DHH, cube_DH)


@dataclass(frozen=True, slots=True, eq=False)
class Polynomials:
    """Polynomials c + b·z + ½ z·A·z + g·z³, one per draw.

    Args:
        constant: c.
        slope: b.
        hessian: A.
        cube: g; zero for a quadratic.
    """

    constant: Floats
    slope: Floats
    hessian: Floats
    cube: Floats

    @classmethod
    def joined(cls, parts: Sequence[Polynomials]) -> Polynomials:
        """Return the polynomials of several batches as one batch."""
        names = ("constant", "slope", "hessian", "cube")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def __call__(self, z_DH: Floats) -> Floats:
        """Return the value of each polynomial at a point of its own."""
        curved_D = np.einsum("dh,dhk,dk->d", z_DH, self.hessian, z_DH)
        sides_D = (self.slope * z_DH + self.cube * z_DH**3).sum(axis=1)
        return np.asarray(self.constant + sides_D + 0.5 * curved_D)

    def at_points(self, z_PH: Floats) -> Floats:
        """Return the values of all polynomials at all points, one row per polynomial."""
        curved_DP = np.einsum("ph,dhk,pk->dp", z_PH, self.hessian, z_PH)
        sides_DP = self.slope @ z_PH.T + self.cube @ (z_PH**3).T
        return np.asarray(self.constant[:, None] + sides_DP + 0.5 * curved_DP)

    def hessian_at(self, z_DH: Floats) -> Floats:
        """Return the second derivatives of each polynomial at a point of its own."""
        return np.asarray(self.hessian + 6 * (self.cube * z_DH)[:, None] * np.eye(z_DH.shape[1]))

    def select(self, rows: NDArray[np.intp]) -> Polynomials:
        """Return some of the polynomials."""
        parts = (self.constant, self.slope, self.hessian, self.cube)
        return Polynomials(*(part[rows] for part in parts))

    def minimum(self, low_H: Floats, high_H: Floats, start_H: Floats) -> Floats:
        """Return the lowest point of each polynomial inside a box.

        A quadratic whose stationary point is a minimum inside the box has it there. Otherwise the
        coordinates are minimized in turn, which is exact for convex quadratics, and ends at a
        corner along directions that curve downwards.
        """
        hessian_DHH = self.hessian_at(np.broadcast_to(start_H, self.slope.shape))
        singular = 1e-12 * np.eye(len(low_H))
        inner_DH = -np.linalg.solve(self.hessian + singular, self.slope[..., None])[..., 0]
        is_inside_D = ((inner_DH >= low_H) & (inner_DH <= high_H)).all(axis=1)
        is_inside_D &= (np.linalg.eigvalsh(hessian_DHH)[:, 0] > 0) & ~self.cube.any(axis=1)
        best_DH = np.clip(np.nan_to_num(inner_DH), low_H, high_H)
        rest = np.flatnonzero(~is_inside_D)
        if len(rest):
            part = self.select(rest)
            starts = (best_DH[rest], np.broadcast_to(start_H, (len(rest), len(low_H))))
            ends = [part._descend(start_DH.copy(), low_H, high_H) for start_DH in starts]
            is_lower_D = part(ends[0]) <= part(ends[1])
            best_DH[rest] = np.where(is_lower_D[:, None], *ends)
        return np.asarray(best_DH)

    def _descend(self, z_DH: Floats, low_H: Floats, high_H: Floats) -> Floats:
        """Minimize along one coordinate after the other until nothing moves."""
        for _ in range(SWEEPS):
            previous_DH = z_DH.copy()
            for h, (low, high) in enumerate(zip(low_H, high_H, strict=True)):
                square_D, cube_D = self.hessian[:, h, h], self.cube[:, h]
                others_D = (self.hessian[:, h] * z_DH).sum(axis=1) - square_D * z_DH[:, h]
                slope_D = self.slope[:, h] + others_D
                z_DH[:, h] = _lowest(slope_D, square_D, cube_D, low, high)
            if np.abs(z_DH - previous_DH).max() < TOLERANCE:
                break
        return z_DH


def _lowest(slope_D: Floats, square_D: Floats, cube_D: Floats, low: float, high: float) -> Floats:
    """Return the lowest place of s·z + ½ a·z² + g·z³ in an interval."""

    def value(z: Floats | float) -> Floats:
        return np.asarray(slope_D * z + 0.5 * square_D * z**2 + cube_D * z**3)

    end_D = np.where(value(low) <= value(high), low, high)
    # The root of the derivative with a positive curvature, in a form that holds for g = 0.
    inside_D = square_D**2 - 12 * cube_D * slope_D
    divisor_D = square_D + np.sqrt(np.maximum(inside_D, 0.0))
    has_root_D = (inside_D > 0) & (divisor_D > 0)
    root_D = -2 * slope_D / np.where(has_root_D, divisor_D, 1.0)
    is_inside_D = has_root_D & (root_D > low) & (root_D < high)
    is_lowest_D = is_inside_D & (value(root_D) <= value(end_D))
    return np.where(is_lowest_D, root_D, end_D)
