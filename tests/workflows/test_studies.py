"""From a study file to a verdict, with a study that takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mutransfer.analysis import analyze, load_results
from mutransfer.errors import StudyError
from mutransfer.records import StudySpec
from mutransfer.records.lab import NUMERICS
from mutransfer.report.text.analysis import verdict_text
from mutransfer.rules import Plan
from mutransfer.sweep import TrialStore, grid_trials, lab_runner, lab_trials, read_study
from mutransfer.workflows import named_study, run_study
from mutransfer.workflows.analyze import stored_plans
from mutransfer.workflows.studies.lab import relative_cost, same_training

STUDY = """
schema = 1
[study]
name = "tiny"
[axes]
parametrization = ["sp", "mup"]
width = [16, 32]
lr = [0.01, 0.02, 1e3]
[lab]
base_width = 16
attention_scale = "1/d" # as under µP, so that the base width is shared
steps = 4
warmup = 1
batch = 2
depth = 1
context = 16
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the tiny study once, from its file."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(STUDY)
    return run_study(folder / "tiny.toml", store=folder / "store", workers=2)


def test_base_width_trials_run_once_and_count_in_both_groups(run) -> None:
    assert (run.summary.total, run.summary.ran, run.summary.shared) == (12, 9, 3)
    losses = {}
    for result in TrialStore(run.store).results():
        point = result.spec.axes
        losses.setdefault((point["width"], point["lr"]), {})[point["parametrization"]] = result.loss
    assert losses[16, 0.01]["sp"] == losses[16, 0.01]["mup"]
    assert losses[32, 0.01]["sp"] != losses[32, 0.01]["mup"]


def test_an_absurd_rate_diverges_and_is_done(run) -> None:
    assert run.summary.diverged == 4
    assert not run.summary.failed


def test_the_analysis_uses_the_settings_of_the_stored_study(run) -> None:
    report = analyze(load_results(run.store))
    assert set(report) == {"sp", "mup"}
    assert all(group.verdict == "undetermined" for group in report.values())
    text = verdict_text(report)
    assert "mup: undetermined" in text
    assert "add" in text


def test_the_plans_of_the_trainer_are_loaded_from_its_store(run) -> None:
    plans = stored_plans(run.store)
    assert [plan.parametrization for plan in plans] == ["mup", "sp"]
    assert all(isinstance(plan, Plan) and plan.target == 32 for plan in plans)
    assert plans[0]["blocks.0.mlp.up.weight"].lr_factor == 0.5


def test_the_stored_study_is_valid(run) -> None:
    data = json.loads((run.store / "study.json").read_text())
    assert StudySpec.read(data, error=StudyError, where="s").study.name == "tiny"


def test_an_edited_study_is_analyzed_without_its_former_trials(tmp_path) -> None:
    """Former trials stay in the store, but they answer another question."""
    text = STUDY.replace('["sp", "mup"]', '["mup"]')
    for steps, finished in ((3, 6), (4, 12), (3, 12)):
        (tmp_path / "s.toml").write_text(text.replace("steps = 4", f"steps = {steps}"))
        run = run_study(tmp_path / "s.toml", store=tmp_path / "store", workers=1)
        assert len(list(TrialStore(run.store).results())) == finished
        results = load_results(run.store)
        assert len(results) == 6
        assert results.provenance.unfinished == 0
    assert run.summary.ran == 0


