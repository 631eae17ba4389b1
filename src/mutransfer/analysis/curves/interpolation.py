"""Interpolation of loss curves between the rates that were tried: a smooth value and two bounds.

A curve that bends upwards lies below the straight line between two rates, and above the lines
through the neighboring rates, extended into the gap.
"""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.types.estimates import Floats

# Shape legend: F rates with a usable loss, D draws, each with one ln(rate) of its own.


def monotone_cubic(x_F: Floats, mean_DF: Floats, x_D: Floats) -> Floats:
    """Interpolate by a shape-preserving cubic; linearly with two rates, NaN with one."""
    if len(x_F) < 2:
        return np.full(len(x_D), np.nan)
    from scipy.interpolate import PchipInterpolator  # seldom needed, and slow to import

    pieces_4FD = PchipInterpolator(x_F, mean_DF, axis=1).c
    left_D, draw_D = _left_rate(x_F, x_D, len(x_F) - 2), np.arange(len(x_D))
    a_D, b_D, c_D, d_D = pieces_4FD[:, left_D, draw_D]
    step_D = x_D - x_F[left_D]
    return np.asarray(((a_D * step_D + b_D) * step_D + c_D) * step_D + d_D)


def chord(x_F: Floats, mean_DF: Floats, x_D: Floats) -> Floats:
    """Interpolate linearly; NaN with one rate."""
    if len(x_F) < 2:
        return np.full(len(x_D), np.nan)
    left_D, draw_D = _left_rate(x_F, x_D, len(x_F) - 2), np.arange(len(x_D))
    part_D = (x_D - x_F[left_D]) / (x_F[left_D + 1] - x_F[left_D])
    left_loss_D, right_loss_D = mean_DF[draw_D, left_D], mean_DF[draw_D, left_D + 1]
    return np.asarray(left_loss_D + part_D * (right_loss_D - left_loss_D))


def extended_chords(x_F: Floats, mean_DF: Floats, x_D: Floats) -> Floats:
    """Extend the chords next to a gap into it and return the higher one; NaN without any."""
    last = len(x_F) - 1
    if last < 2:
        return np.full(len(x_D), np.nan)
    left_D, draw_D = _left_rate(x_F, x_D, last - 1), np.arange(len(x_D))
    lines = []
    for first_D in (left_D - 1, left_D + 1):
        exists_D = (first_D >= 0) & (first_D < last)
        start_D = np.clip(first_D, 0, last - 1)
        start_loss_D, end_loss_D = mean_DF[draw_D, start_D], mean_DF[draw_D, start_D + 1]
        slope_D = (end_loss_D - start_loss_D) / (x_F[start_D + 1] - x_F[start_D])
        line_D = start_loss_D + slope_D * (x_D - x_F[start_D])
        lines.append(np.where(exists_D, line_D, np.nan))
    return np.asarray(np.fmax(*lines))


def _left_rate(x_F: Floats, x_D: Floats, last: int) -> np.ndarray:
    """Return the index of the rate below each ln(rate), at most `last`."""
    return np.clip(np.searchsorted(x_F, x_D) - 1, 0, last)
