"""Diagnoses of the coordinate check when a correct parametrization is broken, rule by rule.

    python benchmarks/coordcheck.py [--model mlp|mlp-sgd|mlp-muon|decoder|gpt2] [--quick]

Prints Markdown: every mutant, the outcome, the diagnosed faults, and whether they are right.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal

import torch
from coordcheck_models import BASE, TiedGPT2, classes, decoder, mlp, next_token, points, tokens
from torch import Tensor, nn

import mutransfer as mt
from mutransfer.coordcheck import CoordCheck
from mutransfer.rules import Plan, PlanRow, Role

WIDTHS = (32, 64, 128, 256)
Change = Literal["init", "rate", "multiplier", "eps"]
FIELDS: Mapping[Change, str] = {
    "init": "init_factor",
    "rate": "lr_factor",
    "multiplier": "multiplier",
    "eps": "eps_factor",
}
Fault = tuple[str, str, float]  # rule, role, power of width


class Muon(torch.optim.Muon):
    """A Muon of the user's own: its class has no rule, so its rate cannot be compared with one."""


CLASSES: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adamw": torch.optim.AdamW,
    "muon-match-rms": torch.optim.Muon,
    "own-muon": Muon,
}

# Shape legend: B batch, T time, D width, N heads, H head width, V vocabulary.


@dataclass(frozen=True)
class Subject:
    """A model family with a correct parametrization.

    Args:
        name: Name in the table.
        fresh: Function from a width to a fresh model.
        batch: Argument of the loss.
        loss: Loss function.
        optimizer: 'adamw', 'sgd' or 'muon-match-rms'.
        lr: Learning rate at the base width.
        form: Form of the plan.
        live_eps: Whether epsilon is three times the base model's gradient, so that it matters.
        steps: Number of updates.
        own_muon: Whether Muon is a class of the user's own.
    """

    name: str
    fresh: Callable[[int], nn.Module]
    batch: Any
    loss: Callable[[nn.Module, Any], Tensor]
    optimizer: str = "adamw"
    lr: float = 2**-6
    form: str = "table-3"
    live_eps: bool = False
    steps: int = 10
    own_muon: bool = False

    @cache  # noqa: B019 - lives as long as the program
    def plan(self, width: int) -> Plan:
        """Return the correct plan."""
        return mt.make_plan(
            self.fresh, base=BASE, target=width, optimizer=self.optimizer, form=self.form
        )

    @cache  # noqa: B019 - lives as long as the program
    def epsilons(self) -> dict[str, float]:
        """Return every parameter's epsilon at the base width: 1e-8, or one that matters."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = self.fresh(BASE)
        self.loss(model, self.batch).backward()
        times = 3.0 if self.live_eps else 0.0
        return {
            name: max(1e-8, times * float(p.grad.square().mean().sqrt()))
            for name, p in model.named_parameters()
            if p.grad is not None
        }


@dataclass(frozen=True)
class Mutant:
    """One or more broken rules.

    Args:
        text: Description in the table.
        changes: Fields multiplied by a power of width, in the parameters that match.
        faults: The expected diagnosis; empty if the mutant is correct.
        one_rate_from: Step from which a scheduler sets one rate for every group.
        equivalent: Reason why it trains as the correct plan does.
    """

    text: str
    changes: tuple[tuple[Change, Callable[[PlanRow], bool], float], ...] = ()
    faults: tuple[Fault, ...] = ()
    one_rate_from: int | None = None
    equivalent: str = ""

    def plan(self, subject: Subject, width: int) -> Plan:
        """Return the broken plan."""
        plan = subject.plan(width)
        return replace(plan, rows=tuple(self._row(row, width / BASE) for row in plan.rows))

    def _row(self, row: PlanRow, ratio: float) -> PlanRow:
        for change, matches, power in self.changes:
            if matches(row):
                field = FIELDS[change]
                row = replace(row, **{field: getattr(row, field) * ratio**power})
        return row

    def model(self, subject: Subject, width: int) -> nn.Module:
        """Build and parametrize a model; on the meta device there are no weights to rescale."""
        plan = self.plan(subject, width)
        model = subject.fresh(width)
        fresh = next(model.parameters()).device.type != "meta"
        layers = {f"{name}.weight": module for name, module in model.named_modules()}
        rows = []
        for row in plan.rows:
            layer = layers.get(row.name)
            if row.multiplier != 1 and isinstance(layer, nn.Embedding):
                layer.register_forward_hook(lambda _m, _i, out, by=row.multiplier: out * by)
                row = replace(row, multiplier=1.0)
            rows.append(row)
        model = mt.apply(model, replace(plan, rows=tuple(rows)), init=fresh)
        model.width = width  # type: ignore[assignment] # a module takes any attribute
        return model

    def optimizer(self, subject: Subject, model: nn.Module) -> list[torch.optim.Optimizer]:
        """Return the optimizers of the broken plan."""
        plan = self.plan(subject, int(model.width))  # type: ignore[arg-type] # set above
        named = dict(model.named_parameters())
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in plan.rows:
            group = {"params": [named[row.name]], "lr": subject.lr * row.lr_factor}
            if row.optimizer == "muon-match-rms":
                group |= {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0}
            elif row.optimizer != "sgd":
                group |= {"eps": subject.epsilons()[row.name] * row.eps_factor, "weight_decay": 0}
            is_own = subject.own_muon and row.optimizer == "muon-match-rms"
            groups.setdefault("own-muon" if is_own else row.optimizer, []).append(group)
        optimizers = [CLASSES[name](own) for name, own in groups.items()]
        if self.one_rate_from is not None:
            for optimizer in optimizers:
                _set_one_rate(optimizer, subject.lr, self.one_rate_from)
        return optimizers


def _set_one_rate(optimizer: torch.optim.Optimizer, lr: float, since: int) -> None:
    """Overwrite every group's rate from a step on, as a scheduler would."""
    steps = iter(range(10**6))

    def overwrite(optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
        if next(steps) >= since:
            for group in optimizer.param_groups:
                group["lr"] = lr

    optimizer.register_step_pre_hook(overwrite)


def check(subject: Subject, mutant: Mutant, **options: object) -> CoordCheck:
    """Run a coordinate check of a mutant, as of a user's own implementation."""

    def factory(model: nn.Module) -> list[torch.optim.Optimizer]:
        return mutant.optimizer(subject, model)

    settings = {"steps": subject.steps, "lr": subject.lr, "form": subject.form} | options
    return mt.coord_check(
        partial(mutant.model, subject),
        base=BASE,
        widths=WIDTHS,
        batch=subject.batch,
        loss=subject.loss,
        parametrization=None,
        optimizer=factory,
        **settings,
    )


# --- subjects ---


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "mlp": lambda: Subject("MLP, AdamW", mlp, points(), classes),
    "mlp-sgd": lambda: Subject("MLP, SGD", mlp, points(), classes, optimizer="sgd", lr=0.1),
    "mlp-muon": lambda: Subject(
        "MLP, Muon", mlp, points(), classes, optimizer="muon-match-rms", lr=2**-6
    ),
    "decoder": lambda: Subject(
        "reference decoder, AdamW", decoder, tokens(4, 32), next_token, lr=2**-7, steps=6
    ),
    "gpt2": lambda: Subject(
        "tied GPT-2 style, AdamW", TiedGPT2, tokens(4, 32), next_token, lr=2**-7, steps=6
    ),
}


