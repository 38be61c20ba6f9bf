"""What a comparison needs to know of a run, and which runs may be averaged.

Owns the plain records that the store fills, and their grouping into methods. Computes no score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ftft_core.errors import InputError

KEY_COLUMNS = ("method", "model", "num_layers", "reference_model", "reference_layers", "fraction")
"""What names a method in a comparison; every row begins with them."""

REFERENCE_METHOD = "reference"
"""Method of a run that was made only to be a reference; such runs are no method of their own."""


@dataclass(frozen=True)
class SplitPredictions:
    """Predictions of a run's kept model on one split."""

    example_ids: npt.NDArray[Any]
    """(N,) text, each once, in any order."""

    labels: npt.NDArray[Any]
    """(N,) gold label names, coarser ones where the split has a label map."""

    logits: npt.NDArray[Any]
    """(N, C) over the suite's labels, in the suite's order."""

    groups: npt.NDArray[Any] | None = None
    """(N,) group names, None where an example has none; None for a split without groups."""

    def __post_init__(self) -> None:
        sizes = {"example_ids": len(self.example_ids), "labels": len(self.labels), "logits": len(self.logits)}
        if self.groups is not None:
            sizes["groups"] = len(self.groups)
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise InputError(f"Predictions need one entry per example in every field; received {said}.")
        if len(set(self.example_ids)) < len(self.example_ids):
            raise InputError("Predictions need every example_id once; received some twice. Give the kept model's.")


@dataclass(frozen=True)
class ComparedSplit:
    """A split on which runs are compared."""

    name: str
    role: str
    """`dev`, `in_distribution` or `out_of_distribution`."""

    label_map: Mapping[str, Sequence[str]] | None = None
    """Coarser label -> labels of the suite; an unlisted label stands for itself."""


@dataclass(frozen=True)
class RunResult:
    """A finished run, with what it predicted and what it cost."""

    run_id: str
    method: str
    model: str
    num_layers: int
    seed: int
    fraction: float
    """Share of the training data that the run was given, in (0, 1]; 1 for all."""

    predictions: Mapping[str, SplitPredictions]
    """Split name -> predictions; a split may be lacking, which is then told in a note."""

    reference_model: str | None = None
    reference_layers: int | None = None
    total_flops: float | None = None
    """Training of the run and of its reference; None where unknown. Passes over dev are part of it where they
    decided when a run ended; others decide nothing and are left out."""

    flops_of_parts: Mapping[str, float] = field(default_factory=dict)
    """The same FLOPs by run id: this run's own, and those of each run that it needed. Empty where one is unknown."""

    train_seconds: float | None = None
    """Seconds, of the same things."""

    num_optimizer_steps: int | None = None
    """Optimizer steps, of the same things."""

    num_examples_seen: int | None = None
    """Examples seen, of the same things."""

    facts: Mapping[str, object] = field(default_factory=dict)
    """What else must agree for runs to be averaged over seeds: suite fingerprint, budget, learning rate, ..."""


@dataclass(frozen=True)
class MethodKey:
    """What names a method in a comparison: the columns that every row begins with."""

    method: str
    model: str
    num_layers: int
    reference_model: str | None
    reference_layers: int | None
    fraction: float


