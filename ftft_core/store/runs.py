"""Runs in the database: what was to be done, how it stands, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from ftft_core.errors import NameTakenError, NotFoundError, unknown
from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_first, fetch_one, next_number, utc_now

_FACTS = (
    "num_steps_planned",
    "num_optimizer_steps",
    "num_examples_seen",
    "resumed_from_step",
    "train_flops",
    "train_seconds",
    "evaluation_flops",
    "evaluation_seconds",
    "kept_step",
    "stopping_flops",
    "stopping_seconds",
    "snapshot_flops",
    "snapshot_seconds",
    "peak_memory_mib",
    "device",
    "precision",
    "versions",
)
"""Columns that the training process fills in."""

_OUTPUTS = ("dynamics", "epochs", "data_map", "predictions", "scores")
"""Tables of what came of runs."""


def add_run(connection: Connection, run: Mapping[str, Any]) -> None:
    """Keep a queued run.

    :param run: run_id, name, suite_no, suite_fingerprint, training_fingerprint, model, num_layers, subset_no,
        method, seed, reference_run_no, fraction, selecting_flops, selecting_seconds, config (JSON).
    :raises NameTakenError: when its name is in use.
    """
    # The ids of removed runs stay in use: they are named by them.
    taken = fetch_first(
        connection,
        "SELECT run_id FROM base.all_runs WHERE run_id = $1 OR (name = $1 AND removed_at IS NULL)",
        [run["name"]],
    )
    if taken:
        raise NameTakenError(f"A run named '{run['name']}' is there already; choose another name.")
    values = {**run, "run_no": next_number(connection), "status": "queued", "message": "", "created_at": utc_now()}
    columns = ", ".join(values)
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO base.all_runs ({columns}) VALUES ({marks})", list(values.values()))


def free_name(connection: Connection, stem: str) -> str:
    """Give a name that no run has: `stem`, numbered if it is in use."""
    taken = {name for (name,) in connection.execute("SELECT name FROM base.runs").fetchall()}
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(name for name in numbered if name not in taken)


def find_run(connection: Connection, reference: str) -> tuple[int, str]:
    """Give number and id of the run with this id or name.

    :raises NotFoundError: with known names, or saying that it was removed.
    """
    row = fetch_first(
        connection,
        "SELECT run_no, run_id FROM base.runs WHERE run_id = $1 OR name = $1 ORDER BY run_id = $1 DESC",
        [reference],
    )
    if row is None:
        removed = _removed_run(connection, reference)
        if removed is not None:
            raise NotFoundError(f"The run '{reference}' was removed; `ftft runs restore {removed[1]}` brings it back.")
        names = [name for (name,) in connection.execute("SELECT name FROM base.runs ORDER BY run_no DESC").fetchall()]
        raise NotFoundError(unknown("run", reference, names))
    return int(row[0]), str(row[1])


def run_number(connection: Connection, run_id: str) -> int | None:
    """Give the number of the run with this id; None if it was removed."""
    row = fetch_first(connection, "SELECT run_no FROM base.runs WHERE run_id = ?", [run_id])
    return None if row is None else int(row[0])


def list_runs(connection: Connection, suite: str | None = None) -> pd.DataFrame:
    """Give the view `runs`, oldest first; of one suite, or of all."""
    where = "WHERE suite = $1" if suite is not None else ""
    return connection.execute(
        f"SELECT * FROM runs {where} ORDER BY created_at, run_id", [] if suite is None else [suite]
    ).df()


def run_names(connection: Connection) -> dict[str, str]:
    """Give the name of every run, by its id."""
    return dict(connection.execute("SELECT run_id, name FROM base.runs").fetchall())


def read_run(connection: Connection, reference: str) -> dict[str, Any]:
    """Give one row of the view `runs`; plain Python values."""
    _, run_id = find_run(connection, reference)
    cursor = connection.execute("SELECT * FROM runs WHERE run_id = ?", [run_id])
    names = [column[0] for column in cursor.description]
    return dict(zip(names, cursor.fetchall()[0], strict=True))


def runs_under_way(connection: Connection) -> dict[str, str]:
    """Give id and stored status of every run that had not finished when it was last looked at."""
    rows = connection.execute("SELECT run_id, status FROM base.runs WHERE status <> 'finished'").fetchall()
    return {str(run_id): str(status) for run_id, status in rows}


def set_run_state(connection: Connection, run_id: str, status: str, message: str, facts: Mapping[str, Any]) -> None:
    """Bring a run's row up to date; unknown facts are left as they are."""
    known = {name: facts[name] for name in _FACTS if facts.get(name) is not None}
    ended_at = facts.get("since")
    finished_at = None
    if status == "finished":
        finished_at = utc_now() if ended_at is None else datetime.fromtimestamp(ended_at, UTC).replace(tzinfo=None)
    assignments = "".join(f", {name} = ?" for name in known)
    connection.execute(
        f"UPDATE base.all_runs SET status = ?, message = ?, finished_at = ?{assignments} WHERE run_id = ?",
        [status, message, finished_at, *known.values(), run_id],
    )


