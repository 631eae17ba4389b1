"""Mixtures of normal distributions: what several laws together say about one number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.intervals import LOWER, UPPER
from mutransfer.analysis.types.estimates import Bools, Estimate, Floats

# Shape legend: H components.

NUM_BISECTIONS = 44  # each halves the bracket: twelve digits
MIN_WEIGHT = 1e-9  # smaller ones move no quantile that is in use
REACH = 10.0  # standard deviations that hold every quantile in use


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture of normal distributions.

    Args:
        mean: Mean of each component.
        sd: Standard deviation of each component.
        log_weight: Logarithm of the weight of each component, up to a common constant.

    Example:
        >>> mixture = Mixture(np.array([0.0, 4.0]), np.array([1.0, 1.0]), np.zeros(2))
        >>> round(mixture.quantile(0.5), 6), round(mixture.quantile(0.25), 2)
        (2.0, -0.0)
    """

    mean: Floats
    sd: Floats
    log_weight: Floats

    @property
    def weight(self) -> Floats:
        """The weights; they sum to one."""
        weight_H = np.exp(self.log_weight - self.log_weight.max())
        return np.asarray(weight_H / weight_H.sum())

    def quantile(self, share: float) -> float:
        """Return the number that this share of the distribution lies below."""
        low = float(np.min(self.mean - REACH * self.sd))
        high = float(np.max(self.mean + REACH * self.sd))
        weight_H = self.weight
        counts_H = weight_H > MIN_WEIGHT
        weight_H, mean_H, sd_H = weight_H[counts_H], self.mean[counts_H], self.sd[counts_H]
        for _ in range(NUM_BISECTIONS):
            middle = 0.5 * (low + high)
            below = float(weight_H @ normal_cdf((middle - mean_H) / sd_H))
            low, high = (middle, high) if below < share else (low, middle)
        return 0.5 * (low + high)

    def estimate(self) -> Estimate:
        """Return the median with the central 90 % interval."""
        return Estimate(self.quantile(0.5), self.quantile(LOWER), self.quantile(UPPER))

    def part(self, is_member_H: Bools) -> Mixture:
        """Return the mixture of some components alone."""
        members = self.mean[is_member_H], self.sd[is_member_H], self.log_weight[is_member_H]
        return Mixture(*members)

    def draw(self, rng: np.random.Generator, num_draws: int) -> Floats:
        """Draw from the mixture."""
        component_D = rng.choice(len(self.weight), size=num_draws, p=self.weight)
        noise_D = rng.standard_normal(num_draws)
        return np.asarray(self.mean[component_D] + self.sd[component_D] * noise_D)


def normal_cdf(z_H: Floats) -> Floats:
    """Return the cumulative normal distribution; scipy's takes 0.3 s to import."""
    return np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in z_H.tolist()])
