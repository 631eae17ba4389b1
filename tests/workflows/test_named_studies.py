"""The named studies: compact files expand to ordinary studies, with the settings of the paper."""

import tomllib

import pytest

from mutransfer.errors import StudyError, UsageError
from mutransfer.lab.data.vocabulary import vocabulary_size
from mutransfer.literature import published_experiments
from mutransfer.records import DatasetTable, StudySpec
from mutransfer.records.lab import NUMERICS, LabSettings
from mutransfer.sweep import check_lab_trials, grid_trials, lab_runner
from mutransfer.workflows import describe, expand, named_studies, named_study, study_text
from mutransfer.workflows.studies import scales
from mutransfer.workflows.studies.catalog import scaled_study, study_file
from mutransfer.workflows.studies.scales import SCALES, read_scaled

SCALED = [study.name for study in named_studies() if study.has_scales]
LINGLE = [study.name for study in named_studies() if study.source_name == "lingle2024"]
BOTH = [(name, scale) for name in SCALED for scale in SCALES]

# What each study changes in the lab's settings, at mini and at paper scale: arXiv:2404.05728, and
# for mini scale the arithmetic in the files. Axes are in CHANGED_AXES.
CHANGES: dict[str, tuple[dict, dict]] = {
    name: (change, change)
    for name, change in {
        "baseline": {},
        "projection-biases": {"biases": True},
        "norm-gains-vector": {"norm_gains": "vector"},
        "norm-gains-scalar": {"norm_gains": "scalar"},
        "attention-scale": {"attention_scale": "1/sqrt(d)"},
        "embedding-norm": {"embedding_norm": True},
        "qk-norm": {"qk_norm": True},
        "swiglu": {"activation": "swiglu", "mlp_ratio": 2.5},
        "geglu": {"activation": "geglu", "mlp_ratio": 2.5},
        "squared-relu": {"activation": "sqrelu"},
        "multi-query": {"kv_heads": 1, "mlp_ratio": 5},
        "learned-positions": {"positions": "learned"},
        "layer-norm": {"norm": "layer"},
        "sp-simple": {
            "parametrization": "sp", "attention_scale": "1/sqrt(d)", "readout_init": "sp",
        },
        "sp": {
            "parametrization": "sp", "attention_scale": "1/sqrt(d)", "readout_init": "sp",
            "biases": True, "norm_gains": "vector",
        },
        "zero-query": {"query_init": "zero"},
        "readout-init-sp": {"parametrization": "mup-last", "readout_init": "sp"},
        "readout-zero": {"readout_init": "zero"},
        "absolute": {"base_width": 1},
        "lion": {"optimizer": "lion", "beta1": 0.95, "beta2": 0.98},
        "lion-absolute": {"base_width": 1, "optimizer": "lion", "beta1": 0.95, "beta2": 0.98},
        "cosine": {"schedule": "cosine"},
    }.items()
} | {
    # Width 128 has a single head of 128 channels, so the paper's base is 256 here.
    "grouped-query": ({"kv_heads": 2}, {"kv_heads": 2, "base_width": 256}),
    "depth-8": ({"depth": 8}, {"depth": 96}),
    "tied": (
        {"tied": True, "output_multiplier": 1 / 32},
        {"tied": True, "output_multiplier": 1 / 128},
    ),
    "large-scale": (
        {"query_init": "zero", "activation": "sqrelu", "decay_mode": "coupled",
         "weight_decay": 2.0},
        {"query_init": "zero", "activation": "sqrelu", "decay_mode": "coupled",
         "weight_decay": 0.1, "depth": 12, "batch": 8192, "steps": 90_000, "warmup": 7000,
         "beta2": 0.95, "eps": 1e-8},
    ),
    "batch-times-4": (
        {"batch": 64, "steps": 60, "warmup": 12},
        {"batch": 4096, "steps": 31_250, "warmup": 2500},
    ),
    "batch-over-4": (
        {"batch": 4, "steps": 960, "warmup": 192},
        {"batch": 256, "steps": 500_000, "warmup": 40_000},
    ),
    "decay-coupled": (
        {"decay_mode": "coupled", "weight_decay": 2.0},
        {"decay_mode": "coupled", "weight_decay": 0.1},
    ),
    "decay-independent-1e-3": (
        {"decay_mode": "independent", "weight_decay": 0.521},
        {"decay_mode": "independent", "weight_decay": 1e-3},
    ),
    "decay-independent-1e-4": (
        {"decay_mode": "independent", "weight_decay": 0.0521},
        {"decay_mode": "independent", "weight_decay": 1e-4},
    ),
    "decay-independent-1e-5": (
        {"decay_mode": "independent", "weight_decay": 0.00521},
        {"decay_mode": "independent", "weight_decay": 1e-5},
    ),
}  # fmt: skip


def octaves(low: int, high: int, step: int = 1) -> tuple[float, ...]:
    return tuple(2.0**k for k in range(low, high + 1, step))


