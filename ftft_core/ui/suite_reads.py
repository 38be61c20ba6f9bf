"""What the suites page reads from the workspace, kept between interactions.

A suite's content never changes, so all is kept by its fingerprint; its name may be another content's by now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import streamlit as st

from ftft_core.errors import NotFoundError
from ftft_core.store.splits import ExampleFilter, ExamplePage
from ftft_core.ui.reads import open_workspace, workspace_folder

MAX_GROUPS = 500
"""Groups to choose from; the names of others can be typed."""

Found = TypeVar("Found")


def splits(suite: str, fingerprint: str) -> pd.DataFrame:
    """Return the splits of a suite, with what they hold."""
    return _splits(str(workspace_folder()), suite, fingerprint)


def groups(suite: str, fingerprint: str, split: str) -> pd.DataFrame:
    """Return the largest groups of a split: group, num_examples."""
    return _groups(str(workspace_folder()), suite, fingerprint, split)


def page(
    suite: str, fingerprint: str, split: str, wanted: ExampleFilter, *, offset: int, limit: int
) -> ExamplePage:  # fmt: skip
    """Return a page of a split's examples.

    :raises FTFTError: as `Workspace.split_examples`, and when the suite was removed or replaced.
    """
    return _page(str(workspace_folder()), suite, fingerprint, split, wanted, offset, limit)


def texts(suite: str, fingerprint: str, split: str, example_id: str) -> tuple[str, ...]:
    """Return the whole texts of an example; none where only its dynamics were imported."""

    def read() -> tuple[str, ...]:
        row = open_workspace().examples(suite, split, [example_id]).iloc[0]
        return tuple(row[name] for name in ("text", "text_pair") if isinstance(row[name], str))

    return _same(suite, fingerprint, read)


@st.cache_data(show_spinner="Counting labels and words", max_entries=32)
def _splits(folder: str, suite: str, fingerprint: str) -> pd.DataFrame:
    return _same(suite, fingerprint, lambda: open_workspace().describe_splits(suite))


@st.cache_data(show_spinner=False, max_entries=64)
def _groups(folder: str, suite: str, fingerprint: str, split: str) -> pd.DataFrame:
    return _same(suite, fingerprint, lambda: open_workspace().split_groups(suite, split, limit=MAX_GROUPS))


@st.cache_data(show_spinner="Looking through the texts", max_entries=64)
def _page(
    folder: str, suite: str, fingerprint: str, split: str, wanted: ExampleFilter, offset: int, limit: int
) -> ExamplePage:  # fmt: skip
    return _same(
        suite, fingerprint, lambda: open_workspace().split_examples(suite, split, wanted, offset=offset, limit=limit)
    )


def _same(suite: str, fingerprint: str, read: Callable[[], Found]) -> Found:
    """Read, unless the name is another content's by now; one connection, so that nobody changes it in between."""
    workspace = open_workspace()
    with workspace.database.reading():
        if workspace.suite_facts(suite)["fingerprint"] != fingerprint:
            raise NotFoundError(f"Suite '{suite}' was replaced by another of the same name; load the page again.")
        return read()
