"""From conditions and recipes to masks over a map: vectorised, and without a Python object for an example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.cartography import SCORES
from ftft_core.dynamics import BoolArray, IdArray
from ftft_core.errors import InputError, NotFoundError, unknown
from ftft_core.selection.algebra import combine_masks, expression_names
from ftft_core.selection.conditions import Condition, TextCondition
from ftft_core.selection.context import SelectionContext, aligned, listed, maps_by_id, subsets_by_id
from ftft_core.selection.filters import Lookups, filter_mask
from ftft_core.selection.recipes import Recipe
from ftft_core.selection.regions import box_mask, polygon_mask, threshold_mask
from ftft_core.selection.select import select_mask
from ftft_core.selection.strategies import score_values
from ftft_core.selection.words import in_words

_NO_SCORE = "correct_epochs"
"""The one number of a map beside the scores that conditions may ask for."""


def recipe_mask(recipe: Recipe, context: SelectionContext, *, num_epochs: int | None = None) -> BoolArray:
    """(N,) examples that a recipe takes, in the rows of the context's map; there may be none.

    Conditions are joined strictly from left to right, then the strategy takes its share of what they leave.

    :param context: with the map of the recipe's run at its `epochs`.
    :param num_epochs: number of counted epochs behind the map; else read from its `attrs`.
    :raises InputError: if a condition or the strategy does not fit this map.
    """
    mask = conditions_mask(recipe.conditions, context)
    if recipe.strategy is None or not mask.any():
        return mask
    return select_mask(
        context.data_map,
        recipe.strategy,
        recipe.fraction,
        balance=recipe.balance,
        quotas=recipe.quotas,
        seed=recipe.seed,
        among=mask if recipe.conditions else None,
        num_epochs=num_epochs,
    )


def apply_recipe(
    recipe: Recipe,
    data_map: pd.DataFrame,
    *,
    num_epochs: int | None = None,
    subsets: Mapping[str, Sequence[str] | IdArray] | None = None,
    maps: Mapping[str, pd.DataFrame] | None = None,
) -> IdArray:
    """Make a subset from its recipe; the same recipe and map give the same ids.

    :param data_map: the source run's map at the recipe's `epochs`; where a filter searches text, with its columns.
    :param num_epochs: number of counted epochs behind the map; else read from `data_map.attrs`.
    :param subsets: ids of the subsets that set conditions name, by subset id (or by their name in the expression).
    :param maps: maps of the other runs that conditions name, by run id.
    :returns: example ids in file order, at least one.
    :raises InputError: if a condition does not fit this map, or nothing is left.
    """
    known = dict(subsets or {})
    for condition in recipe.conditions:
        for name, subset in getattr(condition, "operands", {}).items():
            if subset not in known and name in known:
                known[subset] = known[name]
    context = SelectionContext(data_map, map_of=maps_by_id(maps or {}), subset_mask=subsets_by_id(known, data_map))
    mask = recipe_mask(recipe, context, num_epochs=num_epochs)
    check_not_empty(recipe, mask)
    return np.asarray(data_map["example_id"].array[mask], dtype=object)


def check_not_empty(recipe: Recipe, mask: BoolArray) -> None:
    """Refuse a recipe that takes nothing.

    :raises InputError: saying what the recipe asks for.
    """
    if not mask.any():
        raise InputError(
            f"The recipe leaves none of {len(mask)} examples: {in_words(recipe)}. Loosen one of its conditions."
        )


def conditions_mask(conditions: tuple[Condition, ...], context: SelectionContext) -> BoolArray:
    """(N,) examples that conditions leave together; all of them where there is no condition."""
    joined = np.ones(len(context.data_map), dtype=bool)
    for number, condition in enumerate(conditions):
        mask = condition_mask(condition, context)
        if number == 0:
            joined = mask.copy()
        elif condition.join == "and":
            joined &= mask
        else:
            joined |= mask
    return joined


def condition_mask(condition: Condition, context: SelectionContext) -> BoolArray:
    """(N,) examples that one condition takes by itself, `negated` heeded, in the rows of the context's map.

    :raises InputError: if it does not fit the map, or asks for what the context can't give.
    """
    run = getattr(condition, "run", None)
    if run is None:
        mask = _MASKS[condition.kind](condition, context)
    else:
        other = _elsewhere(context, context.map_of(run))
        mask = aligned(_MASKS[condition.kind](condition, other), other.data_map, context.data_map)
    return ~mask if condition.negated else mask


def _elsewhere(context: SelectionContext, other: pd.DataFrame) -> SelectionContext:
    """The same context, seen from the rows of another run's map."""
    here = context.data_map
    return SelectionContext(
        other,
        map_of=context.map_of,
        subset_mask=lambda subset: aligned(context.subset_mask(subset), here, other),
        search=lambda condition: aligned(context.search(condition), here, other),
        tagged=lambda tag: aligned(context.tagged(tag), here, other),
        excluded=lambda: aligned(context.excluded(), here, other),
    )


