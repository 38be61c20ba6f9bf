"""A run's examples as tables: the map frame, its dynamics, pages of a selection, and selections written to files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ftft_core.cartography import DATA_MAP_COLUMNS, gold_probabilities, mean_probabilities
from ftft_core.dynamics import TrainingDynamics
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import map_frames
from ftft_core.store import runs as run_store
from ftft_core.store import tables as table_store
from ftft_core.workspace.base import WorkspaceBase


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
