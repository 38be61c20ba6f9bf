"""What conditions look things up in: the map they are asked of, other maps, subsets, texts and marks.

Masks are numpy bools in the row order of the context's map. Rows of two maps of one suite are matched by `position`,
the row of the suite's training split, where both have it, and by `example_id` else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ftft_core.dynamics import BoolArray, IdArray, IntArray
from ftft_core.errors import InputError, NotFoundError, unknown
from ftft_core.selection.conditions import TEXT_COLUMNS, TextCondition
from ftft_core.selection.patterns import find_in


def _no_map(run: str) -> pd.DataFrame:
    raise InputError(f"A condition is asked on the map of run '{run}', which is not at hand; ask a workspace for it.")


def _no_subset(subset: str) -> BoolArray:
    raise NotFoundError(unknown("subset", subset, []))


def _no_tags(tag: str) -> BoolArray:
    raise InputError(f"Examples tagged '{tag}' are asked for; tags are kept in a workspace, ask there.")


def _no_marks() -> BoolArray:
    raise InputError("Examples excluded from training are asked for; marks are kept in a workspace, ask there.")


@dataclass(frozen=True, eq=False)
class SelectionContext:
    """A map, and what else conditions may ask for; what is left out is told in an error once it is needed."""

    data_map: pd.DataFrame
    """One row per example, with `example_id`; the scores and columns that conditions name."""

    map_of: Callable[[str], pd.DataFrame] = _no_map
    """Run id -> the map of another run of the suite, in its own rows."""

    subset_mask: Callable[[str], BoolArray] = _no_subset
    """Subset id -> (N,) its members."""

    search: Callable[[TextCondition], BoolArray] = field(default=None)  # type: ignore[assignment]
    """(N,) examples whose texts match; over the columns text and text_pair of the map when left out."""

    tagged: Callable[[str], BoolArray] = _no_tags
    """Tag -> (N,) examples that carry it."""

    excluded: Callable[[], BoolArray] = _no_marks
    """(N,) examples that are excluded from training."""

    def __post_init__(self) -> None:
        if self.search is None:
            object.__setattr__(self, "search", self._search_columns)

    def _search_columns(self, condition: TextCondition) -> BoolArray:
        asked = TEXT_COLUMNS if condition.column == "either" else (condition.column,)
        there = [name for name in asked if name in self.data_map.columns]
        if not there:
            raise InputError(
                "Texts are searched, but this map has none; ask a workspace, or give the map the columns text and "
                "text_pair."
            )
        masks = [find_in(self.data_map[name], condition.pattern, regex=condition.regex) for name in there]
        return np.asarray(np.logical_or.reduce(masks), dtype=np.bool_)


def aligned(mask: BoolArray, held: pd.DataFrame, asked: pd.DataFrame) -> BoolArray:
    """Give a mask over the rows of one map as one over another's; examples that the first lacks are out."""
    if held is asked:
        return mask
    if "position" in held.columns and "position" in asked.columns:
        return at_positions(held["position"].to_numpy()[mask], asked)
    rows = pd.Index(held["example_id"]).get_indexer(pd.Index(asked["example_id"]))
    found: BoolArray = rows >= 0
    found[found] = mask[rows[found]]
    return found


def at_positions(positions: IntArray, asked: pd.DataFrame) -> BoolArray:
    """(N,) true for the rows of a map whose `position` is among some rows of the training split."""
    places = asked["position"].to_numpy()
    is_taken = np.zeros(max(places.max(initial=-1), positions.max(initial=-1)) + 1, dtype=bool)
    is_taken[positions] = True
    return is_taken[places]


def listed(example_ids: Sequence[str] | IdArray, data_map: pd.DataFrame) -> BoolArray:
    """(N,) true for the examples of a list.

    :raises NotFoundError: if the map lacks one of them.
    """
    mask = np.asarray(data_map["example_id"].isin(list(example_ids)).to_numpy(dtype=bool))
    if int(mask.sum()) < len(set(example_ids)):
        missing = pd.Index(example_ids).unique().difference(pd.Index(data_map["example_id"]), sort=False)
        shown = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise NotFoundError(f"{len(missing)} of {len(example_ids)} listed examples are not in the map: {shown}.")
    return mask


def maps_by_id(maps: Mapping[str, pd.DataFrame]) -> Callable[[str], pd.DataFrame]:
    """Look other runs' maps up in a mapping of their ids."""

    def map_of(run: str) -> pd.DataFrame:
        if run not in maps:
            raise NotFoundError(unknown("map of a run", run, maps))
        return maps[run]

    return map_of if maps else _no_map


def subsets_by_id(subsets: Mapping[str, Sequence[str] | IdArray], data_map: pd.DataFrame) -> Callable[[str], BoolArray]:
    """Look subsets up in a mapping of their ids to the ids of their examples."""

    def subset_mask(subset: str) -> BoolArray:
        if subset not in subsets:
            raise NotFoundError(unknown("subset", subset, subsets))
        members = subsets[subset]
        mask = np.asarray(data_map["example_id"].isin(list(members)).to_numpy(dtype=bool))
        if int(mask.sum()) < len(set(members)):
            raise InputError(
                f"Subset '{subset}' has {len(set(members)) - int(mask.sum())} ids that the map lacks: it belongs to "
                "another suite. Combine subsets of one suite."
            )
        return mask

    return subset_mask
