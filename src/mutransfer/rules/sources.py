"""Papers in which the scaling rules are published."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Reference to the place where a rule is printed.

    Args:
        title: Title of the paper.
        authors: Authors and year, as cited.
        arxiv: Identifier on arXiv; empty for the model's own settings.
        at: Table or section.
    """

    title: str
    authors: str
    arxiv: str
    at: str = ""

    def __str__(self) -> str:
        reference = f"{self.authors}, {self.title}"
        if self.arxiv:
            reference += f", arXiv:{self.arxiv}"
        return f"{reference}, {self.at}" if self.at else reference

    def at_place(self, at: str) -> Source:
        """Return a reference to one table or section of this source."""
        return Source(self.title, self.authors, self.arxiv, at)


TENSOR_PROGRAMS_V = Source(
    "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer",
    "Yang et al. 2022",
    "2203.03466",
)
ALIGNMENT = Source(
    "Scaling Exponents Across Parameterizations and Optimizers", "Everett et al. 2024", "2407.05872"
)
SPECTRAL_CONDITION = Source(
    "A Spectral Condition for Feature Learning", "Yang, Simon, Bernstein 2023", "2310.17813"
)
UNIT_SCALED = Source(
    "u-µP: The Unit-Scaled Maximal Update Parametrization", "Blake et al. 2024", "2407.17465"
)
HYBRID_SWITCHES = Source(
    "Quantifying Hyperparameter Transfer and the Importance of Embedding Layer Learning Rate",
    "Kalra, Barkeshli 2026",
    "2605.21486",
)
OWN = Source("the model's own initialization and rates", "its author", "")
