"""Coordinate check: short training runs that test every scaling rule and name broken ones."""

from mutransfer.coordcheck.check import coord_check
from mutransfer.coordcheck.findings import Diagnosis, Finding
from mutransfer.coordcheck.result import CoordCheck

__all__ = ["CoordCheck", "Diagnosis", "Finding", "coord_check"]
