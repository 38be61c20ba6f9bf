"""Map frames and logits, read at any size: Arrow to NumPy, without a Python object for each example.

What is stored stands in file order, so rows come in order and nothing is sorted; that they do is looked at each time,
and what does not is put in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ftft_core.cartography import DATA_MAP_COLUMNS, compute_scores
from ftft_core.errors import InputError, RunError
from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_one, fetch_table

SCORE_COLUMNS = [name for name in DATA_MAP_COLUMNS if name not in {"example_id", "label", "predicted_label"}]
"""Columns of the stored data map but for names and labels."""

_ROWS_AT_ONCE = 200_000
"""Rows of logits that are read together."""


@dataclass(frozen=True, eq=False)
class EpochLogits:
    """Logits of a run's counted epochs, its examples in file order."""

    epochs: tuple[int, ...]
    """0-based numbers of the epochs, ascending."""

    positions: NDArray[np.int64]
    """(N,) rows of the suite's training split."""

    labels: NDArray[np.int64]
    """(N,) index of the gold label."""

    logits: NDArray[np.float32]
    """(epochs, N, classes)."""

    steps: NDArray[np.int64] | None
    """(epochs, N) batch of its epoch in which each example was seen; None where that is not known of all."""


def counted_epochs(connection: Connection, run_no: int) -> list[int]:
    """Give the epochs of a run that saw every example, ascending."""
    rows = connection.execute(
        "SELECT epoch FROM base.epochs WHERE run_no = ? AND counted ORDER BY epoch", [run_no]
    ).fetchall()
    return [int(epoch) for (epoch,) in rows]


def first_epochs(connection: Connection, run_no: int, epochs: int | None = None) -> list[int]:
    """Give the first `epochs` counted epochs of a run, or all of them.

    :raises RunError: when none counted yet.
    :raises InputError: when there are not that many.
    """
    counted = counted_epochs(connection, run_no)
    if not counted:
        name, status = fetch_one(connection, "SELECT name, status FROM base.runs WHERE run_no = ?", [run_no])
        if status == "finished":
            raise RunError(
                f"Run '{name}' ended before any epoch had seen every example, so it has no data map; train one with a "
                "budget of at least one epoch that doesn't stop before (--evaluate-every and --patience)."
            )
        raise RunError(
            f"Run '{name}' has no epoch yet that saw every example, so it has no data map; "
            "wait for its first epoch to end, or give it a budget of at least one epoch."
        )
    if epochs is None:
        return counted
    if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or not 1 <= epochs <= len(counted):
        raise InputError(f"epochs is {epochs!r}; it must be a whole number from 1 to {len(counted)} (counted epochs).")
    return counted[:epochs]


def suite_of_run(connection: Connection, run_no: int) -> tuple[int, tuple[str, ...]]:
    """Give the number of a run's suite, and its labels in the order of the logits."""
    suite_no, labels = fetch_one(
        connection,
        "SELECT suite_no, labels FROM base.suites JOIN base.runs USING (suite_no) WHERE run_no = ?",
        [run_no],
    )
    return int(suite_no), tuple(labels)


def suite_labels(connection: Connection, suite_no: int) -> tuple[str, ...]:
    """Give the labels of a suite, in the order of the logits."""
    return tuple(fetch_one(connection, "SELECT labels FROM base.suites WHERE suite_no = ?", [suite_no])[0])


def read_positions(connection: Connection, run_no: int, epoch: int) -> NDArray[np.int64]:
    """Give the rows of the training split that a run saw in an epoch, ascending."""
    rows = connection.execute(
        "SELECT position FROM base.dynamics WHERE run_no = ? AND epoch = ? ORDER BY position", [run_no, epoch]
    ).fetchnumpy()
    return np.asarray(rows["position"], dtype=np.int64)


