"""Subsets as cards: what each is, what used it, and what can be done with it; and the removed ones.

Owns the look of a card and of the list; what its menu opens is `subset_dialogs`', what is done `subset_actions`'.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.selection import Recipe
from ftft_core.ui import subset_actions as actions
from ftft_core.ui import subset_reads
from ftft_core.ui.frame import as_text, show_error, theme
from ftft_core.ui.reads import suite_labels
from ftft_core.ui.subset_dialogs import DIALOGS
from ftft_core.ui.subset_markup import balance_bar, cut, description, miniature, percent
from ftft_core.ui.view import SUBSET_COLOUR, as_address

PER_PAGE = 12
MANY = 6
"""More subsets than this can be searched and sorted."""

SHOWN_USERS = 3
SHOWN_REMOVED = 50
LONGEST_LINK = 26
ORDERS = {
    "newest": ("created_at", False),
    "oldest": ("created_at", True),
    "largest": ("size", False),
    "smallest": ("size", True),
    "by name": ("name", True),
}
"""Name of an order -> the column it sorts by, and whether it ascends."""


@dataclass(frozen=True)
class Listed:
    """What the cards of a suite have in common."""

    suite: str
    subsets: pd.DataFrame
    """All that are not removed."""
    removed: pd.DataFrame
    runs: pd.DataFrame
    num_train: int


def arrange(listed: Listed, *, search: str, order: str) -> pd.DataFrame:
    """Return the subsets to list, in order: with those that were just removed in their old places."""
    ghosts = listed.removed[listed.removed["subset"].isin(list(actions.ghosts()))]
    rows = pd.concat([listed.subsets.assign(is_removed=False), ghosts.assign(is_removed=True)], ignore_index=True)
    found = rows[rows["name"].str.contains(search.strip(), case=False, regex=False)] if search.strip() else rows
    column, ascending = ORDERS[order]
    by = found[column].str.lower() if column == "name" else found[column]
    return found.loc[by.sort_values(ascending=ascending, kind="stable").index]


def draw_cards(listed: Listed, rows: pd.DataFrame) -> None:
    """Draw a page of subsets, two in a row."""
    records = [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
    present = [row for row in records if not row["is_removed"]]
    words = subset_reads.recipe_words(present)
    pictures = subset_reads.miniatures(present, theme().name)
    balances = subset_reads.balances([str(row["subset"]) for row in present])
    labels = suite_labels(listed.suite)
    parts = _parts(listed.subsets)
    for start in range(0, len(records), 2):
        for column, row in zip(st.columns(2, gap="small"), records[start : start + 2], strict=False):
            subset = str(row["subset"])
            with column, st.container(border=True, height="stretch", key=f"subset-card-{subset}"):
                if row["is_removed"]:
                    _draw_ghost(row, listed)
                    continue
                bar = balance_bar(balances[subset], labels, theme())
                _draw_card(row, listed, words[subset], pictures.get(subset), bar, parts.get(subset, []))


def _draw_card(
    row: dict[str, Any], listed: Listed, words: str, picture: bytes | None, bar: str, made: Sequence[str]
) -> None:
    subset, name, size = str(row["subset"]), str(row["name"]), int(row["size"])
    shown = subset_reads.shown_map(row)
    with st.container(horizontal=True, gap="medium", height="stretch"):
        st.html(miniature(picture, map_words=None if shown is None else shown.words, title=name), width="content")
        with st.container(height="stretch", key=f"subset-body-{subset}"):
            with st.container(horizontal=True, vertical_alignment="center", gap=None, key=f"subset-tools-{subset}"):
                st.html(f'<div class="ftft-subset-name">{html.escape(name)}</div>')
                _draw_renaming(subset, name)
                key = f"subset-menu-{subset}"
                st.menu_button("More", [*DIALOGS, actions.REMOVE], icon=":material/more_horiz:", key=key,
                               type="tertiary", help="Balance, twin, export, remove", on_click=actions.pick,
                               args=(subset, name, key))  # fmt: skip
            share = percent(size, listed.num_train)
            st.html(description(words, size, share, f"{row['created_at']:%d %b %Y}".lstrip("0"), bar))
            _draw_users(subset, listed, made)
            with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"subset-next-{subset}"):
                st.button("Fine-tune on this", key=f"subset-tune-{subset}", type="primary", on_click=actions.fine_tune,
                          args=(subset,))  # fmt: skip
                if shown is not None:
                    st.page_link("pages/data_map.py", label="Show on the map", icon=":material/scatter_plot:",
                                 query_params=_map_address(subset, shown), width="content")  # fmt: skip
    _draw_problem(subset)


def _draw_renaming(subset: str, name: str) -> None:
    # The name is in the key, so that the form closes once the name is another.
    with st.popover("Rename", icon=":material/edit:", type="tertiary", key=f"subset-rename-{subset}-{name}"):
        key = f"subset-name-{subset}"
        with st.form(f"subset-form-{subset}", border=False):
            st.text_input("Name", value=name, key=key, max_chars=100)
            st.form_submit_button("Rename", on_click=actions.rename, args=(subset, name, key), width="stretch")


def _draw_users(subset: str, listed: Listed, made: Sequence[str]) -> None:
    """Draw links to the runs that were trained on a subset, and name the subsets made from it."""
    users = listed.runs[listed.runs["subset"] == subset].to_dict("records")[::-1]
    with st.container(horizontal=True, vertical_alignment="center", gap=None, key=f"subset-users-{subset}"):
        if not users and not made:
            st.html('<span class="ftft-quiet">No run has used it yet</span>', width="content")
            return
        if users:
            st.html('<span class="ftft-quiet">Used by</span>', width="content")
        for run in users[:SHOWN_USERS]:
            st.page_link(_page_of(run), label=as_text(cut(str(run["name"]), LONGEST_LINK)), width="content",
                         query_params={"suite": listed.suite, "run": str(run["run_id"])},
                         help=as_text(f"{run['method']}, seed {run['seed']}, {run['status']}"))  # fmt: skip
        said = []
        if len(users) > SHOWN_USERS:
            others = ", ".join(str(run["name"]) for run in users[SHOWN_USERS:])
            said.append(f'<span title="{html.escape(others)}">and {len(users) - SHOWN_USERS} more</span>')
        if made:
            said.append(f'<span title="{html.escape(", ".join(made))}">part of {html.escape(_few(made))}</span>')
        if said:
            st.html(f'<span class="ftft-quiet">{"; ".join(said)}</span>', width="content")


def _draw_problem(subset: str) -> None:
    failure = actions.state().problems.pop(subset, None)
    if failure is not None:
        show_error(failure)


def _draw_ghost(row: dict[str, Any], listed: Listed) -> None:
    """Draw what was just removed, with a way back."""
    subset, name = str(row["subset"]), str(row["name"])
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(f'<span class="ftft-quiet">{html.escape(name)} was removed</span>', width="content")
        _draw_way_back(subset, name, listed, "Undo", f"subset-undo-{subset}")
    _draw_problem(subset)


def draw_removed(listed: Listed) -> None:
    """List the removed subsets, the last removed first, each with a way back."""
    ghosts = actions.ghosts()
    rows = [row for row in listed.removed.to_dict("records") if row["subset"] not in ghosts]
    if not rows:
        return
    has_problem = any(row["subset"] in actions.state().problems for row in rows)
    with st.expander(f"Removed ({len(rows):,})", expanded=has_problem, icon=":material/delete:"):
        for row in rows[:SHOWN_REMOVED]:
            subset, name = str(row["subset"]), str(row["name"])
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.html(f'{html.escape(name)} <span class="ftft-quiet">{int(row["size"]):,} examples, removed '
                        f"{row['removed_at']:%d %b %Y}</span>", width="content")  # fmt: skip
                _draw_way_back(subset, name, listed, "Restore", f"subset-restore-{subset}")
            _draw_problem(subset)
        if len(rows) > SHOWN_REMOVED:
            st.html(f'<span class="ftft-quiet">{len(rows) - SHOWN_REMOVED:,} older ones are listed by '
                    "<code>ftft subset list --removed</code>.</span>")  # fmt: skip


def _draw_way_back(subset: str, name: str, listed: Listed, words: str, key: str) -> None:
    taken = set(listed.subsets["name"])
    st.button(words, key=key, type="tertiary", on_click=actions.restore, args=(subset, name))
    if actions.is_name_taken(subset) or name in taken:
        other = actions.free_name(name, taken)
        st.button(as_text(f"{words} as {other}"), key=f"{key}-other", type="tertiary", on_click=actions.restore,
                  args=(subset, name, other))  # fmt: skip


def _parts(subsets: pd.DataFrame) -> dict[str, list[str]]:
    """Subset -> names of those that were made from it."""
    found: dict[str, list[str]] = {}
    for name, text in zip(subsets["name"], subsets["recipe"], strict=True):
        if '"operands"' in text:
            for operand in Recipe.model_validate_json(text).operands:
                found.setdefault(operand, []).append(str(name))
    return found


def _map_address(subset: str, shown: subset_reads.ShownMap) -> dict[str, str]:
    """Return the address of a run's map, as it was looked at, coloured by a subset, at the epoch that it comes from."""
    run = shown.run
    address = {"suite": str(run["suite"]), "run": str(run["run_id"])} | as_address(str(run["run_id"]))
    address.pop("example", None)
    if shown.epochs is not None:
        address["epochs"] = str(shown.epochs)
    return address | {"colour": SUBSET_COLOUR + subset}


def _page_of(run: Mapping[str, Any]) -> str:
    if run["status"] != "finished":
        return "pages/fine_tune.py"
    return "pages/data_map.py" if run["counted_epochs"] else "pages/compare.py"


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(cut(name, LONGEST_LINK) for name in names[:2])
    return shown if len(names) <= 2 else f"{shown} and {len(names) - 2} more"
