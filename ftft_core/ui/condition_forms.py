"""The form of each kind of condition: what a person sets, and the condition that it makes.

Owns the widgets of one condition; where a form stands, and what becomes of its condition, is its caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import streamlit as st

from ftft_core.cartography import SCORES
from ftft_core.errors import FTFTError
from ftft_core.figures import slider_histogram_figure, words
from ftft_core.selection import (
    STRATEGIES,
    Condition,
    LabelCondition,
    SetCondition,
    TaggedCondition,
    TextCondition,
    ThresholdCondition,
    TopCondition,
    WhereCondition,
)
from ftft_core.ui.frame import as_text, say, show_error, theme

_Option = TypeVar("_Option", bound=str)

DEFAULT_FRACTION = 0.33
COLUMN_WORDS = {"label": "gold label", "predicted_label": "predicted label", "group": "group"}
SIDE_WORDS: dict[Literal["either", "text", "text_pair"], str] = {
    "either": "either text",
    "text": "first text",
    "text_pair": "second text",
}
FILTER_HELP = (
    "A condition over scores and columns of the map: `and`, `or`, `not`, `in [...]`, `is None`; "
    '`contains(text, "word")`, `matches(text, "regular expression")`, `tagged("name")`, `excluded`.'
)


@dataclass(frozen=True)
class Facts:
    """What forms offer."""

    data_map: pd.DataFrame
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    is_pair: bool
    subsets: dict[str, str]
    """Id -> name of the suite's saved subsets."""
    tags: tuple[str, ...]
    check: Callable[[Condition], None]
    """Raises what is wrong with a condition that could not be answered."""


def begin(key: str, value: Any) -> tuple[str, Any]:
    """Name the widget of a popover that is to show `value`, and give the value that it begins with.

    The browser makes such a widget only when its popover is opened, and so never hears of a value that was put into
    the session before. When `value` changes other than by the widget itself (undo, a link) it is a new widget, with
    another name.
    """
    memory = f"{key}.begun"
    number, begun, last, seen = st.session_state.get(memory, (0, value, value, value))
    now = st.session_state.get(f"{key}.{number}")
    if f"{key}.{number}" not in st.session_state:
        begun = now = value
    # What the widget said the time before may only now have become the value, while it moves on already.
    elif value not in (last, seen, now):
        number, begun, now = number + 1, value, value
    st.session_state[memory] = (number, begun, value, now)
    return f"{key}.{number}", begun


def pick_one(label: str, options: Sequence[_Option], key: str, shown: _Option, **settings: Any) -> _Option:
    """Draw a box with one of the options chosen, in a popover; give what is chosen."""
    named, begun = begin(key, shown)
    first = list(options).index(begun) if begun in options else 0
    return st.selectbox(label, options, first, key=named, **settings)


def percent_slider(label: str, key: str, fraction: float) -> float:
    """Draw a share as a slider of whole percents, in a popover; give the share, as fine as it was unless moved."""
    whole = max(1, round(100 * fraction))
    named, begun = begin(key, whole)
    percent = st.slider(label, 1, 100, begun, key=named, format="%d %%")
    return fraction if percent == whole else percent / 100


def balance_box(key: str, shown: bool) -> bool:
    """Draw the tick for taking the same share of each label, in a popover."""
    named, begun = begin(key, shown)
    return st.checkbox("The same share of each label", begun, key=named)


def new_conditions(facts: Facts) -> dict[str, Callable[[], Condition]]:
    """Return the conditions that can be added by form: words -> a first one of that kind."""
    offered: dict[str, Callable[[], Condition]] = {
        "Score between": lambda: ThresholdCondition(score="confidence", low=0.0, high=0.5),
        "Label": lambda: LabelCondition(labels=facts.labels[:1]),
        "Predicted label": lambda: LabelCondition(labels=facts.labels[:1], column="predicted_label"),
        "Text": lambda: TextCondition(pattern=" "),
        "Top share by strategy": lambda: TopCondition(strategy="ambiguous", fraction=DEFAULT_FRACTION),
        "Typed filter": lambda: WhereCondition(expression="confidence < 0.5"),
    }
    if facts.groups:
        offered["Group"] = lambda: LabelCondition(labels=facts.groups[:1], column="group")
    if facts.subsets:
        offered["Saved subset"] = lambda: _subset_condition([next(iter(facts.subsets))], facts)
    if facts.tags:
        offered["Tag"] = lambda: TaggedCondition(tag=facts.tags[0])
    return offered


def draw_form(condition: Condition, key: str, facts: Facts, *, is_chosen: bool = True) -> Condition:
    """Draw the form of a condition, and return the condition that it says now.

    What cannot be a condition is refused below the widget, and the condition stays as it was.

    :param is_chosen: whether it is part of the choice, so that a change that can't be answered is refused at once.
    """
    form = _FORMS.get(condition.kind)
    if form is None:
        return condition
    try:
        changed = form(condition, key, facts)
        changed = changed.model_copy(update={"join": condition.join, "negated": condition.negated})
        if is_chosen and changed != condition:
            facts.check(changed)
    except FTFTError as failure:
        show_error(failure)
        return condition
    return changed


