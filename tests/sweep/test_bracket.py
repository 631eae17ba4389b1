"""Rounds of a bracket search on planted losses, and what its study file may not say."""

import math
from collections.abc import Callable

import pytest

from mutransfer.errors import StudyError
from mutransfer.records import CallableRunner, StudySpec
from mutransfer.sweep import grid_trials
from mutransfer.sweep.search.bracket import Cell, Design, fit_optimum, predicted_octaves, rounds
from mutransfer.sweep.search.grid import lattice

SIZES = tuple((32.0 * 2**k,) for k in range(4))
DESIGN = Design(
    SIZES, num_rates=13, extension=13, step=0.5, num_seeds=(3, 2, 1, 1), available_seeds=3
)


def parabola(drift: float = 0.0, cliff: float = math.inf) -> Callable[[Cell], float]:
    """Return losses with a best rate at step 6 of the smallest size, NaN beyond a cliff."""

    def loss(cell: Cell) -> float:
        octaves = (cell.step - 6) / 2 - drift * cell.size
        return math.nan if octaves > cliff else 2 + 0.1 * octaves**2 + 0.01 * cell.seed

    return loss


def search(
    loss: Callable[[Cell], float],
    design: Design = DESIGN,
    is_decided: Callable[[], bool] = lambda: True,
) -> list[list[Cell]]:
    """Return the rounds of a search to its end."""
    losses: dict[Cell, float] = {}
    planned = []
    for cells in rounds(design, losses, is_decided):
        planned.append(cells)
        losses |= {cell: loss(cell) for cell in cells}
    return planned


def steps(planned: list[list[Cell]], size: int) -> set[int]:
    """Return the rates that were tried at a size."""
    return {cell.step for cells in planned for cell in cells if cell.size == size}


def test_the_smallest_size_runs_the_grid_and_larger_ones_three_rates() -> None:
    planned = search(parabola())
    assert planned[0] == [Cell(0, step, seed) for step in range(13) for seed in range(3)]
    assert planned[1] == [Cell(1, step, seed) for step in (4, 6, 8) for seed in range(2)]
    assert planned[2:] == [[Cell(size, step, 0) for step in (4, 6, 8)] for size in (2, 3)]


@pytest.mark.parametrize("drift", [-1.0, -0.5, 0.25, 1.0])
def test_every_size_has_worse_rates_on_both_sides_of_its_best(drift: float) -> None:
    """The largest size's best rate is up to three octaves away, beyond the axis or on its edge."""
    planned = search(parabola(drift))
    for size in range(4):
        best = 6 + 2 * drift * size
        assert min(steps(planned, size)) < best < max(steps(planned, size))


def test_without_widening_a_strong_drift_is_missed() -> None:
    """Negative control: the first three rates of the second size do not contain its best."""
    first = search(parabola(-1.0))[1]
    assert min(cell.step for cell in first) == 6 + 2 * -1.0  # on the edge, as good as beyond it
    assert {cell.step for cell in search(parabola(-1.0))[2]} == {2}


def test_next_to_a_diverged_rate_the_gap_is_halved_and_smaller_rates_are_tried() -> None:
    planned = search(parabola(drift=-1.0, cliff=0.3))
    losses = {cell: parabola(-1.0, 0.3)(cell) for cells in planned for cell in cells}
    for size in range(1, 4):
        usable = sorted(c.step for c in losses if c.size == size and math.isfinite(losses[c]))
        best = 6 - 2 * size
        assert usable[0] < best <= usable[-1]
        assert best + 1 in steps(planned, size)  # the next rate diverges


def test_where_all_rates_diverge_smaller_ones_are_tried() -> None:
    planned = search(lambda cell: math.nan if cell.size and cell.step > 1 else parabola()(cell))
    assert min(steps(planned, 1)) <= 1
    assert search(lambda cell: math.nan)[-1] == [Cell(0, -13, seed) for seed in range(3)]


def test_an_open_verdict_tries_the_carried_rate_then_rates_between_then_more_seeds() -> None:
    """The best rate of the smallest size is three octaves from the largest's, at step 0."""
    planned = search(parabola(-1.0), is_decided=lambda: False)
    last = [cells for cells in planned if cells[0].size == 3]
    near = {cell.step for cell in last[0]}
    assert {cell.step for cell in last[1]} == near | {6}
    tried = near | {6, -1, 1}
    assert {cell.step for cell in last[2]} == tried
    assert last[3] == [Cell(3, step, seed) for step in sorted(tried) for seed in range(2)]
    assert [max(cell.seed for cell in cells) for cells in last] == [0, 0, 0, 1, 2]


