"""Exports of W&B and TensorBoard are read, or the error names the export to use instead."""

import json
from pathlib import Path

import pytest

from mutransfer.analysis import load_results
from mutransfer.analysis.loading.formats.tensorboard import settings_from_name
from mutransfer.analysis.loading.formats.wandb_config import parse_config
from mutransfer.errors import ResultsError


def error_of(path: Path) -> ResultsError:
    """Return the error that loading raises."""
    with pytest.raises(ResultsError) as raised:
        load_results(path)
    return raised.value


# --- W&B


def test_the_runs_table_of_wandb_is_read(tmp_path) -> None:
    """The download has every cell in quotes, and a crashed run without a loss."""
    file = tmp_path / "wandb_export.csv"
    file.write_text(
        '"Name","State","Runtime","learning_rate","n_embd","val_loss"\n'
        '"calm-sun-1","finished","61","0.01","64","3.5"\n'
        '"dry-leaf-2","crashed","7","0.02","64",""\n'
        '"red-moon-3","finished","62","0.04","64","NaN"\n'
    )
    assert error_of(file).fix.startswith(
        "--columns width=n_embd,lr=learning_rate,loss=val_loss (in Python: "
    )
    columns = {"width": "n_embd", "lr": "learning_rate", "loss": "val_loss"}
    results = load_results(file, columns=columns)
    assert results.axes["lr"] == [0.01, 0.04]
    assert results.diverged.tolist() == [False, True]
    assert results.notes == (
        "1 run has no loss and is left out; where a run diverged "
        "write nan or inf (pandas leaves nan empty: na_rep='nan')",
    )


def test_a_chart_of_wandb_is_an_error(tmp_path) -> None:
    file = tmp_path / "chart.csv"
    file.write_text(
        '"Step","a - val_loss","a - val_loss__MIN","a - val_loss__MAX"\n"0","9","9","9"\n'
    )
    error = error_of(file)
    assert error.what == f"'{file}' is a chart exported from W&B"
    assert 'choose "Export as CSV"' in error.fix


CONFIG = """wandb_version: 1

_wandb:
  desc: null
  value:
    lr: 7
lr:
  desc: 'peak: the largest'
  value: {lr}
model:
  desc: null
  value:
    n_embd: 64  # channels
    betas:
    - 0.9
    - a: 5
      b: 6
    name: 'it''s: mup'
    deep:
      bias: true
text:
  desc: null
  value: |
    lr: 99
tuple:
  value: !!python/tuple
  - 1
nothing:
  value: null
big:
  value: .inf
loss:
  value: cross_entropy
"""


def test_only_settings_are_parsed_from_a_config() -> None:
    """Lists, block text and tags are left out; nothing inside them becomes a setting."""
    assert parse_config(CONFIG.replace("{lr}", "1.0e-02")) == {
        "lr": 0.01,
        "model.n_embd": 64.0,
        "model.name": "it's: mup",
        "model.deep.bias": True,
        "nothing": None,
        "big": float("inf"),
        "loss": "cross_entropy",
    }
    newer = 'lr:\n    value: 1e-05\n"odd key":\n    value: "a\\tb"\n'
    assert parse_config(newer) == {"lr": 1e-5, "odd key": "a\tb"}


def wandb_run(folder: Path, name: str, lr: float, summary: object) -> Path:
    files = folder / name / "files"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text(CONFIG.replace("{lr}", str(lr)))
    if summary is not None:
        (files / "wandb-summary.json").write_text(json.dumps(summary))
    return folder / name


@pytest.mark.parametrize("inside", [".", "wandb"])
def test_a_folder_of_wandb_runs_is_read(tmp_path, inside) -> None:
    folder = tmp_path / inside
    loss = {"loss": 3.5, "lr": 0.0, "_step": 9, "eval": {"acc": 0.5}, "_wandb": {"runtime": 1}}
    first = wandb_run(folder, "run-20260101_000000-aa", 0.01, loss)
    wandb_run(folder, "offline-run-20260101_000000-bb", 0.02, {"loss": "NaN", "lr": 0.0})
    wandb_run(folder, "run-20260101_000000-cc", 0.04, None)
    (folder / "latest-run").symlink_to(first)
    (folder / "run-20260101_000000-dd").symlink_to(first)
    results = load_results(tmp_path, columns={"width": "model.n_embd"})
    assert results.axes["width"] == [64, 64]
    assert results.axes["lr"] == [0.02, 0.01]  # the setting, not the last rate of the schedule
    assert results.axes["summary.lr"] == [0.0, 0.0]
    assert results.axes["config.loss"] == ["cross_entropy"] * 2
    assert results.axes["eval.acc"] == [None, 0.5]
    assert results.diverged.tolist() == [True, False]
    assert results.provenance.unfinished == 1
    assert results.notes == (
        "1 W&B run has no wandb-summary.json or no config.yaml and is left out",
    )


