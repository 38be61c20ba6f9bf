"""From what is chosen on a run's map to the examples that it takes.

Owns when a selection is computed anew and what is left out of it without being asked; who belongs to it is
`selection`'s, over all examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.errors import FTFTError
from ftft_core.selection import Condition, Recipe, leaving_out_excluded
from ftft_core.ui import map_reads as reads
from ftft_core.ui.view import Choice

LOOKS_BEYOND_THE_MAP = frozenset({"set", "tagged", "excluded", "where"})
"""Kinds of condition whose examples may change while the map stays the same."""


@dataclass(frozen=True)
class Selection:
    """What is selected now."""

    choice: Choice
    recipe: Recipe | None
    """None when nothing is selected, or when the choice is no recipe."""
    mask: npt.NDArray[np.bool_]
    """(examples,) membership, in the map's order."""
    failure: FTFTError | None
    """Why the choice takes nothing, if it does."""
    leaves_out_excluded: bool
    """Whether examples that somebody excluded from training are left out."""

    @cached_property
    def count(self) -> int:
        """Number of examples selected."""
        return int(np.count_nonzero(self.mask))

    @property
    def is_made(self) -> bool:
        """Whether something is chosen that can be answered, be it with no example at all."""
        return not self.choice.is_empty and self.failure is None


def current_selection(run: dict[str, Any], data_map: pd.DataFrame, epochs: int | None, choice: Choice) -> Selection:
    """Return what a choice selects among all examples of a run's map.

    Examples that are excluded from training are left out, unless the choice speaks of them itself.

    :param epochs: of the map, None for all.
    """
    nothing = np.zeros(len(data_map), dtype=bool)
    if choice.is_empty:
        return Selection(choice, None, nothing, None, False)
    has_excluded = reads.num_excluded(str(run["suite"])) > 0
    leaves_out = False
    try:
        asked = choice.recipe(str(run["run_id"]), epochs)
        recipe = leaving_out_excluded(asked) if has_excluded else asked
        leaves_out = recipe is not asked
        mask = reads.selection_mask(run, recipe, data_map, is_lasting=not _looks_beyond(choice) and not leaves_out)
    except FTFTError as failure:
        return Selection(choice, None, nothing, failure, leaves_out)
    return Selection(choice, recipe, mask, None, leaves_out)


def check_condition(run: dict[str, Any], data_map: pd.DataFrame, epochs: int | None, condition: Condition) -> None:
    """Raise what is wrong with a condition that is about to be chosen.

    :raises FTFTError: when it could not be answered.
    """
    recipe = Choice().added(condition).recipe(str(run["run_id"]), epochs)
    reads.selection_mask(run, recipe, data_map, is_lasting=False)


def _looks_beyond(choice: Choice) -> bool:
    return any(condition.kind in LOOKS_BEYOND_THE_MAP for condition in choice.conditions)
