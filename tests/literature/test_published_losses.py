"""The packaged table of arXiv:2404.05728 reproduces the published verdicts and regrets."""

import pytest

from mutransfer.analysis import Report, Results, analyze
from mutransfer.literature import (
    TransferCheck,
    check_transfer,
    load_published,
    printed_verdicts,
    published_transfer,
)
from mutransfer.literature.text import format_transfer, published_report

# The marks of Table 1, and for the last two experiments the verdict that a review reports.
PRINTED = {
    "baseline": True,
    "projection_biases": True,
    "rmsnorm_gains_vector": False,
    "rmsnorm_gains_scalar": False,
    "lion": False,
    "decoupled_weight_decay_0.1": False,
    "sp": False,
    "large_scale_L12": True,
}
# Loss at the best rate of width 128 minus the best loss, at widths 512 and 2048, in nats.
REGRETS = {
    "baseline": (0.0, 0.0),
    "projection_biases": (0.0, 0.0),
    "rmsnorm_gains_vector": (0.0, 0.052),
    "rmsnorm_gains_scalar": (0.0, 0.017),
    "lion": (0.005, 0.008),
    "decoupled_weight_decay_0.1": (0.006, 0.033),
    "sp": (0.020, 4.509),
    "large_scale_L12": (0.0, 0.0),
}
TABLE = """\
                                 best rate on the grid  same rate           regret in nats
experiment, width             128    512   2048   8192  cells paper      512   2048   8192  note
baseline                     2^-6   2^-6   2^-6      -  yes   yes      0.000  0.000      -
projection_biases            2^-6   2^-6   2^-6      -  yes   yes      0.000  0.000      -
rmsnorm_gains_vector         2^-4   2^-4   2^-8      -  no    no       0.000  0.052      -
rmsnorm_gains_scalar         2^-4   2^-4   2^-6      -  no    no       0.000  0.017      -
lion                        2^-10   2^-8   2^-8      -  no    no       0.005  0.008      -  a
decoupled_weight_decay_0.1   2^-8   2^-6   2^-6      -  no    no       0.006  0.033      -
sp                           2^-6   2^-8  2^-10      -  no    no       0.020  4.509      -  b c d
large_scale_L12              2^-6   2^-6   2^-6   2^-6  yes   yes      0.000  0.000  0.000  d

a  minimum on the edge of the grid at width 128: the optimum may be lower
b  minimum on the edge of the grid at width 2048: the optimum may be lower
c  the best rate of the smallest width diverged at width 2048 (loss 7.247)
d  a public review of versions 2 and 3 reports the verdict; we have no mark of Table 1

The cells confirm the paper's verdict in 8 of 8 experiments."""


@pytest.fixture(scope="module")
def checks() -> dict[str, TransferCheck]:
    return {check.experiment: check for check in published_transfer()}


@pytest.fixture(scope="module")
def report() -> Report:
    """Return the report that a user gets."""
    return analyze(load_published("lingle2024"), group_by="experiment")


def with_loss(experiment: str, width: float, log2_lr: int, loss: float) -> Results:
    """Return the published table with one cell changed."""
    results = load_published("lingle2024")
    columns = {name: list(values) for name, values in results.axes.items()}
    losses = [float(x) for x in results.loss]
    keys = list(zip(columns["experiment"], columns["width"], columns["lr"], strict=True))
    losses[keys.index((experiment, width, 2.0**log2_lr))] = loss
    return Results.from_columns({**columns, "loss": losses}, source="planted")


def test_the_table_is_complete() -> None:
    """Seven experiments have 15 cells and one has 12."""
    results = load_published("lingle2024")
    assert len(results.loss) == 117
    assert len(set(results.axes["experiment"])) == 8
    assert set(results.axes) == {"experiment", "width", "lr"}
    assert not results.diverged.any()


def test_every_printed_verdict_is_recomputed(checks: dict[str, TransferCheck]) -> None:
    assert printed_verdicts() == PRINTED
    assert {name: check.recomputed for name, check in checks.items()} == PRINTED
    assert all(check.agrees for check in checks.values())
    assert [n for n, c in checks.items() if c.printed_as == "review"] == ["sp", "large_scale_L12"]


