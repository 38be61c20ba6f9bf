"""Recipes and conditions in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ftft_core.selection.conditions import Condition

if TYPE_CHECKING:
    from ftft_core.selection.recipes import Recipe


def in_words(recipe: Recipe, *, run_name: str | None = None, run_names: Mapping[str, str] | None = None) -> str:
    """Say in a line what a recipe takes, such as `ambiguous 33 % of run r1, where confidence < 0.4`.

    Conditions are joined from left to right; a comma stands where "and" changes to "or" or back, and closes what
    comes before it: `a or b, and c` is (a or b) and c.

    :param run_name: of the recipe's run, instead of its id.
    :param run_names: of runs by their ids; of the subset that a twin is of, too.
    """
    names = dict(run_names or {})
    parts = []
    if recipe.twin_of is not None:
        labels = " with as many of each label" if recipe.quotas else ""
        parts.append(
            f"random twin of {names.get(recipe.twin_of, 'a subset that is gone')}{labels} (seed {recipe.seed})"
        )
    elif recipe.strategy is not None:
        if recipe.fraction is not None:
            parts.append(f"{recipe.strategy} {100 * recipe.fraction:.4g} %")
        else:
            quotas = ", ".join(f"{count} {label}" for label, count in (recipe.quotas or {}).items())
            parts.append(f"{recipe.strategy} ({quotas})")
        parts += _details(recipe.strategy, recipe.balance, recipe.seed)
    else:
        parts.append("all")
    run = run_name or (None if recipe.source_run is None else names.get(recipe.source_run, recipe.source_run))
    if recipe.source_runs is not None:
        averaged = [names.get(each, each) for each in recipe.source_runs]
        parts.append(f"of the average of runs {', '.join(averaged[:-1])} and {averaged[-1]}" + _at(recipe.epochs))
    elif run is not None:
        parts.append(f"of run {run}" + _at(recipe.epochs))
    said = joined_words(recipe.conditions, run_names=names)
    if parts == ["all"]:  # of no run: what is said is all that it is
        return f"all {said}"
    return " ".join(parts) + (f", {said}" if said else "")


def _at(epochs: int | None) -> str:
    return "" if epochs is None else f" at epoch {epochs}"


def joined_words(conditions: tuple[Condition, ...], *, run_names: Mapping[str, str] | None = None) -> str:
    """Say what conditions take together, such as `labelled pos or tagged noisy, and not where loss > 2`."""
    said = ""
    joins: list[str] = []
    for condition in conditions:
        words = _LONG[condition.kind](condition)
        if condition.kind == "where" and (len(conditions) > 1 or condition.negated):
            words = f"where {_closed(condition.expression)}"
        words += _of_run(condition, run_names or {})
        words = f"not {words}" if condition.negated else words
        if said:
            comma = "," if joins and joins[-1] != condition.join else ""
            joins.append(condition.join)
            words = f"{comma} {condition.join} {words}"
        said += words
    return said


def describe_condition(condition: Condition, *, run_names: Mapping[str, str] | None = None) -> str:
    """Say a condition in as few words as a chip holds; its join and negation are left to whoever draws them."""
    return _SHORT[condition.kind](condition) + _of_run(condition, run_names or {})


def _of_run(condition: Condition, run_names: Mapping[str, str]) -> str:
    run = getattr(condition, "run", None)
    return "" if run is None else f" of run {run_names.get(run, run)}"


def _details(strategy: str, balance: str | None, seed: int) -> list[str]:
    draws = strategy == "random" or strategy.startswith("stratified")
    return ["of each label"] * (balance is not None) + [f"(seed {seed})"] * draws


def _closed(expression: str) -> str:
    """A filter that other words cannot be read as a part of."""
    return f"({expression})" if re.search(r"\b(and|or)\b", expression) else expression


def _top(condition: Any) -> str:
    details = _details(condition.strategy, condition.balance, condition.seed)
    return " ".join([f"{condition.strategy} {100 * condition.fraction:.4g} %", *details])


def _bounds(condition: Any) -> str:
    low = "" if condition.low is None else f"{condition.low:.4g} <= "
    high = "" if condition.high is None else f" <= {condition.high:.4g}"
    return f"{low}{condition.score}{high}"


def _search(condition: Any) -> str:
    verb = f"matches /{condition.pattern}/" if condition.regex else f'contains "{condition.pattern}"'
    return f"{_SIDES[condition.column]} {verb}"


def _num_corners(condition: Any) -> int:
    """Count the corners of a polygon; one that only closes it is none."""
    points = condition.points
    return len(points) - (len(points) > 3 and points[0] == points[-1])


_SIDES = {"either": "text", "text": "first text", "text_pair": "second text"}
_LABELLED = {"label": "labelled", "predicted_label": "predicted", "group": "of group"}
_COLUMNS = {"label": "label", "predicted_label": "predicted label", "group": "group"}

_LONG: dict[str, Callable[[Any], str]] = {
    "polygon": lambda c: f"in a polygon of {_num_corners(c)} corners on {c.x} and {c.y}",
    "box": lambda c: (
        f"with {c.x} in {min(c.x_range):.4g} to {max(c.x_range):.4g} and "
        f"{c.y} in {min(c.y_range):.4g} to {max(c.y_range):.4g}"
    ),
    "threshold": lambda c: f"with {_bounds(c)}",
    "labels": lambda c: f"{_LABELLED[c.column]} {' or '.join(c.labels)}",
    "where": lambda c: f"where {c.expression}",
    "text": lambda c: f"where {_search(c)}",
    "top": lambda c: f"in the {_top(c)}",
    "ids": lambda c: f"in a list of {len(c.example_ids)} examples",
    "set": lambda c: f"in {c.expression}",
    "tagged": lambda c: f"tagged {c.tag}",
    "excluded": lambda c: "excluded from training",
}

_SHORT: dict[str, Callable[[Any], str]] = {
    "polygon": lambda c: f"lasso on {c.x}/{c.y}",
    "box": lambda c: f"box on {c.x}/{c.y}",
    "threshold": _bounds,
    "labels": lambda c: f"{_COLUMNS[c.column]} = {' or '.join(c.labels)}",
    "where": lambda c: str(c.expression),
    "text": _search,
    "top": _top,
    "ids": lambda c: f"{len(c.example_ids):,} listed example{'s' * (len(c.example_ids) != 1)}",
    "set": lambda c: f"in {c.expression}",
    "tagged": lambda c: f"tagged {c.tag}",
    "excluded": lambda c: "excluded",
}
