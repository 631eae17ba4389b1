"""The verdict of every experiment of arXiv:2404.05728, beside what its cells say."""

import pytest

from mutransfer.errors import ResultsError
from mutransfer.literature import (
    printed_verdicts,
    published_experiment,
    published_experiments,
    published_transfer,
)

YES = {
    "baseline", "projection_biases", "large_scale_L12", "embedding_norm", "zero_query",
    "readout_init_sp", "readout_zero", "cosine", "swiglu", "squared_relu", "multi_query",
    "batch_times_4", "batch_over_4",
}  # fmt: skip
NO = {
    "rmsnorm_gains_vector", "rmsnorm_gains_scalar", "lion", "decoupled_weight_decay_0.1", "sp",
    "attention_scale",
}  # fmt: skip
UNPUBLISHED = {
    "decay_independent_1e-3", "decay_independent_1e-4", "decay_independent_1e-5", "absolute",
    "lion_absolute", "sp_simple", "large_scale_without_decay", "qk_norm",
}  # fmt: skip
# Best loss at width 2048 minus the baseline's 2.511, by hand.
LOSS_DIFFERENCES = {
    "baseline": 0.0,
    "projection_biases": 0.018,
    "rmsnorm_gains_vector": 0.042,
    "rmsnorm_gains_scalar": 0.014,
    "lion": 0.0,
    "decoupled_weight_decay_0.1": -0.009,
    "sp": 0.227,
    "large_scale_L12": None,
}


def test_every_verdict_of_the_paper_is_in_the_table() -> None:
    verdicts = {name: row.transfers for name, row in published_experiments().items()}
    assert {name for name, verdict in verdicts.items() if verdict is True} == YES
    assert {name for name, verdict in verdicts.items() if verdict is False} == NO
    assert {name for name, verdict in verdicts.items() if verdict is None} == UNPUBLISHED


def test_the_two_packaged_tables_give_the_same_verdicts() -> None:
    verdicts = {name: published_experiment(name).transfers for name in printed_verdicts()}
    assert verdicts == printed_verdicts()


def test_an_experiment_with_cells_has_their_regret_widths_and_best_rates() -> None:
    for check in published_transfer():
        experiment = published_experiment(check.experiment)
        assert experiment.widths == check.widths
        assert experiment.grid_log2_lr == check.grid_log2_lr
        nats = {row.width: row.nats for row in experiment.regrets}
        assert nats == {width: regret.value for width, regret in check.regret.items()}
    regret = published_experiment("sp").regret
    assert regret is not None
    assert regret.nats == pytest.approx(4.509, abs=1e-9)
    assert regret.share == pytest.approx(4.509 / 2.738, abs=1e-9)


def test_over_a_fourfold_width_no_experiment_of_the_paper_costs_a_percent() -> None:
    """Regrets at width 512, by hand: 0 but for Lion, decay and SP."""
    nats = {"lion": 0.005, "decoupled_weight_decay_0.1": 0.006, "sp": 0.020}
    for name in printed_verdicts():
        near = published_experiment(name).regret_within(4)
        assert near is not None
        assert near.width == 512
        assert near.nats == pytest.approx(nats.get(name, 0.0), abs=1e-9)
        assert near.share < 0.01
    assert published_experiment("sp").regret_within(3.9) is None
    assert published_experiment("swiglu").regret_within(16) is None


def test_an_experiment_without_cells_has_a_verdict_without_numbers() -> None:
    with_cells = set(printed_verdicts())
    for name in YES | NO | UNPUBLISHED:
        experiment = published_experiment(name)
        assert (experiment.regret is None) == (name not in with_cells)
        assert bool(experiment.grid_log2_lr) == (name in with_cells)
        assert bool(experiment.widths) == (experiment.transfers is not None)
    assert published_experiment("attention_scale").widths == (128, 512, 2048)


def test_the_loss_is_compared_with_the_baseline_at_width_2048() -> None:
    differences = {name: published_experiment(name).loss_difference for name in LOSS_DIFFERENCES}
    assert differences == pytest.approx(LOSS_DIFFERENCES, abs=1e-9)
    assert published_experiment("multi_query").loss_in_words == "clearly better"
    assert published_experiment("cosine").loss_in_words == "slightly worse"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lion", "marked in Table 1"),
        ("sp", "the printed cells agree"),
        ("swiglu", "a public review of versions 2 and 3 says so"),
        ("qk_norm", "only the script is public"),
    ],
)
def test_the_certainty_of_a_verdict_is_in_words(name: str, words: str) -> None:
    assert words in published_experiment(name).certainty


def test_an_unknown_experiment_is_refused() -> None:
    with pytest.raises(ResultsError) as raised:
        published_experiment("squared_rleu")
    assert str(raised.value) == (
        "arXiv:2404.05728 has no experiment 'squared_rleu'\n"
        "  why: the verdict of another experiment would be returned\n"
        "  fix: did you mean 'squared_relu'?"
    )
