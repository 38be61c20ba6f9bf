"""What one can learn about one training example of a run."""

from __future__ import annotations

import pandas as pd

from ftft_core.store import examples as example_store
from ftft_core.store import runs as run_store
from ftft_core.workspace.base import WorkspaceBase


class Examples(WorkspaceBase):
    """Looking at single examples."""

    def class_probabilities(self, reference: str, example_id: str) -> pd.DataFrame:
        """Give epoch (0-based), label and probability: every class at every epoch of a run that saw the example.

        :raises NotFoundError: when the run's suite has no such training example.
        """
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            return example_store.read_class_probabilities(connection, run_no, example_id)
