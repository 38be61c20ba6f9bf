"""Set algebra over saved subsets: `A & B - C`.

`&` (in both), `|` (in either) and `-` (without) stand between spaces, since names hold hyphens. `&` binds tighter
than `|` and `-`; these two bind equally and go from left to right, so `A - B | C` is `(A - B) | C`. Parentheses
group; a name with spaces or parentheses stands in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ftft_core.dynamics import BoolArray, IdArray
from ftft_core.errors import InputError, NotFoundError, unknown

MAX_CHARACTERS = 2000

OPERATORS: dict[str, tuple[int, Callable[[BoolArray, BoolArray], BoolArray]]] = {
    "&": (2, lambda left, right: left & right),
    "|": (1, lambda left, right: left | right),
    "-": (1, lambda left, right: left & ~right),
}
"""How tightly each binds, and what it does to masks over the file's order."""

_TOKEN = re.compile(r'\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[()]|[^\s()"]+))')


def combine(expression: str, subsets: Mapping[str, Sequence[str] | IdArray], order: Sequence[str] | IdArray) -> IdArray:
    """Give the ids that a set expression leaves, in file order; there may be none.

    :param subsets: ids of each subset by name; at least those that the expression uses.
    :param order: all ids of the training file in its order.
    :raises NotFoundError: if a name is not among the subsets.
    :raises InputError: if the expression is malformed, or a subset has ids that the file lacks.
    """
    names = expression_names(expression)
    missing = [name for name in names if name not in subsets]
    if missing:
        problems = [unknown("subset", name, subsets) for name in missing]
        raise NotFoundError(f'"{expression}" names subsets that do not exist.', problems)
    ids = np.asarray(order, dtype=object)
    index = pd.Index(ids)
    mask = combine_masks(expression, {name: _mask_of(name, subsets[name], index) for name in names})
    return np.asarray(ids[mask], dtype=object)


def combine_masks(expression: str, masks: Mapping[str, BoolArray]) -> BoolArray:
    """(N,) what a set expression leaves of the masks of its subsets, by name.

    :raises InputError: if the expression is malformed.
    """
    stack: list[BoolArray] = []
    for kind, token in _to_postfix(expression):
        if kind == "name":
            stack.append(masks[token])
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(OPERATORS[token][1](left, right))
    return stack[0]


def expression_names(expression: str) -> list[str]:
    """Names of the subsets that a set expression uses, in the order in which they first occur.

    :raises InputError: if the expression is malformed.
    """
    return list(dict.fromkeys(token for kind, token in _to_postfix(expression) if kind == "name"))


def with_names(expression: str, names: Mapping[str, str]) -> str:
    """Write a set expression with other names for its subsets; those that `names` lacks stay."""

    def renamed(found: re.Match[str]) -> str:
        old = found["bare"] if found["quoted"] is None else found["quoted"]
        is_name = found["quoted"] is not None or (old not in "()" and old not in OPERATORS)
        if not is_name or old not in names:
            return found[0]
        new = names[old]
        shown = new if re.fullmatch(r"[^\s()\"]+", new) and new not in OPERATORS else f'"{new}"'
        return found[0][: len(found[0]) - len(found[0].lstrip())] + shown

    return _TOKEN.sub(renamed, expression)


def _mask_of(name: str, example_ids: Sequence[str] | IdArray, index: pd.Index) -> BoolArray:
    positions = index.get_indexer(np.asarray(example_ids, dtype=object))
    if (positions < 0).any():
        raise InputError(
            f"Subset '{name}' has {int((positions < 0).sum())} ids that the training file lacks: it belongs to "
            "another suite. Combine subsets of one suite."
        )
    mask = np.zeros(len(index), dtype=bool)
    mask[positions] = True
    return mask


def _tokens(expression: str) -> list[tuple[str, str, int]]:
    """(kind, token, 1-based character) of each; kind is name, operator, open or close."""
    if len(expression) > MAX_CHARACTERS:
        raise InputError(f"The set expression has {len(expression)} characters; at most {MAX_CHARACTERS} are allowed.")
    text, place, tokens = expression.rstrip(), 0, []
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise _malformed(expression, text.index('"', place) + 1, "the quoted name has no closing quote")
        quoted, bare = found["quoted"], found["bare"]
        start = found.start("quoted") if quoted is not None else found.start("bare") + 1
        if quoted is not None:
            tokens.append(("name", quoted, start))
        else:
            kind = {"(": "open", ")": "close"}.get(bare, "operator" if bare in OPERATORS else "name")
            tokens.append((kind, bare, start))
        place = found.end()
    return tokens


def _to_postfix(expression: str) -> list[tuple[str, str]]:
    """Dijkstra's shunting yard: no recursion, so no expression is too deep."""
    tokens = _tokens(expression)
    if not tokens:
        raise InputError('The set expression is empty; write one such as "A & B - C".')
    output: list[tuple[str, str]] = []
    waiting: list[tuple[str, int]] = []
    expects_name = True
    for kind, token, place in tokens:
        if expects_name != (kind in ("name", "open")):
            wanted = "a subset's name" if expects_name else "an operator (&, | or - between spaces)"
            raise _malformed(expression, place, f"'{token}' stands where {wanted} should")
        if kind == "name":
            output.append((kind, token))
            expects_name = False
        elif kind == "open":
            waiting.append((token, place))
        elif kind == "operator":
            while waiting and waiting[-1][0] != "(" and OPERATORS[waiting[-1][0]][0] >= OPERATORS[token][0]:
                output.append(("operator", waiting.pop()[0]))
            waiting.append((token, place))
            expects_name = True
        else:
            while waiting and waiting[-1][0] != "(":
                output.append(("operator", waiting.pop()[0]))
            if not waiting:
                raise _malformed(expression, place, "')' closes nothing")
            waiting.pop()
    if expects_name:
        raise _malformed(expression, len(expression.rstrip()) + 1, "a subset's name is missing at the end")
    while waiting:
        token, place = waiting.pop()
        if token == "(":
            raise _malformed(expression, place, "'(' is never closed")
        output.append(("operator", token))
    return output


def _malformed(expression: str, place: int, sentence: str) -> InputError:
    return InputError(
        f'The set expression "{expression[:120]}" was not understood.', [f"at character {place}: {sentence}."]
    )
