"""Subsets combined and compared, above their cards.

Owns the line that a set expression is typed into, with its live count, and two subsets side by side.
"""

from __future__ import annotations

import difflib
import html
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError, InputError, one_of
from ftft_core.selection import Recipe, SetCondition
from ftft_core.selection.algebra import expression_names, with_names
from ftft_core.ui import subset_actions as actions
from ftft_core.ui import subset_reads
from ftft_core.ui.frame import as_text, show_error, theme
from ftft_core.ui.map_reads import runs_with_maps
from ftft_core.ui.reads import runs, suite_labels
from ftft_core.ui.subset_markup import balance_bar, comparison_markup, cut, legend, overlap_bar, percent
from ftft_core.workspace import SubsetComparison

EXPRESSION, NAME = "subsets.expression", "subsets.new_name"
FIRST, SECOND = "subsets.first", "subsets.second"
PROBLEM = "subsets.algebra"
"""Stands for the id of a subset where a combination could not be saved."""

HELP = (
    "`A & B`: in both. `A | B`: in either. `A - B`: in A and not in B. With spaces around each sign; & binds tighter, "
    "the other two go from left to right, parentheses group."
)
SHORTCUTS = (
    ("in both", "a & b", "{a}-and-{b}", "num_shared"),
    ("only in {a}", "a - b", "{a}-not-{b}", "num_only_a"),
    ("only in {b}", "b - a", "{b}-not-{a}", "num_only_b"),
)
"""What can be saved of two compared subsets: words, expression, name, count."""


def draw_algebra(suite: str, subsets: pd.DataFrame, run: Mapping[str, Any] | None, num_train: int) -> None:
    """Draw the line to combine subsets and the pickers to compare two.

    :param run: the run whose scores are compared, if it has a map.
    """
    rows = {str(row["subset"]): row for row in subsets.to_dict("records")}
    for key in (FIRST, SECOND):
        if st.session_state.get(key) not in rows:
            st.session_state.pop(key, None)

    @st.fragment
    def work() -> None:
        if actions.state().is_stale:
            actions.state().is_stale = False
            st.rerun()
        left, right = st.columns([1, 1], gap="medium")
        with left:
            _draw_combining(suite, rows, num_train)
        with right:
            columns = st.columns(2, gap="small")
            first = _draw_picker(columns[0], "Compare", FIRST, rows)
            second = _draw_picker(columns[1], "with", SECOND, rows)
        if first is None or second is None:
            return
        if first == second:
            st.markdown(":gray[Pick two different subsets to compare them.]")
            return
        _draw_comparison(suite, rows[first], rows[second], run)

    work()


def _draw_combining(suite: str, rows: Mapping[str, dict[str, Any]], num_train: int) -> None:
    names = [str(row["name"]) for row in rows.values()]
    newest = list(reversed(names[-2:]))
    st.text_input("Combine", key=EXPRESSION, placeholder=f"such as {newest[0]} - {newest[-1]}", help=HELP, live=True)
    failure = actions.state().problems.pop(PROBLEM, None)
    if failure is not None:
        show_error(failure)
    expression = str(st.session_state[EXPRESSION]).strip()
    if not expression:
        return
    ids = {str(row["name"]): subset for subset, row in rows.items()}
    try:
        operands = _operands(expression, ids)
        counts = subset_reads.combined(suite, expression, operands)
    except FTFTError as problem:
        sentence = " ".join([problem.message, *problem.problems])
        st.html(f'<div class="ftft-quiet" data-testid="combine-problem">{html.escape(sentence)}</div>')
        return
    count = sum(counts.values())
    if not count:
        st.html('<div class="ftft-quiet" data-testid="combine-problem">No example is left by this expression.</div>')
        return
    labels = suite_labels(suite)
    noun = "example" if count == 1 else "examples"
    said = f"{count:,} {noun} <span class='ftft-quiet'>({percent(count, num_train)} of the training split)</span>"
    st.html(f'<div data-testid="combine-count">{said}</div>{balance_bar(counts, labels, theme())}'
            f"{legend(counts, labels, theme())}")  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        proposed = actions.free_name("-".join(cut_name(name) for name in operands), names)
        st.text_input("Name", key=NAME, placeholder=proposed, label_visibility="collapsed", max_chars=100, width=220)
        st.button(f"Save {count:,} {noun} as subset", type="primary", key="subsets.save", on_click=_save,
                  args=(expression, operands, suite, proposed))  # fmt: skip


