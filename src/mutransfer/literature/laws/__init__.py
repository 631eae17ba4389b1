"""Published laws of the best learning rate, for comparison with a prediction; none enters it."""

from mutransfer.literature.laws.anchors import common_sizes, named_sizes, sweep_anchors
from mutransfer.literature.laws.compare import Anchor, ComparedLaw, compare_laws
from mutransfer.literature.laws.rate_laws import PublishedLaw, published_laws

__all__ = [
    "Anchor", "ComparedLaw", "PublishedLaw", "common_sizes", "compare_laws", "named_sizes",
    "published_laws", "sweep_anchors",
]  # fmt: skip
