"""Rows of a run's examples with texts, scores and marks: pages of a selection, and batches for files.

Searching, sorting and paging look at positions, one key and, where searched, texts; what a row holds is read for the
rows of one page or batch alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ftft_core.errors import InputError, unknown
from ftft_core.selection.patterns import check_length
from ftft_core.store.connection import Connection
from ftft_core.store.map_frames import SCORE_COLUMNS, suite_of_run
from ftft_core.store.rows import fetch_one, fetch_table
from ftft_core.store.search import search_positions

IntArray = npt.NDArray[np.int64]

_EXAMPLE_COLUMNS = ("example_id", "text", "text_pair", "label", "group")
ROWS_IN_A_BATCH = 20_000
"""Examples whose texts are read together for a file."""

ROW_COLUMNS = (
    *("position", "example_id", "text", "text_pair", "label", "predicted_label", "group"),
    *SCORE_COLUMNS,
    *("tags", "excluded", "num_notes"),
)
"""Columns of the rows of a page. `tags` are parted by ", "; `excluded` is from training; `num_notes` counts notes."""

ORDERS = {
    **{name: f"m.{name}" for name in SCORE_COLUMNS},
    "label": "list_position($labels::VARCHAR[], e.label)",
    "predicted_label": "list_position($labels::VARCHAR[], m.predicted_label)",
    "group": 'e."group"',
    "text_length": "length(e.text) + coalesce(length(e.text_pair), 0)",
    "example_id": "e.example_id",
}
"""What rows can be sorted by. Labels go in the suite's order, `text_length` is in characters of both texts."""

_PLACES = {"file order": "m.position", "other values": "o.value"}


@dataclass(frozen=True, eq=False)
class RowQuery:
    """Which rows of a run's map, and in which order."""

    run_no: int
    positions: IntArray | None = None
    """Rows of the training split to choose from; every row of the map when None."""
    order: str | None = None
    """One of `ORDERS`; file order when None. Ties go by file order, nulls come last."""
    descending: bool = False
    search: str | None = None
    """Only rows one of whose texts contains this, case ignored; all when None or empty."""
    regex: bool = False
    """Whether `search` is a regular expression (RE2, case ignored)."""
    order_values: npt.NDArray[Any] | None = None
    """(rows of the map,) numbers to sort by instead of `order`, in file order; NaN is null."""


def read_page(connection: Connection, query: RowQuery, *, offset: int, limit: int) -> tuple[int, pd.DataFrame]:
    """Give how many rows there are in all, and `ROW_COLUMNS` of `limit` of them from `offset` on.

    :raises InputError: for an unknown order, a malformed expression, or an offset or limit below 0.
    """
    for name, value in (("offset", offset), ("limit", limit)):
        if value < 0:
            raise InputError(f"{name}: received {value}; allowed are whole numbers from 0 on.")
    order = f"key {'DESC' if query.descending else 'ASC'} NULLS LAST, position"
    with _found(connection, query) as (found, values):
        total, positions = fetch_one(
            connection,
            f"WITH found AS MATERIALIZED ({found}), page AS (SELECT * FROM found ORDER BY {order} LIMIT {int(limit)}"
            f" OFFSET {int(offset)}) SELECT (SELECT count(*) FROM found), (SELECT list(position ORDER BY {order})"
            " FROM page)",
            values,
        )
    asked = np.array(positions or [], dtype=np.int64)
    return int(total), read_rows(connection, query.run_no, asked)


def find_place(connection: Connection, query: RowQuery, position: int) -> int | None:
    """Give how many rows come before that of a position; None when it is not among the rows."""
    beyond = ">" if query.descending else "<"
    with _found(connection, query) as (found, values):
        is_there, place = fetch_one(
            connection,
            f"WITH found AS MATERIALIZED ({found}), target AS (SELECT * FROM found WHERE position = $position)"
            " SELECT (SELECT count(*) FROM target), (SELECT count(*) FROM found f, target t WHERE"
            f" f.key {beyond} t.key OR (t.key IS NULL AND f.key IS NOT NULL)"
            "  OR (f.key IS NOT DISTINCT FROM t.key AND f.position < t.position))",
            {**values, "position": int(position)},
        )
    return int(place) if is_there else None


@contextmanager
def _found(connection: Connection, query: RowQuery) -> Iterator[tuple[str, dict[str, object]]]:
    """Give SQL for position and key of the rows that a query finds, and its values."""
    suite_no, labels = suite_of_run(connection, query.run_no)
    key = _key(query)
    values: dict[str, object] = {"run": query.run_no}
    conditions, tables = ["m.run_no = $run"], "base.data_map m"
    registered = {}
    if "e." in key:
        tables += " JOIN base.examples e ON e.suite_no = $suite AND e.split = 'train' AND e.position = m.position"
    if "$labels" in key:
        values["labels"] = list(labels)
    if query.order_values is not None:
        registered["ordering"] = _ordering(connection, query)
        tables += " JOIN ordering o ON o.position = m.position"
    if query.positions is not None:
        registered["selected"] = pa.table({"position": pa.array(query.positions, pa.int64())})
        conditions.append("m.position IN (SELECT position FROM selected)")
    if query.search:
        check_length(query.search)
        found = search_positions(connection, suite_no, "train", query.search, regex=query.regex)
        registered["searched"] = pa.table({"position": found})
        conditions.append("m.position IN (SELECT position FROM searched)")
    if "e." in key:
        values["suite"] = suite_no
    for name, table in registered.items():
        connection.register(name, table)
    try:
        yield f"SELECT m.position, {key} AS key FROM {tables} WHERE {' AND '.join(conditions)}", values
    finally:
        for name in registered:
            connection.unregister(name)


