"""Named studies: the study files that ship with the package, described and read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files

from mutransfer.errors import StudyError, UsageError, nearest
from mutransfer.records import LadderSpec, StudySpec
from mutransfer.workflows.studies.scales import Scale, ScaledStudy, is_compact, read_scaled

# Sources in the order in which they are listed; those of compact studies are their settings.
SOURCES = {
    "demo": "The demo",
    "lingle2024": "Lingle 2024 (arXiv:2404.05728)",
    "kalra2026": "Kalra and Barkeshli 2026 (arXiv:2605.21486)",
    "eleutherai": "EleutherAI and Cerebras, the practitioner's guide to µP",
}
_SOURCE_OF_PLAIN = {
    **{"demo": "demo", "demo-large": "demo", "eleuther-ladder": "eleutherai"},
    **{"guide-proxy-search": "eleutherai", "guide-proxy-target": "eleutherai"},
}
# The order of the studies of a source is that of these names; the baseline serves all others.
_FIRST = ("demo", "baseline", "sp", "sp-simple", "absolute", "embedding-rate", "hybrids")


@dataclass(frozen=True, slots=True)
class NamedStudy:
    """A study that ships with the package, as described by the comments that open its file.

    Args:
        name: The argument of `mutransfer studies run`.
        source_name: A key of `SOURCES`; `mutransfer studies run` also takes it, and runs all.
        question: The question that it answers.
        source: The source of the question, or of the expected answer.
        command: The command that runs it.
        expected: The expected answer: what the paper reports, or what we expect.
        differs: What differs from the source, at mini scale; may be empty.
        has_scales: Whether it has a mini and a paper scale.
        experiment: Its name among the published experiments of the source, if it is one of them.
    """

    name: str
    source_name: str
    question: str
    source: str
    command: str
    expected: str
    differs: str = ""
    has_scales: bool = False
    experiment: str | None = None

    @property
    def title(self) -> str:
        """The question as a heading."""
        return self.question[:1].upper() + self.question[1:]


def named_studies() -> list[NamedStudy]:
    """Return the descriptions of all named studies, by source."""
    studies = [describe(name) for name in _names()]
    order = {name: number for number, name in enumerate(_FIRST)}
    sources = list(SOURCES)
    return sorted(
        studies,
        key=lambda s: (sources.index(s.source_name), order.get(s.name, len(order)), s.name),
    )


def study_names(name: str) -> list[str]:
    """Return the studies that a name stands for: itself, or all sweeps of a source.

    Raises:
        UsageError: There is no study or source of this name.

    Example:
        >>> study_names("demo-large"), study_names("lingle2024")[:2]
        (['demo-large'], ['baseline', 'sp'])
    """
    names = _names()
    if name in names:
        return [name]
    if name in SOURCES:
        return [study.name for study in named_studies() if study.source_name == name]
    raise _unknown(name, [*names, *SOURCES])


def study_file(name: str) -> str:
    """Return the file of a named study as it ships.

    Raises:
        UsageError: There is no study of this name.
    """
    if name in SOURCES and name not in _names():
        raise UsageError(
            f"'{name}' is a source of studies, not a study",
            why="each of its studies has a file of its own",
            fix=f"name one of them: {', '.join(study_names(name))}",
        )
    if name not in (names := _names()):
        raise _unknown(name, names)
    return (files("mutransfer") / "studies" / f"{name}.toml").read_text(encoding="utf-8")


def study_text(name: str, scale: Scale | None = None) -> str:
    """Return a named study as a file that `mutransfer sweep` reads, with its comments.

    Raises:
        UsageError: There is no study of this name, or it has no scales.
    """
    text = study_file(name)
    scaled = _scaled(name, text, scale)
    return text if scaled is None else scaled.expanded_text(scale or "mini")


def named_study(name: str, scale: Scale | None = None) -> StudySpec | LadderSpec:
    """Read a named study: a grid of trials, or a ladder of checks.

    Args:
        name: Name of the study.
        scale: 'mini', the default, or 'paper'; only for studies that have scales.

    Raises:
        UsageError: There is no study of this name, or it has no scales.

    Example:
        >>> named_study("demo").axes["width"]
        (32, 64, 128)
        >>> named_study("norm-gains-vector", "paper").axes["width"]
        (128, 512, 2048)
    """
    text = study_file(name)
    scaled = _scaled(name, text, scale)
    if scaled is not None:
        return scaled.expand(scale or "mini")
    data = tomllib.loads(text)
    kind = LadderSpec if "rungs" in data else StudySpec
    return kind.read(data, error=StudyError, where=f"{name}.toml")


def expand(name: str, scale: Scale) -> StudySpec:
    """Return a study that has scales as an ordinary study at one of them.

    Raises:
        UsageError: There is no study of this name, or it has no scales.

    Example:
        >>> expand("norm-gains-vector", "mini").lab.settings["norm_gains"]
        'vector'
    """
    return scaled_study(name).expand(scale)


def scaled_study(name: str) -> ScaledStudy:
    """Return the compact file of a study that has scales, with its shared settings.

    Raises:
        UsageError: There is no study of this name, or it has no scales.
    """
    scaled = _scaled(name, study_file(name), "mini")
    assert scaled is not None
    return scaled


def describe(name: str) -> NamedStudy:
    """Return the description of a named study.

    Raises:
        UsageError: There is no study of this name.
    """
    text = study_file(name)
    scaled = _scaled(name, text, None)
    comments = _comments(text)
    return NamedStudy(
        name,
        source_name=scaled.shared.settings.name if scaled else _SOURCE_OF_PLAIN[name],
        question=comments["question"],
        source=comments["source"],
        command=comments["command"] or f"mutransfer studies run {name}",
        expected=comments["paper"] or comments["expected"],
        differs=comments["mini"],
        has_scales=scaled is not None,
        experiment=scaled.compact.study.experiment if scaled else None,
    )


def _names() -> list[str]:
    """List the names of the study files."""
    entries = (entry.name for entry in (files("mutransfer") / "studies").iterdir())
    return sorted(name.removesuffix(".toml") for name in entries if name.endswith(".toml"))


def _unknown(name: str, choices: list[str]) -> UsageError:
    """Return the error for a name that no study has."""
    fix = nearest(name, choices)
    return UsageError(
        f"there is no study '{name}'",
        why="another study would answer another question",
        fix=fix if fix.startswith("did you mean") else "`mutransfer studies` lists all of them",
    )


def _scaled(name: str, text: str, scale: Scale | None) -> ScaledStudy | None:
    """Read a study that has scales; None for one without, of which no scale was requested."""
    if is_compact(tomllib.loads(text)):
        return read_scaled(text, where=f"{name}.toml")
    if scale is not None:
        raise UsageError(
            f"{name} has no scales, but got --scale {scale}",
            why="its file is what it is; only studies of a paper's experiments have two scales",
            fix=f"leave out --scale: mutransfer studies show {name}",
        )
    return None


def _comments(text: str) -> dict[str, str]:
    """Parse the comments that open a study file; each may continue over several lines."""
    keys = ("question", "source", "paper", "mini", "command", "expected")
    comments = dict.fromkeys(keys, "")
    current = None
    for line in text.splitlines():
        comment = line.removeprefix("#").strip()
        if not line.startswith("#") or not comment:
            break
        key, colon, rest = comment.partition(":")
        if colon and key.lower() in comments:
            current, comment = key.lower(), rest
        if current is not None:
            comments[current] = f"{comments[current]} {comment.strip()}".strip()
    return comments
