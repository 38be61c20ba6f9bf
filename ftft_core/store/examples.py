"""What a run said of one example, epoch by epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ftft_core.errors import NotFoundError
from ftft_core.metrics import softmax
from ftft_core.store.connection import Connection
from ftft_core.store.rows import fetch_first


def read_class_probabilities(connection: Connection, run_no: int, example_id: str) -> pd.DataFrame:
    """Give epoch, label and probability of one training example: every class at every epoch that saw it.

    :raises NotFoundError: when the suite of the run has no such training example.
    """
    found = fetch_first(
        connection,
        "SELECT e.position, s.labels FROM base.runs r JOIN base.suites s USING (suite_no) JOIN base.examples e"
        " ON e.suite_no = r.suite_no AND e.split = 'train' AND e.example_id = ? WHERE r.run_no = ?",
        [example_id, run_no],
    )
    if found is None:
        raise NotFoundError(f"The training split has no example '{example_id}'; `ftft map` lists those that it has.")
    position, labels = found
    rows = connection.execute(
        "SELECT epoch, logits FROM base.dynamics WHERE run_no = ? AND position = ? ORDER BY epoch", [run_no, position]
    ).fetchall()
    if not rows:
        return pd.DataFrame({"epoch": [], "label": [], "probability": []})
    logits = np.array([values for _, values in rows], dtype=np.float64)  # (epochs, classes)
    probabilities = softmax(logits)
    return pd.DataFrame(
        {
            "epoch": np.repeat([epoch for epoch, _ in rows], len(labels)),
            "label": list(labels) * len(rows),
            "probability": probabilities.reshape(-1),
        }
    )