BASELINE_AXES = {
    "mini": {"width": (32, 64, 128), "seed": (0, 1)},
    "paper": {"width": (128, 512, 2048), "lr": octaves(-10, -2, 2), "seed": (0,)},
}
CHANGED_AXES = {
    ("absolute", "paper"): {"lr": octaves(-3, 5, 2)},  # 128 times the relative form's
    ("grouped-query", "paper"): {"width": (256, 512, 2048)},
    ("attention-scale", "mini"): {"seed": (0, 1, 2, 3)},
    ("large-scale", "mini"): {"width": (32, 128, 512)},
    ("lion", "mini"): {"seed": (0, 1, 2, 3)},
    ("readout-zero", "mini"): {"seed": (0, 1, 2, 3)},
    ("projection-biases", "mini"): {"seed": (0, 1, 2, 3)},
    ("multi-query", "mini"): {"seed": (0, 1, 2, 3)},
    ("zero-query", "mini"): {"seed": (0, 1, 2, 3)},
    ("large-scale", "paper"): {"width": (128, 512, 2048, 8192), "lr": octaves(-8, -4, 2)},
    ("lion-absolute", "paper"): {"lr": octaves(-3, 5, 2)},
    ("batch-times-4", "paper"): {"lr": octaves(-9, -1, 2)},  # twice the baseline's
    ("batch-over-4", "paper"): {"lr": octaves(-11, -3, 2)},  # half the baseline's
}


def lab_trials(study: StudySpec) -> list:
    assert study.lab is not None
    runner = lab_runner(study.lab, numerics=NUMERICS, data="0", derived=dict(study.derived))
    return grid_trials(study, runner)


@pytest.mark.parametrize(("name", "scale"), BOTH)
def test_the_lab_can_train_every_trial_of_every_study(name, scale) -> None:
    study = expand(name, scale)
    check_lab_trials(lab_trials(study), where=name)
    assert study.study.name == (name if scale == "mini" else f"{name}-paper")


@pytest.mark.parametrize(("name", "scale"), [(n, s) for n in LINGLE for s in SCALES])
def test_a_study_differs_from_the_baseline_in_its_change_only(name, scale) -> None:
    """The oracle is the table above, not the files."""
    baseline, study = expand("baseline", scale).lab, expand(name, scale).lab
    changes = CHANGES[name][SCALES.index(scale)]
    assert study.settings == baseline.settings | changes
    axes = dict(expand(name, scale).axes)
    if scale == "mini":  # each study's rates surround its own optimum
        assert len(axes.pop("lr")) >= 4
    assert axes == BASELINE_AXES[scale] | CHANGED_AXES.get((name, scale), {})


def test_the_paper_scale_of_the_baseline_is_that_of_the_paper() -> None:
    """arXiv:2404.05728, versions 1 to 3, and its code at c5f0e41."""
    study = expand("baseline", "paper")
    assert study.lab.device == "cuda"
    settings = LabSettings(width=2048, lr=2**-6, **study.lab.settings)
    expected = {
        "depth": 24, "head_width": 128, "base_width": 128, "context": 256, "batch": 1024,
        "steps": 125_000, "warmup": 10_000, "schedule": "linear", "beta1": 0.9, "beta2": 0.98,
        "eps": 1e-9, "clip": 1.0, "dtype": "bfloat16", "weight_decay": 0.0, "optimizer": "adamw",
        "parametrization": "mup", "norm_gains": "none", "biases": False,
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in expected} == expected
    tokens = settings.steps * settings.batch * settings.context
    assert tokens == pytest.approx(32.8e9, rel=0.002)
    assert settings.vocabulary is None
    assert vocabulary_size(settings.tokenizer) == 32_100
    assert study.lab.dataset == DatasetTable(
        name="allenai/c4",
        config="en",
        revision="1588ec454efa1a09f29cd18ddd04fe05fc8653a2",
        documents=82_000_000,
    )
    assert expand("large-scale", "paper").lab.dataset.documents == 364_868_892
    assert expand("baseline", "mini").lab.dataset is None


@pytest.mark.parametrize(("name", "scale"), BOTH)
def test_the_printed_file_is_the_expanded_study(name, scale) -> None:
    text = study_text(name, scale)
    printed = StudySpec.read(tomllib.loads(text), error=StudyError, where=name)
    assert printed == expand(name, scale)
    assert text.startswith(f"# Question: {describe(name).question[:40]}")
    assert f"# Scale:    {scale}" in text


COMPACT = """# Question: which value wins?
schema = 1
[study]
name = "study"
settings = "shared"
"""
SHARED = """# Settings: shared ones.
schema = 1
[settings]
name = "shared"
[axes]
width = [16]
lr = [0.1]
[lab]
base_width = 16
depth = 1
steps = 1
batch = 1
[mini.lab]
steps = 2
batch = 2
warmup = 0
[paper.lab.dataset]
name = "everything"
documents = 10
"""


