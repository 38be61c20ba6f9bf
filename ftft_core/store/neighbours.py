"""Training examples by their position, and those whose texts are the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ftft_core.errors import NotFoundError
from ftft_core.store.connection import Connection
from ftft_core.store.suites import find_suite

# What Python's str.strip takes away of ASCII, and the no-break space.
_BLANKS = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160)"


def split_positions(connection: Connection, suite: str, split: str, example_ids: Sequence[str]) -> NDArray[np.int64]:
    """Give the rows of a split that have these ids, in the order asked for.

    :raises NotFoundError: when one has none.
    """
    connection.register("asked", pa.table({"example_id": pa.array(example_ids, pa.string())}))
    try:
        found = connection.execute(
            "SELECT e.example_id, e.position FROM base.examples e SEMI JOIN asked USING (example_id)"
            " WHERE e.suite_no = ? AND e.split = ?",
            [find_suite(connection, suite), split],
        ).fetchall()
    finally:
        connection.unregister("asked")
    by_id = dict(found)
    missing = [each for each in example_ids if each not in by_id]
    if missing:
        what = "The training split" if split == "train" else f"Split '{split}'"
        raise NotFoundError(f"{what} of suite '{suite}' has no example '{missing[0]}'.")
    return np.array([by_id[each] for each in example_ids], dtype=np.int64)


def training_rows(connection: Connection, suite: str, positions: NDArray[np.int64] | Sequence[int]) -> pd.DataFrame:
    """Give example_id, position and label of rows of the training split, in the order asked for."""
    asked = pa.table({"place": pa.array(np.arange(len(positions))), "position": pa.array(positions, pa.int64())})
    connection.register("asked", asked)
    try:
        return connection.execute(
            "SELECT e.example_id, e.position, e.label FROM base.examples e JOIN asked USING (position)"
            " WHERE e.suite_no = ? AND e.split = 'train' ORDER BY asked.place",
            [find_suite(connection, suite)],
        ).df()
    finally:
        connection.unregister("asked")


def exact_duplicates(connection: Connection, suite: str, positions: NDArray[np.int64] | None) -> pd.DataFrame:
    """Give group, example_id, position and label of training examples whose texts are the same as another's.

    Blanks around a text and case do not count; of a pair both texts must be the same. Groups are numbered by the
    position of their first example, and rows stand in the order of groups, then of positions.

    :param positions: look at these rows alone; at all when None.
    """
    chosen = "" if positions is None else " JOIN asked USING (position)"
    if positions is not None:
        connection.register("asked", pa.table({"position": pa.array(np.unique(positions), pa.int64())}))
    try:
        return connection.execute(
            "WITH keyed AS ("
            f" SELECT example_id, position, label, lower(trim(text, {_BLANKS})) AS a,"
            f" lower(trim(coalesce(text_pair, ''), {_BLANKS})) AS b"
            f" FROM base.examples{chosen} WHERE suite_no = ? AND split = 'train' AND text IS NOT NULL"
            "), same AS (SELECT a, b, min(position) AS first FROM keyed GROUP BY a, b HAVING count(*) > 1)"
            ' SELECT dense_rank() OVER (ORDER BY first) - 1 AS "group", example_id, position, label'
            " FROM keyed JOIN same USING (a, b) ORDER BY first, position",
            [find_suite(connection, suite)],
        ).df()
    finally:
        if positions is not None:
            connection.unregister("asked")
