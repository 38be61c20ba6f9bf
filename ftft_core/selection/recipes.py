"""Recipes: what made a subset, kept so that it can be made again.

A recipe names the run whose map it looks at, any number of conditions that all must hold (a polygon, a box,
thresholds, labels, a filter, a hand-made list, set algebra over other subsets), and then, if wanted, a strategy with
a fraction of what the conditions leave. Parameters are values, not references to code; other subsets are named in
`operands` by the id they had when the recipe was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from ftft_core.cartography import SCORES
from ftft_core.config import Config
from ftft_core.dynamics import BoolArray, IdArray
from ftft_core.errors import InputError, NotFoundError, one_of, unknown
from ftft_core.selection.algebra import combine, expression_names
from ftft_core.selection.filters import filter_mask
from ftft_core.selection.regions import box_mask, polygon_mask, threshold_mask
from ftft_core.selection.select import select
from ftft_core.selection.strategies import score_values, strategy_named

Point = tuple[float, float]


class PolygonCondition(Config):
    """Inside a polygon drawn on two scores, its edge included."""

    kind: Literal["polygon"] = "polygon"
    """Which condition this is."""

    x: str
    """Score on the horizontal axis."""

    y: str
    """Score on the vertical axis."""

    points: tuple[Point, ...] = Field(min_length=3)
    """Corners, in the scores' own units."""


class BoxCondition(Config):
    """Inside a box drawn on two scores, its edge included."""

    kind: Literal["box"] = "box"
    """Which condition this is."""

    x: str
    """Score on the horizontal axis."""

    y: str
    """Score on the vertical axis."""

    x_range: Point
    """Its two ends on the horizontal axis."""

    y_range: Point
    """Its two ends on the vertical axis."""


class ThresholdCondition(Config):
    """A score between two bounds, both included."""

    kind: Literal["threshold"] = "threshold"
    """Which condition this is."""

    score: str
    """The score."""

    low: float | None = None
    """Smallest value; unbounded when null."""

    high: float | None = None
    """Largest value; unbounded when null."""


class LabelCondition(Config):
    """A gold label out of a list."""

    kind: Literal["labels"] = "labels"
    """Which condition this is."""

    labels: tuple[str, ...] = Field(min_length=1)
    """The labels that are kept."""


class WhereCondition(Config):
    """A filter as a person types it."""

    kind: Literal["where"] = "where"
    """Which condition this is."""

    expression: str = Field(min_length=1)
    """Such as `confidence < 0.4 and label == "hate"`."""


class IdsCondition(Config):
    """A list made by hand."""

    kind: Literal["ids"] = "ids"
    """Which condition this is."""

    example_ids: tuple[str, ...] = Field(min_length=1)
    """The examples that are kept."""


class SetCondition(Config):
    """Set algebra over saved subsets."""

    kind: Literal["set"] = "set"
    """Which condition this is."""

    expression: str = Field(min_length=1)
    """Such as `A & B - C`, over the names in `operands`."""

    operands: dict[str, str]
    """Name in the expression -> id of the subset."""


Condition = Annotated[
    PolygonCondition
    | BoxCondition
    | ThresholdCondition
    | LabelCondition
    | WhereCondition
    | IdsCondition
    | SetCondition,
    Field(discriminator="kind"),
]


class Recipe(Config):
    """What made a subset: conditions that all must hold, then a strategy over what they leave."""

    source_run: str | None = None
    """Id of the run whose map was looked at; null where no score is used."""

    epochs: int | None = Field(default=None, ge=1)
    """Only the first this many counted epochs of that run made the map; all when null."""

    conditions: tuple[Condition, ...] = ()
    """All of them must hold."""

    strategy: str | None = None
    """A named strategy, or `top:SCORE` and its like; everything the conditions leave when null."""

    fraction: float | None = Field(default=None, gt=0, le=1)
    """Share that the strategy takes of what the conditions leave."""

    quotas: dict[str, int] | None = None
    """Examples that the strategy takes of each label, instead of a fraction."""

    balance: Literal["class"] | None = None
    """`class` takes the same share from each label."""

    seed: int = Field(default=0, ge=0)
    """Seed of the strategies that draw."""

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.strategy is None and (self.fraction is not None or self.quotas is not None or self.balance is not None):
            raise ValueError("fraction, quotas and balance need a strategy")
        if self.strategy is None and not self.conditions:
            raise ValueError("a recipe needs a strategy or at least one condition; received neither")
        if self.strategy is not None:
            try:
                strategy_named(self.strategy)
            except InputError as failure:
                raise ValueError(failure.message) from None
            if (self.fraction is None) == (self.quotas is None):
                raise ValueError("a strategy needs either a fraction or quotas")
        return self


def apply_recipe(
    recipe: Recipe,
    data_map: pd.DataFrame,
    *,
    num_epochs: int | None = None,
    subsets: Mapping[str, Sequence[str] | IdArray] | None = None,
) -> IdArray:
    """Make a subset from its recipe; the same recipe and map give the same ids.

    :param data_map: the source run's map at the recipe's `epochs`; where a filter searches text, with its columns.
    :param num_epochs: number of counted epochs behind the map; else read from `data_map.attrs`.
    :param subsets: ids of the subsets that set conditions name, by subset id (or by their name in the expression).
    :returns: example ids in file order, at least one.
    :raises InputError: if a condition does not fit this map, or nothing is left.
    """
    mask = np.ones(len(data_map), dtype=bool)
    for condition in recipe.conditions:
        mask &= _MASKS[condition.kind](condition, data_map, subsets or {})
    if not mask.any():
        raise InputError(
            f"The recipe leaves none of {len(data_map)} examples: {in_words(recipe)}. Loosen one of its conditions."
        )
    remaining = data_map.loc[mask]
    if recipe.strategy is None:
        return np.asarray(remaining["example_id"].to_numpy(dtype=object), dtype=object)
    return select(
        remaining,
        recipe.strategy,
        recipe.fraction,
        balance=recipe.balance,
        quotas=recipe.quotas,
        seed=recipe.seed,
        num_epochs=num_epochs,
    )


