"""What runs recorded: taking in the outbox, and reading dynamics, data maps, predictions and scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ftft_core.cartography import compute_scores
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import RunError, WorkspaceError
from ftft_core.store.connection import Connection
from ftft_core.store.map_frames import (
    SCORE_COLUMNS,
    counted_epochs,
    read_ids_and_labels,
    read_logits,
    suite_of_run,
)
from ftft_core.store.rows import fetch_table, insert


def take_in(connection: Connection, run_no: int, files: Sequence[Path]) -> dict[Path, str]:
    """Take finished outbox files into the tables, within the caller's transaction; give what can't be read, and why.

    Rows are keyed by run and epoch (dynamics), split (predictions), or split and step (scores): taking a file in
    twice changes nothing. The data map is made anew when an epoch came in.
    """
    damaged: dict[Path, str] = {}
    has_new_epoch = False
    for path in files:
        kind = path.name.partition("-")[0]
        try:
            rows = _read(path, _COLUMNS[kind], _NEWER_COLUMNS.get(kind, ()))
        except FileNotFoundError:
            continue  # Another process has taken it in meanwhile.
        except KeyError:
            damaged[path] = f"its name begins with none of {', '.join(_TAKERS)}"
        except (pa.ArrowInvalid, OSError) as failure:
            if getattr(failure, "errno", None) is not None:
                raise _unread(path, failure) from failure
            damaged[path] = " ".join(str(failure).split())
        else:
            if not {*_COLUMNS[kind]} <= {*rows.column_names}:
                damaged[path] = f"it holds {', '.join(rows.column_names)} of {', '.join(_COLUMNS[kind])}"
                continue
            _TAKERS[kind](connection, run_no, rows)
            has_new_epoch |= kind == "dynamics"
    if has_new_epoch:
        refresh_data_map(connection, run_no)
    return damaged


def _read(path: Path, columns: Sequence[str], newer: Sequence[str]) -> pa.Table:
    """Read these columns of a file, and of the newer ones those that it has."""
    there = pq.read_schema(path).names
    return pq.read_table(path, columns=[*columns, *(name for name in newer if name in there)])


def _unread(path: Path, failure: Exception) -> WorkspaceError:
    """The system refused to read a file, which says nothing against the file."""
    return WorkspaceError(f"The file {path} could not be taken in now ({failure}); it waits there, nothing is lost.")


def add_dynamics(connection: Connection, run_no: int, dynamics: TrainingDynamics, positions: NDArray[np.int64]) -> None:
    """Keep dynamics that are at hand whole, and their data map.

    :param positions: (N,) rows of the suite's training split.
    """
    for epoch, seen in enumerate(dynamics.seen):
        logits = dynamics.logits[epoch][seen]
        offsets = np.arange(len(logits) + 1, dtype=np.int32) * logits.shape[1]
        columns = {
            "epoch": pa.array(np.full(len(logits), epoch), pa.int32()),
            "position": pa.array(positions[seen], pa.int64()),
            "logits": pa.ListArray.from_arrays(offsets, logits.reshape(-1)),
        }
        if dynamics.steps is not None:
            steps = dynamics.steps[epoch][seen]
            columns["step"] = pa.array(steps, pa.int32(), mask=steps < 0)
        rows = pa.table(columns)
        if rows.num_rows:
            _take_dynamics(connection, run_no, rows)
    # Which epochs count is known here, also where the dynamics speak of a part of the training split alone.
    connection.execute(
        "UPDATE base.epochs SET counted = list_contains(?, epoch) WHERE run_no = ?",
        [dynamics.counted_epochs.tolist(), run_no],
    )
    refresh_data_map(connection, run_no)


def _take_dynamics(connection: Connection, run_no: int, rows: pa.Table) -> None:
    for epoch in rows["epoch"].unique().to_pylist():
        for table in ("dynamics", "epochs"):
            connection.execute(f"DELETE FROM base.{table} WHERE run_no = ? AND epoch = ?", [run_no, epoch])
    names = ", ".join(name for name in ("epoch", "position", "logits", "step") if name in rows.column_names)
    insert(connection, f"INSERT INTO base.dynamics (run_no, {names}) SELECT ?, {names} FROM rows", rows, [run_no])
    insert(
        connection,
        "INSERT INTO base.epochs SELECT $1, epoch, count(*), count(*) = ("
        "  SELECT coalesce(x.size, p.num_examples) FROM base.runs r"
        "  JOIN base.splits p ON p.suite_no = r.suite_no AND p.role = 'train'"
        "  LEFT JOIN base.subsets x ON x.subset_no = r.subset_no WHERE r.run_no = $1"
        ") FROM rows GROUP BY epoch",
        rows,
        [run_no],
    )


def _take_predictions(connection: Connection, run_no: int, rows: pa.Table) -> None:
    for split in rows["split"].unique().to_pylist():
        connection.execute("DELETE FROM base.predictions WHERE run_no = ? AND split = ?", [run_no, split])
    insert(connection, "INSERT INTO base.predictions SELECT ?, split, position, logits FROM rows", rows, [run_no])


def _take_scores(connection: Connection, run_no: int, rows: pa.Table) -> None:
    insert(
        connection,
        "DELETE FROM base.scores WHERE run_no = ? AND (split, step, final) IN (SELECT split, step, final FROM rows)",
        rows,
        [run_no],
    )
    insert(
        connection,
        'INSERT INTO base.scores SELECT ?, split, "group", step, metric, value, final FROM rows',
        rows,
        [run_no],
    )


_TAKERS = {"dynamics": _take_dynamics, "predictions": _take_predictions, "scores": _take_scores}
_COLUMNS = {
    "dynamics": ["epoch", "position", "logits"],
    "predictions": ["split", "position", "logits"],
    "scores": ["split", "group", "step", "metric", "value", "final"],
}
_NEWER_COLUMNS = {"dynamics": ["step"]}
"""Columns that files of older versions lack."""


def refresh_data_map(connection: Connection, run_no: int) -> None:
    """Make the stored data map of a run anew from its dynamics; none is stored before its first counted epoch."""
    connection.execute("DELETE FROM base.data_map WHERE run_no = ?", [run_no])
    epochs = counted_epochs(connection, run_no)
    if not epochs:
        return
    read = read_logits(connection, run_no, epochs)
    scores = compute_scores(read.logits, read.labels, epochs=np.asarray(epochs, dtype=np.int64), steps=read.steps)
    columns = {name: pa.array(scores[name], from_pandas=True) for name in SCORE_COLUMNS}
    columns["first_learnt_epoch"] = pa.array(scores["first_learnt_epoch"], mask=scores["never_learnt"])
    rows = pa.table({"position": read.positions, "predicted": scores["predicted"], **columns})
    _, label_names = suite_of_run(connection, run_no)
    names = ", ".join(SCORE_COLUMNS)
    insert(
        connection,
        f"INSERT INTO base.data_map (run_no, position, predicted_label, {names})"
        f" SELECT $1, position, list_extract($2::VARCHAR[], predicted + 1), {names} FROM rows",
        rows,
        [run_no, list(label_names)],
    )


def runs_with_dynamics(connection: Connection) -> list[str]:
    """Give the ids of the runs that recorded anything, also where no epoch saw every example yet."""
    rows = connection.execute(
        "SELECT run_id FROM base.runs WHERE run_no IN (SELECT run_no FROM base.epochs) ORDER BY run_no"
    ).fetchall()
    return [str(run_id) for (run_id,) in rows]


def runs_with_steps(connection: Connection) -> list[str]:
    """Give the ids of the runs of which is known in which batch each example was seen, in every counted epoch."""
    rows = connection.execute(
        "SELECT run_id FROM base.runs WHERE run_no IN"
        " (SELECT run_no FROM base.data_map WHERE adjusted_variability IS NOT NULL) ORDER BY run_no"
    ).fetchall()
    return [str(run_id) for (run_id,) in rows]


def read_dynamics(
    connection: Connection, run_no: int, *, with_cut_short: bool = False
) -> tuple[TrainingDynamics, NDArray[np.int64]]:
    """Give a run's dynamics, and the rows of the suite's training split that they speak of.

    :param with_cut_short: keep an only epoch that did not see every example; it passes for a whole one of those that
        it saw.
    :raises RunError: when nothing was recorded yet.
    """
    _, labels = suite_of_run(connection, run_no)
    rows = fetch_table(
        connection,
        "SELECT epoch, position, logits, coalesce(step, -1) AS step FROM base.dynamics WHERE run_no = ?",
        [run_no],
    )
    if rows.num_rows == 0:
        raise RunError("The run has recorded no epoch yet, so there is no data map to show; wait for its first epoch.")
    epoch = rows["epoch"].to_numpy()
    position = rows["position"].to_numpy()
    is_present = np.zeros(int(position.max()) + 1, dtype=bool)
    is_present[position] = True
    positions = np.flatnonzero(is_present)
    row_of = (np.cumsum(is_present) - 1)[position]
    values = rows["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(labels))
    # Scattering into place is faster than having the database sort millions of lists.
    shape = (int(epoch.max()) + 1, len(positions))
    logits = np.zeros((*shape, len(labels)), dtype=np.float32)
    seen = np.zeros(shape, dtype=bool)
    steps = np.full(shape, -1, dtype=np.int64)
    logits[epoch, row_of] = values
    seen[epoch, row_of] = True
    steps[epoch, row_of] = rows["step"].to_numpy()
    # An epoch that was cut short, in a run of which no other epoch saw more, must not pass for a whole one.
    counted = counted_epochs(connection, run_no)
    cut_short = [each for each in range(shape[0]) if each not in counted and seen[each].all()]
    if not with_cut_short:
        seen[cut_short] = False
    ids, gold = read_ids_and_labels(connection, run_no, positions)
    return TrainingDynamics(ids, gold, logits, seen, labels, steps if (steps >= 0).any() else None), positions
