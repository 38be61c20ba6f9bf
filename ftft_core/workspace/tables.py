"""A run's examples as tables: the map frame, its dynamics, pages of a selection, and selections written to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ftft_core import store
from ftft_core.cartography import DATA_MAP_COLUMNS, gold_probabilities, mean_probabilities
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError, unknown
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import map_frames
from ftft_core.store import runs as run_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.store import tables as table_store
from ftft_core.workspace.base import WorkspaceBase
from ftft_core.workspace.exports import format_of, write_batches

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


@dataclass(frozen=True, eq=False)
class TablePage:
    """Some of the rows that a selection and a search leave."""

    total: int
    """How many they leave in all."""
    rows: pd.DataFrame
    """One row per example of the page: `ROW_COLUMNS`."""


class Tables(WorkspaceBase):
    """Reading what runs recorded, at any size."""

    def map_frame(self, reference: str, *, epochs: int | None = None) -> pd.DataFrame:
        """Give a run's map frame: one row of scores per example in file order, small enough for a million of them.

        :param epochs: only the first this many counted epochs ("map at epoch k"); all of them when left out.
        :returns: `position` (int64, 0-based row of the suite's training split), `example_id`, `label`,
            `predicted_label` and `group` (categoricals; labels in the suite's order; a group that is missing is
            null), and the scores as numbers; a `first_learnt_epoch` that is null is NaN. The attribute
            `attrs["counted_epochs"]` lists the epochs.
        :raises RunError: when no epoch saw every example yet.
        :raises InputError: when fewer than `epochs` epochs did.
        """
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            return map_frames.read_map_frame(connection, run_no, epochs)

    def data_map(self, reference: str, *, epochs: int | None = None) -> pd.DataFrame:
        """Give a run's data map with the column group, in file order; of all counted epochs, or of the first few.

        As `map_frame`, with labels and groups as plain text, `first_learnt_epoch` as whole numbers or null, and
        without positions.

        :raises RunError: when no epoch saw every example yet.
        :raises InputError: when fewer than `epochs` epochs did.
        """
        frame = self.map_frame(reference, epochs=epochs)
        columns = {name: frame[name].array for name in DATA_MAP_COLUMNS}
        columns |= {name: _as_text(frame[name]) for name in ("label", "predicted_label", "group")}
        columns["first_learnt_epoch"] = frame["first_learnt_epoch"].astype("Int64").array
        data_map = pd.DataFrame(columns, copy=False)
        data_map.attrs = dict(frame.attrs)
        return data_map

    def recompute_map_frame(self, reference: str) -> pd.DataFrame:
        """Give `map_frame` computed anew from the stored logits of all counted epochs, instead of its stored scores."""
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            return map_frames.compute_map_frame(connection, run_no, map_frames.first_epochs(connection, run_no))

    def selection_rows(
        self,
        reference: str,
        positions: npt.NDArray[np.int64] | None,
        *,
        order: str | None = None,
        descending: bool = False,
        search: str | None = None,
        regex: bool = False,
        offset: int = 0,
        limit: int = 50,
        order_values: npt.NDArray[np.floating[Any]] | None = None,
    ) -> TablePage:
        """Give a page of the selected examples of a run, with their texts, scores and marks.

        :param positions: rows of the training split (`position` of the map frame); all of the map's when None.
        :param order: a score, `label`, `predicted_label`, `group`, `text_length` or `example_id`; file order when None.
            Labels go in the suite's order. Ties go by file order, nulls come last in both directions.
        :param search: only examples one of whose texts contains this, case ignored.
        :param regex: take `search` as a regular expression (RE2, case ignored).
        :param order_values: (rows of the map frame,) numbers to sort by instead, such as another epoch's score; NaN
            counts as null.
        :raises InputError: for an unknown order, an expression that does not compile, or an offset or limit below 0.
        """
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            query = table_store.RowQuery(run_no, positions, order, descending, search, regex, order_values)
            return TablePage(*table_store.read_page(connection, query, offset=offset, limit=limit))

    def selection_place(
        self,
        reference: str,
        positions: npt.NDArray[np.int64] | None,
        position: int,
        *,
        order: str | None = None,
        descending: bool = False,
        search: str | None = None,
        regex: bool = False,
        order_values: npt.NDArray[np.floating[Any]] | None = None,
    ) -> int | None:
        """Give the 0-based place of one example among those that `selection_rows` pages through.

        :param position: its row of the training split.
        :returns: the place, hence the page `place // limit`; None when it is not among them.
        :raises InputError: as `selection_rows`.
        """
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            query = table_store.RowQuery(run_no, positions, order, descending, search, regex, order_values)
            return table_store.find_place(connection, query, position)

    def export_selection(
        self,
        reference: str,
        positions: npt.NDArray[np.int64] | None,
        path: str | Path,
        *,
        columns: Sequence[str] | None = None,
        file_format: str | None = None,
        on_progress: Progress | None = None,
    ) -> Path:
        """Write the selected examples of a run, in file order, with their texts and scores; give the path.

        Rows are read and written in batches, so that any number of them fits into memory. CSV: everything between
        quotes, null is nothing at all, numbers in full precision. Texts are written as they are, also those that a
        spreadsheet takes for formulas (=, +, -, @).

        :param positions: rows of the training split (`position` of the map frame); all of the map's when None. Those
            that the run's map lacks are left out.
        :param path: ending in .csv, .jsonl or .parquet; without ending, a folder that `datasets.load_from_disk` reads,
            with `label` as a class label in the suite's order; in .zip, that folder zipped. It appears whole or not
            at all. A file that is there is replaced, a folder that is not empty is refused.
        :param columns: out of `ROW_COLUMNS`; ids, texts, labels, groups and scores when left out.
        :param file_format: `csv`, `jsonl`, `parquet` or `datasets`, whatever the path ends in.
        :param on_progress: called with the number of examples written and of all.
        :raises InputError: for an unknown ending, format or column, or a path that can't be written.
        """
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            suite_no, _ = map_frames.suite_of_run(connection, run_no)
            map_frames.first_epochs(connection, run_no)
            held = table_store.map_positions(connection, run_no)
            chosen = held if positions is None else np.intersect1d(positions, held)
            names = columns or table_store.export_columns(connection, suite_no, with_scores=True)
            return _export(
                connection, suite_no, chosen, names, path, file_format, on_progress=on_progress, run_no=run_no
            )

    def export_subset(
        self,
        reference: str,
        path: str | Path,
        *,
        run: str | None = None,
        file_format: str | None = None,
        on_progress: Progress | None = None,
    ) -> Path:
        """Write the examples of a saved subset, in file order, with texts and weights; give the path.

        :param run: add this run's scores; null where its map lacks an example.
        :raises InputError: as `export_selection`, or for a run on another suite.
        """
        with self.database.reading() as connection:
            row = subset_store.read_subset(connection, reference)
            suite_no = suite_store.find_suite(connection, row["suite"])
            run_no = None
            if run is not None:
                run_no, _ = run_store.find_run(connection, run)
                map_frames.first_epochs(connection, run_no)
                if map_frames.suite_of_run(connection, run_no)[0] != suite_no:
                    raise InputError(f"Run '{run}' is not a run on '{row['suite']}', the suite of this subset.")
            members = subset_store.read_subset_examples(connection, reference)
            names = [*table_store.export_columns(connection, suite_no, with_scores=run is not None), "weight"]
            return _export(
                connection, suite_no, members["position"].to_numpy(), names, path, file_format,
                on_progress=on_progress, run_no=run_no, weights=members["weight"].to_numpy(),
            )  # fmt: skip

    def mean_probabilities(self, reference: str, *, epochs: int | None = None) -> npt.NDArray[np.float32]:
        """Give the mean over the counted epochs of each class's probability, in the rows of `map_frame`.

        :param epochs: only the first this many counted epochs; all of them when left out.
        :returns: (N, classes), classes in the suite's order.
        :raises RunError: when no epoch saw every example yet.
        :raises InputError: when fewer than `epochs` epochs did.
        """
        return mean_probabilities(self._logits(reference, epochs).logits)

    def gold_probabilities(self, reference: str) -> tuple[tuple[int, ...], npt.NDArray[np.float32]]:
        """Give the counted epochs, and the gold label's probability at each of them, in the rows of `map_frame`.

        :returns: the epochs' 0-based numbers, and (epochs, N).
        :raises RunError: when no epoch saw every example yet.
        """
        read = self._logits(reference, None)
        return read.epochs, gold_probabilities(read.logits, read.labels)

    def _logits(self, reference: str, epochs: int | None) -> map_frames.EpochLogits:
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            return map_frames.read_logits(connection, run_no, map_frames.first_epochs(connection, run_no, epochs))

    def dynamics(self, reference: str) -> TrainingDynamics:
        """Give the dynamics of a run; of its subset, if it was trained on one."""
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            return dynamics_store.read_dynamics(connection, run_no)[0]


def _as_text(column: pd.Series) -> pd.api.extensions.ExtensionArray:
    codes = pa.array(column.cat.codes.to_numpy(), mask=(column.cat.codes < 0).to_numpy())
    names = pa.array(column.cat.categories.tolist(), pa.string())
    return pd.array(pa.DictionaryArray.from_arrays(codes, names).dictionary_decode(), dtype="str")


def _export(
    connection: store.Connection,
    suite_no: int,
    positions: npt.NDArray[np.int64],
    columns: Sequence[str],
    path: str | Path,
    file_format: str | None,
    *,
    on_progress: Progress | None,
    **sources: Any,
) -> Path:
    path = Path(path).expanduser()
    kind = format_of(path, file_format)
    known = [*table_store.ROW_COLUMNS, *(["weight"] if "weights" in sources else [])]
    problems = [unknown("column", name, known) for name in columns if name not in known]
    if problems:
        raise InputError("These columns can't be exported.", problems)
    batches = table_store.read_batches(connection, suite_no, positions, columns, as_json=kind == "jsonl", **sources)
    labels = map_frames.suite_labels(connection, suite_no)
    write_batches(path, kind, _told(batches, len(positions), on_progress), labels=labels)
    return path


def _told(batches: Iterable[pa.Table], total: int, on_progress: Progress | None) -> Iterator[pa.Table]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_rows
        if on_progress is not None:
            on_progress(done, total)
