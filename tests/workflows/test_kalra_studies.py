"""The named studies of arXiv:2605.21486: the paper's settings, and grids around the optima."""

import itertools
import math

import pytest

from mutransfer.lab.counts import num_steps
from mutransfer.records import LabRunner, StudySpec, lab_settings
from mutransfer.records.lab import NUMERICS
from mutransfer.rules.hybrids import HYBRIDS, switches_of
from mutransfer.sweep import lab_runner, lab_trials, sharing_notes
from mutransfer.workflows import expand, named_studies
from mutransfer.workflows.studies.lab import same_training
from mutransfer.workflows.studies.scales import SCALES

NAMES = [study.name for study in named_studies() if study.source_name == "kalra2026"]
MAIN = ("sp", "sp+embd", "mup", "mup-embd")


def trials_of(study: StudySpec) -> list:
    assert study.lab is not None
    runner: LabRunner = lab_runner(
        study.lab, numerics=NUMERICS, data="0", derived=dict(study.derived)
    )
    return lab_trials(study, runner)


def test_the_paper_scale_is_that_of_the_paper_as_far_as_it_is_published() -> None:
    study = expand("embedding-rate", "paper")
    settings = lab_settings(trials_of(study)[0])
    expected = {
        "depth": 12, "context": 1024, "vocabulary": 50_304, "batch": 256, "beta1": 0.9,
        "beta2": 0.95, "eps": 1e-8, "clip": 0.0, "schedule": "wsd", "steps": 10_000,
        "warmup": 2_000, "cooldown": 0.2, "norm": "layer", "norm_gains": "vector",
        "positions": "learned", "activation": "gelu", "tied": False, "biases": False,
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in expected} == expected
    assert (study.axes["width"][0], study.axes["width"][-1]) == (128, 2048)
    decays = expand("hybrids-decay", "paper").axes["weight_decay"]
    assert decays == (0, 1e-4, 3e-4, 6e-4, 1e-3, 3e-3, 6e-3, 1e-2)


@pytest.mark.parametrize("scale", SCALES)
def test_hybrids_are_all_sixteen_and_no_two_are_the_same_training(scale) -> None:
    study = expand("hybrids", scale)
    assert set(study.axes["parametrization"]) == HYBRIDS.keys()
    assert len(study.axes["parametrization"]) == 16
    trials = trials_of(study)
    assert sharing_notes(trials) == []
    widest = [t for t in trials if t.axes["width"] == max(study.axes["width"])]
    assert len({same_training(trial) for trial in widest}) == len(widest)


@pytest.mark.parametrize("name", NAMES)
def test_all_parametrizations_are_one_network_at_the_base_width(name) -> None:
    """They share its trials, so their grids there must be the same."""
    study = expand(name, "mini")
    groups: dict[tuple, set[str]] = {}
    for trial in trials_of(study):
        settings = lab_settings(trial)
        if settings.width == settings.base_width:
            other = (settings.weight_decay, settings.tokenizer, settings.parametrization)
            groups.setdefault(other, set()).add(same_training(trial))
    by_setting: dict[tuple, list[set[str]]] = {}
    for (decay, tokenizer, _), keys in groups.items():
        by_setting.setdefault((decay, tokenizer), []).append(keys)
    assert all(keys == own[0] for own in by_setting.values() for keys in own)


@pytest.mark.parametrize("name", NAMES)
def test_every_curve_has_seven_rates_at_most_half_an_octave_apart(name) -> None:
    curves: dict[tuple, list[float]] = {}
    for trial in trials_of(expand(name, "mini")):
        rest = tuple((key, value) for key, value in trial.axes.items() if key != "lr")
        curves.setdefault(rest, []).append(math.log2(trial.axes["lr"]))
    for rest, octaves in curves.items():
        steps = {high - low for low, high in itertools.pairwise(octaves)}
        assert len(octaves) >= 7, rest
        is_finer = trial_width(rest) == 12 and name != "tokens-per-parameter"
        assert steps == {0.25 if is_finer else 0.5}, rest


def trial_width(axes: tuple) -> int:
    return dict(axes)["width"]


def test_rates_follow_the_gauge() -> None:
    """Without `embd` the best rate falls as 1/width, so the middle of the grid does."""
    middles: dict[tuple[str, int], list[float]] = {}
    for trial in trials_of(expand("hybrids", "mini")):
        key = trial.axes["parametrization"], trial.axes["width"]
        middles.setdefault(key, []).append(math.log2(trial.axes["lr"]))
    for (name, width), octaves in middles.items():
        middle, base = sum(octaves) / len(octaves), sum(middles[name, 12]) / len(middles[name, 12])
        drift = 0.0 if "embd" in switches_of(name) else -math.log2(width / 12)
        assert middle - base == pytest.approx(drift, abs=0.8), (name, width)


def test_lengths_in_tokens_per_parameter_grow_with_the_square_of_the_width() -> None:
    lengths = {}
    for trial in trials_of(expand("tokens-per-parameter", "mini")):
        settings = lab_settings(trial)
        lengths[settings.width] = num_steps(settings)
    # 10 tokens for each of the 24 n² weights and 5 n gains of two blocks, in batches of 1,024.
    assert lengths == {n: math.ceil(10 * (24 * n**2 + 5 * n) / 1024) for n in (12, 16, 24, 32, 48)}


def test_trials_without_decay_are_those_of_the_hybrids() -> None:
    """The mode of a decay of zero is no difference, so they are trained once."""
    hybrids = {same_training(trial) for trial in trials_of(expand("hybrids", "mini"))}
    trials = trials_of(expand("hybrids-decay", "mini"))
    plain = [t for t in trials if t.axes["weight_decay"] == 0]
    assert plain
    assert {same_training(trial) for trial in plain} <= hybrids
    assert not {same_training(t) for t in trials if t not in plain} & hybrids


def test_decays_remove_as_much_of_a_weight_as_in_the_paper() -> None:
    mini, paper = (expand("hybrids-decay", scale) for scale in SCALES)
    assert mini.lab.settings["decay_mode"] == "independent"
    removed = [decay * mini.lab.settings["steps"] for decay in mini.axes["weight_decay"]]
    in_paper = [decay * paper.lab.settings["steps"] for decay in paper.axes["weight_decay"]]
    assert all(any(math.isclose(a, b) for b in in_paper) for a in removed)
