"""Exceptions of the core, and how they are worded.

The core raises; the command line and the pages turn an error into one clear line.

    FTFTError                   something that the user can be told in one sentence   (exit 1)
    ├── InputError              what was given cannot be used                         (exit 2)
    │   ├── FilterError         a typed filter; it knows where in the text
    │   ├── SuiteError          a suite's spec or files
    │   ├── NotFoundError       no such suite, run, subset or example
    │   └── NameTakenError      the name is in use
    ├── FingerprintError        data differ from what was recorded                    (exit 1)
    ├── WorkspaceBusyError      another process holds the database                    (exit 1)
    ├── WorkspaceError          the workspace is damaged or of a newer version        (exit 1)
    └── RunError                a run failed, was lost, or cannot do what was asked   (exit 1)

An error has a `message` (one sentence) and `problems` (one sentence each: what, what was received, what is
allowed, what to do). All problems of one input are reported together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class FTFTError(Exception):
    """Base of all errors that a user can be told about; `exit_code` is the command line's."""

    exit_code = 1

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = list(problems)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  - {problem}" for problem in self.problems)])


class InputError(FTFTError):
    """What was given cannot be used; nothing was changed."""

    exit_code = 2


class FilterError(InputError):
    """A filter that was typed was not understood."""

    def __init__(
        self, message: str, problems: Sequence[str] = (), *, text: str = "", places: Sequence[tuple[int, int]] = ()
    ) -> None:
        super().__init__(message, problems)
        self.text = text
        """The filter, on one line."""
        self.places = tuple(places)
        """Start (from 0) and length of what was not understood, in characters; one for each problem that has one."""

    @property
    def pointed(self) -> str:
        """The filter, and below it carets under what was not understood."""
        marks = [" "] * max([len(self.text), *(start + length for start, length in self.places)])
        for start, length in self.places:
            marks[start : start + length] = "^" * length
        return f"{self.text}\n{''.join(marks).rstrip()}"


class SuiteError(InputError):
    """A suite's spec or its files cannot be used."""


class NotFoundError(InputError):
    """No suite, run, subset or example has the given id or name."""


class NameTakenError(InputError):
    """The name is in use."""


class FingerprintError(FTFTError):
    """Data differ from what was recorded when they were first used."""


class WorkspaceBusyError(FTFTError):
    """Another process holds the database, and waiting did not help."""


class WorkspaceError(FTFTError):
    """The workspace cannot be read: damaged, or written by a newer version."""


class RunError(FTFTError):
    """A run failed, was lost, or is in a state in which the request makes no sense."""


def one_of(names: Iterable[str], *, limit: int = 16) -> str:
    """Word the allowed names for a message, at most `limit` of them."""
    known = list(names)
    shown = ", ".join(known[:limit]) if known else "none yet"
    return f"{shown} and {len(known) - limit} more" if len(known) > limit else shown


def unknown(kind: str, received: object, known: Iterable[str]) -> str:
    """One sentence for a name that is not among the `known` ones, with the nearest of them suggested."""
    names = list(known)
    nearest = difflib.get_close_matches(str(received), names, n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return f"There is no {kind} '{received}' (known: {one_of(names)}).{hint}"
