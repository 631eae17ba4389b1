"""Columns of trackers and tuners: what was set precedes what was logged, in every order."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mutransfer.analysis import analyze, load_results
from mutransfer.errors import ResultsError

WIDTHS, RATES, SEEDS = (64, 128), (0.001, 0.002, 0.004), (0, 1)
# Tool -> its columns, each with what it holds. The mapping that the error must propose is that of
# the columns that hold `width`, `lr`, `loss` and `seed`.
TOOLS: dict[str, dict[str, str]] = {
    "W&B, runs table of a nanoGPT copy": {
        **{"Name": "name", "State": "finished", "n_embd": "width", "learning_rate": "lr"},
        **{"min_lr": "lr/10", "lr": "logged", "mfu": "31.2", "seed": "seed"},
        **{"train/loss": "train", "val/loss": "loss"},
    },
    "W&B, JSON of the public API": {
        **{"config.optimizer.lr": "lr", "config.model.hidden_size": "width", "config.seed": "seed"},
        **{"config.loss": "cross_entropy", "summary.lr": "logged", "summary.loss_scale": "1024"},
        **{"summary.train_loss": "train", "summary.eval_loss": "loss"},
    },
    "Hugging Face Trainer in W&B": {
        **{"hidden_size": "width", "train/learning_rate": "logged", "learning_rate": "lr"},
        **{"train/loss": "train", "train_loss": "train", "eval/loss": "loss", "seed": "seed"},
    },
    "MLflow, search_runs": {
        **{"run_id": "name", "status": "FINISHED", "metrics.lr": "logged", "params.lr": "lr"},
        **{"metrics.train_loss": "train", "metrics.val_loss": "loss", "metrics.val_acc": "0.5"},
        **{"params.d_model": "width", "params.seed": "seed"},
    },
    "Optuna, trials_dataframe": {
        **{"number": "name", "value": "loss", "params_lr": "lr", "params_n_embd": "width"},
        **{"params_seed": "seed", "state": "COMPLETE"},
    },
    "Ray Tune, get_dataframe": {
        **{"loss": "loss", "trial_id": "name", "config/lr": "lr", "config/width": "width"},
        **{"config/seed": "seed", "done": "True"},
    },
    "ClearML, table of experiments": {
        **{"TAGS": "mup", "General/lr": "lr", "Args/embed_dim": "width", "General/seed": "seed"},
        **{"optimizer/lr": "logged", "loss/train": "train", "loss/validation": "loss"},
    },
    "Neptune, fetch_runs_table": {
        **{"sys/id": "name", "parameters/learning_rate": "lr", "parameters/dim": "width"},
        **{"parameters/seed": "seed", "metrics/lr": "logged", "metrics/train/loss": "train"},
        **{"metrics/val/loss": "loss", "metrics/val/accuracy": "0.5"},
    },
    "Comet, export of an experiment list": {
        **{"Experiment key": "name", "base_lr": "lr", "curr_lr": "logged", "lr": "logged"},
        **{"model_dim": "width", "validate_z_loss": "0.1", "loss": "train", "val loss": "loss"},
        **{"random_seed": "seed"},
    },
    "DVC, exp show --csv": {
        **{"Experiment": "name", "train.lr": "lr", "model.d_model": "width", "train.seed": "seed"},
        **{"metrics/train_loss": "train", "valid_loss": "loss"},
    },
    "TensorBoard, HPARAMS tab": {
        **{"max_lr": "lr", "hparam/train_loss": "train", "hparam/val_loss": "loss"},
        **{"n_embd": "width", "train/lr": "logged", "seed": "seed"},
    },
    "Lightning, CSVLogger beside hparams.yaml": {
        **{"lr-AdamW/pg1": "logged", "lr-AdamW": "logged", "hparams.lr": "lr", "val_loss": "loss"},
        **{"hparams.hidden_dim": "width", "hparams.seed": "seed", "train_loss_epoch": "train"},
        **{"train_loss_step": "train", "val_loss_step": "train"},
    },
    "Hydra, flattened overrides": {
        **{"optimizer.lr": "lr", "trainer/optimizer/lr": "logged", "model.hidden_size": "width"},
        **{"seed": "seed", "aux_loss": "0.1", "z_loss": "0.1", "dev/loss": "loss"},
    },
    "Megatron-LM": {
        **{"lr": "lr", "learning-rate": "logged", "hidden_size": "width", "seed": "seed"},
        **{"lm loss": "train", "lm loss validation": "loss", "loss-scale": "65536"},
    },
    "Keras, logs joined to settings": {
        **{"learningRate": "lr", "units": "width", "accuracy": "0.5", "val_accuracy": "0.5"},
        **{"val_loss": "loss", "seed": "seed"},
    },
}


def rows(columns: Mapping[str, str]) -> Iterator[list[object]]:
    """Yield one row per run; the logged rate and the training loss are others than ours."""
    for run, (width, lr, seed) in enumerate(
        (width, lr, seed) for width in WIDTHS for lr in RATES for seed in SEEDS
    ):
        values = {
            **{"name": f"run{run}", "width": width, "lr": lr, "lr/10": lr / 10, "seed": seed},
            **{"logged": lr * 0.1 * width / 64, "loss": 3 + lr + 0.01 * seed},
            "train": 2 - lr,  # its best rate is the worst one
        }
        yield [values.get(content, content) for content in columns.values()]


def write(file: Path, columns: Mapping[str, str]) -> Path:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([list(columns), *rows(columns)])
    return file


def proposal(file: Path, **columns: str) -> dict[str, str]:
    """Return the mapping that the error's last line proposes."""
    with pytest.raises(ResultsError) as raised:
        analyze(load_results(file, columns=columns or None))
    match = re.search(r"\(in Python: columns=(\{.*?\})\)", raised.value.fix)
    assert match
    return dict(json.loads(match[1]))


