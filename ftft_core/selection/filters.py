"""Filters that a person types, such as `confidence < 0.4 and forgetting_events >= 2 and label == "hate"`.

The text is parsed with Python's own parser into a syntax tree, of which a short whitelist is turned into numpy
masks. Nothing is ever evaluated as Python, and nothing becomes SQL.

What may stand in a filter: columns of the data map, numbers, "strings", True and False; `< <= > >= == !=`, chained
too (`0.2 < confidence < 0.4`); `in [...]` and `not in [...]`; `is None` and `is not None`; `contains(text, "word")`
(case ignored) on a column of text; `and`, `or`, `not` and parentheses; a yes-or-no column by itself
(`not never_learnt`). A comparison with a null is false, `!=` and `not in` too; hence `not` of it is true.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.dynamics import BoolArray
from ftft_core.errors import InputError, unknown

MAX_CHARACTERS = 2000
MAX_DEPTH = 40

COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}

HINTS: dict[type[ast.AST], str] = {
    ast.BinOp: "arithmetic is not known here; join conditions with 'and' and 'or', not with & and |",
    ast.Attribute: "names have no parts; write a column's name alone",
    ast.Call: 'the only function is contains(column, "word")',
    ast.Subscript: "columns have no parts; write a column's name alone",
    ast.IfExp: "'if' is not known here; use 'and', 'or' and 'not'",
    ast.Lambda: "only conditions over columns may stand here",
}


def filter_mask(data_map: pd.DataFrame, expression: str) -> BoolArray:
    """(N,) true for the rows of which the filter holds.

    :raises InputError: with one problem for each place in the filter that was not understood.
    """
    filtering = _Filter(expression, data_map)
    tree = filtering.parse()
    mask = filtering.condition(tree, 0)
    if filtering.problems:
        raise InputError(f'The filter "{_short(expression)}" was not understood.', filtering.problems)
    return mask


def filter_columns(expression: str) -> set[str]:
    """Names that a filter uses, so that a caller can fetch the columns it needs (such as text) first.

    :raises InputError: if the filter is no expression at all; whether the names exist is `filter_mask`'s to say.
    """
    tree = _Filter(expression, pd.DataFrame()).parse()
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


class _Operand:
    """One side of a comparison: a column's values or a constant, and of which kind they are."""

    def __init__(self, kind: str, values: Any, null: BoolArray | None = None) -> None:
        self.kind = kind  # number, text, yes-or-no
        self.values = values
        self.null = null
        """Where a column is null; None for a constant."""