def _key(query: RowQuery) -> str:
    if query.order_values is not None:
        return _PLACES["other values"]
    if query.order is None:
        return _PLACES["file order"]
    if query.order not in ORDERS:
        raise InputError(unknown("order", query.order, ORDERS))
    return ORDERS[query.order]


def _ordering(connection: Connection, query: RowQuery) -> pa.Table:
    values = np.asarray(query.order_values, dtype=np.float64)
    positions = map_positions(connection, query.run_no)
    if values.shape != positions.shape:
        raise InputError(
            f"order_values has shape {values.shape}; it must be {positions.shape}: one number for each row of the map."
        )
    return pa.table({"position": positions, "value": pa.array(values, from_pandas=True)})


def map_positions(connection: Connection, run_no: int) -> IntArray:
    """Give the rows of the training split that a run's stored map speaks of, ascending."""
    table = fetch_table(connection, "SELECT position FROM base.data_map WHERE run_no = ?", [run_no])
    positions = np.asarray(table["position"].to_numpy(), dtype=np.int64)
    return positions if (positions[1:] > positions[:-1]).all() else np.sort(positions)


def read_rows(connection: Connection, run_no: int, positions: IntArray) -> pd.DataFrame:
    """Give `ROW_COLUMNS` of some rows of a run's map, in the order of `positions`."""
    suite_no, _ = suite_of_run(connection, run_no)
    table = read_table(connection, suite_no, positions, ROW_COLUMNS, run_no=run_no)
    return table.to_pandas()


def export_columns(connection: Connection, suite_no: int, *, with_scores: bool) -> list[str]:
    """Give the columns of an export: those of the examples that hold anything, and the scores where asked for."""
    held = fetch_one(
        connection,
        'SELECT count(text), count(text_pair), count("group") FROM base.examples'
        " WHERE suite_no = ? AND split = 'train'",
        [suite_no],
    )
    empty = {name for name, count in zip(("text", "text_pair", "group"), held, strict=True) if count == 0}
    columns = [name for name in _EXAMPLE_COLUMNS if name not in empty]
    return [*columns, "predicted_label", *SCORE_COLUMNS] if with_scores else columns


def read_batches(
    connection: Connection,
    suite_no: int,
    positions: IntArray,
    columns: Sequence[str],
    *,
    run_no: int | None = None,
    weights: npt.NDArray[np.float64] | None = None,
    as_json: bool = False,
) -> Iterator[pa.Table]:
    """Give `read_table` in batches, at least one, so that not all texts are in memory together."""
    for start in range(0, max(len(positions), 1), ROWS_IN_A_BATCH):
        rows = slice(start, start + ROWS_IN_A_BATCH)
        weight = None if weights is None else weights[rows]
        yield read_table(connection, suite_no, positions[rows], columns, run_no=run_no, weights=weight, as_json=as_json)


def read_table(
    connection: Connection,
    suite_no: int,
    positions: IntArray,
    columns: Sequence[str],
    *,
    run_no: int | None = None,
    weights: npt.NDArray[np.float64] | None = None,
    as_json: bool = False,
) -> pa.Table:
    """Give some columns of training examples, in the order of `positions`.

    :param columns: of `ROW_COLUMNS`, and `weight`; scores and predicted label need `run_no`, and are null where the
        run's map lacks the example.
    :param weights: (N,) values of the column `weight`.
    :param as_json: one column `line` instead, with each row as a JSON object.
    """
    asked: dict[str, npt.NDArray[Any]] = {"place": np.arange(len(positions)), "position": positions}
    if weights is not None:
        asked["weight"] = weights
    sources = {name: _source(name) for name in columns}
    tables = "asked a JOIN base.examples e ON e.position = a.position AND e.suite_no = $suite AND e.split = 'train'"
    values: dict[str, object] = {"suite": suite_no}
    if any(source.startswith("m.") for source in sources.values()):
        tables += " LEFT JOIN base.data_map m ON m.position = a.position AND m.run_no = $run"
        values["run"] = run_no
    for name in columns:
        if name in _MARKS:
            # Bounds and list go down into the view, so that it looks at the marks of these examples alone.
            tables += f" LEFT JOIN ({_MARKS[name]}) {name}_of ON {name}_of.position = a.position"
            values |= {"first": int(positions.min(initial=0)), "last": int(positions.max(initial=0))}
    picked = ", ".join(f'{source} AS "{name}"' for name, source in sources.items())
    query = f"SELECT a.place, {picked} FROM {tables}"
    if as_json:
        fields = ", ".join(f"'{name}': \"{name}\"" for name in columns)
        query = f"SELECT place, to_json({{{fields}}})::VARCHAR AS line FROM ({query})"
    connection.register("asked", pa.table(asked))
    try:
        return fetch_table(connection, f"SELECT * EXCLUDE place FROM ({query}) ORDER BY place", values)
    finally:
        connection.unregister("asked")


_OF_THESE = "suite_no = $suite AND position BETWEEN $first AND $last"
_MARKS = {
    "tags": f"SELECT position, string_agg(tag, ', ' ORDER BY tag) AS value FROM base.tags WHERE {_OF_THESE} GROUP BY 1",
    "excluded": f"SELECT position, true AS value FROM base.exclusions WHERE {_OF_THESE}",
    "num_notes": (
        f"SELECT position, count(*) AS value FROM base.standing WHERE {_OF_THESE} AND kind = 'note' GROUP BY 1"
    ),
}
_WITHOUT = {"tags": "''", "excluded": "false", "num_notes": "0"}


def _source(column: str) -> str:
    if column in _MARKS:
        return f"coalesce({column}_of.value, {_WITHOUT[column]})"
    if column in ("position", "weight"):
        return f"a.{column}"
    return f'e."{column}"' if column in _EXAMPLE_COLUMNS else f"m.{column}"