def test_offline_runs_without_summary_are_an_error(tmp_path) -> None:
    (tmp_path / "offline-run-20260101_000000-aa" / "files").mkdir(parents=True)
    error = error_of(tmp_path)
    assert error.what == (
        f"'{tmp_path}': 1 W&B run has no files/wandb-summary.json or no files/config.yaml"
    )
    assert error.fix.startswith(f"wandb sync '{tmp_path}'")


# --- TensorBoard


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("width=64,lr=0.01,seed=0", {"width": 64, "lr": 0.01, "seed": 0}),
        ("run-width=64_lr=2e-3_seed=1", {"width": 64, "lr": 0.002, "seed": 1}),
        ("run-lr=1e-3-n_embd=128", {"lr": 0.001, "n_embd": 128}),
        ("n_embd=128_learning_rate=1e-3", {"n_embd": 128, "learning_rate": 0.001}),
        ("sp/width=64/lr=2^-6 seed=3", {"width": 64, "lr": 0.015625, "seed": 3}),
        ("opt=adam_w_lr=.1-x", {"opt": "adam_w", "lr": 0.1}),
        ("run_width=64_lr=1_note", {"width": 64, "lr": 1}),
        ("parametrization=mup_width=64", {"parametrization": "mup", "width": 64}),
        ("baseline", {}),
    ],
)
def test_settings_are_parsed_from_file_names(name, expected) -> None:
    assert settings_from_name(name) == expected


def curve(file: Path, *values: object, steps: tuple[int, ...] | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(steps or range(len(values)), values, strict=True)
    lines = [f"1761900000.5,{step},{value}" for step, value in rows]
    file.write_text("\n".join(["Wall time,Step,Value", *lines]))


def test_a_folder_of_curves_is_read(tmp_path) -> None:
    """The loss is the value at the last step, whichever line it is on."""
    curve(tmp_path / "run-width=64_lr=1e-3_seed=0-tag-val_loss.csv", 9, 3.5, 8, steps=(0, 20, 10))
    curve(tmp_path / "sub" / "run-width=64_lr=2e-3_seed=0-tag-val_loss.csv", 9, "NaN")
    (tmp_path / "run-width=64_lr=9_seed=0-tag-val_loss.csv").symlink_to(tmp_path / "sub")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    results = load_results(tmp_path)
    settings = {"width": [64, 64], "lr": [0.001, 0.002], "seed": [0, 0]}
    assert results.axes == {"step": [20, 1], **settings}
    assert repr(results.loss.tolist()) == "[3.5, nan]"
    assert results.notes == ("1 CSV file is not a TensorBoard curve and left out",)


def test_with_several_curves_per_run_the_loss_is_suggested(tmp_path) -> None:
    for tag, value in (("train_loss", 3.0), ("val_loss", 3.5)):
        curve(tmp_path / f"run-width=64,lr=0.5-tag-{tag}.csv", value)
    assert (
        error_of(tmp_path).fix
        == '--columns loss=val_loss (in Python: columns={"loss": "val_loss"})'
    )
    assert load_results(tmp_path, columns={"loss": "val_loss"}).loss.tolist() == [3.5]


def test_a_single_curve_is_an_error(tmp_path) -> None:
    curve(tmp_path / "a.csv", 3)
    error = error_of(tmp_path / "a.csv")
    assert error.what == f"'{tmp_path}/a.csv' is a single curve downloaded from TensorBoard"
    assert "HPARAMS" in error.fix
    assert "width=64,lr=0.01,seed=0.csv" in error.fix


def test_a_curve_without_settings_in_its_name_is_an_error(tmp_path) -> None:
    curve(tmp_path / "baseline.csv", 3)
    error = error_of(tmp_path)
    assert error.what == f"'{tmp_path}': the name of 'baseline.csv' holds no setting"
    assert (
        error.fix
        == "name every file by the settings of its run, such as width=64,lr=0.01,seed=0.csv"
    )


def test_the_hparams_table_of_tensorboard_is_read(tmp_path) -> None:
    """TensorBoard writes settings and tags as columns, with empty cells for missing values."""
    file = tmp_path / "hparams_table.csv"
    file.write_text("lr,width,eval/loss\r\n0.5,64,3.5\r\n0.25,64,\r\n0.125,64,nan\r\n")
    results = load_results(file, columns={"loss": "eval/loss"})
    assert results.axes["lr"] == [0.5, 0.125]
    assert results.diverged.tolist() == [False, True]
