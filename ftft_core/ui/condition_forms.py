"""The form of each kind of condition: what a person sets, and the condition that it makes.

Owns the widgets of one condition; where a form stands, and what becomes of its condition, is its caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from ftft_core.cartography import SCORES
from ftft_core.errors import FTFTError, InputError
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
from ftft_core.ui.frame import as_text, say, theme

DEFAULT_FRACTION = 0.33
COLUMN_WORDS = {"label": "gold label", "predicted_label": "predicted label", "group": "group"}
SIDE_WORDS = {"either": "either text", "text": "first text", "text_pair": "second text"}
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


def follow(key: str, value: Any) -> str:
    """Let the widget under `key` show `value`, unless its person has just changed it; give the key."""
    shown = f"{key}.shown"
    if key not in st.session_state or st.session_state.get(shown) != value:
        st.session_state[key] = value
        st.session_state[shown] = value
    return key


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


def draw_form(condition: Condition, key: str, facts: Facts) -> Condition:
    """Draw the form of a condition, and return the condition that it says now.

    What cannot be a condition is refused below the widget, and the condition stays as it was.
    """
    form = _FORMS.get(condition.kind)
    if form is None:
        return condition
    try:
        changed = form(condition, key, facts)
    except FTFTError as failure:
        st.error(as_text(failure.message))
        return condition
    return changed.model_copy(update={"join": condition.join, "negated": condition.negated})


def whole_percent(fraction: float) -> int:
    """Return the place of a share on a slider of whole percents."""
    return max(1, round(100 * fraction))


def bounds_of(column: pd.Series) -> tuple[float, float]:
    """Return the ends of a threshold's slider, widened to whole hundredths so that they hold every example."""
    known = pd.to_numeric(column).dropna()
    if known.empty:
        return 0.0, 1.0
    low, high = float(np.floor(known.min() * 100) / 100), float(np.ceil(known.max() * 100) / 100)
    return low, high if high > low else low + 0.01


def _threshold(condition: ThresholdCondition, key: str, facts: Facts) -> Condition:
    scores = list(SCORES)
    if condition.score not in scores:
        return condition  # the core says what is wrong with it
    score = st.selectbox("Score", scores, key=follow(f"{key}.score", condition.score), format_func=words)
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
    widget = f"{key}.range.{score}.{low:.2f}.{high:.2f}"
    chosen: tuple[float, float] = st.slider(
        "Between", low, high, key=follow(widget, shown), format="%.2f", label_visibility="collapsed"
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
    chosen = st.multiselect(name, known, key=follow(f"{key}.labels", shown), format_func=as_text, placeholder="any")
    return LabelCondition(labels=tuple(chosen), column=condition.column) if chosen else condition


def _text(condition: TextCondition, key: str, facts: Facts) -> Condition:
    pattern = st.text_input("Text holds", key=follow(f"{key}.pattern", condition.pattern))
    is_regex = st.checkbox("as a regular expression", key=follow(f"{key}.regex", condition.regex))
    column = condition.column
    if facts.is_pair:
        column = st.selectbox(
            "In", list(SIDE_WORDS), key=follow(f"{key}.side", column), format_func=SIDE_WORDS.__getitem__
        )
    return TextCondition(pattern=pattern, regex=is_regex, column=column) if pattern else condition


def _top(condition: TopCondition, key: str, facts: Facts) -> Condition:
    named = [*STRATEGIES] if condition.strategy in STRATEGIES else [condition.strategy, *STRATEGIES]
    strategy = st.selectbox("Strategy", named, key=follow(f"{key}.strategy", condition.strategy))
    whole = whole_percent(condition.fraction)
    percent = st.slider("Share of all", 1, 100, key=follow(f"{key}.percent", whole), format="%d %%")
    balance = st.checkbox("The same share of each label", key=follow(f"{key}.balance", condition.balance is not None))
    fraction = condition.fraction if percent == whole else percent / 100
    return TopCondition(
        strategy=strategy,
        fraction=fraction,
        balance="class" if balance else None,
        seed=condition.seed,
        run=condition.run,
    )


def _where(condition: WhereCondition, key: str, facts: Facts) -> Condition:
    expression = st.text_input("Filter", key=follow(f"{key}.where", condition.expression), help=FILTER_HELP)
    return WhereCondition(expression=expression, run=condition.run) if expression.strip() else condition


def _set(condition: SetCondition, key: str, facts: Facts) -> Condition:
    ids = [subset for subset in condition.operands.values() if subset in facts.subsets]
    if len(ids) != len(condition.operands) or ("|" not in condition.expression and len(ids) > 1):
        say(condition.expression)
        return condition
    chosen = st.multiselect(
        "In any of",
        list(facts.subsets),
        key=follow(f"{key}.subsets", ids),
        format_func=lambda subset: as_text(facts.subsets[subset]),
    )
    return _subset_condition(chosen, facts) if chosen else condition


def _subset_condition(subsets: Sequence[str], facts: Facts) -> Condition:
    operands = {facts.subsets[subset]: subset for subset in subsets}
    return SetCondition(expression=" | ".join(operands), operands=operands)


def _tagged(condition: TaggedCondition, key: str, facts: Facts) -> Condition:
    known = list(dict.fromkeys([condition.tag, *facts.tags]))
    tag = st.selectbox("Tag", known, key=follow(f"{key}.tag", condition.tag), format_func=as_text)
    if tag is None:
        raise InputError("A tag must be chosen.")
    return TaggedCondition(tag=tag)


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
