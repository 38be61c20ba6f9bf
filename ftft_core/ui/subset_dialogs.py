"""What the menu of a subset opens: balancing, a random twin, making it again, export.

Owns the forms; each says what would come out before anything is saved.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.selection.balancing import BALANCE_WAYS
from ftft_core.ui import subset_actions as actions
from ftft_core.ui import subset_reads
from ftft_core.ui.frame import as_text, show_error, theme
from ftft_core.ui.map_reads import runs_with_maps
from ftft_core.ui.reads import open_workspace, suite_labels
from ftft_core.ui.reads import subsets as list_subsets
from ftft_core.ui.subset_markup import balance_bar, legend
from ftft_core.workspace import SubsetRecord

Row = dict[str, Any]

WAYS = {"equal": "As many of each label", "like-suite": "As in the training split"}
FORMATS = {"CSV": "csv", "JSON lines": "jsonl", "Parquet": "parquet", "Folder of datasets, zipped": "zip"}
NO_SCORES = "no scores"


def draw_dialog(rows: dict[str, Row]) -> None:
    """Draw the open dialog, if there is one.

    :param rows: id -> row of all subsets of the suite.
    """
    doing = actions.state().doing
    if doing is None:
        return
    action, subset, name = doing
    if subset not in rows:  # removed in another tab, or the suite is another one now
        actions.stop()
        st.warning(f"Subset {as_text(name)} is not in this list any more; it was removed meanwhile.")
        return
    row = rows[subset]

    def body() -> None:
        try:
            DIALOGS[action](row)
        except FTFTError as failure:
            show_error(failure)

    st.dialog(f"{action}: {as_text(row['name'])}", on_dismiss=actions.stop)(body)()


def _draw_balancing(row: Row) -> None:
    """Draw a subset of this one with balanced labels."""
    suite = str(row["suite"])
    labels = suite_labels(suite)
    how = str(st.radio("Labels", list(WAYS), format_func=WAYS.__getitem__, key="subset-balance-how", horizontal=True))
    subset = str(row["subset"])
    try:
        counts = subset_reads.balances([subset])[subset]
        quotas = BALANCE_WAYS[how](counts, open_workspace().label_counts(suite))
    except FTFTError as failure:
        show_error(failure)
        return
    kept = sum(quotas.values())
    st.html(balance_bar(quotas, labels, theme()) + legend(quotas, labels, theme()))
    st.markdown(f":gray[{kept:,} of {int(row['size']):,} examples stay, drawn at random.]")
    name, seed = _name_and_seed(f"{str(row['name'])[:80]}-{how}", suite)
    _save_button(kept, lambda: open_workspace().balance_subset(row["subset"], how=how, name=name, seed=seed))


def _draw_twin(row: Row) -> None:
    """Draw a random subset of the same size."""
    suite = str(row["suite"])
    st.markdown(
        ":gray[As many examples, drawn at random from the whole training split: the honest baseline for this subset.]"
    )
    same = st.checkbox("As many of each label, too", key="subset-twin-labels")
    name, seed = _name_and_seed(f"{str(row['name'])[:80]}-twin", suite)
    _save_button(
        int(row["size"]),
        lambda: open_workspace().random_twin(row["subset"], name=name, seed=seed, same_labels=same),
    )


def _draw_making_again(row: Row) -> None:
    """Say what the recipe would give now, and only then offer to save it."""
    found = subset_reads.remade(str(row["subset"]))
    if not found.differs:
        st.markdown(
            f"Its recipe gives the same {found.size:,} example{'s' * (found.size != 1)} as when it was saved. "
            ":gray[There is nothing to save.]"
        )
        return
    st.markdown(f"**+{found.num_added:,} / −{found.num_lost:,}** since it was saved: {found.size:,} examples now.")
    st.markdown(":gray[The old subset stays as it is; runs may have been trained on it.]")
    if not found.size:
        return
    suite = str(row["suite"])
    proposed = actions.free_name(str(row["name"])[:80], set(list_subsets(suite)["name"]))
    name = st.text_input("Name", value=proposed, key="subset-again-name", max_chars=100).strip()

    def make() -> SubsetRecord:
        saved = open_workspace().remake_subset(row["subset"], save=True, name=name or None).saved
        assert saved is not None
        return saved

    _save_button(found.size, make)


def _draw_export(row: Row) -> None:
    """Write the subset's examples to a file."""
    kind = str(st.selectbox("Format", list(FORMATS), key="subset-export-format"))
    runs = runs_with_maps(str(row["suite"]))
    own = str(row["source_run"])
    options = [NO_SCORES, *runs]
    run = st.selectbox("Scores of run", options, options.index(own) if own in runs else 0, key="subset-export-run",
                       format_func=lambda option: runs.get(option, option))  # fmt: skip
    size, suffix, subset = int(row["size"]), FORMATS[kind], str(row["subset"])
    of_run = None if run == NO_SCORES else str(run)

    def content() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{row['name']}.{suffix}"
            return open_workspace().export_subset(subset, path, run=of_run).read_bytes()

    with_scores = "" if of_run is None else " and scores"
    st.download_button(f"Download {size:,} example{'s' * (size != 1)} with texts, weights{with_scores}", data=content,
                       file_name=f"{row['name']}.{suffix}", on_click="ignore", type="primary", width="stretch",
                       key="subset-export-do")  # fmt: skip
    if suffix == "csv":
        st.markdown(":gray[Spreadsheets take texts that begin with =, +, - or @ for formulas; open it as data.]")


def _name_and_seed(stem: str, suite: str) -> tuple[str | None, int]:
    left, right = st.columns([2.4, 1])
    proposed = actions.free_name(stem, set(list_subsets(suite)["name"]))
    name = left.text_input("Name", placeholder=proposed, key="subset-new-name", max_chars=100).strip()
    seed = right.number_input("Seed", 0, 2**31 - 1, 0, key="subset-new-seed")
    return name or proposed, int(seed)


def _save_button(count: int, make: Callable[[], SubsetRecord]) -> None:
    noun = "example" if count == 1 else "examples"
    if st.button(f"Save {count:,} {noun} as subset", type="primary", width="stretch", key="subset-save"):
        actions.tell_saved(make())
        actions.stop()
        st.rerun()


DIALOGS: dict[str, Callable[[Row], None]] = {
    "Balance the classes": _draw_balancing,
    "Save a random twin": _draw_twin,
    "Make again": _draw_making_again,
    "Export": _draw_export,
}
"""Entry of the menu -> what it opens."""
