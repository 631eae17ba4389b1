"""The claims of arXiv:2605.21486, judged by planted studies that confirm or contradict them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mutransfer.analysis import Results
from mutransfer.literature import evidence, judge, judgements, published_claims
from mutransfer.literature.evidence import Evidence
from mutransfer.records import AnalysisTable

WIDTHS = (12.0, 24.0, 48.0, 96.0, 192.0)
FOUR = ("sp", "sp+embd", "mup", "mup-embd")
IN_MUP_GAUGE = ("sp+embd", "mup")
LN2 = np.log(2.0)
# A departure from the laws that no slope or bend absorbs; none at the shared base width.
BUMPS = (0.0, -0.4, 1.0, -1.0, 0.4)

Shape = dict[str, float]


def planted(
    shapes: dict[str, Shape],
    *,
    decays: dict[float, Shape] | None = None,
    noise: float = 0.0005,
    widths: tuple[float, ...] = WIDTHS,
) -> Results:
    """Return trials of hybrids that share the base width; a bump breaks the laws, drift is own.

    Args:
        shapes: bump, drift, floor, kappa and roughness of each, in its own units of rates.
        decays: What each weight decay changes in the shape.
        noise: Standard deviation of a run; seeds shift a width by ten times that.
        widths: The widths.
    """
    columns: dict[str, list] = {
        name: []
        for name in (
            "parametrization",
            "width",
            "lr",
            "seed",
            "loss",
            "roughness",
            "paired_roughness",
        )
    }
    if decays:
        columns["weight_decay"] = []
    for hybrid, own in shapes.items():
        for decay, change in (decays or {0.0: {}}).items():
            shape = {name: own.get(name, 0.0) + change.get(name, 0.0) for name in (*own, *change)}
            for width in widths:
                for row in _rows(hybrid, shape, width, noise):
                    for name, value in (row | {"weight_decay": decay}).items():
                        if name in columns:
                            columns[name].append(value)
    grouping = ("weight_decay", "parametrization") if decays else ("parametrization",)
    return replace(Results.from_columns(columns), defaults=AnalysisTable(group_by=grouping))


def _rows(hybrid: str, shape: Shape, width: float, noise: float) -> list[dict]:
    is_base = width == WIDTHS[0]
    steps = np.log2(width / WIDTHS[0])
    # The base width has the trials of every hybrid, with their noise.
    random = np.random.default_rng([int(width), 0 if is_base else sum(hybrid.encode())])
    rows = []
    for k in np.arange(-2.0, 2.5, 0.5):
        log2_lr = -5.2 + np.round(2 * shape.get("drift", 0.0) * steps) / 2 + k
        distance = (log2_lr + 5.2 - shape.get("drift", 0.0) * steps) * LN2
        kappa = 0.4 + shape.get("kappa", 0.0)
        curvature = 0.3 * 2.0 ** ((kappa - 0.6) * steps)
        for seed in (0, 1, 2):
            shift = 10 * noise * np.random.default_rng([int(width), seed]).normal()
            loss = 2.0 + shape.get("floor", 0.0) + 2.0 * 2.0 ** (-0.6 * steps)
            loss += shape.get("bump", 0.0) * BUMPS[int(steps)] + 0.5 * curvature * distance**2
            rough = (0.02 if is_base else 0.02 + shape.get("roughness", 0.0)) * random.lognormal(
                0, 0.1
            )
            loss += shift + random.normal(0.0, noise)
            axes = {"parametrization": hybrid, "width": width, "lr": 2.0**log2_lr, "seed": seed}
            rows.append(axes | {"loss": loss, "roughness": 0.06, "paired_roughness": rough})
    return rows


# A world in which the paper is right in every respect that `embedding-rate` can show.
AS_IN_THE_PAPER: dict[str, Shape] = {
    "sp": {"bump": 0.1, "drift": -1.5, "roughness": 0.04},
    "sp+embd": {"bump": 0.02, "drift": 0.0},
    "mup": {"bump": 0.02, "drift": 0.0},
    "mup-embd": {"bump": 0.1, "drift": -1.5, "roughness": 0.04},
}
# The control: SP is another gauge of µP, and no worse in anything.
NO_DIFFERENCE: dict[str, Shape] = {
    name: {"bump": 0.02, "drift": 0.0 if name in IN_MUP_GAUGE else -1.0} for name in FOUR
}


@pytest.fixture(scope="module")
def right() -> Evidence:
    return evidence("embedding-rate", planted(AS_IN_THE_PAPER))


@pytest.fixture(scope="module")
def wrong() -> Evidence:
    return evidence("embedding-rate", planted(NO_DIFFERENCE))


def outcomes(own: Evidence) -> dict[str, str]:
    claims = published_claims().values()
    return {c.name: judge(c, own).outcome for c in claims if own.study in c.studies}


def test_claims_that_hold_are_agreed_with(right: Evidence) -> None:
    assert outcomes(right) == dict.fromkeys(
        ("embedding-rate", "without-embedding", "transfer", "best-loss", "loss-at-infinity",
         "stability", "switches"), "agrees",
    )  # fmt: skip


def test_claims_that_do_not_hold_are_disagreed_with(wrong: Evidence) -> None:
    """Equal losses at infinity are claimed and hold here too; all else is claimed to differ."""
    found = outcomes(wrong)
    assert found.pop("loss-at-infinity") == "agrees"
    assert found.pop("switches") in ("disagrees", "undetermined here")
    assert found.pop("best-loss") == "undetermined here"  # a difference of zero has no sign
    assert set(found.values()) == {"disagrees"}


def test_a_better_model_whose_batches_scatter_more_is_not_rougher() -> None:
    """Control: paired and plain roughness that grow alike say nothing about stability."""
    results = planted(AS_IN_THE_PAPER)
    scale = results.measures["paired_roughness"] * 3
    own = evidence(
        "embedding-rate", replace(results, measures={**results.measures, "roughness": scale})
    )
    judgement = judge(published_claims()["stability"], own)
    assert judgement.outcome == "disagrees"
    assert "is 1 [1, 1] times as large a part" in judgement.why


def test_the_sentence_has_the_numbers(right: Evidence) -> None:
    why = judge(published_claims()["embedding-rate"], right).why
    planted_ratio = right.report["sp"].E.value / right.report["sp+embd"].E.value
    assert why.startswith(f"E of sp is {planted_ratio:.2g} [")
    assert "times that of sp+embd; E of sp+embd is " in why


def test_a_verdict_in_its_own_units_is_set_beside_the_one_in_those_of_mup(wrong: Evidence) -> None:
    """SP does not transfer, and does so once its rates are relabelled; nothing else changes."""
    own, moved = wrong.report["sp"], wrong.in_mup_gauge["sp"]
    assert (own.verdict, moved.verdict) == ("does not transfer", "transfers")
    assert moved.drift.value == pytest.approx(own.drift.value + 1, abs=1e-6)
    for name in ("E", "kappa", "R_inf"):
        assert getattr(moved, name).value == pytest.approx(getattr(own, name).value, abs=1e-6)
    for name in IN_MUP_GAUGE:
        assert wrong.report[name].regret == wrong.in_mup_gauge[name].regret
    judgement = judge(published_claims()["transfer"], wrong)
    assert judgement.outcome == "disagrees"
    assert "which only relabels them" in judgement.why


def test_noise_leaves_a_claim_open_and_says_why() -> None:
    noisy = evidence("embedding-rate", planted(AS_IN_THE_PAPER, noise=0.05))
    judgement = judge(published_claims()["embedding-rate"], noisy)
    assert judgement.outcome == "undetermined here"
    assert "noise alone explains E of " in judgement.why


DECAYS = {0.0: {}, 0.03: {"bump": -0.08, "kappa": 0.2, "floor": 0.3}}


@pytest.mark.parametrize(
    ("study", "changes", "expected"),
    [
        ("hybrids-decay", DECAYS, {"decay-fits": "agrees", "decay-loss": "agrees"}),
        ("tokens-per-parameter", DECAYS, {"decay-robustness": "agrees"}),
        (
            "hybrids-decay",
            {0.0: {}, 0.03: {"bump": 0.1, "floor": -0.3}},
            {"decay-fits": "disagrees", "decay-loss": "disagrees"},
        ),
        (
            "tokens-per-parameter",
            {0.0: {}, 0.03: {"kappa": -0.2}},
            {"decay-robustness": "disagrees"},
        ),
        ("tokens-per-parameter", {0.0: {}}, {"decay-robustness": "undetermined here"}),
    ],
)
def test_decay_is_judged_over_all_hybrids(
    study: str, changes: dict[float, Shape], expected: dict[str, str]
) -> None:
    shapes = {name: {**shape, "bump": 0.1} for name, shape in AS_IN_THE_PAPER.items()}
    assert outcomes(evidence(study, planted(shapes, decays=changes))) == expected


def test_every_claim_has_a_row(right: Evidence) -> None:
    rows = judgements([right])
    assert [row.claim.name for row in rows] == list(published_claims())
    missing = {row.claim.name: row.why for row in rows if row.outcome == "not tested"}
    assert missing["theory"] == "no study of ours tests it"
    assert missing["norms-alone"] == "no finished trials: mutransfer studies run hybrids"
    assert set(missing) == {
        "norms-alone", "decay-fits", "decay-loss", "decay-robustness", "theory", "power",
    }  # fmt: skip


def test_a_claim_is_judged_by_each_study_that_tests_it(right: Evidence) -> None:
    hybrids = evidence("hybrids", planted(AS_IN_THE_PAPER | {"sp+ln": {"bump": 0.3}}))
    rows = [r for r in judgements([right, hybrids]) if r.claim.name == "embedding-rate"]
    assert [row.study for row in rows] == ["embedding-rate", "hybrids"]
    (alone,) = [r for r in judgements([hybrids]) if r.claim.name == "norms-alone"]
    assert alone.outcome == "agrees"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("embedding-rate", "E is 0.049 (sp), 0.0029 (sp+embd) and 0.0011 (mup) without decay"),
        ("embedding-rate", "are 0.011, 0.0006 and 0.00075"),
        ("norms-alone", "are 0.011 and 0.2"),
        ("switches", "÷ 14 (embd), × 8.5 (ln), ÷ 2.7 (attn) and ÷ 1.4 (last)"),
        ("decay-fits", "without `embd` 0.084, "),
        ("loss-at-infinity", "R(∞) is -0.11 (sp), -0.04 (sp+embd) and -0.05 (mup) without decay"),
    ],
)
def test_the_numbers_are_those_of_the_released_table(name: str, words: str) -> None:
    """Facts of the notes on the paper: factors, medians and single cells."""
    assert words in published_claims()[name].numbers


def test_missing_hybrids_are_named() -> None:
    few: Callable[[str], Shape] = AS_IN_THE_PAPER.get
    own = evidence("embedding-rate", planted({name: few(name) for name in ("sp", "mup")}))
    judgement = judge(published_claims()["embedding-rate"], own)
    assert judgement.outcome == "undetermined here"
    assert judgement.why.startswith("sp and sp+embd were not both run")


def relabelled(results: Results, column: str, labels: dict[str, object], hybrid: str) -> Results:
    """Return trials whose hybrids stand for the values of another axis."""
    names = results.axes["parametrization"]
    axes = {
        **results.axes,
        column: [labels[str(name)] for name in names],
        "parametrization": [hybrid] * len(results),
    }
    return replace(results, axes=axes, defaults=AnalysisTable(group_by=(column,)))


@pytest.mark.parametrize(("best", "expected"), [("sp+embd", "agrees"), ("mup", "disagrees")])
def test_the_power_of_the_embeddings_rate_is_judged_by_the_loss(best: str, expected: str) -> None:
    """The claim is that the root of the width is the best of three powers."""
    shapes = {"sp": {}, "sp+embd": {"floor": -0.1}, "mup": {}} | {best: {"floor": -0.2}}
    labels = {"sp": 0.0, "sp+embd": 0.5, "mup": 1.0}
    own = evidence("embedding-rate-power",
                   relabelled(planted(shapes), "power", labels, "sp+embd"))  # fmt: skip
    judgement = judge(published_claims()["power"], own)
    assert judgement.outcome == expected
    assert judgement.clauses[0].startswith(
        "the best loss of power 0 at width 192 minus that of power 0.5 is "
        f"{'+0.200' if best == 'sp+embd' else '+0.100'}"
    )
