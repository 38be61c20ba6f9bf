"""Raw cells to canonical text: what a text, a label, an id and a group may be.

Owns the rules of a single cell. A column that is all text, as every column of a CSV file is, takes a fast path;
cells of other types are looked at one by one. Each function adds its problems and returns one str (or None, for a
group) per row; where a problem was added the values are only good for finding further problems.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ftft_core.suites.problems import Problems, shown
from ftft_core.suites.reading import Table

_UNUSABLE = re.compile("[\0\ud800-\udfff]")


def text_values(table: Table, column: str, problems: Problems) -> list[str]:
    """Return the texts: any str with something to read in it, kept exactly as written."""
    values = table.cells[column]
    texts: list[str] = values
    if not _all_text(values):
        _report(table, column, problems, _indices(values, lambda v: v is None), lambda row: "the text is missing.")
        other = _indices(values, lambda v: v is not None and not isinstance(v, str))
        _report(table, column, problems, other, lambda row: f"a text is needed; received {shown(values[row])}.")
        texts = [value if isinstance(value, str) else "-" for value in values]
    blank = [row for row, text in enumerate(texts) if not text or text.isspace()]
    _report(table, column, problems, blank, lambda row: f"the text is empty; received {shown(texts[row])}.")
    _report_unusable(table, column, texts, problems)
    return texts


def label_values(table: Table, column: str, problems: Problems) -> list[str]:
    """Return the labels: text, or an integer or boolean as Python writes it; 1.0 is a 1 with gaps beside it."""
    return _words(table, column, problems, "label")


def id_values(table: Table, column: str | None, problems: Problems) -> list[str]:
    """Return the example ids, each once within the split; without a column the 0-based row numbers."""
    if column is None:
        return [str(row) for row in range(table.num_rows)]
    ids = _words(table, column, problems, "id")
    if len(set(ids)) < len(ids):
        first: dict[str, int] = {}
        repeated = [row for row, value in enumerate(ids) if first.setdefault(value, row) != row and value]
        _report(
            table,
            column,
            problems,
            repeated,
            lambda row: f"the id {shown(ids[row])} stands in row {first[ids[row]]} already; ids are unique in a split.",
        )
    return ids


def group_values(table: Table, column: str | None, problems: Problems) -> list[str | None]:
    """Return the groups as text; a missing or empty cell is no group."""
    if column is None:
        return [None] * table.num_rows
    values = table.cells[column]
    if not _all_text(values):
        other = _indices(values, lambda v: v is not None and _word(v) is None)
        _report(table, column, problems, other, lambda row: f"a group is a word; received {shown(values[row])}.")
    words = [value if isinstance(value, str) else _word(value) or "" for value in values]
    _report_unusable(table, column, words, problems)
    return [word or None for word in words]


def _words(table: Table, column: str, problems: Problems, kind: str) -> list[str]:
    values = table.cells[column]
    words: list[str] = values
    if not _all_text(values):
        _report(table, column, problems, _indices(values, lambda v: v is None), lambda row: f"the {kind} is missing.")
        other = _indices(values, lambda v: v is not None and _word(v) is None)
        _report(table, column, problems, other, lambda row: f"a {kind} is a word; received {shown(values[row])}.")
        blank = _indices(values, lambda v: isinstance(v, str) and not v.strip())
        words = [value if isinstance(value, str) else _word(value) or "" for value in values]
    else:
        blank = _indices(words, lambda v: v in empty) if (empty := {v for v in set(words) if not v.strip()}) else []
    _report(table, column, problems, blank, lambda row: f"the {kind} is empty; received {shown(words[row])}.")
    _report_unusable(table, column, words, problems)
    return words


def _word(value: object) -> str | None:
    """Write a str, int, bool or integral float as text; None for anything else."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return str(value) if isinstance(value, str | int) else None


def _all_text(values: list[object]) -> bool:
    return set(map(type, values)) <= {str}


def _indices(values: Sequence[object], is_wrong: Callable[[object], bool]) -> list[int]:
    return [row for row, value in enumerate(values) if is_wrong(value)]


def _report(table: Table, column: str, problems: Problems, rows: list[int], word: Callable[[int], str]) -> None:
    if rows:
        problems.add_rows(table.parts, rows, column, word)


def _report_unusable(table: Table, column: str, texts: list[str], problems: Problems) -> None:
    """Report NUL and lone surrogates: neither Parquet's text, a tokenizer nor a database can be trusted with them."""
    if _UNUSABLE.search("\n".join(texts)) is None:
        return
    rows = [row for row, text in enumerate(texts) if _UNUSABLE.search(text)]
    _report(
        table,
        column,
        problems,
        rows,
        lambda row: f"has a character that is no text (NUL or half a surrogate pair); received {shown(texts[row])}.",
    )
