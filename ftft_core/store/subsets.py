"""Subsets in the database: example ids and weights, with the recipe that made them.

A removed subset stays, marked with when it was removed, until its suite goes: it is listed no more and its name is
free, but it can be restored, and what came from it can still be followed to its source.
"""

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
    weights: NDArray[np.float64] | None = None,
) -> str:
    """Keep a subset; give its id.

    :param weights: (N,) one for each example; 1 for all when left out.
    :raises NameTakenError: when the name is in use.
    """
    subset = f"s{secrets.token_hex(4)}"
    chosen_name = name or _free_name(connection, recipe)
    check_subset_name(connection, chosen_name)
    subset_no = next_number(connection)
    connection.execute(
        "INSERT INTO base.subsets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
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
    kept = np.ones(len(example_ids)) if weights is None else weights
    rows = pa.table({"example_id": pa.array(example_ids, pa.string()), "weight": pa.array(kept, pa.float64())})
    insert(
        connection,
        "INSERT INTO base.subset_examples SELECT ?, e.position, weight FROM rows"
        " JOIN base.examples e USING (example_id) WHERE e.suite_no = ? AND e.split = 'train' ORDER BY e.position",
        rows,
        [subset_no, suite_no],
    )
    return subset


def check_subset_name(connection: Connection, name: str) -> None:
    """Refuse a subset's name that is in use.

    :raises NameTakenError: when it is a subset's name, or the id of any.
    """
    if fetch_first(
        connection, "SELECT 1 FROM base.subsets WHERE name = $1 AND removed_at IS NULL OR subset = $1", [name]
    ):
        raise NameTakenError(f"A subset named '{name}' is there already; choose another name.")


def _free_name(connection: Connection, recipe: Recipe) -> str:
    """Name a subset for how it was made: the strategy and its share."""
    stem = "selection" if recipe.strategy is None else recipe.strategy.replace(":", "-")
    if recipe.fraction is not None:
        stem += f"-{100 * recipe.fraction:.3g}"
    return free_subset_name(connection, stem)


def free_subset_name(connection: Connection, stem: str) -> str:
    """Give a name that no subset has: `stem`, numbered if it is in use."""
    taken = {
        name for (name,) in connection.execute("SELECT name FROM base.subsets WHERE removed_at IS NULL").fetchall()
    }
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(name for name in numbered if name not in taken)


def find_subset(connection: Connection, reference: str) -> tuple[int, str]:
    """Give number and id of the subset with this id or name.

    :raises NotFoundError: with the known names, or saying that it was removed.
    """
    row = fetch_first(
        connection,
        "SELECT subset_no, subset FROM base.subsets WHERE (subset = $1 OR name = $1) AND removed_at IS NULL"
        " ORDER BY subset = $1 DESC",
        [reference],
    )
    if row is None:
        removed = _find_removed(connection, reference)
        if removed is not None:
            raise NotFoundError(
                f"The subset '{reference}' was removed; `ftft subset restore {reference}` brings it back."
            )
        raise NotFoundError(unknown("subset", reference, _names(connection, "removed_at IS NULL")))
    return int(row[0]), str(row[1])


def _find_removed(connection: Connection, reference: str) -> tuple[Any, ...] | None:
    """Give number, id and name of the removed subset with this id, or the last removed with this name."""
    return fetch_first(
        connection,
        "SELECT subset_no, subset, name FROM base.subsets WHERE (subset = $1 OR name = $1) AND removed_at IS NOT NULL"
        " ORDER BY subset = $1 DESC, removed_at DESC LIMIT 1",
        [reference],
    )


def _names(connection: Connection, condition: str) -> list[str]:
    rows = connection.execute(f"SELECT name FROM base.subsets WHERE {condition} ORDER BY subset_no DESC").fetchall()
    return list(dict.fromkeys(str(name) for (name,) in rows))


def list_subsets(connection: Connection, suite: str | None = None) -> pd.DataFrame:
    """Give the view `subsets`, oldest first; of one suite, or of all."""
    where = "WHERE suite = $1" if suite is not None else ""
    return connection.execute(
        f"SELECT * FROM subsets {where} ORDER BY created_at, subset", [] if suite is None else [suite]
    ).df()


def list_removed_subsets(connection: Connection, suite: str | None = None) -> pd.DataFrame:
    """Give subset, name, suite, size, recipe, created_at and removed_at of removed subsets, last removed first."""
    where = "AND s.name = $1" if suite is not None else ""
    return connection.execute(
        "SELECT x.subset, x.name, s.name AS suite, x.size, x.recipe, x.created_at, x.removed_at"
        f" FROM base.subsets x JOIN base.suites s USING (suite_no) WHERE x.removed_at IS NOT NULL {where}"
        " ORDER BY x.removed_at DESC, x.subset_no DESC",
        [] if suite is None else [suite],
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


def read_subset_members(connection: Connection, reference: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give positions (rows of the training split, ascending) and weights of a subset; quick at any size."""
    subset_no, _ = find_subset(connection, reference)
    found = connection.execute(
        "SELECT position, weight FROM base.subset_examples WHERE subset_no = ? ORDER BY position", [subset_no]
    ).fetchnumpy()
    return np.asarray(found["position"], dtype=np.int64), np.asarray(found["weight"], dtype=np.float64)


def label_counts(connection: Connection, suite_no: int, positions: NDArray[np.int64] | None = None) -> dict[str, int]:
    """Give how many of the training split's examples, or of some of its rows, have each of the suite's labels.

    In the suite's order of labels; one that none has gets 0.
    """
    among = "" if positions is None else " AND position IN (SELECT position FROM asked)"
    connection.register("asked", pa.table({"position": pa.array([] if positions is None else positions, pa.int64())}))
    try:
        rows = connection.execute(
            "SELECT l.label, count(position) FROM (SELECT unnest(labels) AS label,"
            " generate_subscripts(labels, 1) AS place FROM base.suites WHERE suite_no = $1) l LEFT JOIN"
            f" (SELECT label, position FROM base.examples WHERE suite_no = $1 AND split = 'train'{among}) e"
            " USING (label) GROUP BY l.label, l.place ORDER BY l.place",
            [suite_no],
        ).fetchall()
    finally:
        connection.unregister("asked")
    return {str(label): int(count) for label, count in rows}


def subset_balance(connection: Connection, suite: str | None = None) -> pd.DataFrame:
    """Give subset, label and count of every subset, labels in the suite's order; labels that it lacks have no row."""
    where = "AND s.name = $1" if suite is not None else ""
    return connection.execute(
        "SELECT x.subset, e.label, count(*) AS count FROM base.subsets x JOIN base.suites s USING (suite_no)"
        " JOIN base.subset_examples m USING (subset_no)"
        " JOIN base.examples e ON e.suite_no = x.suite_no AND e.split = 'train' AND e.position = m.position"
        f" WHERE x.removed_at IS NULL {where} GROUP BY x.subset_no, x.subset, e.label, s.labels"
        " ORDER BY x.subset_no, list_position(s.labels, e.label)",
        [] if suite is None else [suite],
    ).df()


def median_scores(
    connection: Connection, run_no: int, subsets: Sequence[str], scores: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Give the median of each score over each subset's examples that a run has, and over all of the run's (`""`).

    :param scores: columns of the data map, checked by the caller.
    """
    columns = ", ".join(f"median({score})::DOUBLE" for score in scores)
    found: dict[str, dict[str, float | None]] = {}
    for reference in ("", *subsets):
        among, values = "", [run_no]
        if reference:
            among = " AND position IN (SELECT position FROM base.subset_examples WHERE subset_no = ?)"
            values.append(find_subset(connection, reference)[0])
        row = fetch_first(connection, f"SELECT {columns} FROM base.data_map WHERE run_no = ?{among}", values)
        assert row is not None
        found[reference] = dict(zip(scores, row, strict=True))
    return found


def subset_names(connection: Connection, subsets: Sequence[str]) -> dict[str, str]:
    """Give the names that subsets have now by their ids, of removed ones too; those that are gone are left out."""
    rows = connection.execute(
        "SELECT subset, name FROM base.subsets WHERE subset IN (SELECT unnest($1::VARCHAR[]))", [list(subsets)]
    ).fetchall()
    return {str(subset): str(name) for subset, name in rows}


def subset_recipes(connection: Connection, subsets: Sequence[str]) -> list[tuple[str, Recipe]]:
    """Give names and recipes of subsets by their ids, of removed ones too, in the order asked; without those gone."""
    rows = connection.execute(
        "SELECT subset, name, recipe FROM base.subsets WHERE subset IN (SELECT unnest($1::VARCHAR[]))", [list(subsets)]
    ).fetchall()
    found = {str(subset): (str(name), Recipe.model_validate_json(recipe)) for subset, name, recipe in rows}
    return [found[subset] for subset in subsets if subset in found]


def source_runs(connection: Connection, subset: str) -> list[str]:
    """Give the ids of the runs whose maps a subset came from, through the subsets that it was combined from too.

    :param subset: its id.
    """
    return sources_of_all(connection, [subset])[subset]


def sources_of_all(connection: Connection, subsets: Sequence[str]) -> dict[str, list[str]]:
    """Do the same for several subsets, by their ids."""
    known: dict[str, Recipe] = {}
    waiting = {*subsets}
    while waiting:
        # An operand that was removed still knows where it came from.
        known |= _recipes(connection, sorted(waiting))
        waiting = {operand for subset in waiting & {*known} for operand in known[subset].operands} - {*known}
    found = {}
    for subset in subsets:
        runs: set[str] = set()
        reached, seen = {subset}, set[str]()
        while reached:
            seen |= reached
            recipes = [known[each] for each in reached if each in known]
            runs |= {run for recipe in recipes for run in recipe.named_runs}
            reached = {operand for recipe in recipes for operand in recipe.operands} - seen
        found[subset] = sorted(runs)
    return found


def _recipes(connection: Connection, subsets: Sequence[str]) -> dict[str, Recipe]:
    rows = connection.execute(
        "SELECT subset, recipe FROM base.subsets WHERE subset IN (SELECT unnest($1::VARCHAR[]))", [list(subsets)]
    ).fetchall()
    return {str(subset): Recipe.model_validate_json(recipe) for subset, recipe in rows}


def subset_users(connection: Connection, reference: str) -> list[str]:
    """Name the runs that were trained on a subset, and the subsets that were made from it."""
    subset_no, subset = find_subset(connection, reference)
    rows = connection.execute(
        "SELECT 'run ' || name FROM base.runs WHERE subset_no = $1 UNION ALL SELECT 'subset ' || name FROM base.subsets"
        " WHERE subset_no <> $1 AND contains(replace(recipe, $3, ''), $2) AND removed_at IS NULL",
        [subset_no, f'"{subset}"', f'"twin_of":"{subset}"'],  # its twin was not made from it
    ).fetchall()
    return [str(user) for (user,) in rows]


def rename_subset(connection: Connection, reference: str, name: str) -> None:
    """Give a subset another name.

    :raises NameTakenError: when another has it.
    """
    subset_no, _ = find_subset(connection, reference)
    if fetch_first(connection, "SELECT 1 FROM base.subsets WHERE subset_no = ? AND name = ?", [subset_no, name]):
        return
    check_subset_name(connection, name)
    connection.execute("UPDATE base.subsets SET name = ? WHERE subset_no = ?", [name, subset_no])


def remove_subset(connection: Connection, reference: str) -> str:
    """List a subset no more, and free its name; give its id, by which it can be restored.

    :raises InputError: when runs were trained on it, or other subsets were made from it: nobody could tell on what.
    """
    subset_no, subset = find_subset(connection, reference)
    users = subset_users(connection, reference)
    if users:
        raise InputError(f"Subset '{reference}' was not removed: others were made from it. Remove them first.", users)
    connection.execute("UPDATE base.subsets SET removed_at = ? WHERE subset_no = ?", [utc_now(), subset_no])
    return subset


def restore_subset(connection: Connection, reference: str, *, name: str | None = None) -> str:
    """Bring a removed subset back; give its id.

    :param reference: its id, or its name (of several, the one removed last).
    :param name: another name to restore it under.
    :raises NotFoundError: when no removed subset has it.
    :raises NameTakenError: when its name is in use by now.
    """
    row = _find_removed(connection, reference)
    if row is None:
        raise NotFoundError(unknown("removed subset", reference, _names(connection, "removed_at IS NOT NULL")))
    subset_no, subset, old_name = row
    if fetch_first(connection, "SELECT 1 FROM base.subsets WHERE name = ? AND removed_at IS NULL", [name or old_name]):
        raise NameTakenError(
            f"Subset {subset} can't be restored as '{name or old_name}': another subset has that name by now. Rename "
            "that one first, or restore this one under another name."
        )
    connection.execute(
        "UPDATE base.subsets SET removed_at = NULL, name = ? WHERE subset_no = ?", [name or old_name, subset_no]
    )
    return str(subset)
