"""`mutransfer rules`: the tables of parametrizations, with their sources."""

from __future__ import annotations

from mutransfer.cli.app import START, Switch, app, examples
from mutransfer.cli.exit_status import SUCCESS
from mutransfer.cli.output import CommandResult


@app.command(
    group=START,
    help_epilogue=examples("mutransfer rules mup", "mutransfer rules mup --optimizer sgd"),
)
def rules(
    name: str | None = None, *, optimizer: str | None = None, json: Switch = False
) -> CommandResult:
    """Print the scaling rules of a parametrization, with their source.

    Args:
        name: Name of a parametrization, such as mup, sp, mfp or sp+embd; all published tables by
            default.
        optimizer: Print only the columns of this optimizer: adamw, sgd, ...
        json: Print one JSON document and nothing else.
    """
    from mutransfer.rules import HYBRIDS, TABLES, explain, rule_data

    names = list(TABLES) if name is None else [name]
    tables = [explain(name, optimizer=optimizer) for name in names]
    data: dict[str, object] = {
        "schema": 1,
        "rules": {name: rule_data(name, optimizer=optimizer) for name in names},
    }
    if name is None:
        hybrids = [name for name in HYBRIDS if name not in TABLES]
        data["hybrids"] = hybrids
        tables.append(f"between sp and mup (`mutransfer rules sp+embd`): {', '.join(hybrids)}")
    return CommandResult("\n\n\n".join(tables), data, SUCCESS, json)
