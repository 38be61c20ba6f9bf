"""Small things that every table needs: numbers, times, inserting many rows, fetching one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from ftft_core.store.connection import Connection


def next_number(connection: Connection) -> int:
    """Give a number that no row has yet."""
    return int(fetch_one(connection, "SELECT nextval('base.numbers')")[0])


def utc_now() -> datetime:
    """The time in UTC, without a zone: how times are stored."""
    return datetime.now(UTC).replace(tzinfo=None)


def insert(connection: Connection, query: str, rows: pa.Table, values: Sequence[object] = ()) -> None:
    """Run a query that reads `rows` under this name."""
    connection.register("rows", rows)
    try:
        connection.execute(query, list(values))
    finally:
        connection.unregister("rows")


def fetch_first(connection: Connection, query: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
    """Run a query and give its first row, or None."""
    # All rows are fetched: a result that is left unfinished stands in the way of the next query.
    rows = connection.execute(query, list(values)).fetchall()
    return tuple(rows[0]) if rows else None


def fetch_one(
    connection: Connection, query: str, values: Sequence[object] | Mapping[str, object] = ()
) -> tuple[Any, ...]:
    """Run a query that gives exactly one row, and give it."""
    given = dict(values) if isinstance(values, Mapping) else list(values)
    rows = connection.execute(query, given).fetchall()
    assert len(rows) == 1, query
    return tuple(rows[0])


def fetch_table(connection: Connection, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> pa.Table:
    """Run a query and give its rows as an Arrow table."""
    given = dict(values) if isinstance(values, Mapping) else list(values)
    return connection.sql(query, params=given).to_arrow_table()
