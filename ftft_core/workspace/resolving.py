"""From names in a run's configuration to what the database knows by them, and every reason why they can't be used."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ftft_core import store
from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.errors import InputError, NotFoundError
from ftft_core.methods import GUIDED_METHODS, METHODS, REFERENCE_METHODS
from ftft_core.modeling.checkpoints import count_layers, locate_model
from ftft_core.planning import TrainingRows
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


def raise_all(errors: list[InputError]) -> None:
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


def read_rows(connection: store.Connection, config: RunConfig, suite: Mapping[str, Any]) -> TrainingRows:
    """Give the examples that a run trains on.

    :raises InputError: when there is no such subset of the suite, or nothing in it.
    """
    if config.subset is None:
        return TrainingRows(suite["num_train"])
    if subset_store.read_subset(connection, config.subset)["suite"] != suite["name"]:
        raise InputError(f"Subset '{config.subset}' is of another suite.")
    positions, weights = subset_store.read_subset_members(connection, config.subset)
    if len(positions) == 0 or not weights.sum() > 0:
        raise InputError(
            f"Subset '{config.subset}' holds no example with a weight above 0; there is nothing to train on."
        )
    return TrainingRows(len(positions), positions)


def full_budget(connection: store.Connection, config: RunConfig, num_train: int) -> tuple[int | None, str]:
    """Give the steps of plain fine-tuning on everything with the same model, and in words where they come from."""
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
            return int(
                newest["num_steps_planned"]
            ), f"the {int(newest['num_steps_planned']):,} steps of {newest['name']}"
    return BudgetConfig(epochs=FULL_EPOCHS).num_steps(num_train, batch_size), f"{FULL_EPOCHS} epochs on everything"
