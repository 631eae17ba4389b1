"""Tables of a study's trials: instability travels with them, and older tables lack it."""

import numpy as np
import pytest
from study_cases import planted, planted_results, study_of

from mutransfer.analysis import analyze, load_results
from mutransfer.analysis.training_curves import MEASURES
from mutransfer.records import StudySpec, TrialResult
from mutransfer.sweep import TrialStore
from mutransfer.workflows.comparison.table import read_table, table_of
from mutransfer.workflows.studies.run import prepare_study


def with_curve(result: TrialResult) -> TrialResult:
    """Return a result with a curve of 100 steps, stored every other one."""
    rng = np.random.default_rng(int(result.id[:12], 16))
    losses = result.loss + rng.normal(0, 0.01, 50)
    return result.model_copy(
        update={"curve": tuple((2 * k + 1, float(loss)) for k, loss in enumerate(losses))}
    )


@pytest.fixture(scope="module")
def study() -> StudySpec:
    return study_of("baseline")


@pytest.fixture(scope="module")
def finished(study: StudySpec) -> list[TrialResult]:
    """Trials with curves, one of which diverged."""
    results = list(map(with_curve, planted_results(prepare_study(study).trials, planted())))
    last = max(range(len(results)), key=lambda k: float(results[k].spec.axes["lr"]))
    results[last] = results[last].model_copy(update={"loss": None, "diverged_at": 50})
    return results


def test_a_table_has_the_stability_of_its_store_to_the_last_digit(
    study, finished, tmp_path
) -> None:
    store = TrialStore(tmp_path / "runs", create=True)
    store.write_study(study, prepare_study(study).trials)
    for result in finished:
        claim = store.claim(result.spec)
        store.publish(result, store.new_attempt(result.id))
        claim.release()
    table = read_table(table_of(finished, list(study.axes)).to_csv(), "baseline.csv")
    shipped, stored = table.results("baseline.csv", study), load_results(store.path)
    (own,), (other,) = (analyze(results).values() for results in (shipped, stored))
    assert own.stability == other.stability
    rough = own.stability[0].at(1.0).paired_roughness.mean.value
    assert rough == pytest.approx(0.01, rel=0.2)
    assert own.stability[0].curve_stride == 2


def test_a_table_without_the_columns_is_read_and_has_no_measures(study, finished) -> None:
    """Those that were written before, and those of trials without curves."""
    bare = [result.model_copy(update={"curve": ()}) for result in finished]
    text = table_of(bare, list(study.axes)).to_csv()
    assert not set(MEASURES) & set(text.splitlines()[0].split(","))
    (group,) = analyze(read_table(text, "old.csv").results("old.csv", study)).values()
    assert group.stability[0].at(1.0).roughness is None
    assert group.stability[0].at(2.0).excess_loss.value is not None


def test_a_diverged_trial_has_empty_cells(study, finished) -> None:
    table = read_table(table_of(finished, list(study.axes)).to_csv(), "baseline.csv")
    (row,) = (row for row in table.rows if row["diverged_at"] is not None)
    assert [row[name] for name in MEASURES] == [None] * len(MEASURES)
    others = [row["largest_rise"] for row in table.rows if row["diverged_at"] is None]
    assert min(others) > 0