def bounds_of(column: pd.Series) -> tuple[float, float]:
    """Return the ends of a threshold's slider, widened to whole hundredths so that they hold every example."""
    known = pd.to_numeric(column).dropna()
    if known.empty:
        return 0.0, 1.0
    low, high = float(np.floor(known.min() * 100) / 100), float(np.ceil(known.max() * 100) / 100)
    return low, high if high > low else low + 0.01


def _threshold(condition: ThresholdCondition, key: str, facts: Facts) -> Condition:
    scores = [score for score in SCORES if score == condition.score or facts.data_map[score].notna().any()]
    if condition.score not in scores:
        return condition  # the core says what is wrong with it
    score = pick_one("Score", scores, f"{key}.score", condition.score, format_func=words)
    low, high = bounds_of(facts.data_map[score])
    if score == condition.score:
        shown = (_between(condition.low, low, high, low), _between(condition.high, low, high, high))
    else:
        shown = (low, high)
    st.plotly_chart(
        slider_histogram_figure(facts.data_map[score], (low, high), shown, theme()),
        config={"displayModeBar": False, "staticPlot": True},
        theme=None,
        key=f"{key}.histogram",
    )
    named, begun = begin(f"{key}.range.{score}.{low:.2f}.{high:.2f}", shown)
    chosen: tuple[float, float] = st.slider(
        "Between", low, high, begun, key=named, format="%.2f", label_visibility="collapsed"
    )
    if chosen == shown and score == condition.score:
        return condition  # its bounds may be finer than the slider's steps
    return ThresholdCondition(
        score=score,
        low=chosen[0] if chosen[0] > low else None,
        high=chosen[1] if chosen[1] < high else None,
        run=condition.run,
    )


def _between(bound: float | None, low: float, high: float, otherwise: float) -> float:
    return otherwise if bound is None else float(np.clip(bound, low, high))


def _labels(condition: LabelCondition, key: str, facts: Facts) -> Condition:
    known: Sequence[str] = facts.groups if condition.column == "group" else facts.labels
    shown = list(condition.labels)
    if not set(shown) <= set(known):
        return condition
    name = COLUMN_WORDS[condition.column].capitalize()
    named, begun = begin(f"{key}.labels", shown)
    chosen = st.multiselect(name, known, begun, key=named, format_func=as_text, placeholder="any")
    return LabelCondition(labels=tuple(chosen), column=condition.column) if chosen else condition


def _text(condition: TextCondition, key: str, facts: Facts) -> Condition:
    named, begun = begin(f"{key}.pattern", condition.pattern)
    pattern = st.text_input("Text holds", begun, key=named)
    named, is_begun = begin(f"{key}.regex", condition.regex)
    is_regex = st.checkbox("as a regular expression", is_begun, key=named)
    column = condition.column
    if facts.is_pair:
        column = pick_one("In", list(SIDE_WORDS), f"{key}.side", column, format_func=SIDE_WORDS.__getitem__)
    return TextCondition(pattern=pattern, regex=is_regex, column=column) if pattern else condition


def _top(condition: TopCondition, key: str, facts: Facts) -> Condition:
    named = [*STRATEGIES] if condition.strategy in STRATEGIES else [condition.strategy, *STRATEGIES]
    return TopCondition(
        strategy=pick_one("Strategy", named, f"{key}.strategy", condition.strategy),
        fraction=percent_slider("Share of all", f"{key}.percent", condition.fraction),
        balance="class" if balance_box(f"{key}.balance", condition.balance is not None) else None,
        seed=condition.seed,
        run=condition.run,
    )


def _where(condition: WhereCondition, key: str, facts: Facts) -> Condition:
    named, begun = begin(f"{key}.where", condition.expression)
    expression = st.text_input("Filter", begun, key=named, help=FILTER_HELP)
    return WhereCondition(expression=expression, run=condition.run) if expression.strip() else condition


def _set(condition: SetCondition, key: str, facts: Facts) -> Condition:
    ids = [subset for subset in condition.operands.values() if subset in facts.subsets]
    if len(ids) != len(condition.operands) or ("|" not in condition.expression and len(ids) > 1):
        say(condition.expression)
        return condition
    named, begun = begin(f"{key}.subsets", ids)
    chosen = st.multiselect(
        "In any of", list(facts.subsets), begun, key=named, format_func=lambda subset: as_text(facts.subsets[subset])
    )
    return _subset_condition(chosen, facts) if chosen else condition


def _subset_condition(subsets: Sequence[str], facts: Facts) -> Condition:
    operands = {facts.subsets[subset]: subset for subset in subsets}
    return SetCondition(expression=" | ".join(operands), operands=operands)


def _tagged(condition: TaggedCondition, key: str, facts: Facts) -> Condition:
    known = list(dict.fromkeys([condition.tag, *facts.tags]))
    return TaggedCondition(tag=pick_one("Tag", known, f"{key}.tag", condition.tag, format_func=as_text))


_FORMS: dict[str, Callable[[Any, str, Facts], Condition]] = {
    "threshold": _threshold,
    "labels": _labels,
    "text": _text,
    "top": _top,
    "where": _where,
    "set": _set,
    "tagged": _tagged,
}
"""Kind of a condition -> its form; what is drawn on the map has none."""
