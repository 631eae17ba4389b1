"""Planted surfaces, which the tests of the analysis use too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "analysis"))
