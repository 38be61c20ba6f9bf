"""A run's examples as tables: the map frame, its dynamics, pages of a selection, and selections written to files."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from ftft_core.cartography import DATA_MAP_COLUMNS
from ftft_core.dynamics import TrainingDynamics
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import map_frames
from ftft_core.store import runs as run_store
from ftft_core.workspace.base import WorkspaceBase


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

    def dynamics(self, reference: str) -> TrainingDynamics:
        """Give the dynamics of a run; of its subset, if it was trained on one."""
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            return dynamics_store.read_dynamics(connection, run_no)[0]


def _as_text(column: pd.Series) -> pd.api.extensions.ExtensionArray:
    codes = pa.array(column.cat.codes.to_numpy(), mask=(column.cat.codes < 0).to_numpy())
    names = pa.array(column.cat.categories.tolist(), pa.string())
    return pd.array(pa.DictionaryArray.from_arrays(codes, names).dictionary_decode(), dtype="str")
