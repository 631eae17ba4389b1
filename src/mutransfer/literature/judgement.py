"""Judgement of the claims of arXiv:2605.21486 by one's own trials, each in one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mutransfer.analysis import Estimate, GroupReport
from mutransfer.analysis.comparison.stability import stability_ratio
from mutransfer.analysis.format import format_share
from mutransfer.literature.claims import Claim, published_claims
from mutransfer.literature.effects import Effect, measured_effects
from mutransfer.literature.evidence import POWERS, Evidence
from mutransfer.literature.format import (
    format_difference,
    format_nats,
    format_ratio,
    format_reason,
    format_times,
    log10,
)
from mutransfer.literature.hybrids import switches_on

ClaimOutcome = Literal["agrees", "disagrees", "undetermined here", "not tested"]
CLAIM_OUTCOMES: tuple[ClaimOutcome, ...] = (
    "agrees", "disagrees", "undetermined here", "not tested"
)  # fmt: skip

# [assumed] What counts as more and as about the same; the released E of one hybrid at neighboring
# decays differ by a factor of two.
FACTOR = 2.0  # "far less predictable" fails if E is at most so many times larger
SAME_FACTOR = math.sqrt(10.0)  # "about as predictable"
SAME_LOSS = 0.1  # nats: the yardstick for R(∞) on the page released with the paper
SMOOTHER = 1.25  # "unstable" fails if the curves are at most so many times rougher
NOISY = 0.25  # share of hybrids whose E may be half noise before effects on E are left open


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether one's own trials agree with a claim.

    Args:
        claim: The claim.
        study: The study that the judgement rests on; empty where there is none.
        outcome: 'agrees', 'disagrees', 'undetermined here' or 'not tested'.
        clauses: The numbers behind it, one clause for each part of the claim.
    """

    claim: Claim
    study: str
    outcome: ClaimOutcome
    clauses: tuple[str, ...]

    @property
    def why(self) -> str:
        """The clauses, in one sentence."""
        return "; ".join(self.clauses)


@dataclass(frozen=True, slots=True)
class _Finding:
    """One part of a claim: whether it holds, and the clause with its numbers."""

    holds: bool | None
    text: str


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Judge a claim by a study that tests it.

    Source:
        The claims: arXiv:2605.21486; how they are judged is ours.
    """
    findings = _JUDGES[claim.name](evidence)
    holds = [finding.holds for finding in findings]
    outcome: ClaimOutcome = "agrees"
    if False in holds:
        outcome = "disagrees"
    elif None in holds:
        outcome = "undetermined here"
    return Judgement(claim, evidence.label, outcome, tuple(f.text for f in findings))


def judgements(evidences: Sequence[Evidence]) -> list[Judgement]:
    """Judge every claim by each study that tests it; a claim without one is not tested."""
    rows = []
    for claim in published_claims().values():
        own = [e for study in claim.studies for e in evidences if e.study == study]
        rows += [judge(claim, evidence) for evidence in own]
        if not own:
            rows.append(Judgement(claim, "", "not tested", (_why_not_tested(claim),)))
    return rows


def _why_not_tested(claim: Claim) -> str:
    """Return why a claim is not tested."""
    if not claim.studies:
        return "no study of ours tests it"
    return f"no finished trials: mutransfer studies run {claim.studies[0]}"


def _embedding_rate(evidence: Evidence) -> list[_Finding]:
    """Judge E(sp) ≫ E(sp+embd) ≈ E(mup)."""
    return [
        _less_predictable(evidence, "sp", "sp+embd"),
        _as_predictable(evidence, "sp+embd", "mup"),
    ]


def _without_embedding(evidence: Evidence) -> list[_Finding]:
    """Judge E(mup-embd) ≫ E(mup)."""
    return [_less_predictable(evidence, "mup-embd", "mup")]


def _norms_alone(evidence: Evidence) -> list[_Finding]:
    """Judge E(sp+ln) ≫ E(sp)."""
    return [_less_predictable(evidence, "sp+ln", "sp")]


def _less_predictable(evidence: Evidence, a: str, b: str) -> _Finding:
    """Judge whether E of one hybrid is far above that of another."""
    difference, text = _error_ratio(evidence, a, b)
    holds = None
    if difference.low is not None and difference.low > 0:
        holds = True
    elif difference.high is not None and difference.high < math.log10(FACTOR):
        holds = False
    return _Finding(holds, text)


def _as_predictable(evidence: Evidence, a: str, b: str) -> _Finding:
    """Judge whether E of one hybrid is about that of another."""
    difference, text = _error_ratio(evidence, a, b)
    return _Finding(_is_within(difference, math.log10(SAME_FACTOR)), text)


def _is_within(difference: Estimate, limit: float) -> bool | None:
    """Return whether a difference is at most so large either way; None where that is open."""
    low = -math.inf if difference.low is None else difference.low
    high = math.inf if difference.high is None else difference.high
    if low > limit or high < -limit:
        return False
    return True if -limit < low and high < limit else None


def _error_ratio(evidence: Evidence, a: str, b: str) -> tuple[Estimate, str]:
    """Return log10 of the ratio of two E, and the clause on it."""
    comparison = evidence.comparisons.get((a, b))
    if comparison is None:
        return Estimate(), f"{a} and {b} were not both run"
    difference = comparison.metrics.log10_E
    if difference.value is None:
        return difference, f"E of {a} and of {b} cannot be compared: {difference.undetermined}"
    text = f"E of {a} is {format_times(difference)} that of {b}"
    return difference, text + format_reason(difference)


def _transfer(evidence: Evidence) -> list[_Finding]:
    """Judge whether the embedding's rate separates transfer from none, in µP's units of rates."""
    assert evidence.in_mup_gauge is not None
    findings = []
    for name in ("sp+embd", "mup", "sp", "mup-embd"):
        if name not in evidence.report:
            findings.append(_Finding(None, f"{name} was not run"))
            continue
        moved, has_mup_gauge = evidence.in_mup_gauge[name], "embd" in switches_on(name)
        text = f"{name} {_verdict(evidence.report[name])}"
        if not has_mup_gauge:
            text += f", and {_verdict(moved)} with its rates times width, which only relabels them"
        expected = "transfers" if has_mup_gauge else "does not transfer"
        is_open = moved.verdict == "undetermined"
        findings.append(_Finding(None if is_open else moved.verdict == expected, text))
    return findings


def _verdict(group: GroupReport) -> str:
    """Format a verdict with the bound that it rests on."""
    share = group.regret_share
    if group.verdict == "transfers" and share.high is not None:
        return f"transfers (regret at most {format_share(share.high)})"
    if group.verdict == "does not transfer" and share.low is not None:
        return f"does not transfer (at least {format_share(share.low)})"
    return "is undetermined"


def _best_loss(evidence: Evidence) -> list[_Finding]:
    """Judge whether the losses at the best rates have the order that the embedding's rate gives."""
    pairs = (("sp", "mup"), ("sp", "sp+embd"), ("mup-embd", "mup"))
    return [_loses_to(evidence, a, b) for a, b in pairs]


