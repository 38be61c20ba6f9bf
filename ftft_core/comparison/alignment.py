"""The examples that several data maps have in common, row by row.

Runs of one suite have mostly the same examples in the same order; then nothing is looked up. Maps that know the rows
of the training split (`position`) are matched by them, others by `example_id`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ftft_core.dynamics import IntArray
from ftft_core.errors import InputError


def align_maps(maps: Mapping[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Cut data maps to the examples that all have, in the order of the first, and say what was left out.

    :raises InputError: for no maps, no example in common, an id twice, or another label for the same id.
    """
    if not maps:
        raise InputError("No data maps were given; give those of at least one run.")
    rows = _rows_as_they_are(maps) or _rows_by_position(maps) or _rows_by_id(maps)
    aligned = {
        run: (data_map if len(rows[run]) == len(data_map) and _ascend(rows[run]) else data_map.take(rows[run]))
        for run, data_map in maps.items()
    }
    aligned = {run: data_map.reset_index(drop=True) for run, data_map in aligned.items()}
    first_run, first = next(iter(aligned.items()))
    problems = []
    for run, data_map in aligned.items():
        differ = _num_different(first["label"], data_map["label"])
        if differ:
            problems.append(f"Run {run} has another label for {differ} of {len(first)} examples than {first_run}.")
    if problems:
        raise InputError("The runs were trained on different labels; their maps cannot be compared.", problems)
    notes = [
        f"Run {run} has {len(data_map) - len(first)} examples that not all runs have; they were left out."
        for run, data_map in maps.items()
        if len(data_map) > len(first)
    ]
    return aligned, notes


def _rows_as_they_are(maps: Mapping[str, pd.DataFrame]) -> dict[str, IntArray] | None:
    """Give all rows of every map, if the maps name the same examples in the same order."""
    (first_run, first), *others = maps.items()
    if not all(_have_same_ids(first, data_map) for _, data_map in others):
        return None
    _check_ids(first_run, first)
    _check_shared(maps, len(first))
    return dict.fromkeys(maps, np.arange(len(first)))


def _rows_by_position(maps: Mapping[str, pd.DataFrame]) -> dict[str, IntArray] | None:
    """Give the common rows of maps of one suite; None where they are not, or do not say where their rows stand."""
    if not all("position" in data_map and _ascend(data_map["position"].to_numpy()) for data_map in maps.values()):
        return None
    positions = {run: data_map["position"].to_numpy() for run, data_map in maps.items()}
    num_maps = np.zeros(max(int(held.max(initial=-1)) for held in positions.values()) + 1, dtype=np.int64)
    for held in positions.values():
        num_maps[held] += 1
    rows = {run: np.flatnonzero(num_maps[held] == len(maps)) for run, held in positions.items()}
    first = next(iter(maps))
    ids = maps[first][["example_id"]].take(rows[first])
    if not all(_have_same_ids(ids, maps[run][["example_id"]].take(rows[run])) for run in maps):
        return None  # rows of another suite
    _check_shared(maps, len(ids))
    return rows


def _rows_by_id(maps: Mapping[str, pd.DataFrame]) -> dict[str, IntArray]:
    for run, data_map in maps.items():
        _check_ids(run, data_map)
    held = {run: pd.Index(data_map["example_id"]) for run, data_map in maps.items()}
    common = next(iter(held.values()))
    for ids in held.values():
        common = common[common.isin(ids)]
    _check_shared(maps, len(common))
    return {run: ids.get_indexer(common).astype(np.int64) for run, ids in held.items()}


def _have_same_ids(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    return len(a) == len(b) and bool((a["example_id"].array == b["example_id"].array).all())


def _check_ids(run: str, data_map: pd.DataFrame) -> None:
    if "position" in data_map and _ascend(data_map["position"].to_numpy()):
        return  # rows of a suite, whose ids were checked when it was added
    if data_map["example_id"].duplicated().any():
        raise InputError(f"The data map of run {run} holds an example_id twice; compute it again from its run.")


def _check_shared(maps: Mapping[str, pd.DataFrame], num_shared: int) -> None:
    if num_shared == 0:
        raise InputError(
            f"The runs {', '.join(maps)} have no example in common, so their maps cannot be compared. Give runs on the "
            "same training data."
        )


def _num_different(a: pd.Series, b: pd.Series) -> int:
    categorical = [column for column in (a, b) if isinstance(column.dtype, pd.CategoricalDtype)]
    if len(categorical) == 2 and a.cat.categories.equals(b.cat.categories):
        return int(np.count_nonzero(a.cat.codes.to_numpy() != b.cat.codes.to_numpy()))
    return int(np.count_nonzero(a.to_numpy(dtype=object) != b.to_numpy(dtype=object)))


def _ascend(numbers: IntArray) -> bool:
    return bool((numbers[1:] > numbers[:-1]).all())
