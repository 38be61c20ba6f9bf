"""What must hold in the database whatever happened, and putting right what does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ftft_core.store.connection import Connection
from ftft_core.store.dynamics import refresh_data_map
from ftft_core.store.rows import fetch_one
from ftft_core.suites import Split, Suite

_OWNERS = {
    **dict.fromkeys(("dynamics", "epochs", "data_map", "predictions", "scores"), ("run_no", "all_runs")),
    **dict.fromkeys(("splits", "examples"), ("suite_no", "all_suites")),
    "subset_examples": ("subset_no", "subsets"),
    "action_examples": ("action", "actions"),
}
"""Tables whose rows belong to a row of another, and the column that names it."""


def count_things(connection: Connection) -> dict[str, int]:
    """Give num_suites, num_runs and num_subsets, removed ones left out."""
    views = ("suites", "runs", "subsets")
    return {f"num_{view}": int(fetch_one(connection, f"SELECT count(*) FROM {view}")[0]) for view in views}


def count_orphans(connection: Connection) -> dict[str, int]:
    """Give how many rows of each table belong to nothing; tables without such rows are left out."""
    counts = {
        table: int(fetch_one(connection, f"SELECT count(*) FROM base.{table} {_orphaned(table)}")[0])
        for table in _OWNERS
    }
    return {table: count for table, count in counts.items() if count}


def move_orphans(connection: Connection, table: str, path: Path) -> None:
    """Write the rows of a table that belong to nothing to a Parquet file, then forget them."""
    # The path is no parameter in DuckDB; a quote in it is doubled.
    target = str(path).replace("'", "''")
    connection.execute(f"COPY (SELECT * FROM base.{table} {_orphaned(table)}) TO '{target}' (FORMAT parquet)")
    connection.execute(f"DELETE FROM base.{table} {_orphaned(table)}")


def _orphaned(table: str) -> str:
    column, owner = _OWNERS[table]
    return f"WHERE {column} NOT IN (SELECT {column} FROM base.{owner})"


def runs_without_map(connection: Connection) -> dict[int, str]:
    """Give number and name of the runs whose data map is missing, or is of other examples than their dynamics."""
    rows = connection.execute(
        "SELECT r.run_no, r.name FROM base.runs r WHERE"
        " (SELECT count(*) FROM base.data_map m WHERE m.run_no = r.run_no) <> coalesce("
        "   (SELECT max(num_seen) FROM base.epochs e WHERE e.run_no = r.run_no AND e.counted), 0)"
    ).fetchall()
    return {int(run_no): str(name) for run_no, name in rows}


def make_map(connection: Connection, run_no: int) -> None:
    """Make a run's data map anew."""
    refresh_data_map(connection, run_no)


def epochs_with_other_counts(connection: Connection) -> list[str]:
    """Name the epochs, as "run, epoch", of which other rows are there than were taken in."""
    rows = connection.execute(
        "SELECT r.name || ', epoch ' || e.epoch FROM base.epochs e JOIN base.runs r USING (run_no) LEFT JOIN"
        " (SELECT run_no, epoch, count(*) AS rows, count(DISTINCT position) AS positions FROM base.dynamics"
        "  GROUP BY run_no, epoch) d ON d.run_no = e.run_no AND d.epoch = e.epoch"
        " WHERE e.num_seen <> coalesce(d.rows, 0) OR d.rows <> d.positions ORDER BY r.name, e.epoch"
    ).fetchall()
    return [str(name) for (name,) in rows]


