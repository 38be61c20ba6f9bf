"""The columns of a comparison: methods in their versions, their names, and the seeds that are missing in them.

Owns what tells two versions of a method apart, in words. Which runs may be averaged is `runs`'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftft_core.comparison.runs import MethodKey, MethodRuns, RunResult, column_id, group_runs, short_model

FACT_TITLES = {
    "suite_fingerprint": "data",
    "training.learning_rate": "learning rate",
    "training.batch_size": "batch of",
    "training.weight_decay": "weight decay",
    "training.warmup_fraction": "warm-up",
    "training.gradient_clip_norm": "gradients clipped at",
    "training.max_length": "longest text",
    "reference.learning_rate": "reference's learning rate",
    "reference.stop": "reference stops:",
    "error_weight": "errors weigh",
    "excluded": "excluded:",
    "reference.excluded": "reference excluded:",
    "reference.precision": "reference in",
    "reference.fraction": "reference's share",
    "matched.method": "cost of",
    "matched.reference": "cost with reference",
    "matched.flops": "FLOPs",
    "matched.fraction": "cost with share",
}
"""Fact -> words before its value in a column's head; others stand with their own name, or with none."""

_NUM_FINGERPRINT_LETTERS = 6


@dataclass(frozen=True)
class MissingRun:
    """A run that would count in a comparison, had it finished."""

    run_id: str
    name: str
    seed: int
    status: str
    """failed, lost, cancelled, queued or running."""
    message: str

    @property
    def words(self) -> str:
        """What became of it: "seed 2 failed: the disk is full"."""
        said = f"seed {self.seed} {'is ' if self.status in ('queued', 'running', 'lost') else ''}{self.status}"
        return f"{said}: {self.message}" if self.message else said


@dataclass(frozen=True)
class Column:
    """A version of a method: runs that differ by nothing but the seed, and those that are missing."""

    id: str
    """The same whatever else is compared, see `runs.column_id`."""
    key: MethodKey
    title: str
    """The method's name."""
    detail: str
    """What tells it apart from other columns; empty where its method says it all."""
    facts: Mapping[str, object]
    runs: tuple[RunResult, ...]
    missing: tuple[MissingRun, ...] = ()

    @property
    def name(self) -> str:
        """Title and detail in one line."""
        return f"{self.title} ({self.detail})" if self.detail else self.title

    @property
    def num_seeds(self) -> int:
        """Seeds whose runs have finished."""
        return len(self.runs)

    @property
    def num_wanted(self) -> int:
        """Seeds whose runs have finished or were begun."""
        return len({run.seed for run in self.runs} | {run.seed for run in self.missing})


def make_columns(
    methods: Sequence[MethodRuns], unfinished: Sequence[tuple[RunResult, MissingRun]] = ()
) -> tuple[Column, ...]:
    """Give the columns of what was compared, then those of which no run has finished.

    :param unfinished: runs that have not finished, without predictions, and what became of them.
    """
    missing: dict[str, list[MissingRun]] = {}
    for run, what in unfinished:
        missing.setdefault(column_id(run), []).append(what)
    groups = {column_id(method.runs[0]): method for method in methods}
    empty, _ = group_runs([run for run, _ in unfinished if column_id(run) not in groups])
    every = {**groups, **{column_id(method.runs[0]): method for method in empty}}
    details = _unlike(list(every), list(every.values()), _details(list(every.values())))
    columns = []
    for (column, method), detail in zip(every.items(), details, strict=True):
        runs = groups[column].runs if column in groups else ()
        have = {run.seed for run in runs}
        # A seed that failed once and was run again is not missing; of several tries the last is told.
        lacking = {what.seed: what for what in missing.get(column, ()) if what.seed not in have}
        absent = tuple(lacking[seed] for seed in sorted(lacking))
        if runs or absent:
            columns.append(Column(column, method.key, method.key.method, detail, method.facts, runs, absent))
    return tuple(columns)