def in_words(recipe: Recipe, *, run_name: str | None = None) -> str:
    """Say in a line what a recipe takes, such as `ambiguous 33 % of run r1, where confidence < 0.4`."""
    parts = []
    if recipe.strategy is not None:
        if recipe.fraction is not None:
            parts.append(f"{recipe.strategy} {100 * recipe.fraction:.4g} %")
        else:
            quotas = ", ".join(f"{count} {label}" for label, count in (recipe.quotas or {}).items())
            parts.append(f"{recipe.strategy} ({quotas})")
        if recipe.balance is not None:
            parts.append("of each label")
        if recipe.strategy == "random" or recipe.strategy.startswith("stratified"):
            parts.append(f"(seed {recipe.seed})")
    else:
        parts.append("all")
    run = run_name or recipe.source_run
    if run is not None:
        parts.append(f"of run {run}" + (f" at epoch {recipe.epochs}" if recipe.epochs is not None else ""))
    said = " and ".join(_WORDS[condition.kind](condition) for condition in recipe.conditions)
    return " ".join(parts) + (f", {said}" if said else "")


def _axes(condition: PolygonCondition | BoxCondition, data_map: pd.DataFrame) -> tuple[Any, Any]:
    return _score(condition.x, data_map), _score(condition.y, data_map)


def _score(name: str, data_map: pd.DataFrame) -> Any:
    if name not in SCORES and name not in ("correct_epochs",):
        raise InputError(unknown("score", name, SCORES))
    return score_values(data_map, name)


def _polygon(condition: PolygonCondition, data_map: pd.DataFrame, _: object) -> BoolArray:
    return polygon_mask(*_axes(condition, data_map), condition.points)


def _box(condition: BoxCondition, data_map: pd.DataFrame, _: object) -> BoolArray:
    return box_mask(*_axes(condition, data_map), condition.x_range, condition.y_range)


def _threshold(condition: ThresholdCondition, data_map: pd.DataFrame, _: object) -> BoolArray:
    return threshold_mask(_score(condition.score, data_map), low=condition.low, high=condition.high)


def _labels(condition: LabelCondition, data_map: pd.DataFrame, _: object) -> BoolArray:
    known = data_map["label"].unique().tolist()
    missing = [label for label in condition.labels if label not in known]
    if missing:
        raise InputError("The recipe names unknown labels.", [unknown("label", label, known) for label in missing])
    return np.asarray(data_map["label"].isin(condition.labels), dtype=bool)


def _where(condition: WhereCondition, data_map: pd.DataFrame, _: object) -> BoolArray:
    return filter_mask(data_map, condition.expression)


def _ids(condition: IdsCondition, data_map: pd.DataFrame, _: object) -> BoolArray:
    missing = pd.Index(condition.example_ids).difference(pd.Index(data_map["example_id"]), sort=False)
    if len(missing):
        raise NotFoundError(
            f"{len(missing)} of {len(condition.example_ids)} listed examples are not in the map: "
            f"{one_of(map(repr, missing), limit=5)}."
        )
    return np.asarray(data_map["example_id"].isin(condition.example_ids), dtype=bool)


def _set(condition: SetCondition, data_map: pd.DataFrame, subsets: Mapping[str, Sequence[str] | IdArray]) -> BoolArray:
    by_name = dict(subsets)
    for name in expression_names(condition.expression):
        subset_id = condition.operands.get(name, name)
        if subset_id in subsets:
            by_name[name] = subsets[subset_id]
    order = data_map["example_id"].to_numpy(dtype=object)
    return np.asarray(data_map["example_id"].isin(combine(condition.expression, by_name, order)), dtype=bool)


_MASKS: dict[str, Callable[[Any, pd.DataFrame, Mapping[str, Sequence[str] | IdArray]], BoolArray]] = {
    "polygon": _polygon,
    "box": _box,
    "threshold": _threshold,
    "labels": _labels,
    "where": _where,
    "ids": _ids,
    "set": _set,
}


def _threshold_words(condition: ThresholdCondition) -> str:
    low = "" if condition.low is None else f"{condition.low:.4g} <= "
    high = "" if condition.high is None else f" <= {condition.high:.4g}"
    return f"with {low}{condition.score}{high}"


_WORDS: dict[str, Callable[[Any], str]] = {
    "polygon": lambda c: f"in a polygon of {len(c.points)} corners on {c.x} and {c.y}",
    "box": lambda c: (
        f"with {c.x} in {min(c.x_range):.4g} to {max(c.x_range):.4g} and "
        f"{c.y} in {min(c.y_range):.4g} to {max(c.y_range):.4g}"
    ),
    "threshold": _threshold_words,
    "labels": lambda c: f"labelled {' or '.join(c.labels)}",
    "where": lambda c: f"where {c.expression}",
    "ids": lambda c: f"in a list of {len(c.example_ids)} examples",
    "set": lambda c: f"in {c.expression}",
}