def test_resuming_a_finished_study_does_not_import_torch(run, tmp_path) -> None:
    """The budget for running the demo again is two seconds."""
    study = run.store.parent / "tiny.toml"
    code = (
        "import sys; from mutransfer.workflows import run_study; "
        f"run = run_study({str(study)!r}, store={str(run.store)!r}); "
        "print(run.summary.done, run.summary.ran, 'torch' in sys.modules, 'altair' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["12", "0", "False", "False"]


def grid_of(text: str) -> list:
    study = StudySpec.model_validate_json(text)
    runner = lab_runner(study.lab, numerics=NUMERICS, data="0", derived=dict(study.derived))
    return grid_trials(study, runner)


def test_only_trials_at_the_base_width_are_shared_and_wider_ones_cost_more() -> None:
    trials = grid_of(
        '{"schema": 1, "study": {"name": "s"}, "lab": {"base_width": 16}, "axes": '
        '{"parametrization": ["sp", "mup"], "width": [16, 64], "lr": [1]}}'
    )
    keys = [same_training(trial) for trial in trials]
    assert keys[0] == keys[2]
    assert len(set(keys)) == 3
    assert relative_cost(trials[1]) > relative_cost(trials[0])


def keys_with(**settings: object) -> list[str]:
    """Return the keys of trials at the base width of two heads, and at twice that width."""
    lab = json.dumps({"base_width": 32, "head_width": 16, **settings})
    axes = '{"width": [32, 64], "lr": [1], "seed": [0]}'
    text = f'{{"schema": 1, "study": {{"name": "s"}}, "lab": {lab}, "axes": {axes}}}'
    return [same_training(trial) for trial in grid_of(text)]


def test_as_many_key_heads_as_heads_are_no_switch_at_the_base_width() -> None:
    (base, wide), (grouped_base, grouped_wide) = keys_with(), keys_with(kv_heads=2)
    assert base == grouped_base
    assert wide != grouped_wide
    # The factor on hidden rates leaves out the keys and values of a fixed number of heads.
    factor = {"lr_multiplier_hidden": 2.0}
    assert keys_with(**factor)[0] != keys_with(**factor, kv_heads=2)[0]


def test_the_demo_compares_sp_and_mup_over_three_widths() -> None:
    study = named_study("demo")
    assert study.axes["width"] == (32, 64, 128)
    assert study.axes["parametrization"] == ("sp", "mup")
    assert len(study.axes["seed"]) == 2
    assert 256 in named_study("demo-large").axes["width"]


def test_the_readme_counts_the_trainings_of_the_demo() -> None:
    """SP and µP scale attention differently, so they share no training at the base width."""
    study = named_study("demo")
    runner = lab_runner(study.lab, numerics=NUMERICS, data="0", derived={})
    trainings = {same_training(trial) for trial in lab_trials(study, runner)}
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"trains {len(trainings)} small transformers" in readme
    assert len(trainings) == study.num_trials


def error_message(tmp_path, text: str) -> str:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(StudyError) as refused:
        run_study(tmp_path / "bad.toml", store=tmp_path / "store")
    assert not (tmp_path / "store").exists(), "a study that cannot run leaves no folder behind"
    return str(refused.value).replace(str(tmp_path), "")


def test_an_impossible_trial_is_refused_before_the_first_one_starts(tmp_path) -> None:
    assert error_message(tmp_path, STUDY.replace("[16, 32]", "[16, 24]")) == (
        "/bad.toml: width 24 is not a multiple of head_width 16\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write a multiple of 16, such as width = 32"
    )
    assert error_message(tmp_path, STUDY.replace("1e3", "-1")).splitlines()[0] == (
        "/bad.toml: 'axes.lr' has -1, but its logarithm is analyzed"
    )
    assert error_message(tmp_path, STUDY.replace('"sp"', '"spp"')).splitlines()[0] == (
        "/bad.toml: there is no parametrization 'spp'"
    )


def test_a_study_needs_exactly_one_trainer(tmp_path) -> None:
    text = STUDY.partition("[lab]")[0]
    assert error_message(tmp_path, text) == (
        "/bad.toml has neither [lab] nor [runner]\n"
        "  why: exactly one thing trains a trial: the lab, a command, or a Python function\n"
        "  fix: add [lab] for the built-in trainer, [runner] for your own command, or call "
        "run_study(study, runner=function)"
    )
    (tmp_path / "lab.toml").write_text(STUDY)
    with pytest.raises(StudyError, match=r"has \[lab\] and runner="):
        run_study(tmp_path / "lab.toml", runner=len)


def test_a_derived_value_can_be_a_setting_of_the_lab(tmp_path) -> None:
    (tmp_path / "s.toml").write_text(
        STUDY.replace("warmup = 1\n", "").replace(
            "[lab]", '[derived]\nwarmup = "width // 16"\n[lab]'
        )
    )
    study = read_study(tmp_path / "s.toml")
    runner = lab_runner(study.lab, numerics=1, data="0", derived=dict(study.derived))
    assert [t.values["warmup"] for t in grid_trials(study, runner)][:4] == [1, 1, 1, 2]


def test_a_multiplier_of_a_role_can_be_tuned_at_a_fixed_rate(tmp_path) -> None:
    text = STUDY.replace("lr = [0.01, 0.02, 1e3]", "lr_multiplier_input = [0.5, 1, 4]")
    text = text.replace('"sp", ', "") + "lr = 0.01\n[analysis]\nhyperparameter = "
    (tmp_path / "s.toml").write_text(text + '"lr_multiplier_input"')
    run = run_study(tmp_path / "s.toml", store=tmp_path / "store")
    losses = {(r.spec.axes["width"], r.spec.axes["lr_multiplier_input"]): r.loss
              for r in TrialStore(run.store).results()}  # fmt: skip
    report = analyze(load_results(run.store))
    for curve in report["mup"].curves:
        own = [losses[curve.width, factor] for factor in (0.5, 1, 4)]
        assert len(set(own)) == 3
        assert list(curve.loss) == own
        assert list(curve.log2_lr) == [-1, 0, 2]
    assert "best lr_multiplier_input 16: " in verdict_text(report)


def test_a_multiplier_of_a_role_without_parameters_is_refused(tmp_path) -> None:
    text = STUDY.replace("[lab]", "lr_multiplier_vector = [0.5, 1, 4]\n[lab]")
    assert error_message(tmp_path, text) == (
        "/bad.toml: lr_multiplier_vector is set, but no parameter has the role 'vector'\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: remove lr_multiplier_vector, or write norm_gains = "vector"'
    )
