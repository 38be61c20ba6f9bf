"""Subsets in the database: example ids and weights, with the recipe that made them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ftft_core.errors import InputError, NameTakenError, NotFoundError, unknown
from ftft_core.selection import Recipe
from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_first, insert, next_number, utc_now


def add_subset(
    connection: Connection,
    recipe: Recipe,
    example_ids: Sequence[str] | NDArray[np.object_],
    *,
    suite_no: int,
    source_run_no: int | None,
    name: str | None,
) -> str:
    """Keep a subset with weight 1 for every example; give its id.

    :raises NameTakenError: when the name is in use.
    """
    subset = f"s{secrets.token_hex(4)}"
    chosen_name = name or _free_name(connection, recipe)
    if fetch_first(connection, "SELECT 1 FROM base.subsets WHERE name = $1 OR subset = $1", [chosen_name]):
        raise NameTakenError(f"A subset named '{chosen_name}' is there already; choose another name.")
    subset_no = next_number(connection)
    connection.execute(
        "INSERT INTO base.subsets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            subset_no,
            subset,
            chosen_name,
            suite_no,
            source_run_no,
            recipe.strategy,
            recipe.fraction,
            len(example_ids),
            recipe.model_dump_json(exclude_none=True),
            utc_now(),
        ],
    )
    rows = pa.table({"example_id": pa.array(list(example_ids), pa.string())})
    insert(
        connection,
        "INSERT INTO base.subset_examples SELECT ?, e.position, 1.0 FROM rows JOIN base.examples e USING (example_id)"
        " WHERE e.suite_no = ? AND e.split = 'train' ORDER BY e.position",
        rows,
        [subset_no, suite_no],
    )
    return subset


def _free_name(connection: Connection, recipe: Recipe) -> str:
    """Name a subset for how it was made: the strategy and its share, numbered if that name is in use."""
    stem = "selection" if recipe.strategy is None else recipe.strategy.replace(":", "-")
    if recipe.fraction is not None:
        stem += f"-{100 * recipe.fraction:.3g}"
    taken = {name for (name,) in connection.execute("SELECT name FROM base.subsets").fetchall()}
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(name for name in numbered if name not in taken)


def find_subset(connection: Connection, reference: str) -> tuple[int, str]:
    """Give number and id of the subset with this id or name.

    :raises NotFoundError: with the known names.
    """
    row = fetch_first(
        connection,
        "SELECT subset_no, subset FROM base.subsets WHERE subset = $1 OR name = $1 ORDER BY subset = $1 DESC",
        [reference],
    )
    if row is None:
        names = connection.execute("SELECT name FROM base.subsets ORDER BY subset_no DESC").fetchall()
        raise NotFoundError(unknown("subset", reference, [name for (name,) in names]))
    return int(row[0]), str(row[1])


def list_subsets(connection: Connection, suite: str | None = None) -> pd.DataFrame:
    """Give the view `subsets`, oldest first; of one suite, or of all."""
    where = "WHERE suite = $1" if suite is not None else ""
    return connection.execute(
        f"SELECT * FROM subsets {where} ORDER BY created_at, subset", [] if suite is None else [suite]
    ).df()


def read_subset(connection: Connection, reference: str) -> dict[str, Any]:
    """Give one row of the view `subsets`; plain Python values."""
    _, subset = find_subset(connection, reference)
    cursor = connection.execute("SELECT * FROM subsets WHERE subset = ?", [subset])
    names = [column[0] for column in cursor.description]
    return dict(zip(names, cursor.fetchall()[0], strict=True))


def read_subset_examples(connection: Connection, reference: str) -> pd.DataFrame:
    """Give example_id, weight and position (row of the training split), in file order."""
    subset_no, _ = find_subset(connection, reference)
    return connection.execute(
        "SELECT e.example_id, m.weight, m.position FROM base.subset_examples m JOIN base.subsets x USING (subset_no)"
        " JOIN base.examples e ON e.suite_no = x.suite_no AND e.split = 'train' AND e.position = m.position"
        " WHERE m.subset_no = ? ORDER BY m.position",
        [subset_no],
    ).df()


def source_runs(connection: Connection, reference: str) -> list[str]:
    """Give the ids of the runs whose maps a subset came from, through the subsets that it was combined from too."""
    found: set[str] = set()
    waiting, seen = [read_subset(connection, reference)["subset"]], set()
    while waiting:
        subset = waiting.pop()
        seen.add(subset)
        row = read_subset(connection, subset)
        found |= {row["source_run"]} - {None}
        conditions = Recipe.model_validate_json(row["recipe"]).conditions
        operands = {operand for item in conditions for operand in getattr(item, "operands", {}).values()}
        # An operand may have been removed since.
        present = {operand for operand in operands if fetch_first(connection, _IS_THERE, [operand])}
        waiting += sorted(present - seen)
    return sorted(found)


_IS_THERE = "SELECT 1 FROM base.subsets WHERE subset = ?"


def remove_subset(connection: Connection, reference: str) -> None:
    """Forget a subset.

    :raises InputError: when runs were trained on it, or other subsets were made from it: nobody could tell on what.
    """
    subset_no, subset = find_subset(connection, reference)
    users = connection.execute(
        "SELECT 'run ' || name FROM base.runs WHERE subset_no = $1"
        " UNION ALL SELECT 'subset ' || name FROM base.subsets WHERE subset_no <> $1 AND contains(recipe, $2)",
        [subset_no, f'"{subset}"'],
    ).fetchall()
    if users:
        raise InputError(
            f"Subset '{reference}' was not removed: others were made from it. Remove them first.",
            [str(user) for (user,) in users],
        )
    connection.execute("DELETE FROM base.subset_examples WHERE subset_no = ?", [subset_no])
    connection.execute("DELETE FROM base.subsets WHERE subset_no = ?", [subset_no])
