"""Ladder studies: a coordinate check per rung, and the rules that each rung repairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutransfer.coordcheck import CoordCheck, Diagnosis, coord_check
from mutransfer.lab.ladder_model import next_token_loss, rung_batch, rung_model, rung_optimizer
from mutransfer.records.ladder import LadderSpec, Rule, RungTable
from mutransfer.report import write_report
from mutransfer.report.files import make_folder, write_file

SCHEMA = 1
FORM = "table-8"  # the form of nanoGPT-mup's rules [derived: its code]


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung and its check.

    Args:
        name: Its name.
        adds: The rule that it adds to those of the previous rung; None for SP.
        check: The coordinate check of its implementation.
    """

    name: str
    adds: Rule | None
    check: CoordCheck

    @property
    def broken_rules(self) -> tuple[str, ...]:
        """The rules that the check finds broken, such as 'hidden rate', without repetition."""
        return tuple(dict.fromkeys(map(_rule, self.check.diagnoses)))


@dataclass(frozen=True, slots=True)
class Ladder:
    """The checks of all rungs, from SP to µP.

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
        """Whether the outcome of some rung is undetermined."""
        return any(rung.check.outcome == "undetermined" for rung in self.rungs)

    def repaired(self, number: int) -> tuple[str, ...]:
        """Return the rules that were broken at the previous rung and no longer are.

        An undetermined check finds no broken rules, so it cannot show that one was repaired.
        """
        if number == 0 or self.rungs[number].check.outcome == "undetermined":
            return ()
        still_broken = self.rungs[number].broken_rules
        previous = self.rungs[number - 1].broken_rules
        return tuple(rule for rule in previous if rule not in still_broken)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""
        return {
            "schema": SCHEMA,
            "study": self.name,
            "rungs": [
                {
                    "name": rung.name,
                    "adds": rung.adds,
                    "outcome": rung.check.outcome,
                    "blamed": [
                        {"fault": d.fault, "role": d.role, "power": d.power}
                        for d in rung.check.diagnoses
                    ],
                    "repaired": list(self.repaired(number)),
                    "check": rung.check.to_json(),
                }
                for number, rung in enumerate(self.rungs)
            ],
        }


def run_ladder(
    spec: LadderSpec,
    *,
    output: Path | None = None,
    on_rung: Callable[[RungTable], None] = lambda rung: None,
) -> Ladder:
    """Check every rung; write `ladder.json`, and a page for each rung.

    Args:
        spec: The ladder.
        output: Where the files go; `runs/<name>` by default.
        on_rung: Called before each rung.

    Raises:
        ModelError: The widths, seeds or steps are too few to decide anything.
        DataError: The embedded text cannot be stored as tokens.
        ResultsError: The folder cannot be written.
    """
    folder = Path("runs") / spec.study.name if output is None else output
    make_folder(folder)  # an unwritable folder raises before the work, not after it
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


def check_rung(spec: LadderSpec, rules: frozenset[Rule]) -> CoordCheck:
    """Check the implementation with these rules as it is, without applying a plan."""
    return coord_check(
        lambda width: rung_model(spec, rules, width),
        base=spec.check.base,
        widths=spec.check.widths,
        batch=rung_batch(spec),
        loss=next_token_loss,
        parametrization=None,
        optimizer=lambda model: rung_optimizer(spec, rules, model),
        lr=spec.check.lr,
        steps=spec.check.steps,
        seeds=spec.check.seeds,
        form=FORM,
    )


def _rule(diagnosis: Diagnosis) -> str:
    """Return the name of a broken rule, such as 'hidden rate'."""
    return f"{diagnosis.role} {diagnosis.fault}".strip()