# --- mutants ---


def role_is(role: Role) -> Callable[[PlanRow], bool]:
    return lambda row: row.role is role


def matrix(name: str) -> Callable[[PlanRow], bool]:
    return lambda row: row.name == name


def single(
    change: Change, role: Role, powers: tuple[float, ...] = (1, 0.5, -0.5, -1), **kwargs: str
) -> Iterator[Mutant]:
    """Yield mutants in which one rule of one role is broken."""
    for power in powers:
        yield Mutant(
            f"{role} {change}, width^{power:+g}",
            ((change, role_is(role), power),),
            # A larger epsilon shows as smaller updates.
            ((change, str(role), -power if change == "eps" else power),),
            **kwargs,
        )


def vector_inits(subject: Subject) -> Iterator[Mutant]:
    """Yield mutants with a broken init of vectors; without gains, vanishing biases are harmless."""
    model = subject.fresh(BASE)
    gains = any(isinstance(module, nn.LayerNorm | nn.RMSNorm) for module in model.modules())
    yield from single("init", Role.VECTOR, (1, 0.5))
    why = "" if gains else "a vanishing bias is added to activations that do not vanish, and learns"
    yield from single("init", Role.VECTOR, (-0.5, -1), equivalent=why)


MATRIX_ROLES = (Role.INPUT, Role.HIDDEN, Role.OUTPUT)