def fact_words(name: str, value: object) -> str:
    """Word one fact as a column's head says it: "learning rate 2e-05", "3 epochs", "data 81c0f2"."""
    if name in _SPECIAL_WORDS:
        return _SPECIAL_WORDS[name](value)
    of_matched = name.removeprefix("matched.")
    if name not in FACT_TITLES and of_matched != name:
        return f"cost with {fact_words(of_matched, value)}"
    title = FACT_TITLES.get(name, name.rpartition(".")[2].replace("_", " "))
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"no {title}" if value is None else f"{title} {shown}"


def _budget_words(budget: str) -> str:
    """Turn "epochs 3" into "3 epochs", "max_steps 40" into "40 steps"."""
    name, _, amount = budget.partition(" ")
    unit = {"epochs": "epoch", "max_steps": "step"}.get(name)
    if unit is None:
        return budget.replace("_", " ")
    return f"{amount} {unit}{'s' * (amount != '1')}"


_SPECIAL_WORDS: dict[str, Callable[[Any], str]] = {
    "suite_fingerprint": lambda value: f"data {str(value)[:_NUM_FINGERPRINT_LETTERS]}",
    "budget": lambda value: _budget_words(str(value)),
    "stop": lambda value: "whole budget" if value in (None, "none") else str(value).removeprefix("stop "),
    "reference.budget": lambda value: f"reference {_budget_words(str(value))}",
    "precision": str,
    "subset.strategy": lambda value: "no strategy" if value is None else str(value),
    "subset.balance": lambda value: "unbalanced" if value is None else f"balanced by {value}",
    "subset.epochs": lambda value: "whole map" if value is None else f"map at epoch {value}",
    "subset.maps": lambda value: "one map" if value == 1 else f"average of {value} maps",
    "subset.where": lambda value: "no filter" if value is None else str(value),
}
"""Fact -> how its value is worded, where "title value" would not do."""


def _details(methods: Sequence[MethodRuns]) -> list[str]:
    models = {(method.key.model, method.key.num_layers) for method in methods}
    details = []
    for method in methods:
        key = method.key
        namesakes = [other for other in methods if other.key.method == key.method]
        model = _model_words(key.model, [name for name, _ in models])
        parts = [f"{model}, {key.num_layers} layers"] if len(models) > 1 else []
        if len({(other.key.reference_model, other.key.reference_layers) for other in namesakes}) > 1:
            parts.append(reference_words(key))
        if len({other.key.fraction for other in namesakes}) > 1:
            parts.append(f"{100 * key.fraction:.4g} %")
        parts += _facts_apart(method, [other for other in namesakes if other.key == key])
        details.append("; ".join(parts))
    return details


def _model_words(model: str, models: Iterable[str]) -> str:
    """Shorten a model's name, unless another model would be called the same."""
    alike = {other for other in models if short_model(other) == short_model(model)}
    return short_model(model) if len(alike) == 1 else model


def _unlike(columns: Sequence[str], methods: Sequence[MethodRuns], details: Sequence[str]) -> list[str]:
    """Add the letters of its id to a column that is called as another one: tables go by names."""
    names = [(method.key.method, detail) for method, detail in zip(methods, details, strict=True)]
    return [
        "; ".join(part for part in (detail, column.rpartition("-")[2]) if part) if names.count(name) > 1 else detail
        for column, name, detail in zip(columns, names, details, strict=True)
    ]


def _facts_apart(method: MethodRuns, alike: Sequence[MethodRuns]) -> list[str]:
    names = dict.fromkeys(name for other in alike for name in other.facts)
    apart = [name for name in names if len({repr(other.facts.get(name, _ABSENT)) for other in alike}) > 1]
    return [
        fact_words(name, method.facts[name]) if name in method.facts else f"{name.replace('_', ' ')} not stated"
        for name in apart
    ]


_ABSENT: Any = object()


def reference_words(key: MethodKey) -> str:
    """Word a method's reference: "from MiniLM, 2 layers"."""
    if key.reference_model is None:
        return "no reference"
    layers = f", {key.reference_layers} layers" if key.reference_layers is not None else ""
    return f"from {short_model(key.reference_model)}{layers}"