def test_equal_losses_give_equal_rounds_wherever_a_search_is_resumed() -> None:
    whole = search(parabola(0.5))
    losses = {cell: parabola(0.5)(cell) for cells in whole[:3] for cell in cells}
    again = rounds(DESIGN, losses, lambda: True)
    assert [next(again) for _ in range(4)] == whole[:4]


def test_the_curvature_of_smaller_sizes_corrects_a_noisy_one() -> None:
    """An outer point that is 0.03 too high moves the optimum less with a prior than without."""
    points = {-1.0: 2.1, 0.0: 2.0, 1.0: 2.13}
    alone, helped = fit_optimum(points), fit_optimum(points, [0.2, 0.2])
    assert abs(helped.octaves) > 0.05
    assert helped.curvature == alone.curvature == pytest.approx(0.23)
    assert fit_optimum({0.0: 2.0, 1.0: 2.1}, [0.2]).octaves == pytest.approx(0.0, abs=1e-9)


def test_curvatures_that_scatter_count_less() -> None:
    points = {-1.0: 2.1, 0.0: 2.0, 1.0: 2.05}
    own, steady, scattered = (
        fit_optimum(points, curvatures).octaves for curvatures in ([], [0.4, 0.4], [0.1, 0.4, 0.9])
    )
    assert steady < scattered < own


def test_with_two_scales_the_prediction_follows_each() -> None:
    """A plane with slopes -1 and 0.5; four corners and the damping of 0.5 leave 2/3 of each."""
    corners = [((x, y), -math.log2(x) + 0.5 * math.log2(y)) for x in (1.0, 2.0) for y in (1.0, 2.0)]
    assert predicted_octaves(corners, (4.0, 2.0)) == pytest.approx(-0.5 - 1 * 1 / 1.5)
    assert predicted_octaves(corners, (2.0, 4.0)) == pytest.approx(-0.5 + 0.5 * 1 / 1.5)


def test_trials_are_those_of_a_grid_with_a_longer_axis() -> None:
    """A result of the plain grid is the bracket's too: ids contain the rate's exact number."""

    def ids(rates: str, **search: object) -> set[str]:
        data = {"schema": 1, "study": {"name": "s"}, "search": search,
                "axes": {"width": [8, 16], "lr": rates, "seed": [0, 1]}}  # fmt: skip
        study = StudySpec.read(data, error=StudyError, where="s")
        return {trial.id for trial in grid_trials(study, CallableRunner(name="f"))}

    bracket = ids("2^-6 .. 2^-3 step 1/2", strategy="bracket")
    assert ids("2^-6 .. 2^-3 step 1/2") < bracket
    assert ids("2^-9.5 .. 2^0.5 step 1/2") == bracket
    assert lattice([0.001, 0.003, 0.009])[-1] == 0.243


AXES = {"width": [8, 16], "lr": "2^-6 .. 2^-2", "seed": [0, 1]}
ERRORS = [
    ({"axes": {**AXES, "lr": [1, 2, 4, 8]}}, "'axes.lr' has 4 values: a bracket fits a parabola"),
    ({"axes": {**AXES, "lr": [1, 2, 3, 4, 5]}}, "'axes.lr' is not even: a bracket adds further"),
    ({"axes": {**AXES, "lr": [5, 4, 3, 2, 1]}}, "as in lr = \"2^-10 .. 2^-4 step 1/2\""),
    ({"axes": {**AXES, "width": [8]}}, "'axes.width' has one value, so a bracket would be"),
    ({"seeds": [3, 1]}, "search.seeds has 3, but the axis 'seed' has 2"),
    ({"seeds": [0]}, "search.seeds"),
    ({"rates": 2}, "search.rates"),
    ({"octaves": 0}, "search.octaves"),
    ({"samples": 8}, "'samples' has no effect on a bracket"),
    ({"strategy": "grid", "rates": 4}, "'rates' has no effect on a grid"),
    ({"axes": {**AXES, "beta": [1, 2]}}, "write [analysis] group_by = [\"beta\"]"),
    ({"only": [{"seed": [0]}]}, "'only' has no use with a bracket"),
    ({"analysis": {"hyperparameter": ["lr", "seed"]}}, "searches one hyperparameter"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), ERRORS)
def test_what_a_bracket_cannot_search_is_refused(change: dict, message: str) -> None:
    tables = {key: change[key] for key in change.keys() & {"axes", "only", "analysis"}}
    search = {"strategy": "bracket", **{k: v for k, v in change.items() if k not in tables}}
    data = {"schema": 1, "study": {"name": "s"}, "axes": AXES, "search": search, **tables}
    with pytest.raises(StudyError) as raised:
        StudySpec.read(data, error=StudyError, where="s")
    assert message in str(raised.value)
