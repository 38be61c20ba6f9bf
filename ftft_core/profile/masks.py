"""The one check that every part makes of its mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ftft_core.dynamics import BoolArray
from ftft_core.errors import InputError


def checked_mask(mask: npt.ArrayLike, num_examples: int) -> BoolArray:
    """Give the mask as an array.

    :raises InputError: when it is not one bool for each of the map's examples.
    """
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape != (num_examples,):
        raise InputError(
            f"A selection needs one true or false for each of the map's {num_examples:,} examples; received "
            f"{array.dtype} of shape {array.shape}."
        )
    return array