def users_of_run(connection: Connection, run_no: int) -> list[str]:
    """Name the runs and subsets that were made from a run."""
    rows = connection.execute(
        "SELECT 'run ' || name FROM base.runs WHERE reference_run_no = $1"
        " UNION ALL SELECT 'subset ' || x.name FROM base.subsets x, base.runs r WHERE r.run_no = $1"
        " AND x.removed_at IS NULL AND (x.source_run_no = $1 OR contains(x.recipe, '\"' || r.run_id || '\"'))",
        [run_no],
    ).fetchall()
    return [str(user) for (user,) in rows]


def remove_run(connection: Connection, run_no: int) -> None:
    """List a run no more, and free its name; all that came of it stays, so that it can be restored."""
    connection.execute("UPDATE base.all_runs SET removed_at = ? WHERE run_no = ?", [utc_now(), run_no])


def list_removed_runs(connection: Connection) -> pd.DataFrame:
    """Give run_no, run_id, name, suite and removed_at of removed runs, last removed first."""
    return connection.execute(
        "SELECT r.run_no, r.run_id, r.name, s.name AS suite, r.removed_at FROM base.all_runs r"
        " JOIN base.all_suites s USING (suite_no) WHERE r.removed_at IS NOT NULL ORDER BY r.removed_at DESC, r.run_no"
    ).df()


def find_removed_run(connection: Connection, reference: str) -> tuple[int, str, str]:
    """Give number, id and name of the removed run with this id, or of the last removed with this name.

    :raises NotFoundError: with the known ones.
    """
    row = _removed_run(connection, reference)
    if row is None:
        known = list_removed_runs(connection)
        raise NotFoundError(unknown("removed run", reference, [*known["name"], *known["run_id"]]))
    return row


def _removed_run(connection: Connection, reference: str) -> tuple[int, str, str] | None:
    row = fetch_first(
        connection,
        "SELECT run_no, run_id, name FROM base.all_runs WHERE (run_id = $1 OR name = $1) AND removed_at IS NOT NULL"
        " ORDER BY run_id = $1 DESC, removed_at DESC LIMIT 1",
        [reference],
    )
    return None if row is None else (int(row[0]), str(row[1]), str(row[2]))


def removed_sources(connection: Connection, run_no: int) -> list[str]:
    """Say how to bring back the removed run and subset that a removed run was made from."""
    rows = connection.execute(
        "SELECT 'run ' || f.name || ': `ftft runs restore ' || f.run_id || '`' FROM base.all_runs r"
        " JOIN base.all_runs f ON f.run_no = r.reference_run_no WHERE r.run_no = $1 AND f.removed_at IS NOT NULL"
        " UNION ALL SELECT 'subset ' || x.name || ': `ftft subset restore ' || x.subset || '`' FROM base.all_runs r"
        " JOIN base.subsets x USING (subset_no) WHERE r.run_no = $1 AND x.removed_at IS NOT NULL",
        [run_no],
    ).fetchall()
    return [str(source) for (source,) in rows]


def removed_users(connection: Connection, run_no: int) -> list[str]:
    """Give the ids of the removed runs that were made from a removed one."""
    rows = connection.execute(
        "SELECT run_id FROM base.all_runs WHERE reference_run_no = ? AND removed_at IS NOT NULL", [run_no]
    ).fetchall()
    return [str(run_id) for (run_id,) in rows]


def restore_run(connection: Connection, run_no: int) -> str:
    """List a removed run again; give its name, which is another one if its own is in use by now."""
    (name,) = fetch_one(connection, "SELECT name FROM base.all_runs WHERE run_no = ?", [run_no])
    name = free_name(connection, str(name))
    connection.execute("UPDATE base.all_runs SET removed_at = NULL, name = ? WHERE run_no = ?", [name, run_no])
    return name


def forget_outputs(connection: Connection, run_no: int) -> None:
    """Forget what came of a run that is to begin anew, but not the run."""
    for table in _OUTPUTS:
        connection.execute(f"DELETE FROM base.{table} WHERE run_no = ?", [run_no])
    nothing = ", ".join(f"{name} = NULL" for name in _FACTS)
    connection.execute(f"UPDATE base.all_runs SET {nothing} WHERE run_no = ?", [run_no])


def purge_run(connection: Connection, run_no: int) -> None:
    """Forget a run and all that came of it for good."""
    for table in (*_OUTPUTS, "all_runs"):
        connection.execute(f"DELETE FROM base.{table} WHERE run_no = ?", [run_no])