def missing_epochs(connection: Connection) -> dict[str, list[int]]:
    """Give the epochs that finished runs took steps in, but of which no dynamics are there, by the run's name."""
    rows = connection.execute(
        "SELECT r.name, r.config, r.num_optimizer_steps, coalesce(x.size, p.num_examples),"
        " (SELECT list(epoch) FROM base.epochs e WHERE e.run_no = r.run_no) FROM base.runs r"
        " JOIN base.splits p ON p.suite_no = r.suite_no AND p.role = 'train'"
        " LEFT JOIN base.subsets x ON x.subset_no = r.subset_no"
        " WHERE r.status = 'finished' AND r.num_optimizer_steps IS NOT NULL"
    ).fetchall()
    missing = {}
    for name, config, num_steps, num_examples, epochs in rows:
        batch_size = json.loads(config).get("training", {}).get("batch_size")
        if batch_size:
            steps_per_epoch = -(-num_examples // batch_size)
            gone = set(range(-(-num_steps // steps_per_epoch))) - set(epochs or [])
            if gone:
                missing[str(name)] = sorted(gone)
    return missing


def missing_predictions(connection: Connection) -> dict[str, list[str]]:
    """Give the splits that finished runs have not predicted, though they had dynamics, by the run's name.

    References predict no split; what another tool trained predicts what it was given.
    """
    rows = connection.execute(
        "SELECT r.name, list(p.split ORDER BY p.place) FROM base.runs r JOIN base.splits p USING (suite_no)"
        " WHERE r.status = 'finished' AND r.method <> 'reference' AND r.message <> 'imported' AND p.role <> 'train'"
        " AND p.num_examples > 0 AND NOT EXISTS (SELECT 1 FROM base.predictions q WHERE q.run_no = r.run_no"
        "  AND q.split = p.split) GROUP BY r.name ORDER BY r.name"
    ).fetchall()
    return {str(name): [str(split) for split in splits] for name, splits in rows}


def known_runs(connection: Connection) -> pd.DataFrame:
    """Give run_id, name, status, is_imported and is_removed of every run, removed ones too."""
    return connection.execute(
        "SELECT run_id, name, status, message = 'imported' AS is_imported, removed_at IS NOT NULL AS is_removed"
        " FROM base.all_runs ORDER BY run_no"
    ).df()


def suites_with_texts(connection: Connection) -> dict[str, str]:
    """Give fingerprint and name of the suites whose texts are known, which therefore have a folder."""
    rows = connection.execute(
        "SELECT s.fingerprint, s.name FROM base.suites s WHERE EXISTS (SELECT 1 FROM base.examples e"
        " WHERE e.suite_no = s.suite_no AND e.split = 'train' AND e.text IS NOT NULL)"
    ).fetchall()
    return {str(fingerprint): str(name) for fingerprint, name in rows}


def suite_fingerprints(connection: Connection) -> set[str]:
    """Give the fingerprints of all suites, and of those that runs were queued with, removed ones too."""
    rows = connection.execute(
        "SELECT fingerprint FROM base.all_suites UNION SELECT suite_fingerprint FROM base.all_runs"
    ).fetchall()
    return {str(fingerprint) for (fingerprint,) in rows}


def rebuild_suite(connection: Connection, fingerprint: str) -> Suite:
    """Make a suite from what the database holds of it."""
    suite_no, name, labels, training_fingerprint, warnings = fetch_one(
        connection,
        "SELECT suite_no, name, labels, training_fingerprint, warnings FROM base.suites WHERE fingerprint = ? LIMIT 1",
        [fingerprint],
    )
    splits = connection.execute(
        "SELECT split, role, label_map, fingerprint FROM base.splits WHERE suite_no = ? ORDER BY place", [suite_no]
    ).fetchall()
    return Suite(
        str(name),
        tuple(labels),
        tuple(_split(connection, suite_no, *row) for row in splits),
        fingerprint,
        str(training_fingerprint),
        tuple(warnings),
    )


def _split(
    connection: Connection, suite_no: int, name: str, role: str, label_map: str | None, fingerprint: str
) -> Split:
    merged: Mapping[str, Any] | None = json.loads(label_map) if label_map else None
    examples = connection.execute(
        'SELECT example_id, text, text_pair, label, "group" FROM base.examples WHERE suite_no = ? AND split = ?'
        " ORDER BY position",
        [suite_no, name],
    ).df()
    examples = examples.astype(object).where(examples.notna(), None)
    maps = {key: tuple(values) for key, values in merged.items()} if merged else None
    return Split(name, role, examples, maps, fingerprint)


def fail_run(connection: Connection, run_id: str, message: str) -> None:
    """Record that a run can't go on."""
    connection.execute("UPDATE base.all_runs SET status = 'failed', message = ? WHERE run_id = ?", [message, run_id])


def read_everything(connection: Connection) -> None:
    """Read every row of every table.

    :raises WorkspaceError: when a block of the file is damaged.
    """
    for table in (*_OWNERS, "all_runs", "all_suites", "subsets", "actions"):
        fetch_one(connection, f"SELECT sum(hash(t)) FROM base.{table} t")