def _loses_to(evidence: Evidence, a: str, b: str, kind: str = "") -> _Finding:
    """Judge whether the best loss of a group is above that of another one.

    Args:
        evidence: The analysis of a study.
        a: The group.
        b: The other group.
        kind: What the names of the groups are, such as 'power '; nothing for hybrids.
    """
    comparison = evidence.comparisons.get((a, b))
    if comparison is None:
        return _Finding(None, f"{kind}{a} and {kind}{b} were not both run")
    loss = comparison.difference
    text = (
        f"the best loss of {kind}{a} at width {comparison.width:g} minus that of {kind}{b} is "
        f"{format_nats(loss)}{format_reason(loss)}"
    )
    return _Finding(_has_sign(loss, 1), text)


def _loss_at_infinity(evidence: Evidence) -> list[_Finding]:
    """Judge whether R(∞) of SP, SP with the embedding's rate and µP is about the same."""
    findings = []
    for a, b in (("sp", "mup"), ("sp+embd", "mup")):
        comparison = evidence.comparisons.get((a, b))
        if comparison is None:
            findings.append(_Finding(None, f"{a} and {b} were not both run"))
            continue
        gap = comparison.metrics.R_inf
        text = f"R(∞) of {a} minus that of {b} is {format_nats(gap)}{format_reason(gap)}"
        findings.append(_Finding(_is_within(gap, SAME_LOSS), text))
    return findings


def _stability(evidence: Evidence) -> list[_Finding]:
    """Judge whether training curves of SP are rougher than with the embedding's rate."""
    if not {"sp", "sp+embd"} <= {*evidence.report}:
        return [_Finding(None, "sp and sp+embd were not both run")]
    sp, raised = evidence.report["sp"], evidence.report["sp+embd"]
    roughness = stability_ratio(sp, raised, "paired_roughness", share_of="roughness")
    if roughness.value is None:
        return [_Finding(None, roughness.undetermined or "")]
    holds = None
    if roughness.low is not None and roughness.high is not None:
        holds = True if roughness.low > 1 else False if roughness.high < SMOOTHER else None
    text = (
        f"at the best rate, the part of the roughness that runs of one seed do not share is "
        f"{format_ratio(roughness)} times as large a part under sp as under sp+embd"
    )
    cost = [group.stability[-1].at(2.0).excess_loss for group in (sp, raised)]
    tolerant = _is_above(*cost)
    values = f"{format_nats(cost[0])} (sp) and {format_nats(cost[1])} (sp+embd)"
    costs = f"twice the best rate costs {values} at width {sp.stability[-1].width:g}"
    if {holds, tolerant} == {True, False}:
        holds = None
        costs += ": the two measures contradict each other"
    return [_Finding(holds, text + format_reason(roughness)), _Finding(True, costs)]