def test_later_tables_win(monkeypatch) -> None:
    """Shared settings, those of the scale, the study, the study at the scale."""
    monkeypatch.setattr(scales, "settings_text", lambda name: SHARED)
    own = "[lab]\nbatch = 3\ncontext = 3\n[mini.lab]\ncontext = 4\n"
    own += "[paper.lab.dataset]\ndocuments = 11\n"
    study = read_scaled(COMPACT + own, where="study.toml")
    mini, paper = study.expand("mini").lab, study.expand("paper").lab
    assert mini.settings == {
        "base_width": 16, "depth": 1, "steps": 2, "batch": 3, "warmup": 0, "context": 4,
    }  # fmt: skip
    assert paper.settings == {"base_width": 16, "depth": 1, "steps": 1, "batch": 3, "context": 3}
    assert paper.dataset == DatasetTable(name="everything", documents=11)
    text = study.expanded_text("paper")
    assert text.endswith(
        '\n[lab.dataset]\ndocuments = 11 # changed by this study\nname = "everything"\n'
    )
    assert StudySpec.read(tomllib.loads(text), error=StudyError, where="").lab == paper


def test_a_printed_file_keeps_the_comments_and_marks_the_change() -> None:
    text = study_text("batch-times-4", "paper")
    assert "# Paper:    transfers (secondary" in text
    assert "# Settings: those of the paper's versions 1 to 3." in text
    assert "batch = 4096 # changed by this study; 2^20 tokens\n" in text
    # The comment of a value that the study replaces must not stay behind.
    assert "steps = 31250 # changed by this study\n" in text
    assert 'tokenizer = "t5-base" # 32,100 tokens\n' in text
    assert study_text("baseline") == study_text("baseline", "mini")


def test_every_description_says_what_the_paper_found_and_how_certain_that_is() -> None:
    for study in named_studies():
        assert study.question.endswith("?"), study.name
        assert study.source, study.name
        assert study.expected, study.name
    words = ("transcribed", "secondary", "not known", "not an experiment of the paper")
    for name in LINGLE:
        assert any(word in describe(name).expected for word in words), name
    assert describe("norm-gains-vector").experiment == "rmsnorm_gains_vector"
    assert describe("demo").experiment is None


def test_every_published_experiment_that_a_study_names_exists() -> None:
    names = {describe(name).experiment for name in LINGLE} - {None}
    assert names == set(published_experiments()) - {"large_scale_without_decay"}


PRACTITIONERS = {
    "depth": 2, "head_width": 64, "base_width": 256, "context": 1024, "batch": 8, "steps": 122,
    "warmup": 0, "schedule": "constant", "weight_decay": 0.1, "decay_mode": "coupled",
    "beta1": 0.9, "beta2": 0.95, "clip": 1.0, "tied": True, "positions": "learned",
    "norm": "layer", "norm_gains": "vector", "activation": "gelu", "biases": False,
}  # fmt: skip


def test_the_practitioners_test_has_the_settings_of_the_guide() -> None:
    """EleutherAI/nanoGPT-mup, mup_examples/mutransfer_lr_shakespeare_char."""
    study = expand("practitioners-test", "paper")
    settings = LabSettings(width=512, lr=2**-11, **study.lab.settings)
    assert {name: getattr(settings, name) for name in PRACTITIONERS} == PRACTITIONERS
    assert dict(study.axes) == {
        "parametrization": ("sp", "mup"),
        "width": (256, 512, 1024, 2048),
        "lr": octaves(-18, -3),
        "seed": (0, 1, 2),
    }
    hidden_std = settings.init_std / 256**0.5
    assert hidden_std == pytest.approx(0.02)
    assert settings.init_std * settings.input_multiplier == pytest.approx(0.02)
    mini = expand("practitioners-test", "mini")
    assert mini.axes["width"] == (32, 64, 128, 256)


def test_names_of_studies_are_the_names_of_their_files() -> None:
    assert [scaled_study(name).name for name in SCALED] == SCALED


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[lab]", "[lba]", "unknown key 'lba'"),
        ("settings =", "setting =", "unknown key 'study.setting'"),
        ("norm_gains", "norm_gain", "unknown key 'norm_gain'"),
        ("[lab]", "[papers.lab]", "unknown key 'papers'"),
        ("[lab]", "[mini.labs]", "unknown key 'mini.labs'"),
    ],
)
def test_an_unknown_key_of_a_compact_file_is_refused(old, new, problem) -> None:
    text = study_file("norm-gains-vector").replace(old, new)
    with pytest.raises(StudyError, match=problem):
        read_scaled(text, where="study.toml").expand("mini")


def test_a_study_without_scales_refuses_one() -> None:
    with pytest.raises(UsageError) as refused:
        named_study("demo", "paper")
    assert str(refused.value) == (
        "demo has no scales, but got --scale paper\n"
        "  why: its file is what it is; only studies of a paper's experiments have two scales\n"
        "  fix: leave out --scale: mutransfer studies show demo"
    )
