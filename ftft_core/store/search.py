"""Searching the texts of a suite's examples: words as they are, and regular expressions of RE2, case ignored.

RE2 takes time in proportion to the text, but a nested count such as `(.{0,30}){0,30}` can cost a hundred thousand
steps for each character, and DuckDB looks whether it was interrupted only every 2,048 texts. So an expression is
tried on few examples first, then on more and more at a time, and stops at a time limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ftft_core.errors import InputError
from ftft_core.selection.patterns import bad_pattern
from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_one, fetch_table

SEARCH_SECONDS = 20.0
"""How long a regular expression may take; a usual one takes a third of a second for a million sentences."""

FIRST_EXAMPLES = 1
GROWTH = 8
"""How many examples an expression is tried on first, and how many times more at the next turn."""

COLUMNS = {"either": ("text", "text_pair"), "text": ("text",), "text_pair": ("text_pair",)}

_FOLDS = {"ss": ("ß", "ss"), "σ": ("ς", "σ")}
"""Part of a folded word -> what lower case leaves apart, and what it is the same as when case is ignored."""


def search_positions(
    connection: Connection,
    suite_no: int,
    split: str,
    pattern: str,
    *,
    regex: bool,
    column: str = "either",
    seconds: float = SEARCH_SECONDS,
) -> NDArray[np.int64]:
    """Give the rows of a split whose text contains or matches something, ascending; case is ignored.

    :param column: `text`, `text_pair`, or `either` of them; a text that is missing does not match.
    :param seconds: how long a regular expression may take.
    :raises InputError: when a regular expression is malformed, or takes too long.
    """
    matches = _MATCHES if regex else _contains(pattern)
    condition = " OR ".join(matches.format(column=name) for name in COLUMNS[column])
    query = f"SELECT position FROM base.examples WHERE suite_no = $1 AND split = $2 AND ({condition})"
    if not regex:
        found = fetch_table(connection, query, [suite_no, split, pattern])["position"].to_numpy()
    else:
        query += " AND position >= $4 AND position < $5"
        found = _in_turns(connection, query, [suite_no, split, pattern], seconds)
    return np.sort(found)


def search_examples(connection: Connection, suite_no: int, split: str, pattern: str, *, regex: bool) -> list[str]:
    """Give the ids of examples one of whose texts contains or matches something, in file order.

    :raises InputError: as `search_positions` does.
    """
    positions = search_positions(connection, suite_no, split, pattern, regex=regex)
    connection.register("found", pa.table({"position": positions}))
    try:
        rows = connection.execute(
            "SELECT e.example_id FROM base.examples e JOIN found USING (position) WHERE e.suite_no = ? AND e.split = ?"
            " ORDER BY e.position",
            [suite_no, split],
        ).fetchall()
    finally:
        connection.unregister("found")
    return [str(example_id) for (example_id,) in rows]


_MATCHES = "regexp_matches({column}, $3, 'i')"


def _contains(word: str) -> str:
    text, sought = "lower({column})", "lower($3)"
    for part, (apart, same) in _FOLDS.items():
        if part in word.casefold():
            text, sought = (f"replace({side}, '{apart}', '{same}')" for side in (text, sought))
    return f"contains({text}, {sought})"


def _in_turns(connection: Connection, query: str, values: list[object], seconds: float) -> NDArray[np.int64]:
    """Run a query over more and more examples at a time, until all are done or the time is up."""
    suite_no, split, pattern = values
    row = "SELECT num_examples FROM base.splits WHERE suite_no = ? AND split = ?"
    num_examples = int(fetch_one(connection, row, [suite_no, split])[0])
    found: list[NDArray[np.int64]] = []
    start, size, until = 0, FIRST_EXAMPLES, time.monotonic() + seconds
    try:
        with _interrupted_after(connection, seconds):
            while start < num_examples:
                began = time.monotonic()
                turn = fetch_table(connection, query, [*values, start, start + size])
                found.append(turn["position"].to_numpy())
                start, ended = start + size, time.monotonic()
                if ended > until and start < num_examples:
                    raise _too_slow(str(pattern), seconds, start, num_examples)
                # Not more than what the time that is left would do at this pace.
                pace = size / max(ended - began, 1e-6)
                size = max(1, min(GROWTH * size, int(pace * (until - ended))))
    except duckdb.InterruptException:
        raise _too_slow(str(pattern), seconds, start, num_examples) from None
    except duckdb.InvalidInputException as failure:
        raise bad_pattern(str(pattern), str(failure)) from None
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


@contextmanager
def _interrupted_after(connection: Connection, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _too_slow(pattern: str, seconds: float, num_done: int, num_examples: int) -> InputError:
    shown = pattern if len(pattern) <= 120 else pattern[:117] + "..."
    return InputError(
        f"The regular expression '{shown}' takes too long: {num_done:,} of {num_examples:,} examples were searched in "
        f"{seconds:g} seconds. Write it without large or nested counts in braces."
    )
