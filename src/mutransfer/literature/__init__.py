"""Published tables: the numbers of two papers, and the conclusions recomputed from them."""

from mutransfer.literature.agreement import OUTCOMES, Agreement, agreement
from mutransfer.literature.claims import Claim, published_claims
from mutransfer.literature.effects import Effect, Median, measured_effects, median_e, switch_effects
from mutransfer.literature.evidence import Evidence, evidence
from mutransfer.literature.experiments import (
    PublishedExperiment,
    PublishedRegret,
    published_experiment,
    published_experiments,
)
from mutransfer.literature.hybrids import (
    TransferCell,
    TransferTable,
    load_transfer_table,
    switches_on,
)
from mutransfer.literature.judgement import CLAIM_OUTCOMES, Judgement, judge, judgements
from mutransfer.literature.losses import (
    TransferCheck,
    check_transfer,
    load_published,
    printed_verdicts,
    published_transfer,
)
from mutransfer.literature.sources import PUBLISHED, Citation, citation

__all__ = [
    "CLAIM_OUTCOMES", "OUTCOMES", "PUBLISHED", "Agreement", "Citation", "Claim", "Effect",
    "Evidence", "Judgement", "Median", "PublishedExperiment", "PublishedRegret", "TransferCell",
    "TransferCheck", "TransferTable", "agreement", "check_transfer", "citation", "evidence",
    "judge", "judgements", "load_published", "load_transfer_table", "measured_effects", "median_e",
    "printed_verdicts", "published_claims", "published_experiment", "published_experiments",
    "published_transfer", "switch_effects", "switches_on",
]  # fmt: skip