def _score(name: str, data_map: pd.DataFrame) -> Any:
    if name not in SCORES and name != _NO_SCORE:
        raise InputError(unknown("score", name, SCORES))
    return score_values(data_map, name)


def _polygon(condition: Any, context: SelectionContext) -> BoolArray:
    x, y = _score(condition.x, context.data_map), _score(condition.y, context.data_map)
    return polygon_mask(x, y, condition.points)


def _box(condition: Any, context: SelectionContext) -> BoolArray:
    x, y = _score(condition.x, context.data_map), _score(condition.y, context.data_map)
    return box_mask(x, y, condition.x_range, condition.y_range)


def _threshold(condition: Any, context: SelectionContext) -> BoolArray:
    return threshold_mask(_score(condition.score, context.data_map), low=condition.low, high=condition.high)


def _labels(condition: Any, context: SelectionContext) -> BoolArray:
    data_map, word = context.data_map, "group" if condition.column == "group" else "label"
    if condition.column not in data_map.columns:
        raise InputError(unknown("column", condition.column, data_map.columns))
    column = data_map[condition.column]
    known = _values(column)
    if condition.column == "predicted_label":
        # A label that is never predicted is still a label.
        known += [label for label in _values(data_map["label"]) if label not in known]
    missing = [label for label in condition.labels if label not in known]
    if missing:
        raise InputError(f"The recipe names unknown {word}s.", [unknown(word, label, known) for label in missing])
    if isinstance(column.dtype, pd.CategoricalDtype):
        taken = np.append(column.cat.categories.isin(condition.labels), False)  # The last for null, whose code is -1.
        return np.asarray(taken[column.cat.codes.to_numpy()], dtype=np.bool_)
    return np.asarray(column.isin(condition.labels).to_numpy(dtype=bool))


def _values(column: pd.Series) -> list[str]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [str(value) for value in column.cat.categories]
    return [str(value) for value in column.dropna().unique()]


def _where(condition: Any, context: SelectionContext) -> BoolArray:
    def search(column: str, pattern: str, regex: bool) -> BoolArray:
        # Not validated: a text that is compared whole may be longer than what a person may search for.
        return context.search(TextCondition.model_construct(pattern=pattern, regex=regex, column=column))

    return filter_mask(context.data_map, condition.expression, Lookups(search, context.tagged, context.excluded))


def _top(condition: Any, context: SelectionContext) -> BoolArray:
    return select_mask(
        context.data_map, condition.strategy, condition.fraction, balance=condition.balance, seed=condition.seed
    )


def _set(condition: Any, context: SelectionContext) -> BoolArray:
    masks, problems = {}, []
    for name in expression_names(condition.expression):
        try:
            masks[name] = context.subset_mask(condition.operands.get(name, name))
        except NotFoundError as failure:
            problems.append(failure.message)
    if problems:
        raise NotFoundError(f'"{condition.expression}" names subsets that do not exist.', problems)
    return combine_masks(condition.expression, masks)


_MASKS: dict[str, Callable[[Any, SelectionContext], BoolArray]] = {
    "polygon": _polygon,
    "box": _box,
    "threshold": _threshold,
    "labels": _labels,
    "where": _where,
    "text": lambda condition, context: context.search(condition),
    "top": _top,
    "ids": lambda condition, context: listed(condition.example_ids, context.data_map),
    "set": _set,
    "tagged": lambda condition, context: context.tagged(condition.tag),
    "excluded": lambda condition, context: context.excluded(),
}
