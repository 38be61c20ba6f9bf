"""From a gesture on the map to a changed choice.

Pure: a choice in, a choice out. What is drawn or clicked stands together at one place of the choice, before the
filters that narrow it: drawing once more with Shift widens what is drawn, and the filters stay.
"""

from __future__ import annotations

from ftft_core.selection import Condition, IdsCondition, LabelCondition, ThresholdCondition
from ftft_core.ui.view import Choice

DRAWN = frozenset({"polygon", "box", "ids"})
"""Kinds of condition that come from the pointer."""


def with_outline(choice: Choice, outline: Condition, mode: str) -> Choice:
    """Return the choice after a lasso or box.

    :param mode: `replace` puts it in the place of all that was drawn before, `add` widens that, `subtract` cuts it out.
    """
    drawn = [number for number, condition in enumerate(choice.conditions) if condition.kind in DRAWN]
    conditions = list(choice.conditions)
    if mode == "replace":
        place = drawn[0] if drawn else 0
        kept = [condition for condition in conditions if condition.kind not in DRAWN]
        return choice.with_conditions((*kept[:place], _joined(outline, "and"), *kept[place:]))
    place = drawn[-1] + 1 if drawn else 0
    join, negated = ("or", False) if mode == "add" else ("and", True)
    if not drawn:
        join = "and"
        place = len(conditions) if negated else 0
    conditions.insert(place, _joined(outline, join, negated=negated))
    return choice.with_conditions(tuple(conditions))


def with_clicked(choice: Choice, example_id: str) -> Choice:
    """Return the choice with an example added to those picked by hand, or taken away if it was among them."""
    conditions = list(choice.conditions)
    for number, condition in enumerate(conditions):
        if isinstance(condition, IdsCondition) and not condition.negated:
            picked = dict.fromkeys(condition.example_ids)
            if example_id in picked:
                del picked[example_id]
            else:
                picked[example_id] = None
            changed = [condition.model_copy(update={"example_ids": tuple(picked)})] if picked else []
            return choice.with_conditions((*conditions[:number], *changed, *conditions[number + 1 :]))
    return with_outline(choice, IdsCondition(example_ids=(example_id,)), "add")


def with_value(choice: Choice, column: str, value: str) -> Choice:
    """Return the choice with a value of a column (a label, a group) kept too, or no more if it was kept alone."""
    for number, condition in enumerate(choice.conditions):
        if isinstance(condition, LabelCondition) and condition.column == column and not condition.negated:
            kept = [label for label in condition.labels if label != value]
            if value not in condition.labels:
                kept.append(value)
            changed = [condition.model_copy(update={"labels": tuple(kept)})] if kept else []
            return choice.with_conditions((*choice.conditions[:number], *changed, *choice.conditions[number + 1 :]))
    return choice.added(LabelCondition.model_validate({"labels": (value,), "column": column}))


def with_range(choice: Choice, score: str, low: float | None, high: float | None) -> Choice:
    """Return the choice with a score between two bounds, instead of what was said of this score before."""
    changed = ThresholdCondition(score=score, low=low, high=high)
    for number, condition in enumerate(choice.conditions):
        if isinstance(condition, ThresholdCondition) and condition.score == score and condition.run is None:
            if (condition.low, condition.high) == (low, high):
                conditions = (*choice.conditions[:number], *choice.conditions[number + 1 :])
            else:
                new = condition.model_copy(update={"low": low, "high": high})
                conditions = (*choice.conditions[:number], new, *choice.conditions[number + 1 :])
            return choice.with_conditions(conditions)
    return choice.added(changed)


def with_membership(choice: Choice, wanted: Condition) -> Choice:
    """Return the choice with a condition on a subset or a tag added, or taken away if it stands there already."""
    kept = tuple(item for item in choice.conditions if item.model_copy(update={"join": "and"}) != wanted)
    if len(kept) < len(choice.conditions):
        return choice.with_conditions(kept)
    return choice.with_conditions((*choice.conditions, wanted))


def without_drawn(choice: Choice) -> Choice:
    """Return the choice without what the pointer drew or picked."""
    return choice.with_conditions(tuple(item for item in choice.conditions if item.kind not in DRAWN))


def _joined(condition: Condition, join: str, *, negated: bool = False) -> Condition:
    return condition.model_copy(update={"join": join, "negated": negated})