class _Filter:
    """Walks one filter's syntax tree; what it does not understand is put in `problems`, and the walk goes on."""

    def __init__(self, expression: str, data_map: pd.DataFrame) -> None:
        # One line, so that a column offset of the parser is a place in the text.
        self.text = " ".join(str(expression).split("\n")).replace("\t", " ").replace("\r", " ").rstrip()
        self.data_map = data_map
        self.problems: list[str] = []
        self._nothing = np.zeros(len(data_map), dtype=bool)

    def parse(self) -> ast.expr:
        if not self.text.strip():
            raise InputError('The filter is empty; write a condition such as "confidence < 0.4".')
        if len(self.text) > MAX_CHARACTERS:
            raise InputError(f"The filter has {len(self.text)} characters; at most {MAX_CHARACTERS} are allowed.")
        if not self.text.isprintable():
            raise InputError(
                f'The filter "{_short(self.text)!a}" holds characters that cannot be printed; remove them.'
            )
        lead = len(self.text) - len(self.text.lstrip())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(self.text.lstrip(), mode="eval").body
        except SyntaxError as failure:
            # The parser gives no place when the text ends too early.
            place = lead + failure.offset if failure.offset else len(self.text) + 1
            raise InputError(
                f'The filter "{_short(self.text)}" was not understood.',
                [f"at character {place}: {self._syntax_hint(failure, place)}"],
            ) from None
        except (ValueError, MemoryError, RecursionError):
            raise InputError(
                f'The filter "{_short(self.text)}" was not understood: it is too deeply nested or holds characters '
                "that cannot stand in one."
            ) from None
        self._lead = lead
        return tree

    def condition(self, node: ast.expr, depth: int) -> BoolArray:
        """(N,) mask of a condition."""
        if depth > MAX_DEPTH:
            return self._problem(node, f"it is nested more than {MAX_DEPTH} levels deep; split it")
        match node:
            case ast.BoolOp(op=op, values=values):
                masks = [self.condition(value, depth + 1) for value in values]
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return np.asarray(join.reduce(masks), dtype=bool)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.condition(operand, depth + 1)
            case ast.Compare():
                return self._compare(node)
            case ast.Call(func=ast.Name(id="contains"), args=[column, word], keywords=[]):
                return self._contains(column, word)
            case ast.Name() | ast.Constant(value=bool()):
                return self._alone(node)
            case _:
                return self._not_understood(node)

    def _alone(self, node: ast.expr) -> BoolArray:
        operand = self._operand(node)
        if operand is None:
            return self._nothing
        if operand.kind != "yes-or-no":
            said = self._said(node)
            return self._problem(node, f"{said} is no condition; compare it with a {operand.kind}")
        mask = np.logical_and(operand.values, np.ones_like(self._nothing))
        return np.asarray(mask if operand.null is None else mask & ~operand.null, dtype=np.bool_)

    def _compare(self, node: ast.Compare) -> BoolArray:
        mask = np.ones_like(self._nothing)
        sides = [node.left, *node.comparators]
        for left, comparison, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(comparison, (ast.In, ast.NotIn)):
                mask &= self._member(left, right, wanted=isinstance(comparison, ast.In))
            elif isinstance(comparison, (ast.Is, ast.IsNot)):
                mask &= self._null(left, right, wanted=isinstance(comparison, ast.Is))
            else:
                mask &= self._ordered(left, comparison, right)
        return mask

    def _ordered(self, left_node: ast.expr, comparison: ast.cmpop, right_node: ast.expr) -> BoolArray:
        left, right = self._operand(left_node), self._operand(right_node)
        if left is None or right is None:
            return self._nothing
        symbol, compare = COMPARISONS[type(comparison)]
        if left.null is None and right.null is None:
            return self._problem(left_node, "two constants are compared; one side must be a column")
        if left.kind != right.kind:
            said = f"{self._said(left_node)} is a {left.kind} and {self._said(right_node)} a {right.kind}"
            return self._problem(right_node, f"{said}; only like can be compared with like")
        if left.kind != "number" and symbol not in ("==", "!="):
            return self._problem(
                right_node, f"'{symbol}' is for numbers; {self._said(left_node)} is a {left.kind}, use == or !="
            )
        nulls = [operand.null for operand in (left, right) if operand.null is not None]
        return np.asarray(compare(left.values, right.values) & ~np.logical_or.reduce(nulls), dtype=np.bool_)

    def _member(self, left_node: ast.expr, right_node: ast.expr, *, wanted: bool) -> BoolArray:
        left = self._operand(left_node)
        if not isinstance(right_node, (ast.List, ast.Tuple, ast.Set)):
            return self._problem(right_node, '\'in\' needs a list, as in label in ["a", "b"]')
        members = [self._operand(element) for element in right_node.elts]
        if left is None or left.null is None or any(member is None for member in members):
            return (
                self._nothing
                if left is None or left.null is not None
                else self._problem(left_node, "a column must stand before 'in'")
            )
        mask = np.zeros_like(self._nothing)
        for element, member in zip(right_node.elts, members, strict=True):
            assert member is not None
            if member.kind != left.kind or member.null is not None:
                self._problem(
                    element, f"{self._said(left_node)} is a {left.kind}; the list must hold constants of that kind"
                )
            else:
                mask |= np.asarray(left.values == member.values, dtype=bool)
        return (mask if wanted else ~mask) & ~left.null

    def _null(self, left_node: ast.expr, right_node: ast.expr, *, wanted: bool) -> BoolArray:
        if not (isinstance(right_node, ast.Constant) and right_node.value is None):
            return self._problem(right_node, "'is' is for None only; use ==")
        left = self._operand(left_node)
        if left is None or left.null is None:
            return self._nothing if left is None else self._problem(left_node, "a column must stand before 'is'")
        return left.null.copy() if wanted else ~left.null

    def _contains(self, column_node: ast.expr, word_node: ast.expr) -> BoolArray:
        column, word = self._operand(column_node), self._operand(word_node)
        if column is None or word is None:
            return self._nothing
        if column.null is None or column.kind != "text":
            return self._problem(column_node, "contains() needs a column of text first")
        if word.null is not None or word.kind != "text":
            return self._problem(word_node, 'contains() needs a "word" in quotes second')
        wanted = str(word.values).casefold()
        found = [isinstance(text, str) and wanted in text.casefold() for text in column.values]
        return np.array(found, dtype=bool).reshape(self._nothing.shape)

    def _operand(self, node: ast.expr) -> _Operand | None:
        match node:
            case ast.Name(id=name):
                if name in self.data_map.columns:
                    return _column_operand(self.data_map[name])
                self._problem(node, unknown("column", name, self.data_map.columns))
            case ast.Constant(value=bool() as value):
                return _Operand("yes-or-no", value)
            case ast.Constant(value=str() as text):
                return _Operand("text", text)
            case ast.Constant(value=int() | float() as number):
                return self._number(node, number)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)):
                return self._number(node, -number if isinstance(sign, ast.USub) else number)
            case ast.Constant(value=None):
                self._problem(node, "write 'is None' or 'is not None' to ask for nulls")
            case _:
                self._not_understood(node)
        return None

    def _number(self, node: ast.expr, number: float) -> _Operand | None:
        try:
            return _Operand("number", float(number))
        except OverflowError:
            self._problem(node, "the number is too large")
            return None

    def _not_understood(self, node: ast.expr) -> BoolArray:
        hint = HINTS.get(type(node), "only conditions over columns may stand here")
        return self._problem(node, f"'{self._said(node)}' is not understood: {hint}")

    def _problem(self, node: ast.expr, sentence: str) -> BoolArray:
        # The parser counts bytes of UTF-8, people count characters.
        before = self.text[self._lead :].encode()[: node.col_offset].decode()
        ending = "" if sentence.endswith((".", "?")) else "."
        self.problems.append(f"at character {self._lead + len(before) + 1}: {sentence}{ending}")
        return self._nothing

    def _said(self, node: ast.expr) -> str:
        return _short(ast.get_source_segment(self.text[self._lead :], node) or "it", limit=40)

    def _syntax_hint(self, failure: SyntaxError, place: int) -> str:
        rest = self.text[place - 1 :]
        if rest.startswith("=") or "Maybe you meant '=='" in failure.msg:
            return "to compare, write == with two equals signs."
        word = rest.split(" ", 1)[0] if rest else "the end"
        said = _short(word, limit=40)
        return f"'{said}' was not expected ({failure.msg}); conditions are joined with lower-case and, or, not."


def _column_operand(column: Any) -> _Operand:
    null = column.isna().to_numpy(dtype=bool)
    if pd.api.types.is_bool_dtype(column.dtype):
        return _Operand("yes-or-no", column.fillna(False).to_numpy(dtype=bool), null)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _Operand("number", column.to_numpy(dtype=np.float64, na_value=np.nan), null)
    return _Operand("text", column.to_numpy(dtype=object), null)


def _short(text: str, *, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
