"""analyze, predict, report: what they say, what they exit with, what they want typed."""

import json
from pathlib import Path

import pytest

HEAD = "width,lr,seed,loss\n"


def planted(widths, drift: float = 0.0, noise: float = 0.002, seeds: int = 3) -> str:
    """Parabolas whose best rate moves; noise that is fixed, so that nothing here is chance."""
    lines = []
    for w, width in enumerate(widths):
        for k in range(-10, -1):
            for seed in range(seeds):
                wobble = noise * ((7 * w + 5 * k + 3 * seed) % 11 - 5) / 5
                best = -6 + drift * w
                loss = 2 + 9 * width**-0.5 + 0.07 * (k - best) ** 2 + wobble
                lines.append(f"{width},{2.0**k},{seed},{loss:.6f}")
    return HEAD + "\n".join(lines) + "\n"


FIVE = (64, 128, 256, 512, 1024)


@pytest.fixture
def files(tmp_path) -> Path:
    (tmp_path / "good.csv").write_text(planted(FIVE))
    (tmp_path / "bad.csv").write_text(planted(FIVE, drift=-0.6))
    (tmp_path / "few.csv").write_text(planted(FIVE, seeds=1))
    return tmp_path


def test_analyze_says_verdict_and_numbers(run, files) -> None:
    status, out, _ = run("analyze good.csv")
    assert status == 0
    assert out.startswith("all: transfers\n")
    for name in (
        "regret",
        "drift",
        "loss at infinity",
        "robustness κ = α+γlog",
        "predictability E",
    ):
        assert f"  {name}" in out
    assert "[" in next(line for line in out.splitlines() if "κ" in line)


def test_a_reason_is_said_once(run, files) -> None:
    _, out, _ = run("analyze few.csv")
    assert out.count("one seed: add seeds to get an interval") == 1
    assert "no interval: regret" in out
    assert "(for the reason above)" in out


@pytest.mark.parametrize(("file", "status"), [("good", 0), ("bad", 1), ("few", 3)])
def test_fail_on_no_is_for_ci(run, files, file, status) -> None:
    assert run(f"analyze {file}.csv --fail-on-no")[0] == status
    assert run(f"analyze {file}.csv")[0] == 0


def test_one_no_outweighs_what_is_undetermined(run, files) -> None:
    rows = [planted(FIVE, drift=-0.6), planted(FIVE, seeds=1)]
    body = "".join(
        f"{name},{line}\n"
        for name, text in zip("ab", rows, strict=True)
        for line in text.splitlines()[1:]
    )
    (files / "two.csv").write_text(f"parametrization,{HEAD}{body}")
    assert run("analyze two.csv --fail-on-no")[0] == 1


def test_predict_says_rate_loss_regret_and_code(run, files) -> None:
    status, out, _ = run("predict good.csv --width 8192")
    assert status == 0
    assert out.startswith("all: lr at width 8192, 8x the largest with an optimum\n")
    for name in ("constant law", "power law", "loss there", "regret there", "lr = 0.01"):
        assert name in out


def test_predict_json_has_every_number_and_the_snippet(run, files) -> None:
    _, out, _ = run("predict good.csv --width 8192 --json")
    (found,) = json.loads(out)["predictions"]
    assert found["log2_lr"]["low"] < -6 < found["log2_lr"]["high"]
    assert found["loss"]["value"] == pytest.approx(2 + 9 * 8192**-0.5, abs=0.02)
    assert found["snippet"].splitlines()[-1].startswith("lr = ")


def test_predict_warns_far_away(run, files) -> None:
    assert "how far laws hold beyond 64x is not known" in run("predict good.csv --width 1e6")[1]
    assert "below 4x" in run("predict good.csv --width 2048")[1]
    assert "warning" not in run("predict good.csv --width 8192")[1]


def test_a_plan_joins_the_snippet(run, files) -> None:
    assert run("plan toy_model:build --base 64 --target 8192 -o plan.json")[0] == 0
    _, out, _ = run("predict good.csv --width 8192 --plan plan.json")
    assert '"1\\\\.weight": (1, 0.0078125,' in out
    status, _, err = run("predict good.csv --width 4096 --plan plan.json")
    assert status == 2
    assert "--base 64 --target 4096 -o plan.json" in err