@pytest.mark.parametrize("tool", TOOLS)
def test_the_settings_and_the_validation_loss_are_proposed_in_every_order(tool, tmp_path) -> None:
    columns = TOOLS[tool]
    expected = {content: name for name, content in columns.items() if content != name}
    expected = {k: v for k, v in expected.items() if k in ("width", "lr", "loss", "seed")}
    names = list(columns)
    for k in range(len(names)):
        rotated = {name: columns[name] for name in names[k:] + names[:k]}
        for order in (rotated, dict(reversed(rotated.items()))):
            assert proposal(write(tmp_path / "runs.csv", order)) == expected
    results = load_results(tmp_path / "runs.csv", columns=expected)
    assert sorted(set(results.axes["lr"])) == list(RATES)
    assert sorted(set(results.axes["width"])) == list(WIDTHS)
    assert min(results.loss) == pytest.approx(3 + RATES[0])


# --- two columns that could be the rate


def rates(**columns: list[object]) -> dict[str, list[object]]:
    table = {"width": [64, 64, 128, 128], "seed": [0, 0, 0, 0], "loss": [3.1, 3.2, 3.0, 3.1]}
    return {**table, **columns}


def load(place: Path, table: Mapping[str, list[object]], **columns: str):
    file = place / "runs.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([list(table), *zip(*table.values(), strict=True)])
    return load_results(file, columns=columns or None)


SET, LOGGED_TENTH = [0.1, 0.2, 0.1, 0.2], [0.01, 0.02, 0.01, 0.02]


@pytest.mark.parametrize(
    "name", ["learning_rate", "peak_lr", "Max LR", "config.lr", "params_lr", "hparams/lr", "cfg.lr"]
)
def test_a_rate_that_was_set_is_not_replaced_by_a_logged_one(name, tmp_path) -> None:
    """The column `lr` has our name, but its rates are a tenth of those that were set."""
    table = rates(lr=LOGGED_TENTH, **{name: SET})
    with pytest.raises(ResultsError) as raised:
        load(tmp_path, table)
    assert (
        str(raised.value)
        .splitlines()[0]
        .endswith(f"'lr' and '{name}' hold different rates, such as 0.01 and 0.1 in line 2")
    )
    assert f"lr={name}" in raised.value.fix
    assert load(tmp_path, table, lr=name).axes["lr"] == SET
    assert load(tmp_path, table, lr="lr").axes["lr"] == LOGGED_TENTH


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("learning_rate", [0.10000000149011612, 0.2, 0.1, 0.20000000298023224]),  # float32
        ("learning_rate", [0.1, None, 0.1, 0.2]),  # nothing where a run did not record it
        ("base_lr", [0.3, 0.3, 0.3, 0.3]),  # constant, so it is not what was tuned
        ("config.lr", ["cosine", "cosine", "cosine", "cosine"]),
        ("min_lr", LOGGED_TENTH),
        ("train/lr", LOGGED_TENTH),
        ("learning-rate", LOGGED_TENTH),  # that of Megatron-LM is logged
        ("lr-AdamW", LOGGED_TENTH),
        ("step_size", [1, 2, 3, 4]),  # of a schedule in steps
    ],
)
def test_a_column_that_is_no_other_rate_raises_no_question(name, other, tmp_path) -> None:
    results = load(tmp_path, rates(lr=SET, **{name: other}))
    assert results.axes["lr"] == SET
    assert results.notes == ()


