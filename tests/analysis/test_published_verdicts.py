"""The published tables of arXiv:2404.05728 give the published verdicts."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from mutransfer.analysis import Report, Results, analyze, load_results

PUBLISHED = Path(__file__).parents[1] / "data" / "lingle2024.csv"

# Loss at width 2048 with width 128's best rate, minus the best at 2048: nats, from the cells.
REGRET = {
    "baseline": 0.0,
    "projection_biases": 0.0,
    "lion": 0.008,
    "rmsnorm_gains_scalar": 0.017,
    "decoupled_weight_decay_0.1": 0.033,
    "rmsnorm_gains_vector": 0.052,
    "sp": 4.509,
}
# The same at width 512.
REGRET_512 = dict(zip(REGRET, [0.0, 0.0, 0.005, 0.0, 0.006, 0.0, 0.020], strict=True))


def published_rows() -> list[dict[str, str]]:
    with PUBLISHED.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The table as a user would bring it: width, lr, loss and a column to group by."""
    file = tmp_path_factory.mktemp("published") / "lingle2024.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["experiment", "width", "lr", "loss"])
        for row in published_rows():
            rate = 2.0 ** float(row["log2_lr"])
            writer.writerow([row["experiment"], row["width"], rate, row["val_loss"]])
    return analyze(load_results(file), group_by="experiment")


def test_the_grid_criterion_gives_the_printed_verdicts(report: Report) -> None:
    """Same best rate on the grid at every width, yes or no, for all eight experiments."""
    printed = {row["experiment"]: row["transfers"] == "yes" for row in published_rows()}
    assert {name: group.paper_criterion for name, group in report.items()} == printed
    assert len(printed) == 8


def test_grid_argmins_are_the_published_ones(report: Report) -> None:
    """As listed beside the data."""
    found = {n: [o.grid_log2_lr for o in g.optimum] for n, g in report.items()}
    assert found == {
        "baseline": [-6, -6, -6],
        "projection_biases": [-6, -6, -6],
        "rmsnorm_gains_vector": [-4, -4, -8],
        "rmsnorm_gains_scalar": [-4, -4, -6],
        "lion": [-10, -8, -8],
        "decoupled_weight_decay_0.1": [-8, -6, -6],
        "sp": [-6, -8, -10],
        "large_scale_L12": [-6, -6, -6, -6],
    }


def test_regret_between_grid_points_has_the_published_digits(report: Report) -> None:
    """Three decimals, as the cells are printed."""
    found = {name: report[name].grid_regret.value for name in REGRET}
    assert found == pytest.approx(REGRET, abs=1e-9)


def test_regret_at_the_middle_width_has_the_published_digits() -> None:
    """The same without the largest width."""
    table: dict[str, list[float | str]] = defaultdict(list)
    for row in published_rows():
        if row["experiment"] in REGRET and row["width"] != "2048":
            table["experiment"].append(row["experiment"])
            table["width"].append(float(row["width"]))
            table["lr"].append(2.0 ** float(row["log2_lr"]))
            table["loss"].append(float(row["val_loss"]))
    report = analyze(Results.from_columns(table), group_by="experiment")
    found = {name: report[name].grid_regret.value for name in REGRET}
    assert found == pytest.approx(REGRET_512, abs=1e-9)


def test_one_seed_gives_values_but_no_verdict(report: Report) -> None:
    """The paper has one seed per cell: what a factor of four between rates can hide is open."""
    assert {group.verdict for group in report.values()} == {"undetermined"}
    baseline = report["baseline"]
    assert baseline.reason == "one seed: add seeds to get an interval"
    assert baseline.drift.value is not None
    assert baseline.drift.low is None
    assert baseline.curves[0].note == "window widened to the nearest rates on both sides"


def test_a_minimum_on_the_edge_is_flagged(report: Report) -> None:
    """Lion at width 128 and SP at width 2048 have their best rate at the lowest tried."""
    edge = "minimum on the edge of the grid at width {}: add rates below 2^-10"
    lion, sp = report["lion"].optimum[0], report["sp"].optimum[-1]
    assert (lion.edge, sp.edge) == ("low", "low")
    assert lion.log2_lr.undetermined == edge.format(128)
    assert sp.log2_lr.undetermined == edge.format(2048)
    assert lion.log2_lr.value is None
    assert report["lion"].reason == edge.format(128)
