"""Tables of means: standard errors are the noise, and give the intervals of the raw runs."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from planted_surfaces import columns, quadratic

from mutransfer.analysis import GroupReport, Report, Results, analyze, load_results

SEEDS = 3


def raw_runs(*, sd_within: float = 0.01, sd_seed: float = 0.0) -> dict[str, list]:
    rng = np.random.default_rng(7)
    rates = tuple(np.arange(-9.0, -3.4, 0.5))
    return columns(
        quadratic(), log2_lr=rates, seeds=SEEDS, sd_within=sd_within, sd_seed=sd_seed, rng=rng
    )


def means(runs: Mapping[str, list]) -> dict[str, list]:
    """Return one row per width and rate, with everything that papers print of the seeds."""
    cells: dict[tuple[float, float], list[float]] = {}
    for width, lr, loss in zip(runs["width"], runs["lr"], runs["loss"], strict=True):
        cells.setdefault((width, lr), []).append(loss)
    deviations = [float(np.std(losses, ddof=1)) for losses in cells.values()]
    return {
        "width": [width for width, _ in cells],
        "lr": [lr for _, lr in cells],
        "loss": [float(np.mean(losses)) for losses in cells.values()],
        "sem": [deviation / math.sqrt(SEEDS) for deviation in deviations],
        "std": deviations,
        "count": [SEEDS] * len(cells),
    }


def select(table: Mapping[str, list], *names: str) -> dict[str, list]:
    return {name: table[name] for name in ("width", "lr", "loss", *names)}


def report(table: Mapping[str, list]) -> Report:
    return analyze(Results.from_columns(table))


def load(place: Path, table: Mapping[str, list], **mapping: str) -> Report:
    file = place / "means.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([list(table), *zip(*table.values(), strict=True)])
    return analyze(load_results(file, columns=mapping or None))


def group_json(report: Report) -> object:
    data = report.to_json()
    return data["groups"], data["comparisons"]


def intervals(group: GroupReport) -> list[float]:
    """Return the lengths of the intervals of rates, drift and regret."""
    estimates = [*(o.log2_lr for o in group.optimum), group.drift]
    return [*(float(e.high) - float(e.low) for e in estimates), float(group.regret.high)]


def test_means_with_standard_errors_have_the_intervals_of_the_runs() -> None:
    """The oracle is the analysis of the runs themselves, whose noise is estimated differently."""
    runs = raw_runs()
    raw, table = report(runs)["all"], report(select(means(runs), "sem", "count"))["all"]
    assert (raw.verdict, table.verdict) == ("transfers", "transfers")
    assert [o.log2_lr.value for o in table.optimum] == pytest.approx(
        [o.log2_lr.value for o in raw.optimum]
    )
    assert intervals(table) == pytest.approx(intervals(raw), rel=0.25)


def test_shared_seeds_do_not_make_an_interval_too_short() -> None:
    """A table does not say that seeds are shared, so its intervals contain those of the runs."""
    runs = raw_runs(sd_within=0.002, sd_seed=0.01)
    raw, table = report(runs)["all"], report(select(means(runs), "sem", "count"))["all"]
    assert all(ours > theirs for ours, theirs in zip(intervals(table), intervals(raw), strict=True))
    for ours, theirs in zip(table.optimum, raw.optimum, strict=True):
        assert float(ours.loss.high - ours.loss.low) > 0.8 * float(
            theirs.loss.high - theirs.loss.low
        )


def test_deviations_with_counts_are_standard_errors() -> None:
    table = means(raw_runs())
    exact = report(select(table, "sem", "count"))
    assert group_json(report(select(table, "std", "count"))) == group_json(exact)
    assert exact.notes == (
        "the noise is that of the standard errors in column 'sem', over the runs that 'count' "
        "counts",
    )


def test_twice_the_error_is_twice_the_interval() -> None:
    """The means lie on parabolas, so that the table's errors are the only noise."""
    table = {**columns(quadratic()), "count": [3] * 40}
    del table["seed"]
    lengths = [
        report({**table, "sem": [sem] * 40})["all"].optimum[0].log2_lr for sem in (1e-5, 2e-5)
    ]
    short, long = (float(e.high) - float(e.low) for e in lengths)
    assert long / short == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(
    ("names", "mapping"),
    [
        ({"sem": "val_loss_stderr", "loss": "val_loss", "count": "n_seeds"}, {"loss": "val_loss"}),
        ({"sem": "val_loss SEM", "loss": "val_loss", "count": "n"}, {"loss": "val_loss"}),
        ({"sem": "std_err", "count": "seeds"}, {}),
        ({"std": "loss.std", "loss": "loss.mean", "count": "loss.count"}, {"loss": "loss.mean"}),
        ({"std": "Loss Std Dev", "count": "num_seeds"}, {}),
        ({"std": "spread", "count": "k"}, {"std": "spread", "count": "k"}),
        ({"std": "spread"}, {"std": "spread", "count": "3"}),
        ({"sem": "spread"}, {"sem": "spread", "count": "3"}),
    ],
)
def test_the_spread_is_found_under_any_name(names, mapping, tmp_path) -> None:
    table = means(raw_runs())
    renamed = {names.get(ours, ours): table[ours] for ours in ("width", "lr", "loss", *names)}
    unrelated = {"acc_sem": [9.0] * len(table["lr"]), "acc_std": [9.0] * len(table["lr"])}
    exact = report(select(table, "sem", "count"))
    assert group_json(load(tmp_path, renamed | unrelated, **mapping)) == group_json(exact)


