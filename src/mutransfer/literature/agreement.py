"""Agreement of one's own trials with a published verdict, and the reason in one sentence.

The two verdicts rest on different criteria. The paper asks whether the best rate on its grid, four
times apart, is the same at every width. Ours asks whether the regret is at most a share of the
loss, with 95 % confidence. The widths differ too: those of the paper are 16 times apart. Where the
verdicts differ, the sentence says whether the criteria or the widths alone explain it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mutransfer.analysis import Estimate, GroupReport
from mutransfer.analysis.format import format_power, format_share
from mutransfer.literature.experiments import PublishedExperiment

Outcome = Literal["agrees", "disagrees", "undetermined here", "not reported by the paper"]
OUTCOMES: tuple[Outcome, ...] = (
    "agrees", "disagrees", "undetermined here", "not reported by the paper"
)  # fmt: skip

Cause = Literal["", "criterion", "widths", "results"]

GRID_STEP = 2.0  # octaves between the rates of arXiv:2404.05728


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether our verdict on an experiment is the paper's.

    Args:
        outcome: 'agrees' or 'disagrees'; 'undetermined here' without a verdict of ours, and 'not
            reported by the paper' without one of the paper.
        why: One clause with the numbers behind it.
        cause: Why the verdicts differ. 'criterion' if they would be equal if both were judged by
            the paper's criterion, or both by ours; 'widths' if they are equal over widths as far
            apart as ours; else 'results'. Empty where they do not differ.
    """

    outcome: Outcome
    why: str
    cause: Cause = ""


def agreement(
    published: PublishedExperiment | None, group: GroupReport, *, threshold: float
) -> Agreement:
    """Compare our verdict on an experiment with the published one.

    Args:
        published: What the paper says, or None where it has no such experiment.
        group: Our analysis.
        threshold: Regret that still counts as transfer, as a share of the best loss.

    Source:
        The paper's criterion: arXiv:2404.05728v3.
    """
    if published is None or published.transfers is None:
        why = "the paper has no such experiment" if published is None else published.certainty
        if group.verdict == "undetermined":
            why += f"; here: {group.reason}"
        return Agreement("not reported by the paper", why)
    if group.verdict == "undetermined":
        return Agreement("undetermined here", group.reason)
    if published.transfers == (group.verdict == "transfers"):
        return Agreement("agrees", _shared_verdict(published, group))
    if published.transfers:
        return _only_in_the_paper(published, group)
    return _only_here(published, group, threshold)


def _shared_verdict(published: PublishedExperiment, group: GroupReport) -> str:
    """Return the sentence on two equal verdicts."""
    share = group.regret_share
    if published.transfers:
        return f"both transfer: {_regrets(_at_most(share), published)}"
    why = f"neither transfers: {_regrets(_at_least(share), published)}"
    ours, theirs = _direction(group), _published_direction(published)
    if ours and theirs and ours != theirs:
        why += f"; but the best rate {ours} with width here, and {theirs} in the paper"
    return why


def _only_here(published: PublishedExperiment, group: GroupReport, threshold: float) -> Agreement:
    """Explain why the best rate transfers here, but not in the paper."""
    own = [curve.width for curve in group.curves]
    near = published.regret_within(own[-1] / own[0])
    start = _regrets(_at_most(group.regret_share), published)

    def disagreement(clause: str, cause: Cause) -> Agreement:
        return Agreement("disagrees", f"{start}; {clause}", cause)

    if published.regret is not None and published.regret.share <= threshold:
        clause = "the paper counts any move of the best rate on its grid, also a cheap one"
        return disagreement(clause, "criterion")
    if near is not None and near.share <= threshold:
        ends = f"from width {published.widths[0]:g} to {near.width:g}, as far apart as ours"
        return disagreement(f"{ends}, it is {format_share(near.share)} there", "widths")
    if group.paper_criterion is False:
        clause = f"the best tried rate moves here too: {_grid_rates(group)}"
        return disagreement(clause, "criterion")
    return disagreement(_scales(published, group), "results")


def _only_in_the_paper(published: PublishedExperiment, group: GroupReport) -> Agreement:
    """Explain why the best rate transfers in the paper, but not here."""
    start = _regrets(_at_least(group.regret_share), published)
    if group.paper_criterion:
        clause = "the best tried rate is the same at every width here too"
        return Agreement("disagrees", f"{start}; {clause}", "criterion")
    clause = _scales(published, group)
    if group.drift.value is not None:
        octaves = abs(group.drift.value) * math.log2(published.widths[-1] / published.widths[0])
        if octaves < GRID_STEP:
            clause = (
                f"our drift of {group.drift.value:.2g} is {octaves:.2g} octaves over the paper's "
                f"widths, less than the step of its grid, {GRID_STEP:g}, so the paper's grid could "
                "have missed it"
            )
    return Agreement("disagrees", f"{start}; {clause}", "results")


def _at_most(share: Estimate) -> str:
    """Format the upper bound of a regret."""
    assert share.high is not None
    return f"at most {format_share(share.high)}" if share.high >= 1e-5 else "less than 0.001 %"


def _at_least(share: Estimate) -> str:
    """Format the lower bound of a regret."""
    assert share.low is not None
    return f"at least {format_share(share.low)}"


def _regrets(ours: str, published: PublishedExperiment) -> str:
    """Format the bound of our regret and the paper's regret."""
    if published.regret is None:
        return f"the regret is {ours} here; the paper publishes no regret"
    return f"the regret is {ours} here, and {format_share(published.regret.share)} in the paper"


def _direction(group: GroupReport) -> str | None:
    """Return whether our best rate rises or falls with width; None where its interval has 0."""
    low, high = group.drift.low, group.drift.high
    if low is None or high is None or low <= 0 <= high:
        return None
    return "rises" if low > 0 else "falls"


def _published_direction(published: PublishedExperiment) -> str | None:
    """Return whether the paper's best rate rises or falls with width; None without cells."""
    rates = published.grid_log2_lr
    if not rates or rates[0] == rates[-1]:
        return None
    return "rises" if rates[-1] > rates[0] else "falls"


def _grid_rates(group: GroupReport) -> str:
    """Format the best tried rate of each width."""
    rates = [o.grid_log2_lr for o in group.optimum if o.grid_log2_lr is not None]
    return ", ".join(map(format_power, rates))


def _scales(published: PublishedExperiment, group: GroupReport) -> str:
    """Compare the widths of the paper with ours."""
    own = [curve.width for curve in group.curves]
    return (
        f"the paper's widths are {published.widths[0]:g} to {published.widths[-1]:g}, ours "
        f"{own[0]:g} to {own[-1]:g}"
    )
