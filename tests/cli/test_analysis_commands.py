"""`analyze`, `predict` and `report`: their text, their exit statuses and their errors."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from planted_points import planted, random_points

HEAD = "width,lr,seed,loss\n"


def synthetic_losses(
    widths, drift: float = 0.0, noise: float = 0.002, seeds: int = 3, rates=range(-10, -1)
) -> str:
    """Format parabolas whose best rate drifts, with the same noise at every call."""
    lines = []
    for w, width in enumerate(widths):
        for k in rates:
            for seed in range(seeds):
                offset = noise * ((7 * w + 5 * k + 3 * seed) % 11 - 5) / 5
                best = -6 + drift * w
                loss = 2 + 9 * width**-0.5 + 0.07 * (k - best) ** 2 + offset
                lines.append(f"{width},{2.0**k},{seed},{loss:.6f}")
    return HEAD + "\n".join(lines) + "\n"


FIVE = (64, 128, 256, 512, 1024)


@pytest.fixture
def files(tmp_path) -> Path:
    (tmp_path / "good.csv").write_text(synthetic_losses(FIVE))
    (tmp_path / "bad.csv").write_text(synthetic_losses(FIVE, drift=-0.6))
    (tmp_path / "few.csv").write_text(synthetic_losses(FIVE, seeds=1, rates=(-7, -6, -5)))
    return tmp_path


def test_analyze_prints_the_verdict_and_the_estimates(run, files) -> None:
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


def test_a_reason_is_printed_once(run, files) -> None:
    _, out, _ = run("analyze few.csv")
    assert out.count("one seed, and the rates near the best ones are too few") == 1
    assert "no interval: regret" in out
    assert "(for the reason above)" in out


@pytest.mark.parametrize(("file", "status"), [("good", 0), ("bad", 1), ("few", 3)])
def test_fail_on_no_sets_the_exit_status_for_ci(run, files, file, status) -> None:
    assert run(f"analyze {file}.csv --fail-on-no")[0] == status
    assert run(f"analyze {file}.csv")[0] == 0


def test_a_group_that_does_not_transfer_outweighs_an_undetermined_one(run, files) -> None:
    tables = [synthetic_losses(FIVE, drift=-0.6), synthetic_losses(FIVE, seeds=1)]
    body = "".join(
        f"{name},{line}\n"
        for name, text in zip("ab", tables, strict=True)
        for line in text.splitlines()[1:]
    )
    (files / "two.csv").write_text(f"parametrization,{HEAD}{body}")
    assert run("analyze two.csv --fail-on-no")[0] == 1


def test_predict_prints_rate_loss_regret_and_code(run, files) -> None:
    status, out, _ = run("predict good.csv --width 8192")
    assert status == 0
    assert out.startswith("all: lr at width 8192, 8x the largest with an optimum\n")
    for name in ("constant law", "power law", "loss there", "regret there", "lr = 0.01"):
        assert name in out


def test_predict_json_has_every_number_and_the_snippet(run, files) -> None:
    _, out, _ = run("predict good.csv --width 8192 --json")
    (prediction,) = json.loads(out)["predictions"]
    assert prediction["log2_lr"]["low"] < -6 < prediction["log2_lr"]["high"]
    assert prediction["loss"]["value"] == pytest.approx(2 + 9 * 8192**-0.5, abs=0.02)
    assert prediction["snippet"].splitlines()[-1].startswith("lr = ")


def test_predict_says_once_what_was_left_out(run, files) -> None:
    """As `analyze` does: in the text above the groups, and in the JSON beside them."""
    head, *rows = (files / "good.csv").read_text().splitlines()
    lines = [f"{row},{group},finished" for group in ("mup", "sp") for row in rows]
    lines[0] = lines[0].replace("finished", "killed")
    (files / "two.csv").write_text("\n".join([f"{head},parametrization,State", *lines]))
    data = json.loads(run("analyze two.csv --json")[1])
    assert "1 run" in "".join(data["notes"])
    _, out, _ = run("predict two.csv --width 8192 --json")
    predicted = json.loads(out)
    assert predicted["notes"] == data["notes"]
    assert all("notes" not in prediction for prediction in predicted["predictions"])
    block, mup, *_ = run("predict two.csv --width 8192")[1].split("\n\n")
    assert block.splitlines() == data["notes"]
    assert mup.startswith("mup: lr at width 8192")


def test_predict_warns_about_a_target_too_far_or_too_near(run, files) -> None:
    assert "laws were not tested beyond 64x" in run("predict good.csv --width 1e6")[1]
    near = "width 2048 is only 2x the largest with an optimum (1024): tuning there directly may"
    assert near in run("predict good.csv --width 2048")[1]
    assert "warning" not in run("predict good.csv --width 8192")[1]


def test_the_factors_of_a_plan_join_the_snippet(run, files) -> None:
    assert run("plan toy_model:build --base 64 --target 8192 -o plan.json")[0] == 0
    _, out, _ = run("predict good.csv --width 8192 --plan plan.json")
    assert '"1\\\\.weight": (1, 0.0078125,' in out
    status, _, err = run("predict good.csv --width 4096 --plan plan.json")
    assert status == 2
    assert "--base 64 --target 4096 -o plan.json" in err


def test_another_scale_and_another_hyperparameter_are_analyzed(run, files) -> None:
    """Any column may grow, and any positive column may be tuned."""
    text = synthetic_losses(FIVE).replace("width,lr", "params,init_std", 1)
    (files / "other.csv").write_text(text)
    options = "other.csv --scale params --hyperparameter init_std"
    assert "octaves of init_std per octave of params" in run(f"analyze {options}")[1]
    assert run(f"predict {options} --width 8192")[1].startswith("all: init_std at params 8192")


def test_a_wider_window_narrows_the_interval(run, files) -> None:
    """The curves are parabolas in any window, so that more losses only reduce the noise."""
    narrow, wide = (
        json.loads(run(f"analyze good.csv --window {w} --json")[1])["groups"]["all"]
        for w in (0.8, 2.2)
    )
    assert narrow["drift"]["value"] != wide["drift"]["value"]
    sizes = [group["drift"]["high"] - group["drift"]["low"] for group in (narrow, wide)]
    assert sizes[1] < sizes[0]


ERRORS = {
    "analyze": (
        "UsageError: no results are given\n"
        "  why: learning rates are compared by the losses they reach\n"
        "  fix: mutransfer analyze losses.csv  (a file with the columns width, lr, loss)\n"
    ),
    "analyze losses.csv --columns n_embd": (
        "UsageError: --columns has 'n_embd', which is not of the form NAME=COLUMN\n"
        "  why: each standard name is mapped to the name of a column in your file\n"
        "  fix: --columns width=n_embd,lr=learning_rate,loss=val_loss\n"
    ),
    "analyze losses.csv --published lingle2024": (
        "UsageError: both 'losses.csv' and --published lingle2024 are given\n"
        "  why: an analysis is about one set of losses\n"
        "  fix: leave one of them out\n"
    ),
    "analyze losses.csv --threshold 2": (
        "ResultsError: the threshold is 2\n"
        "  why: it is a share of the loss: 0.01 allows the carried rate to cost one percent\n"
        "  fix: --threshold 0.01\n"
    ),
    "analyze losses.csv --window 0": (
        "ResultsError: the window is 0\n"
        "  why: it is the distance, in ln(rate), up to which losses count as near the best\n"
        "  fix: --window 1.1\n"
    ),
    "analyze losses.csv --reference mup": (
        "ResultsError: the reference 'mup' is not a group\n"
        "  why: R(∞) is measured from the irreducible loss of one of the groups, or of their best\n"
        "  fix: choose from 'all' for --reference\n"
    ),
    "predict losses.csv --width -3": (
        "ResultsError: the target width is -3\n"
        "  why: optima are extrapolated on logarithmic axes\n"
        "  fix: give a positive width, larger than those that were run: --width 8192\n"
    ),
    "predict losses.csv --width 512 --group mup": (
        "ResultsError: 'losses.csv' has no group 'mup'\n"
        "  why: every group has its own best rate: 'all'\n"
        "  fix: for --group, choose from 'all'\n"
    ),
    "predict losses.csv --width 512 --plan no.json": (
        "UsageError: cannot read no.json: No such file or directory\n"
        "  why: the plan holds the factors of the target's parameter groups\n"
        "  fix: mutransfer plan PKG.MOD:BUILD --base 256 --target 4096 -o plan.json\n"
    ),
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_is_printed_in_three_lines(line, run) -> None:
    status, out, err = run(line)
    assert (status, out, err) == (2, "", ERRORS[line])


def test_a_table_of_one_diverged_run_is_answered_with_the_runs_to_add(run, tmp_path) -> None:
    """The smallest possible table leads to advice, not to a traceback."""
    (tmp_path / "a.csv").write_text("width,lr,loss\n64,.01,nan\n")
    status, out, err = run("analyze a.csv")
    assert (status, err) == (0, "")
    assert "run larger ones" in out
    assert "every rate diverged at width 64: add rates below 2^-6.64" in out


def test_hold_out_compares_the_prediction_of_the_largest_width_with_its_runs(run, files) -> None:
    status, out, _ = run("predict good.csv --hold-out")
    assert status == 0
    assert out.startswith("all: had you not run width 1024: lr off by 0.")
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["predicted", "from", "width", "64,", "128,", "256,", "512"]
    assert [line[:2] for line in lines[2:4]] == [["lr", "predicted"], ["observed", lines[3][1]]]
    assert lines[3][-3:] == ["error", "of", "both"]
    assert [line[0] for line in lines[4:]] == ["loss", "observed", "regret"]


def test_hold_out_and_a_target_are_answered_together(run, files) -> None:
    _, alone, _ = run("predict good.csv --hold-out")
    _, target, _ = run("predict good.csv --width 8192")
    _, both, _ = run("predict good.csv --width 8192 --hold-out")
    assert both == f"{target.rstrip()}\n\n{alone}"
    data = json.loads(run("predict good.csv --width 8192 --hold-out --json")[1])
    assert (data["schema"], len(data["predictions"])) == (1, 1)
    (check,) = data["hold_out"]
    assert check["summary"] in alone
    assert check["cells"][0]["sizes"] == {"width": 1024}


@pytest.mark.parametrize("flags", ["", " --hold-out --plan plan.json"])
def test_a_prediction_needs_a_target(run, files, flags) -> None:
    status, _, error = run(f"predict good.csv{flags}")
    assert status == 2
    assert error.splitlines() == [
        "UsageError: no target is given",
        "  why: a prediction extrapolates to one size that was not run",
        "  fix: --width 8192, or --hold-out alone for a check on the runs that there are",
    ]


def test_a_report_has_the_check_from_four_widths_on(run, files) -> None:
    (files / "three.csv").write_text(synthetic_losses(FIVE[:3]))
    for name, is_shown in (("good", True), ("three", False)):
        assert run(f"report {name}.csv -o {name}.html")[0] == 0
        page = (files / f"{name}.html").read_text()
        assert ("Had the largest not been run" in page) is is_shown
    assert "Had you not run width 1024: lr off by 0." in (files / "good.html").read_text()


def test_published_laws_stand_beside_a_prediction(run, tmp_path) -> None:
    lines = [
        f"{tokens},64,5e8,{2.0**k},{3 + (k + 8 + w) ** 2 / 20 + 1 / (w + 1)}"
        for w, tokens in enumerate((1e9, 2e9, 4e9))
        for k in range(-14, -3)
    ]
    (tmp_path / "t.csv").write_text("tokens,batch,params,lr,loss\n" + "\n".join(lines))
    status, out, _ = run("predict t.csv --scale tokens --width 1.6e10 --compare")
    assert status == 0
    text = out.partition("all: laws of others at ")[2]
    assert text.startswith("params 5e+08, batch 64, tokens 1.6e+10 (none of them is part of the")
    step_law = 1.79 * 5e8**-0.713 * 1.6e10**0.307
    assert (
        f"  Step Law                      2^{math.log2(step_law):.2f} ({step_law:.4g}), +" in text
    )
    assert "  Complete(d)P                  2^-11 (0.0004883), +" in text  # 2^-10 at a quarter
    data = json.loads(run("predict t.csv --scale tokens --width 1.6e10 --compare --json")[1])
    laws = {row["name"]: row["log2_lr"] for row in data["published_laws"]}
    assert laws["completed-p"] == pytest.approx(-11.0)
    assert len(data["predictions"]) == 1


def test_a_comparison_needs_a_target(run, files) -> None:
    assert run("predict good.csv --hold-out --compare")[0] == 2


def test_a_target_of_several_scales_names_them(run) -> None:
    """`--width` with `--at` is the same target as `--at` alone."""
    cells = [(n, d) for n in (64, 128, 256) for d in (1e6, 2e6, 4e6, 8e6)]
    lines = ["width,tokens,lr,loss"]
    for n, d in cells:
        for k in range(-11, -2):
            excess = 0.05 * (k + 6 + 0.5 * math.log2(d / 1e6)) ** 2
            lines.append(f"{n},{d},{2.0**k},{2 + 9 * n**-0.5 + 50 * d**-0.3 + excess}")
    Path("cells.csv").write_text("\n".join(lines))
    commands = (
        "--at width=512,tokens=32e6",
        "--width 512 --at tokens=32e6",
        "--scale width,tokens --at width=512,tokens=32e6",
    )
    first, *others = (run(f"predict cells.csv {command} --json")[1] for command in commands)
    assert others == [first, first]
    (prediction,) = json.loads(first)["predictions"]
    assert prediction["at"] == {"width": 512.0, "tokens": 32e6}
    assert prediction["log2_lr"]["value"] == pytest.approx(-8.5, abs=0.1)
    status, _, error = run("predict cells.csv --at tokens=many")
    assert status == 2
    assert "--at has 'tokens=many', which is not SCALE=NUMBER" in error
    status, _, error = run("predict cells.csv --at width=512,width=256")
    assert status == 2
    assert "--at names 'width' twice" in error


def test_published_laws_take_sizes_that_are_no_scale(run) -> None:
    shown = run("predict losses.csv --width 512 --compare --at params=7e9,tokens=1.4e11")[1]
    assert "Step Law" in shown
    assert "needs params" not in shown


def test_predict_carries_the_whole_point_of_a_random_search(run, files) -> None:
    """As text with code, and as one JSON document; published laws and hold-outs are of one rate."""
    rng = np.random.default_rng(0)
    widths = (64.0, 128.0, 256.0)
    points = [random_points(rng, 16, 2) for _ in widths]
    best = [np.array([0.5, -0.8])] * 3
    columns = planted(points, best, np.diag([0.1, 0.08]), noise=0.004, rng=rng, widths=widths)
    rows = [columns, *zip(*columns.values(), strict=True)]
    (files / "points.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    options = "predict points.csv --hyperparameter lr,init_std --at width=2048"
    status, out, _ = run(options)
    assert status == 0
    assert out.startswith(
        "all: lr, init_std at width 2048, 8x the largest with a best point\n  lr "
    )
    assert "\ninit_std = 0." in out
    (data,) = json.loads(run(f"{options} --json")[1])["predictions"]
    assert [value["name"] for value in data["values"]] == ["lr", "init_std"]
    assert data["values"][0]["best"]["value"] == pytest.approx(2**0.5, rel=0.2)
    for refused in ("--compare", "--hold-out"):
        assert "'points.csv' tunes 'lr', 'init_std' together" in run(f"{options} {refused}")[2]
    assert "'--window' has no effect on several hyperparameters" in run(f"{options} --window 2")[2]
