"""Mixtures of normal distributions: what several laws together say about one number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.intervals import LOWER, UPPER
from mutransfer.analysis.types.estimates import Bools, Estimate, Floats

# Shape legend: H components.

NUM_BISECTIONS = 44  # each halves the bracket: twelve digits
REACH = 10.0  # standard deviations that hold every quantile in use


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture of normal distributions.

    Args:
        mean: Mean of each component.
        sd: Standard deviation of each component.
        weight: Weight of each component; they sum to one.

    Example:
        >>> mixture = Mixture(np.array([0.0, 4.0]), np.array([1.0, 1.0]), np.array([0.5, 0.5]))
        >>> round(mixture.quantile(0.5), 6), round(mixture.quantile(0.25), 2)
        (2.0, -0.0)
    """

    mean: Floats
    sd: Floats
    weight: Floats

    def quantile(self, share: float) -> float:
        """Return the number that this share of the distribution lies below."""
        low = float(np.min(self.mean - REACH * self.sd))
        high = float(np.max(self.mean + REACH * self.sd))
        for _ in range(NUM_BISECTIONS):
            middle = 0.5 * (low + high)
            below = float(self.weight @ normal_cdf((middle - self.mean) / self.sd))
            low, high = (middle, high) if below < share else (low, middle)
        return 0.5 * (low + high)

    def estimate(self) -> Estimate:
        """Return the median with the central 90 % interval."""
        return Estimate(self.quantile(0.5), self.quantile(LOWER), self.quantile(UPPER))

    def part(self, is_member_H: Bools) -> Mixture:
        """Return the mixture of some components alone."""
        weight_H = np.where(is_member_H, self.weight, 0.0)
        total = weight_H.sum()
        # Components that the data refute by all digits have no weights left to compare.
        weight_H = weight_H / total if total > 0 else is_member_H / is_member_H.sum()
        return Mixture(self.mean, self.sd, weight_H)

    def draw(self, rng: np.random.Generator, num_draws: int) -> Floats:
        """Draw from the mixture."""
        component_D = rng.choice(len(self.weight), size=num_draws, p=self.weight)
        noise_D = rng.standard_normal(num_draws)
        return np.asarray(self.mean[component_D] + self.sd[component_D] * noise_D)


def normal_cdf(z_H: Floats) -> Floats:
    """Return the cumulative normal distribution; scipy's takes 0.3 s to import."""
    return np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in z_H.tolist()])
