"""Runs of one width that ended at different lengths are not compared as equals."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from planted_surfaces import columns as planted
from planted_surfaces import quadratic

from mutransfer.analysis import Results, analyze, load_results, predict
from mutransfer.analysis.curves.lengths import is_length
from mutransfer.errors import ResultsError

FULL = {"transfers": quadratic(), "does not transfer": quadratic(drift=-0.5)}


def sweep(truth: str = "does not transfer") -> dict[str, list]:
    return planted(FULL[truth], log2_lr=tuple(range(-11, -2)), seeds=2, sd_within=0.003)


def rows_where(table: dict[str, list], chosen: Sequence[bool]) -> dict[str, list]:
    return {
        name: [value for value, keep in zip(values, chosen, strict=True) if keep]
        for name, values in table.items()
    }


def stopped_early(table: dict[str, list], is_short: Sequence[bool]) -> dict[str, list]:
    """Raise the loss of runs that ended early."""
    losses = zip(table["loss"], is_short, strict=True)
    return {**table, "loss": [loss + 0.3 * short for loss, short in losses]}


def low_rates(table: dict[str, list]) -> list[bool]:
    points = zip(table["width"], table["lr"], strict=True)
    return [width > 64 and lr < 2**-6 for width, lr in points]


@pytest.mark.parametrize(
    ("column", "full", "short"),
    [
        ("training_iteration", 100, 25),  # Ray Tune
        ("_step", 4999, 1000),  # W&B
        ("trainer/global_step", 20_000, 12_000),  # Lightning in W&B
        ("train/global_step", 1000, 950),  # Hugging Face
        ("metrics.epoch", 2.99, 1.5),  # MLflow
        ("summary.tokens_seen", 1e9, 4.1e8),
        ("train/num_input_tokens_seen", 2**30, 2**29),
        ("consumed_train_samples", 512_000, 256_000),  # Megatron
        ("num_updates", 50_000, 30_000),  # fairseq
        ("user_attrs_steps", 300, 200),  # Optuna
        ("iteration", 5000.0, 2500.0),
        ("progress", 1.0, 0.43),
    ],
)
def test_the_verdict_is_that_of_the_runs_of_full_length(
    column: str, full: float, short: float
) -> None:
    """Runs at low rates were stopped early, which hides that the optimum falls with width."""
    table = sweep()
    is_short = low_rates(table)
    table = stopped_early(table, is_short)
    assert analyze(Results.from_columns(table))["all"].verdict == "transfers"  # wrong
    lengths = [short if early else full for early in is_short]
    report = analyze(Results.from_columns({**table, column: lengths}))
    complete = rows_where(table, [not early for early in is_short])
    expected = analyze(Results.from_columns(complete))
    assert report["all"].verdict == expected["all"].verdict == "undetermined"
    assert report["all"].curves == expected["all"].curves
    assert "or finish the runs that ended early" in report["all"].reason
    assert len(report.notes) == 3
    assert report.notes[0] == (
        f"10 of 18 runs ended early and are left out at width 128: {column} {short:g} instead of "
        f"{full:g}, at 2^-11 to 2^-7: finish them, or remove the longer runs to compare all runs"
    ).replace(f"{short:g}", _plain(short)).replace(f"{full:g}", _plain(full))


def _plain(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


@pytest.mark.parametrize(
    ("column", "lengths"),
    [
        ("step", lambda width, lr, seed: 1000),
        ("step", lambda width, lr, seed: 20 * width),  # tokens per parameter
        ("step", lambda width, lr, seed: 999 + seed),  # an offset of logging
        ("tokens", lambda width, lr, seed: 1e9 + 1e6 * seed),
        ("epoch", lambda width, lr, seed: 0),
        ("step", lambda width, lr, seed: None),
        ("warmup_steps", lambda width, lr, seed: 10 + 1000 * lr),
        ("best_step", lambda width, lr, seed: 500 + 1000 * lr),
        ("val_samples", lambda width, lr, seed: 500 + 1000 * lr),
        ("time/step", lambda width, lr, seed: 500 + seed * 100),
        ("step", lambda width, lr, seed: 0.31 + lr),  # seconds
    ],
)
def test_equal_lengths_change_nothing(column: str, lengths) -> None:
    table = sweep("transfers")
    points = zip(table["width"], table["lr"], table["seed"], strict=True)
    report = analyze(Results.from_columns({**table, column: [lengths(*p) for p in points]}))
    assert report.notes == ()
    assert report["all"].to_json() == analyze(Results.from_columns(table))["all"].to_json()
    assert report["all"].verdict == "transfers"


def test_one_short_run_leaves_the_verdict_to_the_others() -> None:
    table = sweep("transfers")
    points = zip(table["width"], table["lr"], table["seed"], strict=True)
    is_short = [point == (256, 2**-6, 1) for point in points]
    lengths = [400 if short else 1000 for short in is_short]
    report = analyze(Results.from_columns({**stopped_early(table, is_short), "step": lengths}))
    assert report.notes == (
        "1 of 18 runs ended early and is left out at width 256: step 400 instead of 1000, at 2^-6: "
        "finish them, or remove that column to compare all runs",
    )
    assert report["all"].verdict == "transfers"


def test_one_run_that_is_longer_than_all_others_gives_no_verdict() -> None:
    table = sweep("transfers")
    lengths = [1000] * len(table["lr"])
    lengths[4] = 2000
    report = analyze(Results.from_columns({**table, "step": lengths}))
    assert report["all"].verdict == "undetermined"
    assert report.notes[0].startswith("17 of 18 runs ended early and are left out at width 64")


def test_a_diverged_run_may_end_early() -> None:
    table = sweep("transfers")
    table["loss"] = [math.nan if lr == 2**-3 else x
                     for lr, x in zip(table["lr"], table["loss"], strict=True)]  # fmt: skip
    table["step"] = [120 if math.isnan(loss) else 1000 for loss in table["loss"]]
    report = analyze(Results.from_columns(table))
    assert report.notes == ()
    assert report["all"].curves[0].num_diverged[-1] == 2


def test_a_length_that_is_an_axis_is_compared_on_purpose() -> None:
    table = sweep("transfers")
    size = len(table["lr"])
    both = {name: values * 2 for name, values in table.items()}
    both["epochs"] = [5] * size + [10] * size
    with pytest.raises(ResultsError) as raised:
        analyze(Results.from_columns(both))
    assert "if each row is a run: --group-by epochs" in raised.value.fix
    report = analyze(Results.from_columns(both), group_by="epochs")
    assert (list(report), report.notes) == (["10", "5"], ())
    # As the scale, too.
    tokens = {**table, "tokens": table["width"]}
    assert analyze(Results.from_columns(tokens), scale="tokens").notes == ()


def test_lengths_that_follow_a_tuned_size_are_by_design() -> None:
    """At equal compute the tokens are inverse to the size, and steps to the batch size."""
    table = sweep("transfers")
    table["n"] = [lr * 2**20 for lr in table["lr"]]
    sizes = zip(table["width"], table["n"], strict=True)
    tokens = [round(1e9 * width / n) for width, n in sizes]
    report = analyze(Results.from_columns({**table, "tokens": tokens}), hyperparameter="n")
    assert report.notes == ()
    # Of learning rates, there is no such law.
    assert analyze(Results.from_columns({**table, "tokens": tokens})).notes


def test_the_number_of_a_search_is_no_length() -> None:
    table = sweep("transfers")
    for first in (0, 1):
        numbers = list(range(first, first + len(table["lr"])))
        assert analyze(Results.from_columns({**table, "iteration": numbers})).notes == ()


def test_repetitions_without_seeds_are_runs_if_they_have_names() -> None:
    """Ray Tune stops some of several samples of one point early."""
    table = sweep("transfers")
    del table["seed"]
    size = len(table["lr"])
    table["training_iteration"] = [100 if k % 2 else 8 for k in range(size)]
    with pytest.raises(ResultsError) as raised:
        analyze(Results.from_columns(table))
    assert raised.value.fix == (
        "keep the last row of each run, the one with the largest 'training_iteration'"
    )
    table["trial_id"] = [f"a1b2_{k:05}" for k in range(size)]
    report = analyze(Results.from_columns(table))
    assert [len(curve.seeds) for curve in report["all"].curves] == [1] * 4
    assert len(report.notes) == 5
    assert report.notes[4].startswith("one seed: ")
    # An offset of logging does not make runs differ.
    table["training_iteration"] = [100 - k % 2 for k in range(size)]
    del table["trial_id"]
    assert analyze(Results.from_columns(table))["all"].verdict == "transfers"


def test_groups_are_named_and_predictions_warn() -> None:
    table = sweep("transfers")
    size = len(table["lr"])
    both = {name: values * 2 for name, values in table.items()}
    both["parametrization"] = ["mup"] * size + ["sp"] * size
    both["step"] = [1000] * size + [300, *[1000] * (size - 1)]
    results = Results.from_columns(both)
    note = (
        "1 of 18 runs ended early and is left out at width 64: step 300 instead of 1000, at 2^-11: "
        "finish them, or remove that column to compare all runs"
    )
    assert analyze(results).notes == (f"sp: {note}",)
    assert note in predict(results, width=2048, group="sp").warnings
    assert note not in predict(results, width=2048, group="mup").warnings


def test_curves_of_tensorboard_end_at_their_last_step(tmp_path: Path) -> None:
    for k, steps in zip(range(-8, -3), (100, 100, 100, 40, 100), strict=True):
        for width in (64, 128):
            lines = [f"1.0,{step},{3 + (k + 6) ** 2 / (1 + step)}" for step in (0, steps)]
            file = tmp_path / f"width={width},lr=2^{k}.csv"
            file.write_text("\n".join(["Wall time,Step,Value", *lines]))
    report = analyze(load_results(tmp_path))
    assert report.notes[0].startswith(
        "1 of 5 runs ended early and is left out at width 64: step 40 instead of 100, at 2^-5:"
    )
    assert report["all"].curves[0].log2_lr == (-8.0, -7.0, -6.0, -4.0)


def test_names_of_lengths() -> None:
    lengths = "Step num_train_epochs iter_num config.max_steps state.global_step timesteps_total"
    others = "eval_steps lr_decay_iters tokens_per_step step_size loss/step n_embd tokens/s"
    assert all(is_length(name) for name in lengths.split())
    assert not any(is_length(name) for name in others.split())


@pytest.mark.parametrize(
    ("mup", "sp", "is_noted"),
    [
        ({"step": 1000}, {"step": 500}, True),
        ({"step": 1000}, {"step": 990}, False),
        ({"step": 1000, "tokens": 1e6}, {"step": 500, "tokens": 1e6}, False),  # twice the batch
        ({"step": 1000, "tokens": 1e6}, {"step": 1000, "tokens": 5e5}, True),
        ({"step": 1000}, {"epoch": 3}, False),
    ],
)
def test_groups_of_different_lengths_are_noted(mup: dict, sp: dict, is_noted: bool) -> None:
    """The difference of their losses is printed, so the note says what else it may come from."""
    table = sweep("transfers")
    size = len(table["lr"])
    both = {name: values * 2 for name, values in table.items()}
    both["parametrization"] = ["mup"] * size + ["sp"] * size
    for name in {*mup, *sp}:
        both[name] = [mup.get(name)] * size + [sp.get(name)] * size
    notes = analyze(Results.from_columns(both)).notes
    assert len(notes) == is_noted
    if is_noted and mup["step"] != sp["step"]:
        assert notes[0].startswith(
            "mup and sp trained for different lengths, step 1000 and 500 at width 512, so"
        )


def test_a_folder_of_wandb_runs_has_its_last_steps(tmp_path: Path) -> None:
    for k in range(3):
        files = tmp_path / f"run-2026010{k}_000000-aa{k}" / "files"
        files.mkdir(parents=True)
        (files / "config.yaml").write_text(f"lr:\n  value: {2.0**-k}\nwidth:\n  value: 64\n")
        summary = f'{{"loss": 3.{k}, "_step": {999 if k else 400}, "_runtime": {k}}}'
        (files / "wandb-summary.json").write_text(summary)
    (note,) = analyze(load_results(tmp_path)).notes
    assert note.startswith(
        "1 of 3 runs ended early and is left out at width 64: _step 400 instead of 999, at 2^0:"
    )


@pytest.mark.parametrize(
    ("full", "short"),
    [("20k", "10k"), ("3.2B", "1.1 B"), ("100%", "57 %"), ("10/10", "4/10"), ("2e3", "1,000"),
     ("300 steps", "200 steps"), ("2000.0", "1000")],
)  # fmt: skip
def test_lengths_in_text_are_parsed(full: str, short: str) -> None:
    table = sweep("transfers")
    texts = [short if k == 3 else full for k in range(len(table["lr"]))]
    (note,) = analyze(Results.from_columns({**table, "step": texts})).notes
    assert note.startswith("1 of 18 runs ended early and is left out at width 64")
    assert analyze(Results.from_columns({**table, "step": [full] * len(texts)})).notes == ()
