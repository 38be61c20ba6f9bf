"""Filters that a person types, such as `confidence < 0.4 and forgetting_events >= 2 and label == "hate"`.

The text is parsed with Python's own parser into a syntax tree, of which a short whitelist is turned into numpy
masks. Nothing is ever evaluated as Python, and nothing becomes SQL.

What may stand in a filter: columns of the data map, numbers, "strings", True and False; `< <= > >= == !=`, chained
too (`0.2 < confidence < 0.4`); `in [...]` and `not in [...]`; `is None` and `is not None`; `contains(text, "word")`
and `matches(text, "regular expression")` (both ignore case) on a column of text; `tagged("name")`; `excluded`; `and`,
`or`, `not` and parentheses; a yes-or-no column by itself (`not never_learnt`). A comparison with a null is false, `!=`
and `not in` too; hence `not` of it is true.

The texts themselves, `text` and `text_pair`, are no columns of a map: what is asked of them is searched for where they
are (`Lookups`), and they may stand only where a search can answer.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.dynamics import BoolArray
from ftft_core.errors import InputError, unknown
from ftft_core.selection.conditions import TEXT_COLUMNS
from ftft_core.selection.filter_text import FilterText
from ftft_core.selection.patterns import check_length, find_in

MAX_DEPTH = 40
LABEL_COLUMNS = ("label", "predicted_label")
"""Columns whose values are the suite's labels: another one is a slip of the pen."""

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
    ast.Call: 'the only functions are contains(column, "word"), matches(column, "pattern") and tagged("name")',
    ast.Subscript: "columns have no parts; write a column's name alone",
    ast.IfExp: "'if' is not known here; use 'and', 'or' and 'not'",
    ast.Lambda: "only conditions over columns may stand here",
}


FUNCTIONS = ("contains", "matches", "tagged")
EXCLUDED = "excluded"
"""A word that stands for a condition, where the map has no column of that name."""


@dataclass(frozen=True)
class Lookups:
    """What a filter asks beside the columns of the map; masks are (N,), in its rows."""

    search: Callable[[str, str, bool], BoolArray] | None = None
    """Column (text or text_pair), pattern, whether it is a regular expression -> examples whose text matches."""

    tagged: Callable[[str], BoolArray] | None = None
    """Tag -> examples that carry it."""

    excluded: Callable[[], BoolArray] | None = None
    """Examples that are excluded from training."""


def filter_mask(data_map: pd.DataFrame, expression: str, lookups: Lookups | None = None) -> BoolArray:
    """(N,) true for the rows of which the filter holds.

    :param lookups: what answers for texts and marks; without it the columns of the map are all there is.
    :raises InputError: with one problem for each place in the filter that was not understood.
    """
    filtering = _Filter(expression, data_map, lookups or Lookups())
    tree = filtering.parse()
    mask = filtering.condition(tree, 0)
    filtering.check()
    return mask


def filter_columns(expression: str) -> set[str]:
    """Names of the columns that a filter uses, those of texts too.

    :raises InputError: if the filter is no expression at all; whether the names exist is `filter_mask`'s to say.
    """
    tree = FilterText(expression).parse()
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return names - {EXCLUDED}


def asks_for_excluded(expression: str) -> bool:
    """Whether a filter speaks of the examples that are excluded from training."""
    try:
        tree = FilterText(expression).parse()
    except InputError:
        return False
    return any(isinstance(node, ast.Name) and node.id == EXCLUDED for node in ast.walk(tree))


class _Operand:
    """One side of a comparison: a column's values or a constant, and of which kind they are."""

    def __init__(self, kind: str, values: Any, null: BoolArray | None = None) -> None:
        self.kind = kind  # number, text, yes-or-no
        self.values = values
        """A column of text is a Series; one that is only searched, its name."""
        self.null = null
        """Where a column is null; None for a constant."""

    @property
    def is_searched(self) -> bool:
        return self.null is not None and isinstance(self.values, str)