def common(subject: Subject, layer: str) -> Iterator[tuple[Subject, Mutant]]:
    """Yield the mutants of every subject, with the subject in the form that they break."""
    present = {row.role for row in subject.plan(WIDTHS[-1]).rows}
    yield subject, Mutant("correct")
    for role in (r for r in MATRIX_ROLES if r in present):
        yield from ((subject, m) for m in single("init", role))
        yield from ((subject, m) for m in single("rate", role))
    if Role.VECTOR in present:
        yield from ((subject, m) for m in single("rate", Role.VECTOR))
        yield from ((subject, m) for m in vector_inits(subject))
    table_8 = replace(subject, form="table-8")
    yield table_8, Mutant("correct, table 8")
    for role in (r for r in MATRIX_ROLES if r in present):
        yield from ((table_8, m) for m in single("multiplier", role))
    for change in ("init", "rate"):
        mutant = Mutant(f"one power up in {layer} only: {change}", ((change, matrix(layer), 1.0),))
        yield subject, replace(mutant, faults=((change, "hidden", 1.0),))
    hidden, out = role_is(Role.HIDDEN), role_is(Role.OUTPUT)
    sgd, muon = subject.optimizer == "sgd", subject.optimizer == "muon-match-rms"
    faults = (("rate", "hidden", -1.0), ("rate", "output", -1.0), ("init", "output", -0.5))
    faults = tuple(f for f in faults if Role(f[1]) in present and not (sgd and f[1] == "hidden"))
    yield (
        subject,
        Mutant(
            "scaled twice",
            (("rate", hidden, 0.0 if sgd else -1.0), ("rate", out, -1.0), ("init", out, -0.5)),
            faults,
        ),
    )
    if not sgd:
        powers = {Role.HIDDEN: 0.5 if muon else 1.0, Role.OUTPUT: 1.0}
        faults = tuple(("rate", str(role), by) for role, by in powers.items() if role in present)
        yield subject, Mutant("a scheduler sets one rate from step 3", (), faults, one_rate_from=3)
        why = "epsilon is far below every gradient"
        adams = [r for r in (*MATRIX_ROLES, Role.VECTOR) if not (muon and r is Role.HIDDEN)]
        for role in MATRIX_ROLES:
            if role in present and role in adams:
                yield from ((subject, m) for m in single("eps", role, (1.0,), equivalent=why))
        live = replace(subject, live_eps=True, lr=4 * subject.lr)
        yield live, Mutant("correct, epsilon three times the gradient")
        for role in (r for r in adams if r in present):
            yield from ((live, replace(m, text=m.text + " (large)")) for m in single("eps", role))


def cases(name: str) -> Iterator[tuple[Subject, Mutant]]:
    """Yield all mutants of a subject."""
    subject = SUBJECTS[name]()
    layer = {"decoder": "blocks.0.attention.query.weight", "gpt2": "up.weight"}.get(name)
    yield from common(subject, layer or "2.weight")
    if name == "gpt2":
        for change in ("init", "rate"):
            faults = ((change, "input", -1.0),)
            text = f"tied table: {change} as of a readout"
            yield subject, Mutant(text, ((change, matrix("tokens.weight"), -1.0),), faults)
        steep = replace(subject, fresh=partial(TiedGPT2, scale="1/sqrt(d)"))
        yield (
            steep,
            Mutant("1/sqrt(d) attention, growing heads", (), (("attention scale", "", 0.5),)),
        )


# --- the table ---


def verdict(mutant: Mutant, result: CoordCheck) -> tuple[str, str]:
    """Return the diagnosed faults as text, and whether they are right."""
    faults = diagnosed_faults(result)
    text = "; ".join(f"{f} {r} {p:+g}" for f, r, p in faults) or "–"
    if mutant.equivalent or not mutant.faults:
        wrong = "FALSE ALARM" if result.outcome == "fail" else "NOT DECIDED"
        return text, "right" if result.outcome == "pass" else wrong
    if result.outcome != "fail":
        return text, "MISSED" if result.outcome == "pass" else "NOT DECIDED"
    expected = set(mutant.faults)
    if set(faults) == expected:
        return text, "right"
    signs = {(f, r, p > 0) for f, r, p in faults}
    if {(f, r, p > 0) for f, r, p in expected} <= signs:
        extra = len(signs) > len(expected)
        return text, "right, and others" if extra else "right but for the power"
    return text, "WRONG"


def diagnosed_faults(result: CoordCheck) -> list[Fault]:
    """Return the diagnosed faults, with powers rounded to halves."""
    return [(d.fault, d.role, round(2 * d.power) / 2) for d in result.diagnoses]


def table(name: str, *, quick: bool, only: str = "") -> dict[str, int]:
    """Print one subject's table, and return the counts of the verdicts."""
    print(f"\n### {SUBJECTS[name]().name}\n")
    print("| mutant | outcome | diagnosed | attribution |\n| --- | --- | --- | --- |", flush=True)
    counts: dict[str, int] = {}
    for subject, mutant in cases(name):
        if quick and mutant.text.endswith(("^+1", "^-1", "^+1 (large)", "^-1 (large)")):
            continue
        if only not in mutant.text:
            continue
        try:
            result = check(subject, mutant)
        except mt.MutransferError as error:
            text, right, outcome = str(error).splitlines()[0], "refused", "error"
        else:
            (text, right), outcome = verdict(mutant, result), result.outcome
        kind = "equivalent" if mutant.equivalent else "mutant" if mutant.faults else "correct"
        counts[f"{kind}: {right}"] = counts.get(f"{kind}: {right}", 0) + 1
        print(f"| {mutant.text} | {outcome} | {text} | {right} |", flush=True)
    print("\n" + "; ".join(f"{k} {v}" for k, v in sorted(counts.items())), flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=SUBJECTS, action="append")
    parser.add_argument("--quick", action="store_true", help="half powers only")
    parser.add_argument("--only", default="", help="mutants whose description contains this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    for name in options.model or SUBJECTS:
        table(name, quick=options.quick, only=options.only)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