def _is_above(a: Estimate, b: Estimate) -> bool | None:
    """Return whether a number is above or below another one; None where their intervals meet."""
    if a.low is not None and b.high is not None and a.low > b.high:
        return True
    return False if a.high is not None and b.low is not None and a.high < b.low else None


def _switches(evidence: Evidence) -> list[_Finding]:
    """Judge whether the embedding's rate is the switch that lowers E most."""
    effects = measured_effects({name: cell.E for (name, _), cell in evidence.cells.items()})
    if not any(effect.switch == "embd" for effect in effects):
        return [_Finding(None, "the hybrids with a value of E do not separate the switches")]
    text = f"E changes by {', '.join(map(_effect, effects))}"
    (embd,) = (effect for effect in effects if effect.switch == "embd")
    num_noisy = sum(map(_is_noise, evidence.cells.values()))
    is_noisy = num_noisy > NOISY * embd.num_cells
    text += f" (over {embd.num_cells} hybrids; noise is half of E or more in {num_noisy}"
    text += ", too many for an answer)" if is_noisy else ")"
    holds = None
    if not is_noisy and embd.log10.high is not None:
        others = [effect.log10.value or 0.0 for effect in effects if effect is not embd]
        if _has_sign(embd.log10, -1):
            holds = (embd.log10.value or 0.0) <= min(others, default=0.0)
        elif embd.log10.low is not None and embd.log10.low > -math.log10(FACTOR):
            holds = False
    return [_Finding(holds, text)]


def _is_noise(group: GroupReport) -> bool:
    """Return whether at least half of E is what noise alone causes."""
    noise = group.scaling.errors.noise_floor.value
    return noise is not None and group.E.value is not None and noise >= group.E.value / 2


def _power(evidence: Evidence) -> list[_Finding]:
    """Judge whether a rate of the embedding that grows as the root of the width is the best."""
    return [_loses_to(evidence, a, b, kind="power ") for a, b in POWERS]


def _decay_fits(evidence: Evidence) -> list[_Finding]:
    """Judge whether E is lower with weight decay."""
    change, num = evidence.decay_effect(lambda group: log10(group.E))
    text = f"E with decay is {format_times(change)} that without, over {num} groups"
    return [_Finding(_has_sign(change, -1), text + format_reason(change))]


def _decay_loss(evidence: Evidence) -> list[_Finding]:
    """Judge whether L∞ is higher with weight decay, where `embd` and `ln` are not both on."""
    hybrids = [name for name, _ in evidence.cells if name != "mup"]
    change, num = evidence.decay_effect(lambda group: group.laws.loss_inf, hybrids)
    text = f"L∞ with decay minus that without is {format_nats(change)}, over {num} groups"
    return [_Finding(_has_sign(change, 1), text + format_reason(change))]


def _decay_robustness(evidence: Evidence) -> list[_Finding]:
    """Judge whether κ is larger with weight decay."""
    change, num = evidence.decay_effect(lambda group: group.kappa)
    text = f"κ with decay minus that without is {format_difference(change)}, over {num} groups"
    return [_Finding(_has_sign(change, 1), text + format_reason(change))]


def _has_sign(change: Estimate, sign: int) -> bool | None:
    """Return whether a change has a sign; None where its interval has both."""
    if change.low is None or change.high is None:
        return None
    if change.low > 0 or change.high < 0:
        return (change.low > 0) == (sign > 0)
    return None


def _effect(effect: Effect) -> str:
    """Format the factor by which a switch changes E, with its interval."""
    return f"{format_times(effect.log10)} ({effect.switch})"


_JUDGES: dict[str, Callable[[Evidence], list[_Finding]]] = {
    "embedding-rate": _embedding_rate,
    "without-embedding": _without_embedding,
    "transfer": _transfer,
    "best-loss": _best_loss,
    "loss-at-infinity": _loss_at_infinity,
    "stability": _stability,
    "norms-alone": _norms_alone,
    "switches": _switches,
    "decay-fits": _decay_fits,
    "decay-loss": _decay_loss,
    "decay-robustness": _decay_robustness,
    "power": _power,
}