def test_other_scales_and_other_hyperparameters(run, files) -> None:
    """Any column may grow, and any positive one may be tuned."""
    text = planted(FIVE).replace("width,lr", "params,init_std", 1)
    (files / "other.csv").write_text(text)
    line = "other.csv --scale params --hyperparameter init_std"
    assert "octaves of init_std per octave of params" in run(f"analyze {line}")[1]
    assert run(f"predict {line} --width 8192")[1].startswith("all: init_std at params 8192")


def test_the_window_is_a_knob(run, files) -> None:
    """A parabola is one in any window; half as many losses move the numbers a little."""
    narrow, wide = (
        json.loads(run(f"analyze good.csv --window {w} --json")[1])["groups"]["all"]
        for w in (0.8, 2.2)
    )
    assert narrow["drift"]["value"] != wide["drift"]["value"]
    width = [g["drift"]["high"] - g["drift"]["low"] for g in (narrow, wide)]
    assert width[1] < width[0]


BAD = {
    "analyze": (
        "UsageError: no results are given\n"
        "  why: rates are compared by the losses that they led to\n"
        "  fix: mutransfer analyze losses.csv  (a file with the columns width, lr, loss)\n"
    ),
    "analyze losses.csv --columns n_embd": (
        "UsageError: --columns has 'n_embd', which is no pair\n"
        "  why: each of our names is followed by the name in your file\n"
        "  fix: --columns width=n_embd,lr=learning_rate,loss=val_loss\n"
    ),
    "analyze losses.csv --published lingle2024": (
        "UsageError: both 'losses.csv' and --published lingle2024 are given\n"
        "  why: one answer is about one set of losses\n"
        "  fix: leave one of them out\n"
    ),
    "analyze losses.csv --threshold 2": (
        "ResultsError: the threshold is 2\n"
        "  why: it is a share of the loss: 0.01 lets the carried rate cost one percent\n"
        "  fix: --threshold 0.01 (in Python: threshold=0.01)\n"
    ),
    "analyze losses.csv --window 0": (
        "ResultsError: the window is 0\n"
        "  why: it is the distance, in ln(rate), up to which losses count as near the best\n"
        "  fix: --window 1.1 (in Python: window=1.1)\n"
    ),
    "analyze losses.csv --reference mup": (
        "ResultsError: the reference 'mup' is no group\n"
        "  why: R(∞) is measured from the irreducible loss of one of the groups, or of their best\n"
        "  fix: choose from 'all' for --reference (in Python: reference=...)\n"
    ),
    "predict losses.csv --width -3": (
        "ResultsError: the target width is -3\n"
        "  why: optima are extrapolated on logarithmic axes\n"
        "  fix: give a positive width, larger than what was run: --width 8192\n"
    ),
    "predict losses.csv --width 512 --group mup": (
        "ResultsError: 'losses.csv' has no group 'mup'\n"
        "  why: every group has its own best rate: 'all'\n"
        "  fix: choose from 'all' --group all (in Python: group='all')\n"
    ),
    "predict losses.csv --width 512 --plan no.json": (
        "UsageError: cannot read no.json: No such file or directory\n"
        "  why: the plan holds the factors of the target's parameter groups\n"
        "  fix: mutransfer plan PKG.MOD:BUILD --base 256 --target 4096 -o plan.json\n"
    ),
}


@pytest.mark.parametrize("line", BAD)
def test_wrong_input_gets_three_lines(line, run) -> None:
    status, out, err = run(line)
    assert (status, out, err) == (2, "", BAD[line])


def test_one_diverged_run_ends_in_what_to_add(run, tmp_path) -> None:
    """The issue's own line: a sentence, not a traceback."""
    (tmp_path / "a.csv").write_text("width,lr,loss\n64,.01,nan\n")
    status, out, err = run("analyze a.csv")
    assert (status, err) == (0, "")
    assert "add a larger one" in out
    assert "every rate diverged at width 64: add rates below 2^-6.64" in out
