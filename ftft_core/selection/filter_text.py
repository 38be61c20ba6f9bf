"""The text of a filter: made a syntax tree by Python's own parser, and pointed into by problems."""

from __future__ import annotations

import ast
import warnings

from ftft_core.errors import FilterError, InputError

MAX_CHARACTERS = 2000


class FilterText:
    """A filter as it was typed, and what in it was not understood."""

    def __init__(self, expression: str) -> None:
        # One line, so that a column offset of the parser is a place in the text.
        self.text = " ".join(str(expression).split("\n")).replace("\t", " ").replace("\r", " ").rstrip()
        self.problems: list[str] = []
        self.places: list[tuple[int, int]] = []
        """Start and length of what each problem is about, in characters."""
        self._lead = len(self.text) - len(self.text.lstrip())

    def parse(self) -> ast.expr:
        """Give the syntax tree.

        :raises InputError: if the text is none of one expression; with the place where it stops being one.
        """
        if not self.text.strip():
            raise InputError('The filter is empty; write a condition such as "confidence < 0.4".')
        if len(self.text) > MAX_CHARACTERS:
            raise InputError(f"The filter has {len(self.text)} characters; at most {MAX_CHARACTERS} are allowed.")
        if not self.text.isprintable():
            raise InputError(
                f'The filter "{shortened(self.text)!a}" holds characters that cannot be printed; remove them.'
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(self.text.lstrip(), mode="eval").body
        except SyntaxError as failure:
            # The parser gives no place when the text ends too early.
            place = self._lead + failure.offset if failure.offset else len(self.text) + 1
            word = self.text[place - 1 :].split(" ", 1)[0]
            raise FilterError(
                f'The filter "{shortened(self.text)}" was not understood.',
                [f"at character {place}: {self._syntax_hint(failure, place)}"],
                text=self.text,
                places=[(place - 1, max(1, len(word)))],
            ) from None
        except (ValueError, MemoryError, RecursionError):
            raise InputError(
                f'The filter "{shortened(self.text)}" was not understood: it is too deeply nested or holds characters '
                "that cannot stand in one."
            ) from None
        return tree

    def check(self) -> None:
        """Refuse the filter if there are problems.

        :raises InputError: with all of them.
        """
        if self.problems:
            raise FilterError(
                f'The filter "{shortened(self.text)}" was not understood.',
                self.problems,
                text=self.text,
                places=self.places,
            )

    def add_problem(self, node: ast.expr, sentence: str) -> None:
        """Note what is wrong with a part, with the place of its first character."""
        # The parser counts bytes of UTF-8, people count characters.
        written = self.text[self._lead :].encode()
        before = written[: node.col_offset].decode()
        length = len(written[node.col_offset : node.end_col_offset].decode())
        self.places.append((self._lead + len(before), max(1, length)))
        ending = "" if sentence.endswith((".", "?")) else "."
        self.problems.append(f"at character {self._lead + len(before) + 1}: {sentence}{ending}")

    def said(self, node: ast.expr) -> str:
        """Give a part as it was typed."""
        return shortened(ast.get_source_segment(self.text[self._lead :], node) or "it", limit=40)

    def _syntax_hint(self, failure: SyntaxError, place: int) -> str:
        rest = self.text[place - 1 :]
        if rest.startswith("=") or "Maybe you meant '=='" in failure.msg:
            return "to compare, write == with two equals signs."
        word = rest.split(" ", 1)[0] if rest else "the end"
        said = shortened(word, limit=40)
        return f"'{said}' was not expected ({failure.msg}); conditions are joined with lower-case and, or, not."


def shortened(text: str, *, limit: int = 120) -> str:
    """Cut a long text at the end."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