@dataclass(frozen=True)
class MethodRuns:
    """Runs that differ by their seed alone, in the order of their seeds."""

    key: MethodKey
    runs: tuple[RunResult, ...]

    @property
    def facts(self) -> Mapping[str, object]:
        """What the runs share beside the key."""
        return self.runs[0].facts

    @property
    def id(self) -> str:
        """Id of these runs as a column of a comparison, see `column_id`."""
        return column_id(self.runs[0])

    @property
    def mean_flops(self) -> float | None:
        """Mean of the runs' total FLOPs; None unless all are known."""
        return mean_or_none([run.total_flops for run in self.runs])


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """Mean, or None if a value is unknown or there is none: a mean of some seeds' cost would mislead."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def group_runs(runs: Sequence[RunResult]) -> tuple[list[MethodRuns], list[str]]:
    """Gather the runs that may be averaged, in the order in which their first run is given; references are left out.

    Runs are averaged only if they share their `MethodKey` and all `facts`. Of several such runs with one seed the last
    counts: the same seed twice is not two draws.

    :returns: the groups, and notes on runs that share a key but were kept apart, and on seeds given twice.
    """
    gathered: dict[tuple[MethodKey, tuple[tuple[str, str], ...]], list[RunResult]] = {}
    for run in runs:
        if run.method == REFERENCE_METHOD:
            continue
        gathered.setdefault((key_of(run), _shown_facts(run)), []).append(run)
    groups: list[MethodRuns] = []
    notes: list[str] = []
    for (key, _), members in gathered.items():
        by_seed = {run.seed: run for run in members}
        if len(by_seed) < len(members):
            left_out = [run.run_id for run in members if by_seed[run.seed] is not run]
            notes.append(
                f"{describe(key)}: a seed was run more than once; only its last run counts. Left out: "
                f"{', '.join(left_out)}."
            )
        groups.append(MethodRuns(key, tuple(by_seed[seed] for seed in sorted(by_seed))))
    return groups, notes + _notes_on_kept_apart(groups)


def describe(key: MethodKey) -> str:
    """Word a method with its model, reference and fraction."""
    words = f"{key.method} ({short_model(key.model)}, {key.num_layers} layers"
    if key.reference_model is not None:
        words += f", reference {short_model(key.reference_model)}"
        words += f" of {key.reference_layers} layers" if key.reference_layers is not None else ""
    return words + (f", {key.fraction:.4g} of the data)" if key.fraction < 1 else ")")


def reference_words(model: str, layers: int | None) -> str:
    """Name a reference as the fact `matched.reference` does."""
    return f"{short_model(model)}, {layers} layers"


def short_model(model: str) -> str:
    """Last part of a model's path or hub name."""
    return model.rstrip("/").rpartition("/")[2] or model


def key_of(run: RunResult) -> MethodKey:
    """Give what names the method of a run."""
    return MethodKey(
        run.method, run.model, run.num_layers, run.reference_model, run.reference_layers, float(run.fraction)
    )


def column_id(run: RunResult) -> str:
    """Name the column that a run belongs to: its method, and letters that follow from all else that must agree.

    The same for all runs that may be averaged, whatever else is compared, so that a link may hold it.
    """
    said = repr((key_of(run), _shown_facts(run)))
    return f"{run.method}-{hashlib.sha256(said.encode()).hexdigest()[:6]}"


def _shown_facts(run: RunResult) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in run.facts.items()))


def _notes_on_kept_apart(groups: Sequence[MethodRuns]) -> list[str]:
    notes = []
    many_models = len({(group.key.model, group.key.num_layers) for group in groups}) > 1
    for key in dict.fromkeys(group.key for group in groups):
        alike = [group for group in groups if group.key == key]
        if len(alike) < 2:
            continue
        differences = differing_facts(alike, sorted({name for group in alike for name in group.facts}))
        sizes = ", ".join(f"{len(group.runs)} run{'s' * (len(group.runs) != 1)}" for group in alike)
        name = describe(key) if many_models else key.method
        notes.append(
            f"{name} stands in {len(alike)} columns ({sizes}), which are not averaged because they differ in "
            f"{', '.join(differences)}."
        )
    return notes


def differing_facts(groups: Sequence[MethodRuns], names: Sequence[str]) -> list[str]:
    """Say which of these facts differ between groups, and how: "precision (fp32 against bf16)"."""
    differences = []
    for name in names:
        said = [_shown(group.facts, name) for group in groups]
        if len(set(said)) > 1:
            differences.append(f"{name} ({' against '.join(dict.fromkeys(said))})")
    return differences


def _shown(facts: Mapping[str, object], name: str) -> str:
    return str(facts[name]) if name in facts else "not stated"
