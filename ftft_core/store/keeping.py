"""What results are kept of: a suite's splits, what runs were trained on, and scores on the way.

Owns the queries that nothing but keeping results needs; predictions, dynamics and rows of runs are read by others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_table
from ftft_core.store.suites import find_suite


@dataclass(frozen=True)
class TrainedOn:
    """The subset that a run was trained on, also where it was removed since."""

    name: str
    recipe: str
    """JSON."""
    positions: NDArray[np.int64]
    """(n,) rows of the training split, ascending."""
    weights: NDArray[np.float64]
    """(n,)."""


def read_split_fingerprints(connection: Connection, suite: str) -> dict[str, str]:
    """Give the fingerprint of every split."""
    rows = connection.execute(
        "SELECT split, fingerprint FROM base.splits WHERE suite_no = ?", [find_suite(connection, suite)]
    ).fetchall()
    return {str(split): str(fingerprint) for split, fingerprint in rows}


def read_trained_on(connection: Connection, run_id: str) -> TrainedOn | None:
    """Give what a run was trained on; None for all training examples."""
    rows = fetch_table(
        connection,
        "SELECT x.name, x.recipe, m.position, m.weight FROM base.runs r JOIN base.subsets x USING (subset_no)"
        " JOIN base.subset_examples m USING (subset_no) WHERE r.run_id = ? ORDER BY m.position",
        [run_id],
    )
    if not rows.num_rows:
        return None
    positions, weights = (rows[name].to_numpy() for name in ("position", "weight"))
    return TrainedOn(str(rows["name"][0].as_py()), str(rows["recipe"][0].as_py()), positions, weights)


def read_whole_scores(connection: Connection, run_id: str) -> pa.Table:
    """Give split, step, metric and value of every look at a whole split before a run's end, in a fixed order."""
    return fetch_table(
        connection,
        "SELECT c.split, c.step, c.metric, c.value FROM base.scores c JOIN base.runs r USING (run_no)"
        " JOIN base.splits p ON p.suite_no = r.suite_no AND p.split = c.split"
        ' WHERE r.run_id = ? AND NOT c.final AND c."group" IS NULL ORDER BY p.place, c.step, c.metric',
        [run_id],
    )


def read_counted_epochs(connection: Connection, run_id: str) -> list[int]:
    """Give the epochs of a run that count."""
    rows = connection.execute(
        "SELECT e.epoch FROM base.epochs e JOIN base.runs r USING (run_no) WHERE r.run_id = ? AND e.counted"
        " ORDER BY e.epoch",
        [run_id],
    ).fetchall()
    return [int(epoch) for (epoch,) in rows]


def set_counted_epochs(connection: Connection, run_id: str, epochs: list[int]) -> None:
    """Say which of a run's epochs count."""
    connection.execute(
        "UPDATE base.epochs SET counted = list_contains(?, epoch)"
        " WHERE run_no = (SELECT run_no FROM base.runs WHERE run_id = ?)",
        [epochs, run_id],
    )


def read_examples_without_texts(connection: Connection, suite: str) -> pd.DataFrame:
    """Give split, example_id, label and group of all examples, splits in the spec's order, examples in their file's."""
    return connection.execute(
        'SELECT e.split, e.example_id, e.label, e."group" FROM base.examples e'
        " JOIN base.splits p ON p.suite_no = e.suite_no AND p.split = e.split WHERE e.suite_no = ?"
        " ORDER BY p.place, e.position",
        [find_suite(connection, suite)],
    ).df()
