"""From scores to example ids: named strategies, filters, regions of a map, set algebra, and recipes that keep them.

Everything here is pure: a data map (`cartography`) in, ids or masks in file order out. Where subsets are kept is
`store`'s. Nothing is evaluated as code: filters and set expressions are parsed over a whitelist.
"""

from ftft_core.selection.algebra import combine, expression_names
from ftft_core.selection.conditions import (
    CONDITION_KINDS,
    BoxCondition,
    Condition,
    ExcludedCondition,
    IdsCondition,
    LabelCondition,
    PolygonCondition,
    SetCondition,
    TaggedCondition,
    TextCondition,
    ThresholdCondition,
    TopCondition,
    WhereCondition,
)
from ftft_core.selection.context import SelectionContext, at_positions
from ftft_core.selection.filters import Lookups, filter_columns, filter_mask
from ftft_core.selection.masks import (
    apply_recipe,
    check_not_empty,
    condition_mask,
    conditions_mask,
    recipe_mask,
)
from ftft_core.selection.recipes import Recipe, leaving_out_excluded
from ftft_core.selection.regions import box_mask, polygon_mask, threshold_mask
from ftft_core.selection.select import resolve_size, select, select_mask, with_weights
from ftft_core.selection.strategies import PARAMETRIC_STRATEGIES, STRATEGIES, strategy_named
from ftft_core.selection.words import describe_condition, in_words, joined_words

__all__ = [
    "CONDITION_KINDS",
    "PARAMETRIC_STRATEGIES",
    "STRATEGIES",
    "BoxCondition",
    "Condition",
    "ExcludedCondition",
    "IdsCondition",
    "LabelCondition",
    "Lookups",
    "PolygonCondition",
    "Recipe",
    "SelectionContext",
    "SetCondition",
    "TaggedCondition",
    "TextCondition",
    "ThresholdCondition",
    "TopCondition",
    "WhereCondition",
    "apply_recipe",
    "at_positions",
    "box_mask",
    "check_not_empty",
    "combine",
    "condition_mask",
    "conditions_mask",
    "describe_condition",
    "expression_names",
    "filter_columns",
    "filter_mask",
    "in_words",
    "joined_words",
    "leaving_out_excluded",
    "polygon_mask",
    "recipe_mask",
    "resolve_size",
    "select",
    "select_mask",
    "strategy_named",
    "threshold_mask",
    "with_weights",
]
