"""From names in a run's configuration to what the database knows by them, and every reason why they can't be used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftft_core import store
from ftft_core.config import BudgetConfig, ExcludedExamples, RunConfig
from ftft_core.errors import FTFTError, InputError, NotFoundError
from ftft_core.methods import GUIDED_METHODS, METHODS, REFERENCE_METHODS
from ftft_core.modeling.checkpoints import count_layers, locate_model
from ftft_core.planning import TrainingRows
from ftft_core.store import marks as mark_store
from ftft_core.store import runs as run_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store

FULL_EPOCHS = 3
"""Epochs on everything that count as the full budget where no run says otherwise."""


def resolved(connection: store.Connection, config: RunConfig) -> RunConfig:
    """Give a configuration with ids instead of names, the reference found, and a model's path whole.

    :raises InputError: when suite, subset, reference or model can't be used.
    """
    config, errors = resolve_all(connection, config)
    raise_all(errors)
    return config


def resolve_all(connection: store.Connection, config: RunConfig) -> tuple[RunConfig, list[InputError]]:
    """Do the same as far as it goes, and give all errors."""
    found: dict[str, Any] = {}
    errors: list[InputError] = []
    try:
        location = locate_model(config.model)
        if Path(location).is_dir() and Path(config.model).expanduser().is_dir():
            # The training process may run in another folder, so a path is kept whole.
            found["model"] = location
    except InputError as error:
        errors.append(error)
    has_suite = True
    try:
        suite_store.find_suite(connection, config.suite)
    except NotFoundError as error:
        errors.append(error)
        has_suite = False
    source_run, subset_errors = _resolve_subset(connection, config, found, has_suite=has_suite)
    errors += subset_errors
    if has_suite and not subset_errors:
        found["excluded"] = read_training_rows(connection, config).excluded
    reference = config.reference or (source_run if config.method in REFERENCE_METHODS else None)
    if reference is not None:
        try:
            run = run_store.read_run(connection, reference)
            found["reference"] = run["run_id"]
            if has_suite and run["suite"] != config.suite:
                raise InputError(
                    f"Reference '{reference}' is a run on suite '{run['suite']}', not on '{config.suite}'."
                )
        except InputError as error:
            errors.append(error)
    elif config.method in GUIDED_METHODS:
        errors.append(
            InputError(
                f"Method '{config.method}' needs a run that has learnt the same data before; name it with --reference."
            )
        )
    elif config.method in REFERENCE_METHODS and config.subset is not None and not subset_errors:
        errors.append(
            InputError(
                f"Method '{config.method}' needs to know which run's dynamics chose its data: its subset does not come "
                "from exactly one run. Name the run with --reference, so that its cost is counted."
            )
        )
    if config.subset is None and METHODS[config.method].strategy is not None:
        errors.append(
            InputError(
                f"Method '{config.method}' trains on a part of the examples, but no subset was given: give --subset, "
                "or train on all of them with the method erm."
            )
        )
    return config.model_copy(update=found), errors


def _resolve_subset(
    connection: store.Connection, config: RunConfig, found: dict[str, Any], *, has_suite: bool
) -> tuple[str | None, list[InputError]]:
    """Put the subset's id into `found`; give the one run that it came from, if it is one, and what is wrong."""
    if config.subset is None:
        return None, []
    try:
        row = subset_store.read_subset(connection, config.subset)
    except NotFoundError as error:
        return None, [error]
    found["subset"] = row["subset"]
    sources = subset_store.source_runs(connection, row["subset"])
    source_run = sources[0] if len(sources) == 1 else None
    if has_suite and row["suite"] != config.suite:
        return None, [
            InputError(
                f"Subset '{config.subset}' is of suite '{row['suite']}', not of '{config.suite}'; "
                "train on its own suite, or select from a run on this one."
            )
        ]
    return source_run, []


