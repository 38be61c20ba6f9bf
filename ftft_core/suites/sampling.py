"""Which examples of a test split are looked at while a run trains.

Owns the choice, which everyone who reads the scores of such a look has to know.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SNAPSHOT_EXAMPLES = 256
"""Examples of each test split that a snapshot looks at, at most; the same ones every time."""


def snapshot_rows(num_examples: int, most: int = SNAPSHOT_EXAMPLES) -> NDArray[np.int64]:
    """Rows of a split that a snapshot looks at, ascending: at most `most` of them, drawn once for all."""
    return np.sort(np.random.default_rng(0).permutation(num_examples)[:most])