def test_the_best_rates_on_the_grid_are_the_published_ones(
    checks: dict[str, TransferCheck],
) -> None:
    assert {name: check.grid_log2_lr for name, check in checks.items()} == {
        "baseline": (-6, -6, -6),
        "projection_biases": (-6, -6, -6),
        "rmsnorm_gains_vector": (-4, -4, -8),
        "rmsnorm_gains_scalar": (-4, -4, -6),
        "lion": (-10, -8, -8),
        "decoupled_weight_decay_0.1": (-8, -6, -6),
        "sp": (-6, -8, -10),
        "large_scale_L12": (-6, -6, -6, -6),
    }


@pytest.mark.parametrize(("experiment", "published"), REGRETS.items())
def test_regrets_have_the_published_digits(
    checks: dict[str, TransferCheck], experiment: str, published: tuple[float, float]
) -> None:
    """Three decimals, as the cells are printed; one seed has no interval."""
    regret = checks[experiment].regret
    assert [regret[512].value, regret[2048].value] == pytest.approx(published, abs=1e-9)
    assert {(r.low, r.high, r.undetermined) for r in regret.values()} == {
        (None, None, "one seed: no interval")
    }


def test_the_largest_model_has_no_regret(checks: dict[str, TransferCheck]) -> None:
    assert checks["large_scale_L12"].regret[8192].value == 0.0
    assert checks["large_scale_L12"].widths == (128, 512, 2048, 8192)


def test_the_regret_equals_that_of_the_analysis(
    checks: dict[str, TransferCheck], report: Report
) -> None:
    """Two computations give the same number at the largest width."""
    last = {name: list(check.regret.values())[-1].value for name, check in checks.items()}
    assert last == pytest.approx({n: g.grid_regret.value for n, g in report.items()}, abs=1e-12)


def test_one_seed_gives_values_but_no_verdict(report: Report) -> None:
    """The paper has one seed per cell, and rates so far apart that noise hides the minima."""
    assert {group.verdict for group in report.values()} == {"undetermined"}
    baseline = report["baseline"]
    assert baseline.reason.startswith("the noise hides the minimum at width 128 in 12.5 %")
    assert report["large_scale_L12"].reason.startswith("one seed, and the rates near the best")
    assert baseline.drift.value is not None
    assert baseline.drift.low is None
    assert baseline.curves[0].note == "window widened to the nearest rates on both sides"


def test_a_minimum_on_the_edge_is_flagged(report: Report) -> None:
    """For Lion at width 128 and SP at width 2048, the best rate is the lowest one."""
    edge = "minimum on the edge of the grid at width {}: add rates below 2^-10 (0.0009766)"
    lion, sp = report["lion"].optimum[0], report["sp"].optimum[-1]
    assert (lion.edge, sp.edge) == ("low", "low")
    assert lion.log2_lr.undetermined == edge.format(128)
    assert sp.log2_lr.undetermined == edge.format(2048)
    assert lion.log2_lr.value is None
    assert report["lion"].reason == edge.format(128)


def test_the_report_shows_the_table_and_its_limits() -> None:
    text, data = published_report("lingle2024")
    assert text.startswith(TABLE)
    assert "Our own verdict: undetermined. With one seed per cell and rates four times" in text
    assert 'Cite: Lucas Lingle, "A Large-Scale Exploration of µ-Transfer", 2024, arXiv:2404' in text
    assert "DISAGREEMENT" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert (data["schema"], data["agreeing"], len(data["experiments"])) == (1, 8, 8)
    assert data["citation"]["arxiv"] == "2404.05728v3"
    assert data["experiments"][6]["regret"]["2048"]["value"] == pytest.approx(4.509, abs=1e-9)


def test_a_changed_cell_is_reported_as_a_disagreement() -> None:
    """Negative control: the baseline's best rate at 2048 moves to 2^-4."""
    checks = check_transfer(with_loss("baseline", 2048.0, -4, 2.5), printed_verdicts())
    assert [check.experiment for check in checks if not check.agrees] == ["baseline"]
    assert checks[0].regret[2048.0].value == pytest.approx(0.011, abs=1e-9)
    text = format_transfer(checks)
    assert text.startswith("DISAGREEMENT in baseline: the cells say no, the paper says yes.")
    assert "The cells confirm the paper's verdict in 7 of 8 experiments." in text


def test_a_changed_mark_is_reported_as_a_disagreement() -> None:
    checks = check_transfer(load_published("lingle2024"), {**printed_verdicts(), "sp": True})
    assert format_transfer(checks).startswith(
        "DISAGREEMENT in sp: the cells say no, the paper says yes."
    )
