"""Suites in the database: their splits and their examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from ftft_core.errors import InputError, NameTakenError, NotFoundError, unknown
from ftft_core.store.connection import Connection
from ftft_core.store.marks import remove_marks
from ftft_core.store.rows import fetch_first, fetch_one, insert, next_number, utc_now
from ftft_core.suites import Suite


def add_suite(connection: Connection, suite: Suite) -> None:
    """Keep a suite.

    :raises NameTakenError: when its name is in use.
    """
    check_name(connection, suite.name)
    suite_no = next_number(connection)
    connection.execute(
        "INSERT INTO base.all_suites VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        [
            suite_no,
            suite.name,
            suite.fingerprint,
            suite.training_fingerprint,
            list(suite.labels),
            suite.is_pair,
            list(suite.warnings),
            utc_now(),
        ],
    )
    for place, split in enumerate(suite.splits):
        label_map = json.dumps({name: list(merged) for name, merged in (split.label_map or {}).items()})
        has_groups = bool(split.examples["group"].notna().any())
        connection.execute(
            "INSERT INTO base.splits VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                suite_no,
                split.name,
                place,
                split.role,
                len(split.examples),
                has_groups,
                split.fingerprint,
                label_map if split.label_map else None,
            ],
        )
        columns = {
            name: pa.array(split.examples[name], pa.string(), from_pandas=True)
            for name in ("example_id", "text", "text_pair", "label", "group")
        }
        rows = pa.table({"position": pa.array(range(len(split.examples)), pa.int64()), **columns})
        insert(
            connection,
            'INSERT INTO base.examples SELECT ?, ?, position, example_id, text, text_pair, label, "group" FROM rows',
            rows,
            [suite_no, split.name],
        )


def remove_suite(connection: Connection, name: str) -> None:
    """Forget a suite and its examples.

    :raises InputError: when runs or subsets of it exist.
    """
    users = suite_users(connection, name)
    if users:
        raise InputError(f"Suite '{name}' is in use and was not removed; remove what uses it first.", users)
    delete_suite(connection, find_suite(connection, name))


def suite_users(connection: Connection, name: str) -> list[str]:
    """Name what keeps a suite from being removed: its runs, those in the trash too, and its subsets."""
    rows = connection.execute(
        "SELECT 'run ' || name FROM base.runs WHERE suite_no = $1"
        " UNION ALL SELECT 'removed run ' || name || ' (`ftft runs purge ' || run_id || '` deletes it for good)'"
        " FROM base.all_runs WHERE suite_no = $1 AND removed_at IS NOT NULL"
        " UNION ALL SELECT 'subset ' || name FROM base.subsets WHERE suite_no = $1 AND removed_at IS NULL",
        [find_suite(connection, name)],
    ).fetchall()
    return [str(user) for (user,) in rows]


def is_kept(connection: Connection, fingerprint: str) -> bool:
    """Return whether a suite of this content is kept, one that is hidden until its run is restored too."""
    row = fetch_first(connection, "SELECT 1 FROM base.all_suites WHERE fingerprint = ? LIMIT 1", [fingerprint])
    return row is not None


def delete_suite(connection: Connection, suite_no: int) -> None:
    """Forget a suite, its examples, marks and subsets for good."""
    remove_marks(connection, suite_no)
    connection.execute(
        "DELETE FROM base.subset_examples WHERE subset_no IN (SELECT subset_no FROM base.subsets WHERE suite_no = ?)",
        [suite_no],
    )
    for table in ("subsets", "examples", "splits", "all_suites"):
        connection.execute(f"DELETE FROM base.{table} WHERE suite_no = ?", [suite_no])


def hide_suite_without_runs(connection: Connection, suite_no: int) -> None:
    """List a suite that came with an imported run no more once no run or subset of it is listed; its name is free.

    Bringing a run of it back brings it back; purging its last run deletes it.
    """
    connection.execute(
        "UPDATE base.all_suites SET removed_at = $1 WHERE suite_no = $2"
        " AND NOT EXISTS (SELECT 1 FROM base.runs WHERE suite_no = $2)"
        " AND NOT EXISTS (SELECT 1 FROM base.subsets WHERE suite_no = $2 AND removed_at IS NULL)",
        [utc_now(), suite_no],
    )


def restore_suite_of_run(connection: Connection, run_no: int) -> None:
    """List the suite of a run again if it was hidden, under another name if its own is in use by now."""
    suite_no, name, removed_at = fetch_one(
        connection,
        "SELECT s.suite_no, s.name, s.removed_at FROM base.all_runs r JOIN base.all_suites s USING (suite_no)"
        " WHERE r.run_no = ?",
        [run_no],
    )
    if removed_at is not None:
        taken = set(suite_names(connection))
        numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
        free = name if name not in taken else next(each for each in numbered if each not in taken)
        connection.execute(
            "UPDATE base.all_suites SET removed_at = NULL, name = ? WHERE suite_no = ?", [free, suite_no]
        )


def delete_hidden_suites(connection: Connection) -> None:
    """Forget the hidden suites that no run needs any more, removed ones neither."""
    rows = connection.execute(
        "SELECT suite_no FROM base.all_suites s WHERE removed_at IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM base.all_runs r WHERE r.suite_no = s.suite_no)"
    ).fetchall()
    for (suite_no,) in rows:
        delete_suite(connection, int(suite_no))


def suite_names(connection: Connection) -> list[str]:
    """Give the names of all suites, in the order in which they were added."""
    return [str(name) for (name,) in connection.execute("SELECT name FROM base.suites ORDER BY suite_no").fetchall()]


def find_suite(connection: Connection, name: str) -> int:
    """Give the number of a suite.

    :raises NotFoundError: with the known names.
    """
    row = fetch_first(connection, "SELECT suite_no FROM base.suites WHERE name = ?", [name])
    if row is None:
        raise NotFoundError(unknown("suite", name, suite_names(connection)))
    return int(row[0])


def read_suite_facts(connection: Connection, name: str) -> dict[str, Any]:
    """Give name, fingerprints, labels (a tuple, in the order of the logits), and is_pair."""
    suite_no = find_suite(connection, name)
    columns = ("suite", "fingerprint", "training_fingerprint", "labels", "is_pair", "warnings")
    row = fetch_one(
        connection,
        "SELECT name, fingerprint, training_fingerprint, labels, is_pair, warnings FROM base.suites WHERE suite_no = ?",
        [suite_no],
    )
    facts = dict(zip(columns, row, strict=True))
    return {**facts, "labels": tuple(facts["labels"])}


def list_suites(connection: Connection) -> pd.DataFrame:
    """One row per suite: suite, fingerprint, labels, num_train, num_splits, created_at, and more."""
    return connection.execute(
        "SELECT v.suite, v.fingerprint, v.labels, v.is_pair, v.warnings, v.created_at,"
        " max(p.num_examples) FILTER (p.role = 'train') AS num_train, count(p.split) AS num_splits"
        " FROM suites v JOIN base.suites s ON s.name = v.suite LEFT JOIN base.splits p USING (suite_no)"
        " GROUP BY ALL ORDER BY v.created_at"
    ).df()


def list_splits(connection: Connection, suite: str) -> pd.DataFrame:
    """One row per split, in the order of the spec: split, role, num_examples, has_groups, label_map (dict or None)."""
    frame = connection.execute(
        "SELECT split, role, num_examples, has_groups, label_map FROM base.splits WHERE suite_no = ? ORDER BY place",
        [find_suite(connection, suite)],
    ).df()
    maps = [json.loads(text) if isinstance(text, str) else None for text in frame["label_map"]]
    return frame.assign(label_map=pd.Series(maps, dtype=object))


def longest_words(connection: Connection, suite: str) -> dict[str, int]:
    """Give the words of the longest text (of both texts of a pair) of each split; every text is read."""
    rows = connection.execute(
        "SELECT split, max(len(list_filter(string_split(concat_ws(' ', text, text_pair), ' '), lambda w: w <> '')))"
        " FROM base.examples WHERE suite_no = ? GROUP BY split",
        [find_suite(connection, suite)],
    ).fetchall()
    return {str(split): int(words) for split, words in rows}


def read_examples(connection: Connection, suite: str, split: str, example_ids: Sequence[str]) -> pd.DataFrame:
    """Give example_id, text, text_pair, label and group of some examples, in the order asked for."""
    suite_no = find_suite(connection, suite)
    asked = pa.table({"place": range(len(example_ids)), "example_id": pa.array(list(example_ids), pa.string())})
    connection.register("asked", asked)
    try:
        return connection.execute(
            'SELECT e.example_id, e.text, e.text_pair, e.label, e."group" FROM base.examples e'
            " JOIN asked USING (example_id) WHERE e.suite_no = ? AND e.split = ? ORDER BY asked.place",
            [suite_no, split],
        ).df()
    finally:
        connection.unregister("asked")


def read_split(connection: Connection, suite: str, split: str) -> pd.DataFrame:
    """Give example_id, label and group of all examples of a split, in file order."""
    return connection.execute(
        'SELECT example_id, label, "group" FROM base.examples WHERE suite_no = ? AND split = ? ORDER BY position',
        [find_suite(connection, suite), split],
    ).df()


def check_name(connection: Connection, name: str) -> None:
    """Refuse a suite's name that is in use.

    :raises NameTakenError: when it is.
    """
    if name in suite_names(connection):
        raise NameTakenError(
            f"A suite named '{name}' is there already; choose another name, or `ftft suite remove` it first."
        )