def read_logits(connection: Connection, run_no: int, epochs: Sequence[int]) -> EpochLogits:
    """Give the logits of some counted epochs of a run."""
    suite_no, label_names = suite_of_run(connection, run_no)
    # The bounds let the database pass over whole blocks of other epochs.
    rows_of = "FROM base.dynamics WHERE run_no = ? AND epoch BETWEEN ? AND ? AND list_contains(?, epoch)"
    values_of = [run_no, min(epochs), max(epochs), list(epochs)]
    num_rows = int(fetch_one(connection, f"SELECT count(*) {rows_of}", values_of)[0])
    epoch, position = np.empty(num_rows, dtype=np.int32), np.empty(num_rows, dtype=np.int64)
    values = np.empty((num_rows, len(label_names)), dtype=np.float32)
    step = np.empty(num_rows, dtype=np.int64)
    # Batch by batch, so that the rows are never held twice.
    query = f"SELECT epoch, position, logits, coalesce(step, -1) {rows_of}"
    start = 0
    for batch in connection.sql(query, params=values_of).to_arrow_reader(_ROWS_AT_ONCE):
        rows = slice(start, start + batch.num_rows)
        epoch[rows] = batch.column(0).to_numpy()
        position[rows] = batch.column(1).to_numpy()
        values[rows] = batch.column(2).flatten().to_numpy().reshape(-1, len(label_names))
        step[rows] = batch.column(3).to_numpy()
        start = rows.stop
    positions, logits, steps = _in_order(np.asarray(epochs, dtype=np.int32), epoch, position, values, step)
    examples = _examples(connection, suite_no, label_names, positions, ids=False)
    is_known = bool((steps >= 0).all())
    return EpochLogits(
        tuple(epochs), positions, examples["label"].astype(np.int64), logits, steps if is_known else None
    )


