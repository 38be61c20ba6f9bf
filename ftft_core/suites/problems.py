"""Problems of a suite's files: collected over all of them, worded alike, and cut to the first few of a kind.

Owns the wording `FILE, row R (line L), column 'C': ...`. What counts as a problem is decided by who adds it.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MAX_OF_A_KIND = 20
"""Problems of one kind that are listed for one file; the rest are counted."""


@dataclass(frozen=True)
class FilePart:
    """The rows of one file within a source, which a glob makes of several files."""

    name: str
    """The file as the spec names it."""

    start: int
    """Number of the source's rows that stand before this file's first."""

    lines: Sequence[int] | None
    """1-based line at which each row begins, for files of text."""


@dataclass
class Problems:
    """All problems found so far, in the order in which they were found."""

    sentences: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.sentences)

    def add(self, sentence: str) -> None:
        """Add a problem that belongs to no row."""
        self.sentences.append(sentence)

    def add_rows(
        self, parts: Sequence[FilePart], rows: Sequence[int], column: str | None, word: Callable[[int], str]
    ) -> None:
        """Add one kind of problem at many rows.

        :param rows: 0-based rows of the source, ascending.
        :param word: the sentence for a row, without its place.
        """
        starts = [part.start for part in parts]
        by_part: dict[int, list[int]] = {}
        for row in rows:
            by_part.setdefault(bisect.bisect_right(starts, row) - 1, []).append(int(row))
        for index, found in by_part.items():
            part = parts[index]
            for row in found[:MAX_OF_A_KIND]:
                self.sentences.append(f"{place(part, row, column)}: {word(row)}")
            if len(found) > MAX_OF_A_KIND:
                self.sentences.append(f"{part.name}: ... and {len(found) - MAX_OF_A_KIND:,} more of this kind")


def place(part: FilePart, row: int, column: str | None) -> str:
    """Word where a row of the source stands; the row is counted from 0 within its file, as default ids are."""
    here = row - part.start
    line = f" (line {part.lines[here]})" if part.lines is not None else ""
    return f"{part.name}, row {here}{line}" + (f", column '{column}'" if column else "")


def shown(value: object, limit: int = 60) -> str:
    """Show a received value, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