def _operands(expression: str, ids: Mapping[str, str]) -> dict[str, str]:
    """Return name -> id of the subsets that an expression uses.

    :raises InputError: if it is malformed, or names a subset that is not there.
    """
    names = expression_names(expression)
    for name in names:
        if name not in ids:
            nearest = difflib.get_close_matches(name, ids, n=3, cutoff=0)
            raise InputError(f"There is no subset '{cut(name, 100)}'; the nearest names are {one_of(nearest)}.")
    return {name: ids[name] for name in names}


def _save(expression: str, operands: dict[str, str], suite: str, proposed: str, *, is_typed: bool = True) -> None:
    name = str(st.session_state.get(NAME) or "").strip() if is_typed else ""
    recipe = Recipe(conditions=(SetCondition(expression=expression, operands=operands),))
    try:
        actions.save(recipe, suite, name or proposed)
    except FTFTError as failure:
        subset, shown = next(
            ((id_, name) for name, id_ in operands.items() if id_ in failure.message), (PROBLEM, proposed)
        )
        actions.note(PROBLEM, shown, failure)
        if subset != PROBLEM:  # an operand was removed in another tab: the whole list is old
            actions.state().is_stale = True
        return
    if is_typed:
        st.session_state[EXPRESSION] = st.session_state[NAME] = ""
    actions.state().is_stale = True


def _draw_picker(column: Any, label: str, key: str, rows: Mapping[str, dict[str, Any]]) -> str | None:
    picked = column.selectbox(
        label, list(rows)[::-1], index=None, key=key, placeholder="choose a subset",
        format_func=lambda subset: f"{rows[subset]['name']} ({int(rows[subset]['size']):,})",
    )  # fmt: skip
    return None if picked is None else str(picked)


def _draw_comparison(
    suite: str, first: Mapping[str, Any], second: Mapping[str, Any], run: Mapping[str, Any] | None
) -> None:
    shown = _run_of(suite, run)
    try:
        found = subset_reads.compared(first, second, shown)
    except FTFTError as failure:
        show_error(failure)
        return
    with st.container(border=True, key="subsets-compared"):
        table, overlap = st.columns([1.25, 1], gap="large")
        with table:
            st.html(comparison_markup(found, theme(), None if shown is None else str(shown["name"])))
        with overlap:
            st.html('<div class="ftft-heading">What they share</div>' + overlap_bar(found, theme()))
            st.markdown(
                f"Jaccard {found.jaccard:.2f}; two random subsets of these sizes would have "
                f"{found.jaccard_by_chance:.2f}. :gray[Shared over joint size, 0 to 1.]"
            )
            with st.container(horizontal=True, gap="small"):
                _draw_shortcuts(suite, found)


def _draw_shortcuts(suite: str, found: SubsetComparison) -> None:
    names = {"a": found.a.name, "b": found.b.name}
    operands = {found.a.name: found.a.subset, found.b.name: found.b.subset}
    for words, expression, stem, count_of in SHORTCUTS:
        count = int(getattr(found, count_of))
        if not count:
            continue
        said = words.format(**{key: cut(name, 28) for key, name in names.items()})
        proposed = stem.format(**{key: cut_name(name) for key, name in names.items()})
        st.button(f"Save the {count:,} {as_text(said)}", key=f"subsets.shortcut.{expression}",
                  on_click=_save_free, args=(with_names(expression, names), operands, suite, proposed))  # fmt: skip


def _save_free(expression: str, operands: dict[str, str], suite: str, stem: str) -> None:
    from ftft_core.ui.reads import subsets

    _save(expression, operands, suite, actions.free_name(stem, set(subsets()["name"])), is_typed=False)


def _run_of(suite: str, run: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the run whose scores are compared: the picked one if it has a map, else the first that has."""
    with_maps = runs_with_maps(suite)
    picked = str(run["run_id"]) if run is not None and str(run["run_id"]) in with_maps else next(iter(with_maps), None)
    if picked is None:
        return None
    listed = runs(suite)
    return {str(name): value for name, value in listed[listed["run_id"] == picked].to_dict("records")[0].items()}


def cut_name(name: str) -> str:
    """Cut a name for its part in another."""
    return name[: actions.STEM].rstrip("-._")
