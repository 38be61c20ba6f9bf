"""What a run's method takes from its reference, fixed when the run is queued.

`GUIDES` maps the name of a method to a function that reads it from the reference. The table that it makes goes with the
run's folder, so that training opens no database, and a run that is resumed sees the same whatever became of the
reference since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ftft_core.config import RunConfig
from ftft_core.errors import FingerprintError, InputError, RunError
from ftft_core.metrics import log_softmax
from ftft_core.run_folder import RunFolder
from ftft_core.store import Connection, map_frames
from ftft_core.store import runs as run_store
from ftft_core.store import suites as suite_store


@dataclass(frozen=True)
class Guide:
    """What a method takes from a reference, and what the reference did for this method alone."""

    columns: dict[str, pa.Array]
    """By example, in the order of `positions`. A `weight` is that of the loss; the rest is up to the method."""
    positions: NDArray[np.int64]
    """(n,) ascending rows of the suite's training split that the reference knows."""
    flops: float = 0.0
    seconds: float = 0.0

    @property
    def table(self) -> pa.Table:
        """Position and columns, as the run's folder keeps them."""
        return pa.table({"position": pa.array(self.positions, pa.int64()), **self.columns})


@dataclass(frozen=True)
class Reference:
    """A finished run that is to guide another."""

    connection: Connection
    run_no: int
    name: str
    folder: RunFolder


def error_weights(reference: Reference, config: RunConfig) -> Guide:
    """Give what the reference got wrong after its first epoch the weight `error_weight`, and all else the weight 1.

    Liu et al. 2021 (JTT) put as many copies of these examples into the training set. A weight in the loss has the same
    gradient within a batch and nearly the same over many, and leaves an epoch as long as it was.
    """
    table = pq.read_table(reference.folder.errors)
    cost = table.schema.metadata
    assert config.error_weight is not None
    weights = np.where(table["is_error"].to_numpy(), config.error_weight, 1.0)
    columns = {"weight": pa.array(weights, pa.float32())}
    return Guide(columns, table["position"].to_numpy(), float(cost[b"flops"]), float(cost[b"seconds"]))


def log_probabilities(reference: Reference, _: RunConfig) -> Guide:
    """Give the log-probabilities (n, C) of the reference's last epoch that counts, as it gave them while it trained.

    :raises RunError: when none does.
    """
    last = map_frames.first_epochs(reference.connection, reference.run_no)[-1]
    read = map_frames.read_logits(reference.connection, reference.run_no, [last])
    values = log_softmax(read.logits[0]).astype(np.float32)
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    lists = pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))
    return Guide({"log_probabilities": lists}, read.positions)


def confidences(reference: Reference, _: RunConfig) -> Guide:
    """Give the confidence of the reference's data map, in [0, 1]; high is easy.

    :raises RunError: when it has none.
    """
    frame = map_frames.read_map_frame(reference.connection, reference.run_no, None)
    return Guide({"confidence": pa.array(frame["confidence"], pa.float32())}, frame["position"].to_numpy())


GUIDES: dict[str, Callable[[Reference, RunConfig], Guide]] = {
    "jtt": error_weights,
    "poe": log_probabilities,
    "curriculum": confidences,
}


def make_guide(
    connection: Connection,
    config: RunConfig,
    *,
    folder_of: Callable[[str], RunFolder],
    positions: NDArray[np.int64] | None,
    fingerprint: str,
) -> Guide | None:
    """Give what a run's method takes from its reference; None for a method that takes no more than a subset.

    :param folder_of: gives the folder of the run with this id.
    :param positions: rows of the suite's training split that the run is to train on; all of them when None.
    :param fingerprint: that of the suite's training split.
    :raises FTFTError: as `check_guide` does.
    """
    if config.method not in GUIDES:
        return None
    check_guide(connection, config, folder_of=folder_of, positions=positions, fingerprint=fingerprint)
    assert config.reference is not None
    run_no, run_id = run_store.find_run(connection, config.reference)
    name = run_store.read_run(connection, run_id)["name"]
    return GUIDES[config.method](Reference(connection, run_no, name, folder_of(run_id)), config)


def check_guide(
    connection: Connection,
    config: RunConfig,
    *,
    folder_of: Callable[[str], RunFolder],
    positions: NDArray[np.int64] | None,
    fingerprint: str,
) -> None:
    """See whether a run's reference can guide it, without reading what it learnt; for parameters see `make_guide`.

    :raises RunError: when the reference has not finished, or lacks what the method needs.
    :raises FingerprintError: when the reference was trained on data that the suite no longer holds.
    :raises InputError: when the reference does not know all the examples.
    """
    if config.method not in GUIDES or config.reference is None:
        return
    run = run_store.read_run(connection, config.reference)
    if run["status"] != "finished":
        raise RunError(
            f"Reference '{run['name']}' is {run['status']}; method {config.method} needs all that it learns, so wait "
            "until it has finished."
        )
    run_no, run_id = run_store.find_run(connection, config.reference)
    if run["training_fingerprint"] != fingerprint:
        raise FingerprintError(
            f"Reference '{run['name']}' was trained on other data than suite '{config.suite}' holds now; train a "
            "reference on it."
        )
    if config.method == "jtt":
        known = _error_positions(folder_of(run_id), run["name"])
    else:
        last = map_frames.first_epochs(connection, run_no)[-1]
        known = map_frames.read_positions(connection, run_no, last)
    if positions is None:
        splits = suite_store.list_splits(connection, config.suite).set_index("role")
        positions = np.arange(int(splits.loc["train", "num_examples"]))
    num_unknown = int((~np.isin(positions, known)).sum())
    if num_unknown:
        raise InputError(
            f"Reference '{run['name']}' was not trained on {num_unknown:,} of the {len(positions):,} examples of this "
            f"run, so method {config.method} can't be guided by it; choose a reference that was trained on all of them."
        )


def _error_positions(folder: RunFolder, name: str) -> NDArray[np.int64]:
    if not folder.errors.exists():
        raise RunError(
            f"Run '{name}' did not find out which training examples it gets wrong after its first epoch, "
            "which method jtt is about; train a reference with --error-pass true."
        )
    return np.asarray(pq.read_table(folder.errors, columns=["position"])["position"].to_numpy(), dtype=np.int64)
