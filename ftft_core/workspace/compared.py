"""Runs of a suite as a comparison takes them: predictions, costs, and all in which they may differ.

Owns what of a run's row, configuration, subset and reference has to agree before runs are averaged.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ftft_core import store
from ftft_core.comparison import ComparedSplit, RunResult, SplitPredictions
from ftft_core.comparison.columns import MissingRun
from ftft_core.comparison.runs import column_id, reference_words
from ftft_core.config import METHODS, BudgetConfig, StopConfig
from ftft_core.selection import Recipe
from ftft_core.selection.words import joined_words
from ftft_core.store import comparing as comparing_store
from ftft_core.store import runs as run_store
from ftft_core.store import suites as suite_store

COSTS = ("train_flops", "train_seconds", "num_optimizer_steps", "num_examples_seen")
SELECTING_COSTS = {"train_flops": "selecting_flops", "train_seconds": "selecting_seconds"}
"""What a run's reference did for its method alone, in the run's own row; a part of the cost."""
STOPPING_COSTS = {"train_flops": "stopping_flops", "train_seconds": "stopping_seconds"}
"""What passes over dev cost that decided when a run ends; a part of the cost. Null for runs that know none."""

_TRAINING_FACTS = ("learning_rate", "batch_size", "weight_decay", "warmup_fraction", "gradient_clip_norm", "max_length")
_METHOD_FACTS = ("error_weight",)


@dataclass(frozen=True)
class ComparedRuns:
    """The runs of a suite that a comparison is about."""

    labels: tuple[str, ...]
    splits: tuple[ComparedSplit, ...]
    """All but training."""
    finished: tuple[RunResult, ...]
    """In the order of the methods; references are left out."""
    unfinished: tuple[tuple[RunResult, MissingRun], ...]
    """Runs that would count, had they finished; without predictions."""
    names: Mapping[str, str]
    """run_id -> name, of all runs of the suite."""
    own_flops: Mapping[str, float | None]
    """run_id of a finished run -> FLOPs of its training alone, passes over dev that decided its end included."""
    steps: Mapping[str, int]
    """run_id of a finished run -> optimizer steps of its own that it took."""


def read_compared_runs(connection: store.Connection, suite: str) -> ComparedRuns:
    """Gather what a comparison of a suite's runs needs; the cost of a run's references is added to its own."""
    labels = tuple(suite_store.read_suite_facts(connection, suite)["labels"])
    rows = suite_store.list_splits(connection, suite)
    splits = tuple(
        ComparedSplit(row.split, row.role, row.label_map) for row in rows.itertuples() if row.role != "train"
    )
    listed = run_store.list_runs(connection, suite)
    known = {str(row["run_id"]): row for row in listed.to_dict("records")}
    order = list(METHODS)
    place = {name: order.index(name) if name in order else len(order) for name in listed["method"]}
    chosen = [row for row in known.values() if row["method"] != "reference"]
    chosen.sort(key=lambda row: place[row["method"]])  # stable: within a method as they were made
    done = [row for row in chosen if row["status"] == "finished"]
    predictions = _read_predictions(connection, suite, [row["run_id"] for row in done], splits)
    results = _with_precision(_results(connection, suite, chosen, known, predictions))
    unfinished = [
        (
            results[row["run_id"]],
            MissingRun(row["run_id"], row["name"], int(row["seed"]), row["status"], _first_line(row["message"])),
        )
        for row in chosen
        if row["status"] != "finished"
    ]
    own = {row["run_id"]: _cost(row, "train_flops") for row in done}
    return ComparedRuns(
        labels,
        splits,
        tuple(results[row["run_id"]] for row in done),
        tuple(unfinished),
        {run_id: str(row["name"]) for run_id, row in known.items()},
        {run_id: None if pd.isna(value) else value for run_id, value in own.items()},
        {row["run_id"]: int(row["num_optimizer_steps"]) for row in done if not pd.isna(row["num_optimizer_steps"])},
    )


def describe_runs(
    connection: store.Connection, suite: str, run_ids: Sequence[str] | None = None
) -> dict[str, RunResult]:
    """Give these runs of a suite, or all that finished, by id, references too, without predictions; oldest first."""
    listed = run_store.list_runs(connection, suite).to_dict("records")
    known = {str(row["run_id"]): row for row in listed}
    if run_ids is None:
        run_ids = [run_id for run_id, row in known.items() if row["status"] == "finished"]
    return _results(connection, suite, [known[run_id] for run_id in run_ids], known, {})


def matched_facts(connection: store.Connection, suite: str) -> dict[str, dict[str, object]]:
    """Say of each run with a budget in FLOPs whose cost that is, as facts that are the same for every seed."""
    listed = run_store.list_runs(connection, suite).to_dict("records")
    in_flops = [row for row in listed if json.loads(row["config"]).get("budget", {}).get("max_flops") is not None]
    if not in_flops:
        return {}
    known = {str(row["run_id"]): row for row in listed}
    results = _results(connection, suite, listed, known, {}).values()
    return {str(row["run_id"]): _matched_facts(row, results) for row in in_flops}


def _first_line(message: object) -> str:
    lines = str(message or "").strip().splitlines()
    return lines[0] if lines else ""


def _read_predictions(
    connection: store.Connection, suite: str, run_ids: Sequence[str], splits: Sequence[ComparedSplit]
) -> dict[str, dict[str, SplitPredictions]]:
    """Give predictions by run and split. Runs that predicted a whole split share its ids, labels and groups."""
    found: dict[str, dict[str, SplitPredictions]] = {}
    for split in splits:
        examples = comparing_store.read_split(connection, suite, split.name)
        ids, labels = (examples[name].to_numpy(dtype=object) for name in ("example_id", "label"))
        groups = examples["group"].to_numpy(dtype=object) if examples["group"].notna().any() else None
        for run_id, read in comparing_store.read_split_logits(connection, run_ids, split.name).items():
            if len(read.positions) == len(ids):
                given = SplitPredictions(ids, labels, read.logits, groups)
            else:
                some = read.positions
                given = SplitPredictions(ids[some], labels[some], read.logits, None if groups is None else groups[some])
            found.setdefault(run_id, {})[split.name] = given
    return found


def _results(
    connection: store.Connection,
    suite: str,
    rows: Sequence[Mapping[str, Any]],
    known: Mapping[str, Mapping[str, Any]],
    predictions: Mapping[str, Mapping[str, SplitPredictions]],
) -> dict[str, RunResult]:
    recipes = comparing_store.read_run_recipes(connection, suite)
    sources = comparing_store.read_sources(connection, suite)
    splits = suite_store.list_splits(connection, suite).set_index("role")
    num_train = int(splits.loc["train", "num_examples"])
    found = {}
    for row in rows:
        run_id = row["run_id"]
        parts = _parts(row, known, sources)
        found[run_id] = _result(row, known, parts, recipes.get(run_id), predictions.get(run_id, {}), num_train)
    return {
        row["run_id"]: replace(result, facts={**result.facts, **_matched_facts(row, found.values())})
        for row, result in zip(rows, found.values(), strict=True)
    }


def _with_precision(results: Mapping[str, RunResult]) -> dict[str, RunResult]:
    """Give runs that ended or wait before they knew their precision that of the run they would be averaged with.

    A run learns its precision from its device, when its training begins; until then it must not count as another
    version of its method.
    """
    known = {_apart_from_precision(each): each.facts["precision"] for each in results.values() if _knows(each)}
    found = {}
    for run_id, each in results.items():
        like = _apart_from_precision(each)
        begun = _knows(each) or each.predictions or like not in known
        found[run_id] = each if begun else replace(each, facts={**each.facts, "precision": known[like]})
    return found


def _knows(run: RunResult) -> bool:
    return "precision" in run.facts


def _apart_from_precision(run: RunResult) -> str:
    """Name the column that a run would belong to if precision did not count."""
    return column_id(replace(run, facts={name: value for name, value in run.facts.items() if name != "precision"}))


def _matched_facts(run: Mapping[str, Any], others: Iterable[RunResult]) -> dict[str, object]:
    """Say whose cost a budget in FLOPs was taken from: runs that match different methods must not be averaged.

    It is the run of the same seed that cost just as much with its reference; where it was removed, or the amount was
    given by hand, the amount is said, to two digits.
    """
    wanted = json.loads(run["config"]).get("budget", {}).get("max_flops")
    if wanted is None:
        return {}
    # It is ftft's cost that experiments match; of several that cost just the same one is named for every seed.
    for other in sorted(others, key=lambda each: (each.method != "ftft", each.reference_model or "", column_id(each))):
        is_it = other.seed == run["seed"] and other.reference_model is not None and other.total_flops is not None
        if is_it and math.isclose(other.total_flops or 0.0, wanted, rel_tol=1e-9):
            reference = reference_words(other.reference_model or "", other.reference_layers)
            more = {name: value for name, value in other.facts.items() if name.startswith(("reference.", "subset."))}
            facts = {"method": other.method, "reference": reference, "fraction": other.fraction, **more}
            return {f"matched.{name}": value for name, value in facts.items()}
    return {"matched.flops": f"{wanted:.2g}"}  # Without a run that it follows from, the amount itself must agree.


def _result(
    run: Mapping[str, Any],
    known: Mapping[str, Mapping[str, Any]],
    parts: Sequence[Mapping[str, Any]],
    recipe: str | None,
    predictions: Mapping[str, SplitPredictions],
    num_train: int,
) -> RunResult:
    reference = known.get(run["reference_run"]) if isinstance(run["reference_run"], str) else None
    subset = None if recipe is None else Recipe.model_validate_json(recipe)
    costs = {name: [_cost(part, name) + _known(part, SELECTING_COSTS.get(name)) for part in parts] for name in COSTS}
    flops, seconds, steps, examples_seen = (_sum(of_parts) for of_parts in costs.values())
    ids = [str(part["run_id"]) for part in parts]
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
        flops_of_parts={} if flops is None else dict(zip(ids, costs["train_flops"], strict=True)),
        train_seconds=seconds,
        num_optimizer_steps=None if steps is None else int(steps),
        num_examples_seen=None if examples_seen is None else int(examples_seen),
        facts={
            "suite_fingerprint": run["suite_fingerprint"],
            **_config_facts(run, config, num_train),
            **{name: config.get(name) for name in _METHOD_FACTS},
            **({"precision": run["precision"]} if isinstance(run["precision"], str) else {}),
            **_subset_facts(subset),
            **({} if reference is None else _reference_facts(reference, num_train)),
        },
    )


def _parts(
    run: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], sources: Mapping[str, Sequence[str]]
) -> list[Mapping[str, Any]]:
    """Give a run and all that was needed for it, each once: its reference, the runs whose maps chose its subset, and
    what those needed.
    """
    unknown: dict[str, Any] = dict.fromkeys([*COSTS, "run_id"])  # a run that was removed: its cost is not known
    found: dict[str, Mapping[str, Any]] = {run["run_id"]: run}
    waiting = list(sources.get(run["run_id"], ()))
    while waiting:
        run_id = waiting.pop()
        if run_id not in found:
            found[run_id] = known.get(run_id, unknown)
            waiting += sources.get(run_id, ())
    return list(found.values())


def _config_facts(run: Mapping[str, Any], config: Mapping[str, Any], num_train: int) -> dict[str, object]:
    if "budget" not in config:  # the run was imported
        return {}
    return {
        "budget": _budget_in_words(run, config, num_train),
        "stop": _stop_in_words(config),
        "excluded": _excluded_in_words(config.get("excluded")),
        **{f"training.{name}": value for name, value in config["training"].items() if name in _TRAINING_FACTS},
    }


def _excluded_in_words(excluded: Mapping[str, Any] | None) -> str:
    """Say which examples a run left out; "none" too is said, so that runs with and without differ."""
    return "none" if excluded is None else f"{excluded['num_examples']:,} [{str(excluded['fingerprint'])[:6]}]"


def _reference_facts(reference: Mapping[str, Any], num_train: int) -> dict[str, object]:
    found = _config_facts(reference, json.loads(reference["config"]), num_train)
    facts = {f"reference.{name.removeprefix('training.')}": value for name, value in found.items()}
    if isinstance(reference["precision"], str):
        facts["reference.precision"] = reference["precision"]
    # A third of the data and a budget of steps: told by the share, which is 1 for all of them.
    facts["reference.fraction"] = round(float(reference["fraction"]), 4)
    return facts


def _subset_facts(subset: Recipe | None) -> dict[str, object]:
    """Say how a subset was chosen, apart from runs and seeds: those differ from seed to seed."""
    if subset is None:
        return {}
    conditions = [
        condition.model_copy(update={"run": None}) if hasattr(condition, "run") else condition
        for condition in subset.conditions
    ]
    where = None
    if conditions:  # words leave out what a hand drew or listed: letters that follow from it tell such apart
        content = json.dumps([condition.model_dump(mode="json") for condition in conditions], sort_keys=True)
        where = f"{joined_words(tuple(conditions))} [{hashlib.sha256(content.encode()).hexdigest()[:6]}]"
    return {
        "subset.strategy": subset.strategy,
        "subset.balance": subset.balance,
        "subset.quotas": None if subset.quotas is None else json.dumps(subset.quotas, sort_keys=True),
        "subset.epochs": subset.epochs,
        "subset.maps": 1 if subset.source_runs is None else len(subset.source_runs),
        "subset.where": where,
    }


def _cost(run: Mapping[str, Any], name: str) -> float:
    """Give one cost of a run, NaN if it is unknown."""
    own = run[name]
    return np.nan if own is None or pd.isna(own) else float(own) + _known(run, STOPPING_COSTS.get(name))


def _known(run: Mapping[str, Any], name: str | None) -> float:
    """Give a part of the cost that some runs have, 0 for those that have none."""
    value = None if name is None else run.get(name)
    return 0.0 if value is None or pd.isna(value) else float(value)


def _sum(values: Sequence[float]) -> float | None:
    """Give the sum, or None if a part is unknown, as it is of a run that another tool trained."""
    return None if any(pd.isna(value) for value in values) else float(sum(values))


def _stop_in_words(config: Mapping[str, Any]) -> str:
    said = {name: config.get(name) for name in StopConfig.model_fields}
    rounded = {name: f"{value:g}" if isinstance(value, float) else value for name, value in said.items()}
    return ", ".join(f"{name} {value}" for name, value in rounded.items() if value is not None) or "none"


def _budget_in_words(run: Mapping[str, Any], config: Mapping[str, Any], num_train: int) -> str:
    """Word a budget in optimizer steps, the same whether it was given in steps or in epochs; one in FLOPs follows from
    other runs and differs a little from seed to seed.
    """
    budget, excluded = BudgetConfig.model_validate(config["budget"]), config.get("excluded") or {}
    if budget.max_flops is not None:
        return "matched FLOPs"
    size = round(float(run["fraction"]) * num_train) - int(excluded.get("num_examples", 0))
    return f"max_steps {budget.num_steps(max(1, size), int(config['training']['batch_size']))}"
