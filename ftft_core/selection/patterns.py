"""Searching texts: words as they are, and regular expressions of RE2, case ignored.

The expressions are RE2's here and in the database, so that a search takes time in proportion to the text.

RE2 has neither look-around nor back references, and refuses counted repetitions that multiply to more than 1,000. How
much time a character of text takes still depends on the pattern: where millions of texts are searched, the search has
a time limit (`store`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ftft_core.dynamics import BoolArray
from ftft_core.errors import InputError

MAX_PATTERN_CHARACTERS = 1000

_REMEDIES = {
    "invalid perl operator": "Look-ahead, look-behind and their like are not known",
    "invalid repetition size": "Counts in braces may multiply to at most 1,000; use smaller ones",
    "pattern too large": "Use fewer or smaller counts in braces",
    "invalid escape sequence": "Back references such as \\1 are not known; to find a backslash, write it twice",
    "no argument for repetition": "To find one of * + ? itself, write a backslash before it",
    "bad repetition operator": "To find one of * + ? itself, write a backslash before it",
    "missing )": "To find a bracket itself, write a backslash before it",
    "unexpected )": "To find a bracket itself, write a backslash before it",
    "missing ]": "To find a bracket itself, write a backslash before it",
}
"""Start of what RE2 says -> what to do."""


def check_length(pattern: str) -> None:
    """Refuse a pattern of more than 1,000 characters.

    :raises InputError: saying how many it has.
    """
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise InputError(
            f"The pattern has {len(pattern):,} characters; at most {MAX_PATTERN_CHARACTERS:,} are allowed."
        )


def find_in(column: pd.Series, pattern: str, *, regex: bool) -> BoolArray:
    """(N,) where a column of text contains or matches a pattern, case ignored; a null does not.

    :raises InputError: if a regular expression is malformed.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        found = find_in(pd.Series(column.cat.categories), pattern, regex=regex)
        return np.append(found, False)[column.cat.codes.to_numpy()]  # The last for null, whose code is -1.
    if regex:
        return _matches(column, pattern)
    wanted = pattern.casefold()
    hits = [isinstance(text, str) and wanted in text.casefold() for text in column]
    return np.array(hits, dtype=bool).reshape(len(column))


def _matches(column: pd.Series, pattern: str) -> BoolArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(column, pa.string(), from_pandas=True)
    try:
        found = pc.match_substring_regex(texts, pattern, ignore_case=True)
    except pa.ArrowInvalid as failure:
        raise bad_pattern(pattern, str(failure)) from None
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def bad_pattern(pattern: str, said: str) -> InputError:
    """Word what RE2 said of a pattern."""
    line = said.splitlines()[0] if said else "it does not compile"
    reason = line.removeprefix("Invalid Input Error: ").removeprefix("Invalid regular expression: ")
    remedy = next((words for start, words in _REMEDIES.items() if reason.startswith(start)), None)
    shown = pattern if len(pattern) <= 120 else pattern[:117] + "..."
    return InputError(
        f"The regular expression '{shown}' can't be used ({reason})." + ("" if remedy is None else f" {remedy}.")
    )