def raise_all(errors: Sequence[FTFTError]) -> None:
    """Raise one error as it is, and several as one."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        problems = [problem for error in errors for problem in (error.message, *error.problems)]
        raise InputError(f"The run can't work, for {len(errors)} reasons.", problems)


def read_suite_of_run(connection: store.Connection, workspace: Path, suite: str) -> dict[str, Any]:
    """Give what planning needs to know of a suite; `folder`, relative to the workspace, is None without its texts."""
    facts = suite_store.read_suite_facts(connection, suite)
    folder = Path("suites") / facts["fingerprint"]
    splits = suite_store.list_splits(connection, suite).set_index("role")
    return {
        "name": suite,
        "fingerprint": facts["fingerprint"],
        "labels": facts["labels"],
        "folder": str(folder) if (workspace / folder).exists() else None,
        "num_train": int(splits.loc["train", "num_examples"]),
    }


@dataclass(frozen=True)
class WeightedRows:
    """Rows of a suite's training split that a run trains on."""

    positions: NDArray[np.int64] | None
    """(n,) ascending; None for all of them."""
    weights: NDArray[np.float64] | None
    """(n,) weights of the loss; None for all of the split."""
    num_train: int
    """Examples of the whole split."""
    excluded: ExcludedExamples | None
    """What is left out since it is excluded from training."""

    @property
    def fraction(self) -> float:
        """Share of the training split that was asked for, in [0, 1]; what is excluded counts as asked for."""
        if self.positions is None:
            return 1.0
        return (len(self.positions) + (self.excluded.num_examples if self.excluded else 0)) / self.num_train


def read_training_rows(connection: store.Connection, config: RunConfig) -> WeightedRows:
    """Give the rows of a run's subset, or of the whole split, without those that are excluded from training.

    :raises NotFoundError: when there is no such suite or subset.
    """
    splits = suite_store.list_splits(connection, config.suite).set_index("role")
    num_train = int(splits.loc["train", "num_examples"])
    excluded = mark_store.excluded_positions(connection, suite_store.find_suite(connection, config.suite))
    if config.subset is None:
        positions, weights = np.arange(num_train), np.ones(num_train)
    else:
        positions, weights = subset_store.read_subset_members(connection, config.subset)
    is_left_out = np.isin(positions, excluded)
    if not is_left_out.any():
        is_whole = config.subset is None
        return WeightedRows(None if is_whole else positions, None if is_whole else weights, num_train, None)
    digest = hashlib.sha256(np.sort(positions[is_left_out]).astype("<i8").tobytes()).hexdigest()
    left_out = ExcludedExamples(num_examples=int(is_left_out.sum()), fingerprint=digest[:16])
    return WeightedRows(positions[~is_left_out], weights[~is_left_out], num_train, left_out)


def read_rows(connection: store.Connection, config: RunConfig, suite: Mapping[str, Any]) -> TrainingRows:
    """Give the examples that a run trains on.

    :raises InputError: when there is no such subset of the suite, or nothing in it.
    """
    if config.subset is not None and subset_store.read_subset(connection, config.subset)["suite"] != suite["name"]:
        raise InputError(f"Subset '{config.subset}' is of another suite.")
    rows = read_training_rows(connection, config)
    if rows.positions is None or rows.weights is None:
        return TrainingRows(rows.num_train)
    if len(rows.positions) == 0 or not rows.weights.sum() > 0:
        what = "The training split" if config.subset is None else f"Subset '{config.subset}'"
        but = ", those excluded from training left out" if rows.excluded else ""
        raise InputError(f"{what} holds no example with a weight above 0{but}; there is nothing to train on.")
    return TrainingRows(len(rows.positions), rows.positions)


def _batch_size(config: str) -> int | None:
    """Give the examples in a step of a run, None where its configuration does not say."""
    size = json.loads(config).get("training", {}).get("batch_size")
    return None if size is None else int(size)


def full_budget(connection: store.Connection, config: RunConfig, num_train: int) -> tuple[int | None, str]:
    """Give the steps of plain fine-tuning on everything with the same model, in steps of this run's size, and in words
    where they come from.
    """
    batch_size = config.training.batch_size
    if config.method == "erm" and config.subset is None:
        return config.budget.num_steps(num_train, batch_size), "itself"
    with suppress(InputError):
        num_layers = count_layers(config.model, config.layers)
        runs = run_store.list_runs(connection, config.suite)
        runs = runs[(runs["method"] == "erm") & (runs["model"] == config.model) & (runs["num_layers"] == num_layers)]
        runs = runs[runs["subset"].isna() & runs["num_steps_planned"].notna()]
        if len(runs):
            newest = runs.iloc[-1]
            steps, own_size = int(newest["num_steps_planned"]), _batch_size(newest["config"])
            if own_size is None or own_size == batch_size:
                return steps, f"the {steps:,} steps of {newest['name']}"
            # As many examples in steps of another size.
            return round(
                steps * own_size / batch_size
            ), f"the {steps:,} steps of {own_size} examples of {newest['name']}"
    return BudgetConfig(epochs=FULL_EPOCHS).num_steps(num_train, batch_size), f"{FULL_EPOCHS} epochs on everything"
