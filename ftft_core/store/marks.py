"""Marks in the database: a log of what people did to training examples, and the state that it comes to.

One action is one row, whatever the number of its examples, which are kept as positions. The state is never stored: the
views compute it from the actions that are not undone, the last one winning for each example and kind (or tag). Notes
add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ftft_core.errors import InputError, NotFoundError, one_of, unknown
from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_first, fetch_one, fetch_table, insert, utc_now

_MAX_NAMED = 10
"""How many unknown ids an error names."""


def find_positions(
    connection: Connection, suite_no: int, example_ids: Sequence[str] | NDArray[np.object_]
) -> NDArray[np.int64]:
    """Give the rows of the training split that have these ids, ascending, each once.

    :raises NotFoundError: with the ids that no training example has.
    """
    asked = pa.table({"example_id": pa.array(example_ids, pa.string())})
    connection.register("asked", asked)
    try:
        found = fetch_table(
            connection,
            "SELECT a.example_id, e.position FROM asked a LEFT JOIN (SELECT example_id, position FROM base.examples"
            " WHERE suite_no = ? AND split = 'train') e USING (example_id)",
            [suite_no],
        )
    finally:
        connection.unregister("asked")
    missing = found.filter(found["position"].is_null())["example_id"].unique().to_pylist()
    if missing:
        raise NotFoundError(
            f"{len(missing):,} of {len(example_ids):,} ids are not in the training split of the suite; nothing was "
            f"marked: {one_of(sorted(missing), limit=_MAX_NAMED)}."
        )
    return np.unique(found["position"].to_numpy())


def add_action(
    connection: Connection,
    suite_no: int,
    positions: NDArray[np.int64],
    kind: str,
    value: str | None,
    *,
    author: str,
    reason: str | None,
) -> int:
    """Write an action into the log; give its number.

    :param positions: (N,) rows of the training split, ascending, each once.
    :raises InputError: when a position lies outside of the training split.
    """
    (num_train,) = fetch_one(
        connection, "SELECT num_examples FROM base.splits WHERE suite_no = ? AND split = 'train'", [suite_no]
    )
    if len(positions) and not (positions[0] >= 0 and positions[-1] < num_train):
        wrong = positions[0] if positions[0] < 0 else positions[-1]
        raise InputError(f"Position {wrong} is not in the training split; allowed are 0 to {num_train - 1}.")
    action = int(fetch_one(connection, "SELECT nextval('base.action_numbers')")[0])
    connection.execute(
        "INSERT INTO base.actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)",
        [action, suite_no, kind, value, author, reason, len(positions), utc_now()],
    )
    rows = pa.table({"position": pa.array(positions, pa.int64())})
    insert(connection, "INSERT INTO base.action_examples SELECT ?, position FROM rows", rows, [action])
    return action


def undo_action(connection: Connection, action: int, *, author: str) -> None:
    """Take an action back; it stays in the log.

    :raises InputError: when it is undone already.
    """
    undone_at, undone_by = _standing_of(connection, action)
    if undone_at is not None:
        raise InputError(
            f"Action {action} was undone already, by {undone_by} at {undone_at:%Y-%m-%d %H:%M} UTC; to redo it brings "
            "it back."
        )
    connection.execute(
        "UPDATE base.actions SET undone_at = ?, undone_by = ? WHERE action = ?", [utc_now(), author, action]
    )


def redo_action(connection: Connection, action: int, *, author: str) -> None:
    """Bring an action that was undone back, in its old place in the order.

    :raises InputError: when it is not undone.
    """
    undone_at, _ = _standing_of(connection, action)
    if undone_at is None:
        raise InputError(f"Action {action} is not undone, so there is nothing to redo.")
    connection.execute(
        "UPDATE base.actions SET undone_at = NULL, undone_by = NULL, redone_at = ?, redone_by = ? WHERE action = ?",
        [utc_now(), author, action],
    )


def _standing_of(connection: Connection, action: int) -> tuple[Any, ...]:
    row = fetch_first(connection, "SELECT undone_at, undone_by FROM base.actions WHERE action = ?", [action])
    if row is None:
        rows = connection.execute("SELECT action FROM base.actions ORDER BY action DESC").fetchall()
        raise NotFoundError(unknown("action", action, [str(number) for (number,) in rows]))
    return row


def list_tags(connection: Connection, suite_no: int) -> pd.DataFrame:
    """Give tag and num_examples of the tags in use, by name."""
    return connection.execute(
        "SELECT tag, count(*) AS num_examples FROM base.tags WHERE suite_no = ? GROUP BY tag ORDER BY tag", [suite_no]
    ).df()


def tagged_positions(connection: Connection, suite_no: int, tag: str) -> NDArray[np.int64]:
    """Give the rows of the training split that carry a tag, ascending; none where all were taken off again.

    :raises NotFoundError: when the tag was never given, with the known ones.
    """
    positions = _positions(connection, "SELECT position FROM base.tags WHERE suite_no = ? AND tag = ?", [suite_no, tag])
    if len(positions) == 0 and not fetch_first(
        connection,
        "SELECT 1 FROM base.actions WHERE suite_no = ? AND kind = 'tag' AND value = ? LIMIT 1",
        [suite_no, tag],
    ):
        raise NotFoundError(unknown("tag", tag, list_tags(connection, suite_no)["tag"]))
    return positions


def excluded_positions(connection: Connection, suite_no: int) -> NDArray[np.int64]:
    """Give the rows of the training split that are excluded from training, ascending."""
    return _positions(connection, "SELECT position FROM base.exclusions WHERE suite_no = ?", [suite_no])


def _positions(connection: Connection, query: str, values: Sequence[object]) -> NDArray[np.int64]:
    found = connection.execute(query, list(values)).fetchnumpy()["position"]
    return np.sort(np.asarray(found, dtype=np.int64))


def read_marks(connection: Connection, suite_no: int, positions: NDArray[np.int64] | None = None) -> pd.DataFrame:
    """Give the state of all marked examples, or of those among some, in file order; see `Workspace.marks`.

    Lists are in the order of their names (tags) or of when they were written (notes).
    """
    asked = pa.table({"position": pa.array([] if positions is None else positions, pa.int64())})
    among = "" if positions is None else " AND position IN (SELECT position FROM asked)"
    connection.register("asked", asked)
    try:
        frame = fetch_table(
            connection,
            f"""
            WITH tagged AS (
                SELECT position, list(tag ORDER BY tag) AS tags FROM base.tags WHERE suite_no = $1{among} GROUP BY ALL
            ), noted AS (
                SELECT position, list(value ORDER BY action) AS notes FROM base.standing
                WHERE suite_no = $1 AND kind = 'note'{among} GROUP BY ALL
            ), excluded AS (
                SELECT position, true AS excluded FROM base.exclusions WHERE suite_no = $1{among}
            ), proposed AS (
                SELECT position, label AS proposed_label FROM base.proposed_labels WHERE suite_no = $1{among}
            )
            SELECT e.example_id, position, coalesce(tags, []) AS tags, coalesce(excluded, false) AS excluded,
                proposed_label, coalesce(notes, []) AS notes
            FROM tagged FULL JOIN noted USING (position) FULL JOIN excluded USING (position)
            FULL JOIN proposed USING (position)
            JOIN (SELECT example_id, position FROM base.examples WHERE suite_no = $1 AND split = 'train') e
                USING (position)
            ORDER BY position
            """,
            [suite_no],
        )
    finally:
        connection.unregister("asked")
    plain = {name: pd.Series(frame[name].to_pylist(), dtype=object) for name in ("tags", "proposed_label", "notes")}
    return frame.drop_columns(list(plain)).to_pandas().assign(**plain)[frame.column_names]


def list_actions(
    connection: Connection, suite_no: int, *, limit: int | None = None, position: int | None = None
) -> pd.DataFrame:
    """Give the view `history` of a suite, latest first; of all its examples, or of those actions that touched one."""
    touched = " AND a.action IN (SELECT action FROM base.action_examples WHERE position = $2)"
    return connection.execute(
        "SELECT h.* FROM history h JOIN base.actions a USING (action)"
        f" WHERE a.suite_no = $1{touched if position is not None else ''} ORDER BY action DESC"
        f"{'' if limit is None else f' LIMIT {int(limit)}'}",
        [suite_no] if position is None else [suite_no, position],
    ).df()


def remove_marks(connection: Connection, suite_no: int) -> None:
    """Forget all marks of a suite."""
    connection.execute(
        "DELETE FROM base.action_examples WHERE action IN (SELECT action FROM base.actions WHERE suite_no = ?)",
        [suite_no],
    )
    connection.execute("DELETE FROM base.actions WHERE suite_no = ?", [suite_no])
