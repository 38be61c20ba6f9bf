"""Whether a reference has seen enough: its selection no longer changes from epoch to epoch."""

from __future__ import annotations

from ftft_core.cartography import compute_data_map
from ftft_core.config import EPOCHS_TO_SETTLE
from ftft_core.dynamics import DynamicsRecorder
from ftft_core.selection import select


def selection_overlap(recorder: DynamicsRecorder, fraction: float) -> float | None:
    """Compare the ambiguous examples by all counted epochs with those by all but the last one.

    :param fraction: share of the examples that is selected.
    :returns: Jaccard overlap in [0, 1], 1 for the same selection; None before the third counted epoch.
    """
    dynamics = recorder.dynamics()
    num_epochs = len(dynamics.counted_epochs)
    if num_epochs < EPOCHS_TO_SETTLE:
        return None
    now, before = (
        set(select(compute_data_map(dynamics, epochs=epochs), "ambiguous", fraction, num_epochs=epochs))
        for epochs in (num_epochs, num_epochs - 1)
    )
    return len(now & before) / len(now | before)
