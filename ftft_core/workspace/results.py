"""What one can learn from finished runs: comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ftft_core import store
from ftft_core.comparison import (
    ComparedSplit,
    Comparison,
    RunResult,
    SplitPredictions,
    compare_runs,
    conclude,
    cost_table,
)
from ftft_core.config import METHODS, StopConfig
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import runs as run_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.maps import Maps

_COSTS = ("train_flops", "train_seconds", "num_optimizer_steps", "num_examples_seen")
_SELECTING_COSTS = {"train_flops": "selecting_flops", "train_seconds": "selecting_seconds"}
"""What a run's reference did for its method alone, in the run's own row; a part of the cost."""
_STOPPING_COSTS = {"train_flops": "stopping_flops", "train_seconds": "stopping_seconds"}
"""What passes over dev cost that decided when a run ends; a part of the cost. Null for runs that know none."""


@dataclass(frozen=True)
class ComparisonReport:
    """A comparison of a suite's finished runs, with its costs and what can be concluded."""

    comparison: Comparison
    costs: pd.DataFrame
    """One row per method, see `comparison.cost_table`."""
    conclusion: str
    """One sentence."""

    @property
    def rows(self) -> pd.DataFrame:
        """One row per method, split and metric."""
        return self.comparison.rows

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or narrows what the numbers mean."""
        return self.comparison.notes


class Results(Maps):
    """Comparing runs."""

    def compare(self, suite: str, *, baseline: str = "erm") -> ComparisonReport:
        """Compare the finished runs of a suite on every split but training, from their stored predictions."""
        with self.database.reading() as connection:
            labels = suite_store.read_suite_facts(connection, suite)["labels"]
            rows = suite_store.list_splits(connection, suite)
            splits = [
                ComparedSplit(row.split, row.role, row.label_map) for row in rows.itertuples() if row.role != "train"
            ]
            runs = run_store.list_runs(connection, suite)
            finished = runs[(runs["status"] == "finished") & (runs["method"] != "reference")]
            in_order = finished.sort_values("method", key=lambda names: names.map(list(METHODS).index), kind="stable")
            results = [_result(connection, row, runs, splits) for row in in_order.to_dict("records")]
        comparison = compare_runs(results, splits, labels, baseline=baseline)
        return ComparisonReport(comparison, cost_table(results, baseline=baseline), conclude(comparison))


def _result(
    connection: store.Connection, run: Mapping[str, Any], runs: pd.DataFrame, splits: Sequence[ComparedSplit]
) -> RunResult:
    """Gather what a comparison needs of a finished run; the cost of its reference is added to its own."""
    run_no, _ = run_store.find_run(connection, run["run_id"])
    predictions = {}
    for split in splits:
        examples, logits = dynamics_store.read_predictions(connection, run_no, split.name)
        if len(examples):
            groups = examples["group"].to_numpy(dtype=object) if examples["group"].notna().any() else None
            ids, labels = (examples[name].to_numpy(dtype=object) for name in ("example_id", "label"))
            predictions[split.name] = SplitPredictions(ids, labels, logits, groups)
    reference = None
    if isinstance(run["reference_run"], str):
        reference = runs[runs["run_id"] == run["reference_run"]].iloc[0]
    parts = [run] if reference is None else [run, reference]
    flops, seconds, steps, examples_seen = (
        _sum([*(_cost(part, name) for part in parts), _known(run, _SELECTING_COSTS.get(name))]) for name in _COSTS
    )
    config = json.loads(run["config"])
    return RunResult(
        run_id=run["run_id"],
        method=run["method"],
        model=run["model"],
        num_layers=int(run["num_layers"]),
        seed=int(run["seed"]),
        fraction=float(run["fraction"]),
        predictions=predictions,
        reference_model=None if reference is None else reference["model"],
        reference_layers=None if reference is None else int(reference["num_layers"]),
        total_flops=flops,
        train_seconds=seconds,
        num_optimizer_steps=None if steps is None else int(steps),
        num_examples_seen=None if examples_seen is None else int(examples_seen),
        facts={
            "suite_fingerprint": run["suite_fingerprint"],
            "budget": _budget_in_words(config["budget"]),
            "stop": _stop_in_words(config),
            "error_weight": config.get("error_weight"),
            **{f"training.{name}": value for name, value in config["training"].items() if name in _TRAINING_FACTS},
        },
    )


def _cost(run: Mapping[str, Any], name: str) -> float:
    """Give one cost of a run, NaN if it is unknown."""
    own = run[name]
    return np.nan if own is None or pd.isna(own) else float(own) + _known(run, _STOPPING_COSTS.get(name))


def _known(run: Mapping[str, Any], name: str | None) -> float:
    """Give a part of the cost that some runs have, 0 for those that have none."""
    value = None if name is None else run.get(name)
    return 0.0 if value is None or pd.isna(value) else float(value)


def _sum(values: Sequence[float]) -> float | None:
    """Give the sum, or None if a part is unknown, as it is of a run that another tool trained."""
    return None if any(pd.isna(value) for value in values) else float(sum(values))


_TRAINING_FACTS = ("learning_rate", "batch_size", "weight_decay", "warmup_fraction", "gradient_clip_norm", "max_length")


def _stop_in_words(config: Mapping[str, Any]) -> str:
    said = {name: config.get(name) for name in StopConfig.model_fields}
    rounded = {name: f"{value:g}" if isinstance(value, float) else value for name, value in said.items()}
    return ", ".join(f"{name} {value}" for name, value in rounded.items() if value is not None) or "none"


def _budget_in_words(budget: Mapping[str, float | None]) -> str:
    """Word a budget; a budget in FLOPs follows from other runs and differs a little from seed to seed."""
    (name, value), *_ = ((name, value) for name, value in budget.items() if value is not None)
    return "matched FLOPs" if name == "max_flops" else f"{name} {value:g}"
