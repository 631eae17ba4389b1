"""Examples in the documents work: Python blocks are executed, command lines are parsed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mutransfer.cli.main import app
from mutransfer.sweep import TrialStore, read_study
from mutransfer.workflows import prepare_study, run_study

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list:
    parameters = []
    for page in PAGES:
        text = page.read_text()
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            parameters.append(pytest.param(block, id=f"{page.name}-{number}"))
    return parameters


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_run(block, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "<example>", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("block", [b for b in blocks("toml") if "schema = 1" in b.values[0]])
def test_study_files_are_valid(block, tmp_path) -> None:
    (tmp_path / "study.toml").write_text(block)
    read_study(tmp_path / "study.toml")


def test_the_example_study_is_ready_to_run() -> None:
    prepared = prepare_study(ROOT / "examples/nanogpt_style/study.toml")
    assert len(prepared.trials) == 30
    prepared.runner.check(prepared.trials[0])
    assert "mutransfer" not in (ROOT / "examples/nanogpt_style/train.py").read_text()


@pytest.mark.slow
def test_a_script_without_mutransfer_is_swept(tmp_path) -> None:
    only = {"width": 32, "lr": ["2^-8", "2^-6"], "seed": 0}
    study = ROOT / "examples/nanogpt_style/study.toml"
    run = run_study(study, store=tmp_path / "store", only=only)
    losses = {r.spec.axes["lr"]: r.loss for r in TrialStore(run.store).results()}
    assert 2 < losses[2**-8] < losses[2**-6] < 4


def example_run(folder: Path, *options: str) -> subprocess.Popen:
    """Start the example's script on a small text."""
    sizes = ["--n_embd=16", "--max_iters=30", "--eval_interval=5", "--eval_windows=8"]
    script = ROOT / "examples/nanogpt_style/train.py"
    return subprocess.Popen(
        [sys.executable, script, *sizes, f"--data={script}", f"--out_dir={folder}", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_the_example_script_continues_bit_for_bit(tmp_path) -> None:
    """It is killed behind its third evaluation, and behind the second one of its next run."""
    whole = example_run(tmp_path / "whole")
    assert whole.wait(60) == 0
    option = f"--checkpoint_dir={tmp_path / 'checkpoints'}"
    starts = []
    for number, evaluations in enumerate((3, 2)):
        killed = example_run(tmp_path / str(number), option)
        lines = [killed.stdout.readline() for _ in range(evaluations + 1)]
        starts.append(lines[0])
        killed.kill()
        killed.communicate()
    last = example_run(tmp_path / "last", option)
    out, err = last.communicate(timeout=60)
    assert (last.returncode, err) == (0, "")
    starts.append(out.partition("\n")[0])
    assert starts[0].startswith("iter 0: ")
    first, second = (int(line.removeprefix("continues at iter ")) for line in starts[1:])
    assert 10 <= first < second <= 25
    logs = [(tmp_path / name / "log.csv").read_text() for name in ("whole", "last")]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == 8


@pytest.mark.slow
def test_the_example_script_refuses_the_checkpoint_of_another_run(tmp_path) -> None:
    option = f"--checkpoint_dir={tmp_path}"
    assert example_run(tmp_path, option).wait(60) == 0
    other = example_run(tmp_path, option, "--seed=1")
    assert other.communicate(timeout=60)[1] == (
        f"train.py: error: {option} has a run of other settings\n"
    )
    assert other.returncode == 2


def commands() -> list[str]:
    lines = [line for param in blocks("sh") for line in param.values[0].splitlines()]
    shown = [line.partition("  #")[0].strip() for line in lines]
    return sorted({line for line in shown if line.startswith("mutransfer ")})


@pytest.mark.parametrize("line", commands())
def test_command_lines_parse(line) -> None:
    app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


def test_the_documents_have_examples() -> None:
    assert blocks("python")
    assert len(commands()) >= 6


def test_no_page_holds_a_path_of_one_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(?:work|home|root|tmp)/\w", page.read_text()), page.name
