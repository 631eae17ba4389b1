"""Interpolation of loss curves between the rates that were tried: a smooth value and two bounds.

A curve that bends upwards lies below the straight line between two rates, and above the lines
through the neighboring rates, extended into the gap.
"""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.types.estimates import Floats

# Shape legend: F rates with a usable loss, D draws, each with one ln(rate) of its own.


def monotone_cubic(x_F: Floats, mean_DF: Floats, x_D: Floats) -> Floats:
    """Interpolate by a shape-preserving cubic; linearly with two rates, NaN with one.

    It is scipy's `PchipInterpolator`, which takes 0.6 s to import.

    Source:
        Fritsch and Butland, https://doi.org/10.1137/0905021.
    """
    if len(x_F) < 2:
        return np.full(len(x_D), np.nan)
    left_D, draw_D = _left_rate(x_F, x_D, len(x_F) - 2), np.arange(len(x_D))
    step_F, chord_DF = np.diff(x_F), np.diff(mean_DF, axis=1) / np.diff(x_F)
    slope_DF = _slopes(step_F, chord_DF)
    step_D, chord_D = step_F[left_D], chord_DF[draw_D, left_D]
    slope_D, next_D = slope_DF[draw_D, left_D], slope_DF[draw_D, left_D + 1]
    z_D = x_D - x_F[left_D]
    cubic_D = (slope_D + next_D - 2 * chord_D) / step_D**2
    square_D = (3 * chord_D - 2 * slope_D - next_D) / step_D
    return np.asarray(mean_DF[draw_D, left_D] + z_D * (slope_D + z_D * (square_D + z_D * cubic_D)))


def _slopes(step_F: Floats, chord_DF: Floats) -> Floats:
    """Return the slope at every rate: zero at an extremum, else a mean of the chords around."""
    if len(step_F) == 1:
        return np.repeat(chord_DF, 2, axis=1)
    left_DF, right_DF = chord_DF[:, :-1], chord_DF[:, 1:]
    before_F, after_F = 2 * step_F[1:] + step_F[:-1], step_F[1:] + 2 * step_F[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_DF = (before_F + after_F) / (before_F / left_DF + after_F / right_DF)
    inner_DF = np.where(left_DF * right_DF > 0, mean_DF, 0.0)
    first_D = _end_slope(step_F[0], step_F[1], chord_DF[:, 0], chord_DF[:, 1])
    last_D = _end_slope(step_F[-1], step_F[-2], chord_DF[:, -1], chord_DF[:, -2])
    return np.concatenate([first_D[:, None], inner_DF, last_D[:, None]], axis=1)


def _end_slope(step: float, next_step: float, chord_D: Floats, next_D: Floats) -> Floats:
    """Return the slope at an end: that of a parabola, unless its shape differs from the chords'."""
    slope_D = ((2 * step + next_step) * chord_D - step * next_D) / (step + next_step)
    slope_D = np.where(np.sign(slope_D) == np.sign(chord_D), slope_D, 0.0)
    is_steep_D = (np.sign(chord_D) != np.sign(next_D)) & (np.abs(slope_D) > 3 * np.abs(chord_D))
    return np.asarray(np.where(is_steep_D, 3 * chord_D, slope_D))


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
