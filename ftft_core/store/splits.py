"""What a suite's splits hold: labels, groups and lengths counted, and pages of their examples.

A page is found by positions alone; texts are read for its rows only, and only their beginnings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from ftft_core.errors import NotFoundError, unknown
from ftft_core.selection.patterns import check_length
from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_table
from ftft_core.store.search import search_positions
from ftft_core.store.suites import find_suite, list_splits

SHOWN_CHARACTERS = 300
"""Of a text on a page of examples; the rest is read when one example is looked at."""

SAMPLED_EXAMPLES = 20_000
"""Of a split whose words are counted, at most; every so manieth one."""

NO_GROUP = ""
"""Stands for examples without a group; no group has this name."""


@dataclass(frozen=True)
class ExampleFilter:
    """Which examples of a split; all that is given must hold."""

    search: str = ""
    """What a text, either of a pair, contains or matches; case is ignored."""

    regex: bool = False
    """Whether `search` is a regular expression (RE2)."""

    label: str | None = None
    """Of the split's own labels, which may be coarser than the suite's."""

    group: str | None = None
    """`NO_GROUP` for examples without one."""


@dataclass(frozen=True, eq=False)
class ExamplePage:
    """Some examples of those that a filter takes."""

    total: int
    """How many it takes in all."""

    rows: pd.DataFrame
    """example_id, text, text_pair, label and group, in file order; long texts are cut and end in an ellipsis."""


def describe_splits(connection: Connection, suite: str) -> pd.DataFrame:
    """Give the splits in the order of the spec, with what they hold.

    Columns as `list_splits`, and `num_groups`, `labels` (label -> count), `median_words` and `median_words_pair`: words
    between white space of a text and of the second text of a pair (null where there is none), over a sample of a large
    split's examples.
    """
    splits = list_splits(connection, suite)
    suite_no = find_suite(connection, suite)
    labels: dict[str, dict[str, int]] = {str(split): {} for split in splits["split"]}
    for split, label, count in connection.execute(
        "SELECT split, label, count(*) FROM base.examples WHERE suite_no = ? GROUP BY split, label ORDER BY label",
        [suite_no],
    ).fetchall():
        labels[str(split)][str(label)] = int(count)
    groups = connection.execute(
        'SELECT split, count(DISTINCT "group") AS num_groups FROM base.examples WHERE suite_no = ? GROUP BY split',
        [suite_no],
    ).df()
    words = connection.execute(
        f"SELECT e.split, median({_words('e.text')}) AS median_words,"
        f" median({_words('e.text_pair')}) AS median_words_pair FROM base.examples e JOIN base.splits p"
        " ON p.suite_no = e.suite_no AND p.split = e.split WHERE e.suite_no = $1"
        " AND e.position % greatest(1, ceil(p.num_examples / $2))::BIGINT = 0 GROUP BY e.split",
        [suite_no, SAMPLED_EXAMPLES],
    ).df()
    found = splits.merge(groups, on="split", how="left").merge(words, on="split", how="left")
    return found.assign(labels=pd.Series([labels[str(split)] for split in found["split"]], dtype=object))


def list_groups(connection: Connection, suite: str, split: str, *, limit: int) -> pd.DataFrame:
    """Give `group` (null for none) and `num_examples` of the largest groups of a split, largest first."""
    return connection.execute(
        'SELECT "group", count(*) AS num_examples FROM base.examples WHERE suite_no = ? AND split = ?'
        ' GROUP BY "group" ORDER BY num_examples DESC, "group" LIMIT ?',
        [find_suite(connection, suite), split, limit],
    ).df()


def read_page(
    connection: Connection, suite: str, split: str, wanted: ExampleFilter, *, offset: int, limit: int
) -> ExamplePage:
    """Give some of the examples that a filter takes, in file order.

    :raises NotFoundError: when the suite has no such split.
    :raises InputError: when a regular expression is malformed, too long, or takes too long.
    """
    suite_no = find_suite(connection, suite)
    known = list(list_splits(connection, suite)["split"])
    if split not in known:
        raise NotFoundError(unknown("split", split, known))
    conditions, values = ["suite_no = ?", "split = ?"], [suite_no, split]
    if wanted.label is not None:
        conditions.append("label = ?")
        values.append(wanted.label)
    if wanted.group is not None:
        conditions.append('"group" IS NULL' if wanted.group == NO_GROUP else '"group" = ?')
        values += [] if wanted.group == NO_GROUP else [wanted.group]
    query = f"SELECT position FROM base.examples WHERE {' AND '.join(conditions)}"
    positions = np.sort(fetch_table(connection, query, values)["position"].to_numpy())
    if wanted.search:
        check_length(wanted.search)
        found = search_positions(connection, suite_no, split, wanted.search, regex=wanted.regex)
        positions = np.intersect1d(positions, found, assume_unique=True)
    connection.register("asked", pa.table({"position": positions[offset : offset + limit]}))
    try:
        rows = connection.execute(
            f'SELECT example_id, {_cut("text")}, {_cut("text_pair")}, label, "group" FROM base.examples'
            " JOIN asked USING (position) WHERE suite_no = ? AND split = ? ORDER BY position",
            [suite_no, split],
        ).df()
    finally:
        connection.unregister("asked")
    return ExamplePage(len(positions), rows)


def _words(column: str) -> str:
    return f"len(list_filter(string_split({column}, ' '), lambda word: word <> ''))"


def _cut(column: str) -> str:
    cut = f"left({column}, {SHOWN_CHARACTERS}) || '…'"
    return f"CASE WHEN length({column}) > {SHOWN_CHARACTERS} THEN {cut} ELSE {column} END AS {column}"
