"""From widgets and gestures to a recipe, and from the recipe to the examples it takes.

Owns the rules' widgets, their chips and how the map's outline joins them; the recipe itself and who belongs to it are
`selection`'s, over all examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ftft_core.config import parse
from ftft_core.errors import FTFTError, InputError
from ftft_core.figures import words
from ftft_core.selection import (
    STRATEGIES,
    Condition,
    LabelCondition,
    Recipe,
    ThresholdCondition,
    WhereCondition,
    apply_recipe,
    filter_columns,
)
from ftft_core.ui.frame import as_text
from ftft_core.ui.map_component import Outline

TEXT_COLUMNS = {"text", "text_pair"}
"""Columns of a filter that are not in a data map; the workspace fetches them."""

CLEAR_TOKEN = "map.clear_token"
NO_STRATEGY = "everything that fits"
DEFAULT_PERCENT = 33


@dataclass(frozen=True)
class Chip:
    """One condition in words, and what takes it away."""

    words: str
    remove: Callable[[], None]


@dataclass(frozen=True)
class Selection:
    """What is selected now."""

    recipe: Recipe | None
    """None when nothing is selected."""
    mask: npt.NDArray[np.bool_]
    """(examples,) membership, in the map's order."""
    chips: tuple[Chip, ...]
    failure: FTFTError | None
    """Why the recipe takes nothing, if it does."""

    @property
    def count(self) -> int:
        """Number of examples selected."""
        return int(self.mask.sum())


def clear_token() -> int:
    """Return the number that outlines must carry to count."""
    return int(st.session_state.setdefault(CLEAR_TOKEN, 0))


def draw_rules(data_map: pd.DataFrame, axes: tuple[str, str], labels: tuple[str, ...]) -> None:
    """Draw the rules' widgets; `current_selection` reads them."""
    with st.popover("Choose by rule", icon=":material/tune:", width="stretch"):
        for axis in axes:
            low, high = _bounds(data_map[axis])
            key = _threshold_key(axis, (low, high))
            st.session_state.setdefault(key, (low, high))
            st.slider(words(axis).capitalize(), low, high, key=key, format="%.2f")
        st.session_state["rule.labels"] = [
            label for label in st.session_state.get("rule.labels", []) if label in labels
        ]
        st.multiselect("Gold label", labels, format_func=as_text, key="rule.labels", placeholder="any")
        st.text_input(
            "Where",
            key="rule.where",
            placeholder='confidence < 0.4 and contains(text, "word")',
            help='A condition over the map\'s columns and text; and, or, not, in [...], contains(text, "word").',
        )
        st.selectbox("Of these, take", [NO_STRATEGY, *STRATEGIES], key="rule.strategy")
        is_ranked = st.session_state.get("rule.strategy", NO_STRATEGY) != NO_STRATEGY
        st.session_state.setdefault("rule.percent", DEFAULT_PERCENT)
        st.slider("Share of them", 1, 100, key="rule.percent", format="%d %%", disabled=not is_ranked)
        st.checkbox("The same share of each label", key="rule.balance", disabled=not is_ranked)


def take_strategy(strategy: str) -> None:
    """Set the rule to a strategy with the default share (for a button's callback)."""
    st.session_state["rule.strategy"] = strategy
    st.session_state["rule.percent"] = DEFAULT_PERCENT


def toggle_label(label: str) -> None:
    """Add a label to the rule, or take it away (for a click in the legend)."""
    kept = list(st.session_state.get("rule.labels", []))
    st.session_state["rule.labels"] = [other for other in kept if other != label] if label in kept else [*kept, label]