def _in_order(
    epochs: NDArray[np.int32],
    epoch: NDArray[np.int32],
    position: NDArray[np.int64],
    values: NDArray[np.float32],
    step: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Give positions, logits (epochs, N, classes) and steps (epochs, N), whatever the order in which rows came."""
    num_examples = len(epoch) // len(epochs)
    shape = (len(epochs), num_examples)
    if (epoch.reshape(shape) == epochs[:, None]).all():
        by_epoch = position.reshape(shape)
        first = by_epoch[0]
        if (by_epoch == first).all() and (first[1:] > first[:-1]).all():
            return first.copy(), values.reshape(*shape, -1), step.reshape(shape)
    order = np.lexsort((position, epoch))
    return position[order][:num_examples], values[order].reshape(*shape, -1), step[order].reshape(shape)


def read_map_frame(connection: Connection, run_no: int, epochs: int | None = None) -> pd.DataFrame:
    """Give the map frame of a run; of all counted epochs, or of the first few.

    :returns: one row per example in file order: position (int64), example_id (str), label, predicted_label and group
        (categoricals; labels in the suite's order, groups in alphabetical order), and the scores; a
        `first_learnt_epoch` that is null is NaN. `attrs["counted_epochs"]` lists the epochs.
    :raises RunError: when no epoch counted yet.
    :raises InputError: when fewer than `epochs` counted.
    """
    chosen = first_epochs(connection, run_no, epochs)
    if len(chosen) == len(counted_epochs(connection, run_no)):
        frame = _frame(connection, run_no, *_stored_scores(connection, run_no))
    else:
        frame = compute_map_frame(connection, run_no, chosen)
    frame.attrs["counted_epochs"] = chosen
    return frame


def compute_map_frame(connection: Connection, run_no: int, epochs: Sequence[int]) -> pd.DataFrame:
    """Compute the map frame of some counted epochs from the stored logits."""
    read = read_logits(connection, run_no, epochs)
    scores = compute_scores(read.logits, read.labels, epochs=np.asarray(read.epochs, dtype=np.int64), steps=read.steps)
    frame = _frame(connection, run_no, read.positions, scores)
    frame.attrs["counted_epochs"] = list(epochs)
    return frame


def _stored_scores(connection: Connection, run_no: int) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Give positions and scores of the stored data map; `predicted` is an index."""
    _, label_names = suite_of_run(connection, run_no)
    table = fetch_table(
        connection,
        f"SELECT position, {', '.join(SCORE_COLUMNS)},"
        " (list_position($2::VARCHAR[], predicted_label) - 1)::SMALLINT AS predicted"
        " FROM base.data_map WHERE run_no = $1",
        [run_no, list(label_names)],
    )
    columns = {name: _numbers(table[name]) for name in table.column_names}
    positions = columns.pop("position")
    if not (positions[1:] > positions[:-1]).all():
        order = np.argsort(positions)
        positions, columns = positions[order], {name: values[order] for name, values in columns.items()}
    return positions, columns


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Give a column as NumPy; what is null is NaN."""
    values: NDArray[Any] = column.to_numpy()
    return values


def _frame(
    connection: Connection, run_no: int, positions: NDArray[np.int64], scores: dict[str, NDArray[Any]]
) -> pd.DataFrame:
    suite_no, label_names = suite_of_run(connection, run_no)
    examples = _examples(connection, suite_no, label_names, positions, ids=True)
    first_learnt = np.where(scores["never_learnt"], np.nan, scores["first_learnt_epoch"])
    columns = {
        "position": positions,
        "example_id": pd.array(examples["example_id"], dtype="str"),
        "label": _categorical(examples["label"], label_names),
        "predicted_label": _categorical(scores["predicted"], label_names),
        "group": _categorical(*_groups(connection, suite_no, positions)),
        **{name: scores[name] for name in SCORE_COLUMNS},
        "first_learnt_epoch": first_learnt,
    }
    # copy=False: the columns stay as they are instead of being copied into one block.
    return pd.DataFrame(columns, copy=False)


def _categorical(codes: NDArray[Any], names: Sequence[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names), dtype="str"), validate=False)


def _examples(
    connection: Connection, suite_no: int, label_names: Sequence[str], positions: NDArray[np.int64], *, ids: bool
) -> dict[str, Any]:
    """Give label indices, and ids as Arrow, of the training examples at some positions."""
    names = "position, label" + (", example_id" if ids else "")
    table = fetch_table(
        connection,
        f"SELECT {names.replace('label', '(list_position($2::VARCHAR[], label) - 1)::SMALLINT AS label')}"
        " FROM base.examples WHERE suite_no = $1 AND split = 'train'",
        [suite_no, list(label_names)],
    )
    rows = _rows_of(table["position"].to_numpy(), positions)
    label = table["label"].to_numpy()
    found = {"label": label if rows is None else label[rows]}
    if ids:
        found["example_id"] = table["example_id"] if rows is None else table["example_id"].take(pa.array(rows))
    return found


def read_ids_and_labels(
    connection: Connection, run_no: int, positions: NDArray[np.int64]
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Give ids as Python strings, and label indices, of the training examples at some positions."""
    suite_no, label_names = suite_of_run(connection, run_no)
    examples = _examples(connection, suite_no, label_names, positions, ids=True)
    return examples["example_id"].to_numpy(), examples["label"].astype(np.int64)


def _groups(connection: Connection, suite_no: int, positions: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[str]]:
    """Give group indices (-1 where there is none) of the training examples at some positions, and the groups."""
    has_groups = fetch_one(
        connection, "SELECT has_groups FROM base.splits WHERE suite_no = ? AND role = 'train'", [suite_no]
    )[0]
    if not has_groups:
        return np.full(len(positions), -1, dtype=np.int32), []
    table = fetch_table(
        connection,
        "SELECT position, \"group\" FROM base.examples WHERE suite_no = ? AND split = 'train'",
        [suite_no],
    )
    encoded = table["group"].combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    by_name = sorted(range(len(names)), key=lambda code: str(names[code]))
    place_of = np.empty(len(names) + 1, dtype=np.int32)
    place_of[by_name] = np.arange(len(names))
    place_of[-1] = -1
    place = place_of[encoded.indices.fill_null(-1).to_numpy()]
    rows = _rows_of(table["position"].to_numpy(), positions)
    return place if rows is None else place[rows], [str(names[code]) for code in by_name]


def _rows_of(held: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Give the row of each asked position among the held ones; None when these are the asked ones, in their order."""
    if len(held) == len(asked) and bool((held == asked).all()):
        return None
    row_of = np.empty(int(held.max()) + 1, dtype=np.int64)
    row_of[held] = np.arange(len(held))
    return row_of[asked]
