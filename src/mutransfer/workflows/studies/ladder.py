"""This file is a ladder's run: every rung checked, and what each repairs, in one table."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutransfer.coordcheck import CoordCheck
from mutransfer.records.ladder import LadderSpec, Rule, RungTable
from mutransfer.report import write_report
from mutransfer.report.files import make_folder, write_file
from mutransfer.workflows.studies.rungs import check_rung

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Blame:
    """What a check blames: a rule, for parameters of a role.

    Args:
        fault: The rule.
        role: Role of the parameters, or '' where it is none's.
        power: The power of width by which the rule is off.
    """

    fault: str
    role: str
    power: float

    @property
    def rule(self) -> str:
        """Name the rule, as 'hidden rate'."""
        return f"{self.role} {self.fault}".strip()

    def __str__(self) -> str:
        return f"{self.rule} {self.power:+.2g}"


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung and its verdict.

    Args:
        name: Its name.
        adds: The rule that it has and the rung before has not; None for SP.
        check: The coordinate check of its implementation.
    """

    name: str
    adds: Rule | None
    check: CoordCheck

    @property
    def blamed(self) -> tuple[Blame, ...]:
        """What its check blames."""
        return tuple(Blame(one.fault, one.role, one.power) for one in self.check.diagnoses)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Which step from SP to µP repairs what.

    Args:
        name: The study's name.
        rungs: SP first.
        folder: Where `ladder.json` and the pages are.
    """

    name: str
    rungs: tuple[Rung, ...]
    folder: Path

    @property
    def undetermined(self) -> bool:
        """Whether the outcome of some rung cannot be told."""
        return any(rung.check.outcome == "undetermined" for rung in self.rungs)

    def repaired(self, number: int) -> tuple[str, ...]:
        """Name the rules that were blamed one rung before, and are no longer.

        A rung whose outcome cannot be told has repaired nothing that is known.
        """
        if number == 0 or self.rungs[number].check.outcome == "undetermined":
            return ()
        now = {one.rule for one in self.rungs[number].blamed}
        before = dict.fromkeys(one.rule for one in self.rungs[number - 1].blamed)
        return tuple(rule for rule in before if rule not in now)

    def table(self) -> str:
        """Write one line per rung, then what the checks say of those that do not pass."""
        heads = ["rung", "outcome", "blamed, power of width", "repaired"]
        rows = [
            [
                rung.name,
                rung.check.outcome,
                ", ".join(map(str, rung.blamed)) or "–",
                ", ".join(self.repaired(number)) or "–",
            ]
            for number, rung in enumerate(self.rungs)
        ]
        sizes = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines = [
            "  ".join(f"{cell:<{size}}" for cell, size in zip(row, sizes, strict=True)).rstrip()
            for row in [heads, *rows]
        ]
        for rung in self.rungs:
            said = [*(one.text for one in rung.check.diagnoses), *rung.check.reasons]
            if said:
                lines += ["", f"{rung.name}: {rung.check.outcome}", *(f"  {one}" for one in said)]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Give plain data for `json.dump`."""
        return {
            "schema": SCHEMA,
            "study": self.name,
            "rungs": [
                {
                    "name": rung.name,
                    "adds": rung.adds,
                    "outcome": rung.check.outcome,
                    "blamed": [
                        {"fault": one.fault, "role": one.role, "power": one.power}
                        for one in rung.blamed
                    ],
                    "repaired": list(self.repaired(number)),
                    "check": rung.check.to_json(),
                }
                for number, rung in enumerate(self.rungs)
            ],
        }

    def __str__(self) -> str:
        return self.table()


def run_ladder(
    spec: LadderSpec,
    *,
    output: Path | None = None,
    on_rung: Callable[[RungTable], None] = lambda rung: None,
) -> Ladder:
    """Check every rung; write `ladder.json`, and a page for each.

    Args:
        spec: The ladder.
        output: Where the files go; `runs/<name>` by default.
        on_rung: Called before each rung.

    Raises:
        ModelError: Widths, seeds or steps that decide nothing.
        DataError: The embedded text cannot be kept as tokens.
        ResultsError: The folder cannot be written.
    """
    folder = Path("runs") / spec.study.name if output is None else output
    make_folder(folder)  # refuse before the work, not after
    rungs = []
    for number, table in enumerate(spec.rungs):
        on_rung(table)
        check = check_rung(spec, spec.rules(number))
        rungs.append(Rung(table.name, table.adds, check))
        title = f"{spec.study.name}: {table.name}"
        write_report(folder / f"rung-{number + 1}.html", check=check, title=title)
    ladder = Ladder(spec.study.name, tuple(rungs), folder)
    text = json.dumps(ladder.to_json(), indent=1, allow_nan=False)
    write_file(folder / "ladder.json", f"{text}\n".encode())
    return ladder
