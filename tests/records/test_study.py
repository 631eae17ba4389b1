"""Study files: strictly validated, with all problems reported at once."""

import json
import os
import tomllib
from pathlib import Path

import jsonschema
import pytest

from mutransfer.errors import StudyError
from mutransfer.records import LabSettings
from mutransfer.records.axes import powers_of_two
from mutransfer.sweep import read_study
from mutransfer.workflows.studies.catalog import named_studies, study_text

ROOT = Path(__file__).parents[2]

GOOD = """
schema = 1
[study]
name = "s"
[axes]
width = [32, 64]
lr = "2^-6 .. 2^-4"
[lab]
base_width = 32
"""


def error_of(folder: Path, text: str | bytes) -> str:
    """Return the error of reading a study file with this text."""
    path = folder / "study.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(StudyError) as error:
        read_study(path)
    return str(error.value).replace(str(folder), "")


def test_a_good_study_is_read(tmp_path) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    study = read_study(tmp_path / "s.toml")
    assert study.axes == {"width": (32, 64), "lr": (2**-6, 2**-5, 2**-4)}
    assert study.num_trials == 6


def test_an_axis_may_serve_derived_values_only(tmp_path) -> None:
    text = GOOD.replace("[lab]", "power = [0, 0.5]\n[lab]")
    assert "'power' is not a setting of the lab" in error_of(tmp_path, text)
    derived = '[derived]\nratio = "width / 32"\nlr_multiplier_input = "ratio ** power"\n'
    (tmp_path / "s.toml").write_text(text + derived)
    assert read_study(tmp_path / "s.toml").num_trials == 12
    unused = error_of(tmp_path, text + derived.replace("ratio **", "2 **"))
    assert "'ratio' is not a setting of the lab" in unused


def test_the_published_schema_accepts_our_studies_and_rejects_unknown_keys() -> None:
    """Editors and other tools read docs/schemas, so it must not be stricter than the reader."""
    schema = json.loads((ROOT / "docs/schemas/study.schema.json").read_text())
    shipped = [tomllib.loads(study_text(study.name)) for study in named_studies()]
    studies = [study for study in shipped if "rungs" not in study]
    assert len(studies) >= 30
    for study in [*studies, tomllib.loads(GOOD)]:
        jsonschema.validate(study, schema)
    ladder = json.loads((ROOT / "docs/schemas/ladder.schema.json").read_text())
    for study in [study for study in shipped if "rungs" in study]:
        jsonschema.validate(study, ladder)
    with pytest.raises(jsonschema.ValidationError, match="'colour' was unexpected"):
        jsonschema.validate(tomllib.loads(GOOD) | {"colour": 1}, schema)


def test_ranges_are_exact_powers_of_two() -> None:
    assert powers_of_two("2^-1 .. 2^1 step 1/2") == [0.5, 2**-0.5, 1.0, 2**0.5, 2.0]
    assert powers_of_two("2^-12..2^-12") == [2**-12]


