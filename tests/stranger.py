"""Somebody who knows nothing but DuckDB and the views that are promised."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb


@contextmanager
def opened(folder: Path, *, patience_seconds: float = 20) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the database of a workspace's folder for reading, as soon as this process has let go of it."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            connection = duckdb.connect(folder / "ftft.duckdb", read_only=True)
            break
        except duckdb.ConnectionException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    with connection:
        yield connection
