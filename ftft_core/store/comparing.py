"""What a comparison reads: predictions of all runs on a split, scores along the way, and pages of test examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ftft_core.errors import InputError
from ftft_core.selection.patterns import check_length
from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_one, fetch_table
from ftft_core.store.search import search_positions
from ftft_core.store.subsets import sources_of_all
from ftft_core.store.suites import find_suite


@dataclass(frozen=True)
class SplitLogits:
    """What the kept model of one run gave on one split."""

    positions: NDArray[np.int64]
    """(n,) rows of the split, ascending."""
    logits: NDArray[np.float32]
    """(n, C)."""


def read_split(connection: Connection, suite: str, split: str) -> pd.DataFrame:
    """Give example_id, label and group of every example of a split, in file order: row i has position i."""
    return connection.execute(
        'SELECT example_id, label, "group" FROM base.examples WHERE suite_no = ? AND split = ? ORDER BY position',
        [find_suite(connection, suite), split],
    ).df()


def read_split_logits(connection: Connection, run_ids: Sequence[str], split: str) -> dict[str, SplitLogits]:
    """Give the logits of all these runs on a split; runs without predictions there are left out."""
    connection.register("asked", pa.table({"run_id": pa.array(list(run_ids), pa.string())}))
    try:
        rows = fetch_table(
            connection,
            "SELECT r.run_id, p.position, p.logits FROM base.predictions p JOIN base.runs r USING (run_no)"
            " JOIN asked a ON a.run_id = r.run_id WHERE p.split = ? ORDER BY r.run_id, p.position",
            [split],
        )
    finally:
        connection.unregister("asked")
    if not rows.num_rows:
        return {}
    ids = rows["run_id"].to_numpy()
    positions = rows["position"].to_numpy()
    logits = rows["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1)
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    bounds = zip(starts, np.r_[starts[1:], len(ids)], strict=True)
    return {str(ids[start]): SplitLogits(positions[start:stop], logits[start:stop]) for start, stop in bounds}


def read_scores_on_the_way(connection: Connection, suite: str, metric: str) -> pd.DataFrame:
    """Give run_id, split, role, step and value of every look at a whole split before the end of a run of the suite."""
    return connection.execute(
        "SELECT r.run_id, c.split, p.role, c.step, c.value FROM base.scores c JOIN base.runs r USING (run_no)"
        " JOIN base.splits p ON p.suite_no = r.suite_no AND p.split = c.split"
        ' WHERE r.suite_no = ? AND c.metric = ? AND NOT c.final AND c."group" IS NULL AND c.value IS NOT NULL'
        " ORDER BY r.run_id, c.split, c.step",
        [find_suite(connection, suite), metric],
    ).df()


def read_run_recipes(connection: Connection, suite: str) -> dict[str, str]:
    """Give the recipe, as JSON, of what each run of the suite was trained on; also of subsets removed since."""
    rows = connection.execute(
        "SELECT r.run_id, x.recipe FROM base.runs r JOIN base.subsets x USING (subset_no) WHERE r.suite_no = ?",
        [find_suite(connection, suite)],
    ).fetchall()
    return {str(run_id): str(recipe) for run_id, recipe in rows}


def read_sources(connection: Connection, suite: str) -> dict[str, list[str]]:
    """Give for each run of the suite the runs whose dynamics it was given: its reference, and those whose maps chose
    the subset that it was trained on. Runs that were given none are left out.
    """
    rows = connection.execute(
        "SELECT r.run_id, f.run_id, x.subset FROM base.runs r"
        " LEFT JOIN base.all_runs f ON f.run_no = r.reference_run_no"
        " LEFT JOIN base.subsets x ON x.subset_no = r.subset_no"
        " WHERE r.suite_no = ? AND (r.reference_run_no IS NOT NULL OR r.subset_no IS NOT NULL)",
        [find_suite(connection, suite)],
    ).fetchall()
    chosen_by = sources_of_all(connection, sorted({row[2] for row in rows} - {None}))
    given = {
        str(run_id): [*([reference] if reference else []), *chosen_by.get(subset, ())]
        for run_id, reference, subset in rows
    }
    return {run_id: list(dict.fromkeys(sources)) for run_id, sources in given.items() if sources}


def read_test_page(
    connection: Connection,
    suite: str,
    split: str,
    asked: pd.DataFrame,
    *,
    search: str | None = None,
    offset: int,
    limit: int,
) -> tuple[int, pd.DataFrame]:
    """Give how many examples there are in all, and a page of them, with their texts.

    :param asked: example_id, and any further columns, which come back beside the texts; the page goes in its order.
    :param search: only examples one of whose texts contains this, case ignored.
    :returns: the number of all, and example_id, text, text_pair, label, group, training_id, then the columns of
        `asked`. `training_id` is the id of a training example with the very same texts, null where there is none.
    :raises InputError: for an offset or limit below 0, or a search that is too long.
    """
    for name, value in (("offset", offset), ("limit", limit)):
        if value < 0:
            raise InputError(f"{name}: received {value}; allowed are whole numbers from 0 on.")
    suite_no = find_suite(connection, suite)
    more = [name for name in asked.columns if name != "example_id"]
    tables = {"asked": pa.Table.from_pandas(asked.assign(place=np.arange(len(asked))), preserve_index=False)}
    condition = ""
    if search:
        check_length(search)
        found = search_positions(connection, suite_no, split, search, regex=False)
        tables["searched"] = pa.table({"position": pa.array(found, pa.int64())})
        condition = " AND e.position IN (SELECT position FROM searched)"
    source = "FROM asked a JOIN base.examples e ON e.example_id = a.example_id AND e.suite_no = $suite"
    source += f" AND e.split = $split{condition}"
    values: dict[str, Any] = {"suite": suite_no, "split": split}
    for name, table in tables.items():
        connection.register(name, table)
    try:
        (total,) = fetch_one(connection, f"SELECT count(*) {source}", values)
        kept = "".join(f', a."{name}"' for name in more)
        page = fetch_table(
            connection,
            f'WITH page AS (SELECT a.place, e.example_id, e.text, e.text_pair, e.label, e."group"{kept} {source}'
            f" ORDER BY a.place LIMIT {int(limit)} OFFSET {int(offset)}),"
            " twins AS (SELECT t.text, t.text_pair, min_by(t.example_id, t.position) AS training_id"
            "  FROM base.examples t WHERE t.suite_no = $suite AND t.split = 'train'"
            "  AND t.text IN (SELECT text FROM page) GROUP BY ALL)"
            " SELECT p.*, t.training_id FROM page p LEFT JOIN twins t ON t.text = p.text"
            "  AND t.text_pair IS NOT DISTINCT FROM p.text_pair ORDER BY p.place",
            values,
        )
    finally:
        for name in tables:
            connection.unregister(name)
    return int(total), page.drop_columns(["place"]).to_pandas()
