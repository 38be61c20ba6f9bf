"""Whether a reference has seen enough: its selection no longer changes from epoch to epoch."""

from __future__ import annotations

from ftft_core.cartography import compute_data_map
from ftft_core.dynamics import DynamicsRecorder
from ftft_core.selection import select

FRACTION = 1 / 3
"""Share of the examples whose selection is watched."""

SETTLED_OVERLAP = 0.8
"""Smallest Jaccard overlap with the selection an epoch earlier at which a map counts as settled."""


def map_has_settled(recorder: DynamicsRecorder) -> bool:
    """Compare the ambiguous third by all epochs with that by all but the last one.

    Variability needs two epochs, so the first comparison is after the third.
    """
    dynamics = recorder.dynamics()
    num_epochs = len(dynamics.counted_epochs)
    if num_epochs < 3:
        return False
    now, before = (
        set(select(compute_data_map(dynamics, epochs=epochs), "ambiguous", FRACTION, num_epochs=epochs))
        for epochs in (num_epochs, num_epochs - 1)
    )
    return len(now & before) / len(now | before) >= SETTLED_OVERLAP