@pytest.mark.parametrize("sign", ["±", " ± ", " +/- ", " +- ", " \\pm "])
@pytest.mark.parametrize(
    ("header", "mapping"),
    [
        ("loss ± sem", {}),
        ("loss (mean ± standard error)", {}),
        ("loss", {"sem": "±"}),
        ("val loss ± SD", {"loss": "val loss"}),
    ],
)
def test_cells_with_a_sign_are_split(sign, header, mapping, tmp_path) -> None:
    table = means(raw_runs())
    kind = "std" if header.endswith("SD") else "sem"
    pairs = zip(table["loss"], table[kind], strict=True)
    cells = [f"${mean!r}{sign}{error!r}$" for mean, error in pairs]
    signed = {"width": table["width"], "lr": table["lr"], header: cells}
    exact = report(select(table, "sem", "count"))
    assert group_json(load(tmp_path, signed, count="3", **mapping)) == group_json(exact)


def test_the_errors_of_another_loss_are_not_used(tmp_path) -> None:
    """`loss_sem` is that of the training loss here, since there is a column `loss`."""
    table = means(raw_runs())
    renamed = {**select(table), "val_loss": table["loss"], "loss_sem": table["sem"]}
    noise = load(tmp_path, renamed, loss="val_loss").notes[-1]
    assert noise.startswith("one seed: the noise is that of the losses about smooth curves")


def test_the_order_of_the_rows_does_not_matter() -> None:
    """Each error stays with its rate; the lowest rate has far more runs than the others."""
    table = means(raw_runs())
    table["count"] = [50 if lr == min(table["lr"]) else 3 for lr in table["lr"]]
    table["sem"] = [error * (1 + lr) for error, lr in zip(table["sem"], table["lr"], strict=True)]
    order = np.random.default_rng(0).permutation(len(table["lr"]))
    shuffled = {name: [cells[k] for k in order] for name, cells in table.items()}
    used = ("sem", "count")
    assert group_json(report(select(shuffled, *used))) == group_json(report(select(table, *used)))


def test_a_diverged_cell_and_an_empty_one_stay_so(tmp_path) -> None:
    table = {"width": [64] * 3, "lr": [0.1, 0.2, 0.4], "loss ± sem": ["3 ± 0.1", "-", "nan"]}
    file = tmp_path / "means.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([list(table), *zip(*table.values(), strict=True)])
    results = load_results(file)
    assert results.axes["lr"] == [0.1, 0.4]
    assert results.diverged.tolist() == [False, True]


def test_an_outlier_takes_its_error_along() -> None:
    """A mean with one spike among its runs: the result is that of the table without this row."""
    table = means(raw_runs())
    spike = table["lr"].index(2.0**-7)
    table["loss"][spike] += 0.5
    table["sem"][spike] = 0.5
    without = {name: cells[:spike] + cells[spike + 1 :] for name, cells in table.items()}
    spiked = report(select(table, "sem", "count"))
    assert "is an outlier and is left out" in spiked.notes[0]
    assert group_json(spiked) == group_json(report(select(without, "sem", "count")))


# --- what is not known is not used


def test_a_standard_error_without_a_count_is_that_of_two_runs() -> None:
    table = means(raw_runs())
    report_2 = report({**select(table, "sem"), "count": [2] * len(table["lr"])})
    without = report(select(table, "sem"))
    assert group_json(without) == group_json(report_2)
    assert "they count as those of 2 runs each: add count=COLUMN to --columns" in without.notes[0]


def test_a_deviation_without_a_count_is_not_used() -> None:
    lone = report(select(means(raw_runs()), "std"))
    assert lone.notes[1].startswith("one seed: ")
    assert lone.notes[:1] == (
        "the column 'std' is not used: a standard deviation is that of a mean only with the number "
        "of runs: add count=COLUMN to --columns, or count=3 for three runs each",
    )


def test_a_sign_without_a_word_for_it_gives_no_interval(tmp_path) -> None:
    table = {"width": [64] * 3, "lr": [0.1, 0.2, 0.4], "loss": ["3.2±0.1", "3.0±0.1", "3.1±0.1"]}
    lone = load(tmp_path, table)
    assert lone["all"].optimum[0].log2_lr.value is not None
    assert lone["all"].optimum[0].log2_lr.low is None
    assert lone.notes[0].endswith(
        "may be standard errors or standard deviations: add sem=± to --columns, or "
        "std=±,count=3 for deviations of three runs each"
    )


def test_the_scatter_of_repeated_runs_precedes_a_column_of_errors() -> None:
    """Such a column beside raw runs is the error of an evaluation, not that of a seed."""
    runs = raw_runs()
    both = report({**runs, "sem": [9.0] * len(runs["lr"])})
    assert group_json(both) == group_json(report(runs))
    assert both.notes == ("the column 'sem' is not used: the noise is that of repeated runs",)
