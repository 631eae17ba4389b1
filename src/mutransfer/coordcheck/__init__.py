"""Coordinate check: runs that decide, and name the broken rule."""

from mutransfer.coordcheck.check import coord_check
from mutransfer.coordcheck.result import CoordCheck, Diagnosis, Finding

__all__ = ["CoordCheck", "Diagnosis", "Finding", "coord_check"]