def current_selection(
    data_map: pd.DataFrame,
    *,
    map_key: str,
    axes: tuple[str, str],
    run_id: str,
    epochs: int | None,
    preview: Callable[[Recipe], Any],
) -> Selection:
    """Return what the outline and the rules select among all examples.

    :param epochs: of the map, None for all.
    :param preview: gives the ids of a recipe that needs more than the map holds, such as texts.
    """
    nothing = np.zeros(len(data_map), dtype=bool)
    conditions, chips = _conditions(data_map, map_key, axes)
    strategy = st.session_state.get("rule.strategy", NO_STRATEGY)
    if strategy != NO_STRATEGY:
        percent, balance = int(st.session_state["rule.percent"]), bool(st.session_state.get("rule.balance"))
        chips.append(
            Chip(
                f"{strategy} {percent} %" + (" of each label" if balance else ""), _reset("rule.strategy", NO_STRATEGY)
            )
        )
    if not chips:
        return Selection(None, nothing, (), None)
    try:
        values: dict[str, Any] = {"source_run": run_id, "epochs": epochs, "conditions": tuple(conditions)}
        if strategy != NO_STRATEGY:
            values |= {"strategy": strategy, "fraction": percent / 100, "balance": "class" if balance else None}
        recipe = parse(Recipe, values, what="The selection")
        needs_text = any(
            isinstance(condition, WhereCondition) and filter_columns(condition.expression) & TEXT_COLUMNS
            for condition in conditions
        )
        example_ids = preview(recipe) if needs_text else apply_recipe(recipe, data_map)
    except InputError as failure:
        return Selection(None, nothing, tuple(chips), failure)
    mask = data_map["example_id"].isin(example_ids).to_numpy(dtype=bool)
    return Selection(recipe, mask, tuple(chips), None)


def draw_chips(chips: tuple[Chip, ...]) -> None:
    """Draw the conditions as buttons that take them away."""
    with st.container(horizontal=True, gap="small"):
        for number, chip in enumerate(chips):
            st.button(
                as_text(chip.words if len(chip.words) <= 34 else chip.words[:33] + "…"),
                key=f"chip.{number}",
                icon=":material/close:",
                icon_position="right",
                on_click=chip.remove,
                help=f"Take away: {as_text(chip.words)}",
                width="content",
            )


def _conditions(data_map: pd.DataFrame, map_key: str, axes: tuple[str, str]) -> tuple[list[Condition], list[Chip]]:
    conditions: list[Condition] = []
    chips: list[Chip] = []
    outline: Outline | None = st.session_state.get(f"{map_key}.outline.{clear_token()}")
    if outline is not None:
        conditions.append(outline)
        name = "lasso" if outline.kind == "polygon" else "box"
        chips.append(Chip(name if (outline.x, outline.y) == axes else f"{name} on {outline.x}/{outline.y}", _clear))
    for axis in axes:
        bounds = _bounds(data_map[axis])
        key = _threshold_key(axis, bounds)
        low, high = st.session_state.get(key, bounds)
        if (low, high) != bounds:
            conditions.append(
                ThresholdCondition(
                    score=axis, low=low if low > bounds[0] else None, high=high if high < bounds[1] else None
                )
            )
            chips.append(Chip(f"{words(axis)} {low:.2f} to {high:.2f}", _reset(key, bounds)))
    if labels := tuple(st.session_state.get("rule.labels", ())):
        conditions.append(LabelCondition(labels=labels))
        chips.append(Chip(f"label = {' or '.join(labels)}", _reset("rule.labels", [])))
    if expression := str(st.session_state.get("rule.where", "")).strip():
        conditions.append(WhereCondition(expression=expression))
        chips.append(Chip(expression, _reset("rule.where", "")))
    return conditions, chips


def _bounds(column: pd.Series) -> tuple[float, float]:
    """Ends of a threshold's slider, widened to whole hundredths so that they hold every example."""
    known = pd.to_numeric(column).dropna()
    if known.empty:
        return 0.0, 1.0
    low, high = float(np.floor(known.min() * 100) / 100), float(np.ceil(known.max() * 100) / 100)
    return low, high if high > low else low + 0.01


def _threshold_key(axis: str, bounds: tuple[float, float]) -> str:
    """Name the slider after its ends too: another map has other ends, and its slider starts anew."""
    return f"rule.threshold.{axis}.{bounds[0]:.2f}.{bounds[1]:.2f}"


def keep_outline(map_key: str, outline: Outline) -> None:
    """Take an outline drawn on the map under `map_key` into the selection, in place of the one before."""
    st.session_state[f"{map_key}.outline.{clear_token()}"] = outline


def _clear() -> None:
    st.session_state[CLEAR_TOKEN] = clear_token() + 1


def _reset(key: str, value: Any) -> Callable[[], None]:
    def reset() -> None:
        st.session_state[key] = value

    return reset