CASES = {
    "unknown keys, all at once": (
        GOOD.replace("base_width", "base_widht").replace("name", "nam"),
        "/study.toml: missing key 'study.name'; unknown key 'study.nam'; 'lab': unknown key "
        "'base_widht'\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: add name = \"my-study\"; study.nam: did you mean 'name'?; base_widht: did you "
        "mean 'base_width'?",
    ),
    "a newer version": (
        GOOD.replace("schema = 1", "schema = 2"),
        "/study.toml: 'schema': must be 1 (got 2)\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write schema = 1",
    ),
    "twice the same rate": (
        GOOD.replace('"2^-6 .. 2^-4"', "[1, 1.0]"),
        "/study.toml: 'axes.lr': the value 1 occurs twice (got [1, 1.0])\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: leave one of the two out",
    ),
    "no range": (
        GOOD.replace("2^-6 .. 2^-4", "log(1,2)"),
        "/study.toml: 'axes.lr': 'log(1,2)' is neither a list nor a range of powers of two\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: write a list such as [0.1, 0.2], or a range such as "2^-12 .. 2^-4 step 1/2"',
    ),
    "a range of decades": (
        GOOD.replace('"2^-6 .. 2^-4"', '"1e-4 .. 1e-2"'),
        "/study.toml: 'axes.lr': '1e-4 .. 1e-2' is neither a list nor a range of powers of two\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: write powers of two: "2^-13 .. 2^-7", or "2^-13 .. 2^-7 step 1/2"',
    ),
    "a list in quotes": (
        GOOD.replace('"2^-6 .. 2^-4"', '"0.001, 1e-2"'),
        "/study.toml: 'axes.lr': '0.001, 1e-2' is neither a list nor a range of powers of two\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write a list without quotes: [0.001, 1e-2]",
    ),
    "a range of seeds": (
        GOOD.replace('"2^-6 .. 2^-4"', '"0..3"'),
        "/study.toml: 'axes.lr': '0..3' is neither a list nor a range of powers of two\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write a list: [0, 1, 2, 3]",
    ),
    "rates in quotes": (
        GOOD.replace('"2^-6 .. 2^-4"', '["0.1", "0.2"]'),
        "/study.toml: 'axes.lr' has '0.1', but its logarithm is analyzed\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write numbers without quotes: lr = [0.1, 0.2]",
    ),
    "powers in quotes": (
        GOOD.replace('"2^-6 .. 2^-4"', '["2^-3", "10**-2"]'),
        "/study.toml: 'axes.lr' has '2^-3', but its logarithm is analyzed\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write numbers without quotes: lr = [0.125, 0.01]",
    ),
    "a range of powers of ten": (
        GOOD.replace('"2^-6 .. 2^-4"', '"10^-4 .. 10^-2"'),
        "/study.toml: 'axes.lr': '10^-4 .. 10^-2' is neither a list nor a range of powers of two\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: write powers of two: "2^-13 .. 2^-7", or "2^-13 .. 2^-7 step 1/2"',
    ),
    "a rate of zero": (
        GOOD.replace('"2^-6 .. 2^-4"', "[0.1, 0]"),
        "/study.toml: 'axes.lr' has 0, but its logarithm is analyzed\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write positive numbers, or another [analysis] hyperparameter",
    ),
    "NaN": (
        GOOD.replace('"2^-6 .. 2^-4"', "[nan, [1]]"),
        "/study.toml: 'axes.lr.0': nan is not a finite number; 'axes.lr.1': a value on an axis "
        "must be a number, text, true or false (got [1])\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write a finite number; write one list of values, as in [64, 128]",
    ),
    "one value where a list belongs": (
        GOOD.replace("[lab]", 'seed = 2\n[analysis]\ngroup_by = "width"\n[lab]'),
        "/study.toml: 'axes.seed': must be a list (got 2); 'analysis.group_by': must be a list "
        "(got 'width')\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: write seed = [0, 1] for 2 seeds, or seed = [2]; write group_by = ["width"]',
    ),
    "a number where text belongs": (
        GOOD.replace('"s"', "5") + "device = true",
        "/study.toml: 'study.name': must be text in quotes (got 5); 'lab.device': must be text "
        "in quotes (got True)\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: write name = "5"; write device = "True"',
    ),
    "no axes and text where a number belongs": (
        GOOD.replace('width = [32, 64]\nlr = "2^-6 .. 2^-4"', "")
        + '[analysis]\nthreshold = "1%"\n[derived]\nx = [1]',
        "/study.toml: 'axes': has too few entries; 'derived.x': must be text in quotes (got "
        "[1]); 'analysis.threshold': must be a number (got '1%')\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write 1 or more entries for 'axes'; write x = \"1\"; write threshold = 0.01",
    ),
    "text where a table belongs": (
        GOOD.replace('[study]\nname = "s"', 'study = "s"'),
        "/study.toml: 'study': must be a table (got 's')\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: write [study] with name = "my-study"',
    ),
    "too many trials": (
        GOOD.replace(
            "lr =",
            "seed = " + str(list(range(1001))) + "\nx = " + str(list(range(1001))) + "\nlr =",
        ),
        "/study.toml: the grid has 6012006 trials, more than 1000000; 'x' is not a setting of "
        "the lab\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: shorten an axis, such as 'seed'; x: choose from 'activation', 'attention_scale', "
        "'base_width', 'batch', 'beta1', 'beta2', 'biases', 'clip', 'context', 'cooldown', "
        "'decay_mode', 'depth', 'dtype', 'embedding_norm', 'eps', 'head_width', 'heads', "
        f"'init_std', 'input_multiplier', 'kv_heads' and {len(LabSettings.model_fields) - 20} more",
    ),
    "an axis that is a setting too": (
        GOOD + "width = 32",
        "/study.toml: 'width' is set in [lab] and is also an axis or derived value\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: remove 'width' from [lab]",
    ),
    "analysis of nothing": (
        GOOD + '[analysis]\nscale = "depth"',
        "/study.toml: analysis.scale is 'depth', which is not an axis\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: name an axis, as in [analysis] scale = "width"',
    ),
    "analysis of several scales, one of them nothing": (
        GOOD + '[analysis]\nscale = ["width", "lrs"]',
        "/study.toml: analysis.scale names 'lrs', which is not an axis\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: did you mean 'lr'?",
    ),
    "derived from nothing": (
        GOOD + '[derived]\nwarmup = "stesp // 2"',
        "/study.toml: derived.warmup uses 'stesp', which is no axis and not derived before\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: stesp: choose from 'lr', 'width'",
    ),
    "not TOML": (
        "schema = = 1",
        "/study.toml is not TOML: Invalid value (at line 1, column 10)\n"
        "  why: a study file defines the trials to run\n"
        "  fix: correct this line: schema = = 1",
    ),
    "not text": (
        b"\xff\xfe\x00",
        "/study.toml is not UTF-8 text (byte 0)\n"
        "  why: a study file defines the trials to run\n"
        "  fix: save it as UTF-8",
    ),
    "empty": (
        "",
        "/study.toml: missing key 'schema'; missing key 'study'; missing key 'axes'\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: add schema = 1; add [study] with name = "my-study"; add [axes] with width = '
        '[256, 512] and lr = "2^-12 .. 2^-6"',
    ),
    "a name that leaves the folder": (
        GOOD.replace('"s"', '"../x"'),
        "/study.toml: 'study.name': a name consists of letters, digits, '.', '_' and '-', and "
        "does not start with a dot (got '../x')\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        '  fix: write name = "x"',
    ),
    "a part of the grid that is not in it": (
        GOOD.replace("[lab]", "[[only]]\nwidht = [32]\nlr = [0.3]\n[lab]"),
        "/study.toml: 'only' names 'widht', which is not an axis; 'only' has lr = 0.3, which is "
        "not on the axis\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: did you mean 'width'?; add it to 'lr' in [axes], or remove it here",
    ),
    "a part of the grid without values, and others that are not in it": (
        GOOD.replace("[lab]", "[[only]]\n[[only]]\ndepth = [2]\nlr = '2^-6.5 .. 2^-6.5'\n[lab]"),
        "/study.toml: 'only' has a table without values, which selects the whole grid; 'only' "
        "names 'depth', a setting of the lab that is not an axis; 'only' has lr = 2^-6.5, which is "
        "not on the axis\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write values of an axis below it, as in width = [...], or remove [[only]]; the "
        "axes are 'width', 'lr'; add it to 'lr' in [axes], or remove it here",
    ),
    "a part of the grid as a single table": (
        GOOD.replace("[lab]", "[only]\nwidth = [32]\n[lab]"),
        "/study.toml: 'only': must be a list\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: write [[only]] with two brackets: each such table is one entry of the list",
    ),
    "the rate of embeddings": (
        GOOD + "lr_multiplier_embedding = 4.0\n",
        "/study.toml: 'lab': unknown key 'lr_multiplier_embedding'\n"
        "  why: nothing that is written is ignored, and what cannot run is refused first\n"
        "  fix: lr_multiplier_embedding: did you mean 'lr_multiplier_input'?",
    ),
    "a date": (
        GOOD.replace("[32, 64]", "2026-01-01"),
        "/study.toml is not plain data: Object of type date is not JSON serializable\n"
        "  why: records are stored as JSON: text, numbers, lists and tables\n"
        "  fix: write dates and other values as text",
    ),
    "huge": (
        b"#" * (2**20 + 1),
        "/study.toml is larger than 1048576 bytes\n"
        "  why: a study file defines the trials to run\n"
        "  fix: name a study file; docs/sweeps.md shows one",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_invalid_study_is_an_error_with_what_why_and_fix(case, tmp_path) -> None:
    text, message = CASES[case]
    assert error_of(tmp_path, text) == message


def test_a_missing_file_and_a_folder_are_errors(tmp_path) -> None:
    for path, reason in (
        (tmp_path / "no.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(StudyError) as error:
            read_study(path)
        assert str(error.value) == (
            f"{path} cannot be read: {reason}\n"
            "  why: a study file defines the trials to run\n"
            "  fix: name a study file; docs/sweeps.md shows one"
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_an_error(tmp_path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(GOOD)
    path.chmod(0)
    with pytest.raises(StudyError, match="cannot be read: Permission denied"):
        read_study(path)