class _Filter(FilterText):
    """Walks one filter's syntax tree; what it does not understand is put in `problems`, and the walk goes on."""

    def __init__(self, expression: str, data_map: pd.DataFrame, lookups: Lookups) -> None:
        super().__init__(expression)
        self.data_map = data_map
        self.lookups = lookups
        self._nothing = np.zeros(len(data_map), dtype=bool)

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
            case ast.Call(func=ast.Name(id="contains" | "matches" as name), args=[column, word], keywords=[]):
                return self._find(name, column, word)
            case ast.Call(func=ast.Name(id="tagged"), args=[tag], keywords=[]):
                return self._tagged(tag)
            case ast.Call(func=ast.Name(id=name)) if name not in FUNCTIONS:
                return self._problem(node, unknown("function", name, FUNCTIONS))
            case ast.Name() | ast.Constant(value=bool()):
                return self._alone(node)
            case _:
                return self._not_understood(node)

    def _alone(self, node: ast.expr) -> BoolArray:
        operand = self._operand(node)
        if operand is None:
            return self._nothing
        if operand.kind != "yes-or-no":
            said = self.said(node)
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
            said = f"{self.said(left_node)} is a {left.kind} and {self.said(right_node)} a {right.kind}"
            return self._problem(right_node, f"{said}; only like can be compared with like")
        if left.kind != "number" and symbol not in ("==", "!="):
            return self._problem(
                right_node, f"'{symbol}' is for numbers; {self.said(left_node)} is a {left.kind}, use == or !="
            )
        nulls = [operand.null for operand in (left, right) if operand.null is not None]
        if left.kind == "text" and not (
            self._is_known(left, right_node, right) and self._is_known(right, left_node, left)
        ):
            return self._nothing
        if left.kind == "text":
            same = self._same_text(right_node, left, right)
            mask = same if symbol == "==" else ~same
        else:
            mask = compare(left.values, right.values)
        return np.asarray(mask & ~np.logical_or.reduce(nulls), dtype=np.bool_)

    def _is_known(self, column: _Operand, node: ast.expr, other: _Operand) -> bool:
        """Whether a column of labels can hold a constant; a problem is noted if not."""
        if column.null is None or other.null is not None or not isinstance(column.values, pd.Series):
            return True
        labels = column.values
        if labels.name not in LABEL_COLUMNS or not isinstance(labels.dtype, pd.CategoricalDtype):
            return True
        known = [str(label) for label in labels.cat.categories]
        if other.values not in known:
            self._problem(node, unknown("label", other.values, known))
        return other.values in known

    def _same_text(self, node: ast.expr, left: _Operand, right: _Operand) -> BoolArray:
        column, other = (left, right) if left.null is not None else (right, left)
        if column.is_searched or other.is_searched:
            if other.null is not None:
                return self._problem(node, 'a text can be compared with a "word" in quotes only')
            # All of the text, and case as it is.
            return self._search(node, column.values, rf"(?-i:\A{re.escape(other.values)}\z)", regex=True)
        if other.null is None:
            return np.asarray((column.values == other.values).to_numpy(dtype=bool, na_value=False))
        return np.asarray(column.values.to_numpy(dtype=object) == other.values.to_numpy(dtype=object), dtype=np.bool_)

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
                    element, f"{self.said(left_node)} is a {left.kind}; the list must hold constants of that kind"
                )
            elif left.kind == "text":
                if self._is_known(left, element, member):
                    mask |= self._same_text(element, left, member)
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

    def _find(self, function: str, column_node: ast.expr, word_node: ast.expr) -> BoolArray:
        regex = function == "matches"
        word = self._operand(word_node)
        if word is not None and (word.null is not None or word.kind != "text"):
            what = '"pattern"' if regex else '"word"'
            return self._problem(word_node, f"{function}() needs a {what} in quotes second")
        try:
            if word is not None:
                check_length(word.values)
            if self._is_searched(column_node):
                assert isinstance(column_node, ast.Name)
                found = self._nothing
                return found if word is None else self._search(word_node, column_node.id, word.values, regex=regex)
            column = self._operand(column_node)
            if column is None or word is None:
                return self._nothing
            if column.null is None or column.kind != "text":
                return self._problem(column_node, f"{function}() needs a column of text first")
            return find_in(column.values, word.values, regex=regex)
        except InputError as failure:
            return self._problem(word_node, failure.message)

    def _is_searched(self, node: ast.expr) -> bool:
        """Whether it names texts that are not in the map, but can be searched."""
        if not isinstance(node, ast.Name) or self.lookups.search is None:
            return False
        return node.id in TEXT_COLUMNS and node.id not in self.data_map.columns

    def _search(self, node: ast.expr, column: str, pattern: str, *, regex: bool) -> BoolArray:
        assert self.lookups.search is not None
        try:
            return self.lookups.search(column, pattern, regex)
        except InputError as failure:
            return self._problem(node, failure.message)

    def _tagged(self, node: ast.expr) -> BoolArray:
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            return self._problem(node, 'tagged() needs the "name" of a tag in quotes')
        if self.lookups.tagged is None:
            return self._problem(node, "tags are kept in a workspace; ask there")
        try:
            return self.lookups.tagged(node.value)
        except InputError as failure:
            return self._problem(node, failure.message)

    def _operand(self, node: ast.expr) -> _Operand | None:
        match node:
            case ast.Name(id=name):
                return self._named(node, name)
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

    def _named(self, node: ast.expr, name: str) -> _Operand | None:
        if name in self.data_map.columns:
            return _column_operand(self.data_map[name])
        if self._is_searched(node):
            # Whatever is text matches the empty pattern.
            return _Operand("text", name, ~self._search(node, name, r"\A", regex=True))
        if name == EXCLUDED:
            if self.lookups.excluded is not None:
                return _Operand("yes-or-no", self.lookups.excluded(), self._nothing)
            self._problem(node, "marks are kept in a workspace; ask there")
        elif name in TEXT_COLUMNS:
            self._problem(node, "this map has no texts; they are searched in a workspace, ask there")
        else:
            searched = [] if self.lookups.search is None else TEXT_COLUMNS
            known = dict.fromkeys([*self.data_map.columns, *searched])
            self._problem(node, unknown("column", name, known))
        return None

    def _number(self, node: ast.expr, number: float) -> _Operand | None:
        try:
            return _Operand("number", float(number))
        except OverflowError:
            self._problem(node, "the number is too large")
            return None

    def _not_understood(self, node: ast.expr) -> BoolArray:
        hint = HINTS.get(type(node), "only conditions over columns may stand here")
        return self._problem(node, f"'{self.said(node)}' is not understood: {hint}")

    def _problem(self, node: ast.expr, sentence: str) -> BoolArray:
        self.add_problem(node, sentence)
        return self._nothing


def _column_operand(column: Any) -> _Operand:
    null = column.isna().to_numpy(dtype=bool)
    if pd.api.types.is_bool_dtype(column.dtype):
        return _Operand("yes-or-no", column.fillna(False).to_numpy(dtype=bool), null)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _Operand("number", column.to_numpy(dtype=np.float64, na_value=np.nan), null)
    return _Operand("text", column, null)
