"""Texts to token ids, without padding, in flat arrays.

Owns truncation and the compact form. The tokenizer is passed in: which one belongs to a model is `modeling`'s
business, so nothing here imports transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
import numpy.typing

from ftft_core.errors import InputError
from ftft_core.suites.suite import Split

_BATCH_SIZE = 2_000  # examples per call of the tokenizer: enough to use its threads, few enough to stay small

IntArray = numpy.typing.NDArray[Any]


@dataclass(frozen=True, eq=False)
class TokenisedSplit:
    """Token ids of N examples in the order of the split."""

    input_ids: IntArray
    """(T,) int32: the ids of all examples, one after the other, special tokens included."""

    offsets: IntArray
    """(N + 1,) int64: example i has the ids from `offsets[i]` up to `offsets[i + 1]`."""

    token_type_ids: IntArray | None
    """(T,) int8: which text a token belongs to; None for tokenizers that do not tell texts apart."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """(N,) int64: number of tokens of each example, at most the `max_length` that was asked for."""
        return numpy.diff(self.offsets)

    def ids(self, index: int) -> IntArray:
        """(tokens,) int32: the ids of one example."""
        return self.input_ids[self.offsets[index] : self.offsets[index + 1]]


def tokenise(tokenizer: Any, split: Split, *, max_length: int) -> TokenisedSplit:
    """Tokenise the texts of a split.

    :param tokenizer: a `transformers` tokenizer, with or without a fast version.
    :param max_length: longest input in tokens, special tokens included. A single text is cut at its end; of a pair
        the longer text is cut first.
    :raises InputError: `max_length` leaves no room for text.
    """
    texts = split.examples["text"].tolist()
    is_pair = bool(split.examples["text_pair"].notna().any())
    pairs = split.examples["text_pair"].tolist() if is_pair else None
    num_special = tokenizer.num_special_tokens_to_add(pair=is_pair)
    num_texts = 2 if is_pair else 1
    if max_length < num_special + num_texts:
        raise InputError(
            f"max_length {max_length} leaves no room for text: this tokenizer adds {num_special} special tokens, "
            f"so at least {num_special + num_texts} are needed."
        )
    ids: list[IntArray] = []
    types: list[IntArray] = []
    lengths: list[int] = []
    for start in range(0, len(texts), _BATCH_SIZE):
        stop = start + _BATCH_SIZE
        encoded = tokenizer(
            texts[start:stop],
            pairs[start:stop] if pairs is not None else None,
            truncation="longest_first" if is_pair else "only_first",
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
        )
        lengths += map(len, encoded["input_ids"])
        ids.append(_flat(encoded["input_ids"], "int32"))
        if "token_type_ids" in encoded:
            types.append(_flat(encoded["token_type_ids"], "int8"))
    return TokenisedSplit(
        input_ids=numpy.concatenate(ids) if ids else numpy.zeros(0, dtype="int32"),
        offsets=numpy.concatenate([[0], numpy.cumsum(lengths, dtype="int64")]).astype("int64"),
        token_type_ids=numpy.concatenate(types) if types else None,
    )


def _flat(rows: list[list[int]], dtype: str) -> IntArray:
    return numpy.fromiter((value for row in rows for value in row), dtype=dtype, count=sum(map(len, rows)))
