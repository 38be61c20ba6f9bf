"""What one can do with marks: tags, notes, exclusions and proposed labels of training examples."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.dynamics import IntArray
from ftft_core.errors import InputError, unknown
from ftft_core.store import Connection
from ftft_core.store import marks as mark_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.base import WorkspaceBase

MAX_TAG_CHARACTERS = 60
MAX_AUTHOR_CHARACTERS = 100
MAX_NOTE_CHARACTERS = 10_000
"""Of a note, and of a reason."""


class Marks(WorkspaceBase):
    """Marking training examples, and taking marks back; source data stay as they are."""

    def mark(
        self,
        suite: str,
        example_ids: Sequence[str],
        kind: str,
        value: str | None = None,
        *,
        author: str,
        reason: str | None = None,
    ) -> int:
        """Mark training examples of a suite, in one action that can be undone as a whole.

        :param kind: one of `MARK_KINDS`: `tag` and `untag` (value: the tag's name, 1 to 60 printable characters),
            `note` (value: any text up to 10,000 characters), `exclude` and `include` (no value), `propose_label`
            (value: one of the suite's labels; None withdraws).
        :param author: who does it.
        :param reason: why, up to 10,000 characters.
        :returns: the number of the action.
        :raises NotFoundError: when an id is not in the training split.
        :raises InputError: for a kind, value, author or reason that can't be, or no example at all.
        """
        if isinstance(example_ids, str):
            raise InputError(f"Example ids are given as a list; received the text '{example_ids}'.")
        ids = list(example_ids)
        wrong = next((each for each in ids if not isinstance(each, str)), None)
        if wrong is not None:
            raise InputError(f"Example ids are texts; received {wrong!r}.")
        with self.database.writing() as connection:
            suite_no = suite_store.find_suite(connection, suite)
            said = _checked(connection, suite, kind, value, author, reason, len(ids))
            positions = mark_store.find_positions(connection, suite_no, ids)
            return mark_store.add_action(connection, suite_no, positions, kind, **said)

    def mark_positions(
        self,
        suite: str,
        positions: IntArray,
        kind: str,
        value: str | None = None,
        *,
        author: str,
        reason: str | None = None,
    ) -> int:
        """Mark examples as `mark` does, by their rows of the training split; quicker where there are many.

        :raises InputError: when a position lies outside of the training split, and as `mark` does.
        """
        rows = np.unique(np.asarray(positions))
        if len(rows) and not np.issubdtype(rows.dtype, np.integer):
            raise InputError(f"Positions are whole numbers; received {rows.dtype} such as {rows[0]}.")
        with self.database.writing() as connection:
            suite_no = suite_store.find_suite(connection, suite)
            said = _checked(connection, suite, kind, value, author, reason, len(rows))
            return mark_store.add_action(connection, suite_no, rows, kind, **said)

    def undo_mark(self, action: int, *, author: str) -> None:
        """Take an action back, whichever came after it; it stays in the history.

        :raises InputError: when there is no such action, or it is undone already.
        """
        with self.database.writing() as connection:
            mark_store.undo_action(connection, action, author=_author(author))

    def redo_mark(self, action: int, *, author: str) -> None:
        """Bring an undone action back, in its old place: an action that came later still outranks it.

        :raises InputError: when there is no such action, or it is not undone.
        """
        with self.database.writing() as connection:
            mark_store.redo_action(connection, action, author=_author(author))

    def marks(self, suite: str, example_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """Give the marks that stand, one row per marked example, in file order; of all, or of some examples.

        :returns: example_id, position (row of the training split), tags (list, by name), excluded, proposed_label
            (None without), notes (list, oldest first).
        :raises NotFoundError: when an id is not in the training split.
        """
        with self.database.reading() as connection:
            suite_no = suite_store.find_suite(connection, suite)
            asked = None if example_ids is None else mark_store.find_positions(connection, suite_no, example_ids)
            return mark_store.read_marks(connection, suite_no, asked)

    def example_marks(self, suite: str, example_id: str) -> tuple[dict[str, Any], pd.DataFrame]:
        """Give the marks of one example that stand, and what was ever done to it.

        :returns: tags, excluded, proposed_label and notes as in `marks`; and the actions, latest first: action, kind,
            value, author, reason, created_at, undone_at, and more of the view `history`.
        :raises NotFoundError: when the id is not in the training split.
        """
        with self.database.reading() as connection:
            suite_no = suite_store.find_suite(connection, suite)
            positions = mark_store.find_positions(connection, suite_no, [example_id])
            rows = mark_store.read_marks(connection, suite_no, positions).to_dict("records")
            history = mark_store.list_actions(connection, suite_no, position=int(positions[0]))
        row = rows[0] if rows else {"tags": [], "excluded": False, "proposed_label": None, "notes": []}
        return {key: row[key] for key in ("tags", "excluded", "proposed_label", "notes")}, history

    def actions(self, suite: str, limit: int | None = None) -> pd.DataFrame:
        """Give the view `history` of a suite, latest first, undone actions too."""
        with self.database.reading() as connection:
            return mark_store.list_actions(connection, suite_store.find_suite(connection, suite), limit=limit)

    def tags(self, suite: str) -> pd.DataFrame:
        """Give tag and num_examples of the tags that stand, by name."""
        with self.database.reading() as connection:
            return mark_store.list_tags(connection, suite_store.find_suite(connection, suite))

    def tagged_positions(self, suite: str, tag: str) -> IntArray:
        """Give the rows of the training split that carry a tag, ascending.

        :raises NotFoundError: when the suite never had that tag.
        """
        with self.database.reading() as connection:
            return mark_store.tagged_positions(connection, suite_store.find_suite(connection, suite), tag)

    def excluded_positions(self, suite: str) -> IntArray:
        """Give the rows of the training split that are excluded from training, ascending."""
        with self.database.reading() as connection:
            return mark_store.excluded_positions(connection, suite_store.find_suite(connection, suite))


def _checked(
    connection: Connection,
    suite: str,
    kind: str,
    value: str | None,
    author: str,
    reason: str | None,
    num_examples: int,
) -> dict[str, Any]:
    """Give value, author and reason as they are kept."""
    if kind not in MARK_KINDS:
        raise InputError(unknown("kind of mark", kind, MARK_KINDS))
    if num_examples == 0:
        raise InputError("There is no example to mark: the list is empty. Name at least one.")
    labels = suite_store.read_suite_facts(connection, suite)["labels"]
    return {
        "value": MARK_KINDS[kind](value, labels),
        "author": _author(author),
        "reason": None if reason is None or not reason.strip() else _text("reason", reason),
    }


def _tag(value: str | None, _: Sequence[str]) -> str:
    name = unicodedata.normalize("NFC", value or "").strip()
    if not 1 <= len(name) <= MAX_TAG_CHARACTERS or not name.isprintable():
        raise InputError(
            f"tag: received {value!r:.200}; allowed are 1 to {MAX_TAG_CHARACTERS} printable characters on one line."
        )
    return name


def _note(value: str | None, _: Sequence[str]) -> str:
    if value is None or not value.strip():
        raise InputError("The note is empty; write something.")
    return _text("note", value)


def _label(value: str | None, labels: Sequence[str]) -> str | None:
    if value is not None and value not in labels:
        raise InputError(unknown("label", value, labels))
    return value


def _nothing(value: str | None, _: Sequence[str]) -> None:
    if value is not None:
        raise InputError(f"Excluding and including take no value; received {value!r:.200}.")


def _text(what: str, value: str) -> str:
    """Give text as it can be stored: what no UTF-8 text can hold, and null characters, become U+FFFD."""
    if len(value) > MAX_NOTE_CHARACTERS:
        raise InputError(f"The {what} has {len(value):,} characters; at most {MAX_NOTE_CHARACTERS:,} are allowed.")
    return "".join("\ufffd" if each == "\0" or "\ud800" <= each <= "\udfff" else each for each in value)


def _author(value: str) -> str:
    name = value.strip()
    if not 1 <= len(name) <= MAX_AUTHOR_CHARACTERS or not name.isprintable():
        raise InputError(
            f"author: received {value!r:.200}; allowed are 1 to {MAX_AUTHOR_CHARACTERS} printable characters: who "
            "makes this mark."
        )
    return name


MARK_KINDS: Mapping[str, Callable[[str | None, Sequence[str]], str | None]] = {
    "tag": _tag,
    "untag": _tag,
    "note": _note,
    "exclude": _nothing,
    "include": _nothing,
    "propose_label": _label,
}
"""Kinds of action, each with what checks its value."""
