"""From scores to example ids: named strategies, filters, regions of a map, set algebra, and recipes that keep them.

Everything here is pure: a data map (`cartography`) in, ids or masks in file order out. Where subsets are kept is
`store`'s. Nothing is evaluated as code: filters and set expressions are parsed over a whitelist.
"""

from ftft_core.selection.algebra import combine, expression_names
from ftft_core.selection.filters import filter_columns, filter_mask
from ftft_core.selection.recipes import (
    BoxCondition,
    Condition,
    IdsCondition,
    LabelCondition,
    PolygonCondition,
    Recipe,
    SetCondition,
    ThresholdCondition,
    WhereCondition,
    apply_recipe,
    in_words,
)
from ftft_core.selection.regions import box_mask, polygon_mask, threshold_mask
from ftft_core.selection.select import resolve_size, select, with_weights
from ftft_core.selection.strategies import PARAMETRIC_STRATEGIES, STRATEGIES, strategy_named

__all__ = [
    "PARAMETRIC_STRATEGIES",
    "STRATEGIES",
    "BoxCondition",
    "Condition",
    "IdsCondition",
    "LabelCondition",
    "PolygonCondition",
    "Recipe",
    "SetCondition",
    "ThresholdCondition",
    "WhereCondition",
    "apply_recipe",
    "box_mask",
    "combine",
    "expression_names",
    "filter_columns",
    "filter_mask",
    "in_words",
    "polygon_mask",
    "resolve_size",
    "select",
    "strategy_named",
    "threshold_mask",
    "with_weights",
]
