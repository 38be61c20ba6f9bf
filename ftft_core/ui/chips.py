"""The chosen conditions as chips: each can be opened and changed, and taken away; more can be added; undo and redo.

Owns the chips and the widgets that change the choice; what a condition means is `selection`'s, its form
`condition_forms`'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.selection import STRATEGIES, Condition, WhereCondition, describe_condition
from ftft_core.ui import map_reads
from ftft_core.ui.condition_forms import (
    DEFAULT_FRACTION,
    FILTER_HELP,
    Facts,
    balance_box,
    begin,
    draw_form,
    new_conditions,
    percent_slider,
    pick_one,
)
from ftft_core.ui.frame import as_text, redraw, show_error
from ftft_core.ui.view import Choice, choose, history, redo, state, undo

JOINS = {("and", False): "and", ("or", False): "or", ("and", True): "and not", ("or", True): "or not"}
"""Fields of a condition -> how it joins what stands before it."""

FIRST = {"these": False, "all but these": True}
LONGEST_CHIP = 30
CHIPS_HEIGHT = 66
"""Two rows in pixels; more of them scroll, so that nothing below jumps."""

REFUSED = "choice.refused"
"""Run, and why a condition was not added to what is chosen on its map."""

EVERYTHING = "all of them"


def draw_chips(run_id: str, facts: Facts) -> None:
    """Draw the chosen conditions."""
    kept = history(run_id)
    with st.container(
        horizontal=True, gap="xsmall", key="chips", vertical_alignment="top", height=CHIPS_HEIGHT, border=False
    ):
        for number, condition in enumerate(kept.now.conditions):
            _draw_chip(run_id, kept.now, number, condition, facts)
        if kept.now.strategy is not None:
            _draw_strategy_chip(run_id, kept.now)


def draw_tools(run_id: str, facts: Facts) -> None:
    """Draw the buttons that add to the choice, undo and redo; they stay where they are however many chips there are."""
    kept = history(run_id)
    with st.container(horizontal=True, gap="xsmall", key="chip_tools", width="content", vertical_alignment="center"):
        _draw_adding(run_id, kept.now, facts)
        st.button(":material/undo:", key="choice.undo", type="tertiary", help="Undo (Ctrl+Z on the map)",
                  disabled=not kept.past, on_click=undo, args=(run_id,))  # fmt: skip
        st.button(":material/redo:", key="choice.redo", type="tertiary", help="Redo (Ctrl+Shift+Z on the map)",
                  disabled=not kept.future, on_click=redo, args=(run_id,))  # fmt: skip


def draw_filter(run_id: str, check: Callable[[Condition], None]) -> None:
    """Draw the line that a filter is typed into; Enter adds it to the choice, or points at what is wrong with it.

    :param check: raises what is wrong with a condition.
    """

    def add() -> None:
        expression = str(st.session_state["choice.filter"]).strip()
        if not expression:
            st.session_state.pop(REFUSED, None)
        elif _add(run_id, WhereCondition(expression=expression), "and", check):
            st.session_state["choice.filter"] = ""

    st.text_input(
        "Filter",
        key="choice.filter",
        placeholder='Filter: confidence < 0.4 and contains(text, "word")',
        label_visibility="collapsed",
        help=FILTER_HELP,
        on_change=add,
    )
    refused_for, failure = st.session_state.get(REFUSED, (None, None))
    if failure is not None and refused_for == run_id:
        show_error(failure)


def _draw_chip(run_id: str, choice: Choice, number: int, condition: Condition, facts: Facts) -> None:
    first = number == 0
    join = ("not " if condition.negated else "") if first else JOINS[condition.join, condition.negated] + " "
    said = join + _words(condition)
    key = f"chip.{run_id}.{number}.{condition.kind}"
    with st.container(horizontal=True, gap=None, width="content", key=f"chipbox.{number}"):
        with st.popover(
            as_text(_cut(said)), help=as_text(said) if len(said) > LONGEST_CHIP else None, key=f"{key}.open"
        ):
            joined = _draw_join(condition, key, first=first)
            changed = draw_form(joined, key, facts)
        st.button(":material/close:", key=f"chip.{number}.remove", type="tertiary",
                  help=f"Take away: {as_text(said)}", on_click=_remove, args=(run_id, number))  # fmt: skip
    if changed != condition:
        conditions = (*choice.conditions[:number], changed, *choice.conditions[number + 1 :])
        choose(run_id, choice.with_conditions(conditions), step=key)
        redraw()


def _words(condition: Condition) -> str:
    """Say a condition in a few words: another run first, and no axes where they are those in view."""
    now, run = state(), getattr(condition, "run", None)
    plain = condition if run is None else condition.model_copy(update={"run": None})
    said = describe_condition(plain)
    if condition.kind in ("polygon", "box") and (condition.x, condition.y) == (now.x, now.y):
        said = "lasso" if condition.kind == "polygon" else "box"
    return said if run is None else f"{map_reads.run_names().get(run, run)}: {said}"


def _draw_join(condition: Condition, key: str, *, first: bool) -> Condition:
    if first:
        shown = next(word for word, negated in FIRST.items() if negated == condition.negated)
        named, begun = begin(f"{key}.negated", shown)
        said = st.segmented_control(
            "Take", list(FIRST), default=begun, key=named, label_visibility="collapsed", required=True
        )
        return condition.model_copy(update={"negated": FIRST[str(said)]})
    named, begun = begin(f"{key}.join", JOINS[condition.join, condition.negated])
    word = st.segmented_control(
        "Joined by", list(JOINS.values()), default=begun, key=named, label_visibility="collapsed", required=True
    )
    return condition.model_copy(update=_joined(str(word)))


def _draw_strategy_chip(run_id: str, choice: Choice) -> None:
    """Draw what takes a share of all that the conditions leave."""
    assert choice.strategy is not None
    assert choice.fraction is not None
    said = f"{choice.strategy} {100 * choice.fraction:.4g} %" + (" of each label" if choice.balance else "")
    with st.container(horizontal=True, gap=None, width="content", key="chipbox.strategy"):
        with st.popover(as_text(("of these: " if choice.conditions else "") + said), key="chip.strategy.open"):
            known = list(STRATEGIES) if choice.strategy in STRATEGIES else [choice.strategy, *STRATEGIES]
            strategy = pick_one("Strategy", known, "chip.strategy.name", choice.strategy)
            fraction = percent_slider("Share", "chip.strategy.percent", choice.fraction)
            is_balanced = balance_box("chip.strategy.balance", choice.balance)
        st.button(":material/close:", key="chip.strategy.remove", type="tertiary",
                  help=f"Take away: {said}", on_click=take_share, args=(run_id, None))  # fmt: skip
    changed = choice.model_copy(update={"strategy": strategy, "fraction": fraction, "balance": is_balanced})
    if changed != choice:
        choose(run_id, changed, step="strategy")
        redraw()


def _draw_adding(run_id: str, choice: Choice, facts: Facts) -> None:
    with st.popover("Add", icon=":material/add:", key="choice.add", type="tertiary"):
        offered = new_conditions(facts)
        kind = st.selectbox("Condition", list(offered), key="choice.add.kind")
        word = "and"
        if choice.conditions:
            word = str(st.segmented_control("Joined by", list(JOINS.values()), default="and", key="choice.add.join",
                                            label_visibility="collapsed", required=True))  # fmt: skip
        number = len(choice.conditions)
        condition = draw_form(offered[str(kind)](), f"choice.add.{number}.{kind}", facts, is_chosen=False)
        st.button("Add this condition", key="choice.add.do", type="primary", width="stretch",
                  on_click=_add, args=(run_id, condition, word, facts.check))  # fmt: skip
        if choice.strategy is None:
            st.button("Take a share of these by strategy", key="choice.add.share", width="stretch",
                      on_click=take_share, args=(run_id, _usual_strategy(facts)))  # fmt: skip


def _usual_strategy(facts: Facts) -> str:
    """The strategy to begin with; on the map of one epoch nothing is ambiguous."""
    return "ambiguous" if (facts.data_map["variability"] > 0).any() else "hard"


def take_share(run_id: str, strategy: str | None) -> None:
    """Take the usual share of what the conditions leave, by a strategy; all of it when None."""
    fraction = None if strategy is None else DEFAULT_FRACTION
    changes: dict[str, Any] = {"strategy": strategy, "fraction": fraction, "balance": False}
    choose(run_id, history(run_id).now.model_copy(update=changes))


def _add(run_id: str, condition: Condition, word: str, check: Callable[[Condition], None]) -> bool:
    """Add a condition to the choice; or say below the line of the filter why not."""
    st.session_state.pop(REFUSED, None)
    try:
        check(condition)
    except FTFTError as failure:
        st.session_state[REFUSED] = (run_id, failure)
        return False
    choose(run_id, history(run_id).now.added(condition, **_joined(word)))
    return True


def _remove(run_id: str, number: int) -> None:
    now = history(run_id).now
    choose(run_id, now.with_conditions((*now.conditions[:number], *now.conditions[number + 1 :])))


def _joined(word: str) -> dict[str, Any]:
    join, negated = next(fields for fields, said in JOINS.items() if said == word)
    return {"join": join, "negated": negated}


def _cut(said: str) -> str:
    return said if len(said) <= LONGEST_CHIP else said[: LONGEST_CHIP - 1] + "…"