def test_the_question_repeats_what_was_typed(tmp_path) -> None:
    """The line of the fix can be pasted, with the columns that the user mapped already."""
    table = rates(lr=LOGGED_TENTH, learning_rate=SET)
    table["val/loss"] = table.pop("loss")
    load(tmp_path, {**table, "loss": SET}, loss="val/loss", lr="learning_rate")
    assert proposal(tmp_path / "runs.csv", loss="val/loss") == {
        "loss": "val/loss",
        "lr": "learning_rate",
    }


def test_a_proposed_rate_that_was_logged_is_called_so(tmp_path) -> None:
    with pytest.raises(ResultsError) as raised:
        analyze(load(tmp_path, rates(**{"train/lr": LOGGED_TENTH})))
    assert raised.value.fix.endswith(
        "; 'train/lr' was probably logged: choose the rate that was set, if there is one"
    )


def test_the_logged_rate_of_a_run_folder_has_another_name(tmp_path) -> None:
    """The folder says what was set and what was logged, whatever the names are."""
    for k, lr in enumerate(SET):
        files = tmp_path / f"run-20260101_00000{k}-a{k}" / "files"
        files.mkdir(parents=True)
        settings = {"learning_rate": lr, "n_embd": 64, "seed": k}
        lines = [f"{name}:\n  value: {value}" for name, value in settings.items()]
        (files / "config.yaml").write_text("\n".join(lines))
        (files / "wandb-summary.json").write_text(json.dumps({"loss": 3, "lr": lr / 10}))
    assert proposal(tmp_path) == {"width": "n_embd", "lr": "learning_rate"}
    results = load_results(tmp_path, columns={"lr": "learning_rate"})
    assert results.axes["lr"] == SET
    assert results.axes["summary.lr"] == pytest.approx(LOGGED_TENTH)


@pytest.mark.parametrize("name", ["val_loss", "eval/loss", "Validation Loss", "metrics.loss/val"])
def test_a_validation_loss_beside_the_column_loss_is_named(name, tmp_path) -> None:
    """In a table of Keras `loss` is that of the training set."""
    table = rates(lr=SET, **{name: [4.1, 4.0, 4.0, 3.9]})
    results = load(tmp_path, table)
    assert results.loss.tolist() == table["loss"]
    (note,) = results.notes
    assert note.startswith(f"the column 'loss' is compared, not '{name}', which may be the ")
    assert f'columns={{"loss": "{name}"}}' in note
    assert load(tmp_path, table, loss="loss").notes == ()


@pytest.mark.parametrize(
    "name", ["train_loss", "best_val_loss", "val_accuracy", "val_z_loss", "test_loss", "val_ppl"]
)
def test_another_loss_beside_the_column_loss_needs_no_note(name, tmp_path) -> None:
    assert load(tmp_path, rates(lr=SET, **{name: [4.1, 4.0, 4.0, 3.9]})).notes == ()


def test_the_logged_rate_of_a_folder_of_curves_has_another_name(tmp_path) -> None:
    """TensorBoard has a curve `lr` beside the setting in the names of the files."""
    for lr in (0.1, 0.2):
        for tag, value in (("lr", lr / 10), ("val_loss", 3)):
            file = tmp_path / f"run-width=64_lr={lr}-tag-{tag}.csv"
            file.write_text(f"Wall time,Step,Value\n1,10,{value}\n")
    results = load_results(tmp_path, columns={"loss": "val_loss"})
    assert results.axes["lr"] == [0.1, 0.2]
    assert results.axes["summary.lr"] == [0.01, 0.02]


def test_rates_of_zero_are_called_the_end_of_a_schedule(tmp_path) -> None:
    with pytest.raises(ResultsError) as raised:
        analyze(load(tmp_path, rates(lr=[0, 0.0, 0, 0])))
    assert raised.value.fix == (
        "0 is the last rate of a schedule: map the rate that was set, --columns lr=COLUMN"
    )
