"""Texts to words, and `WordIndex`: which example holds which word, counted fast for any selection.

A word is a run of letters, marks, digits, apostrophes and underscores in any script, in lower case; a user handle
keeps its @ and is a word of its own. Words of digits alone all become `[number]`, links `[link]`. Emoji and the
characters of scripts that are written without spaces stand each for themselves. What is longer than 40 characters is
no word. Arrow does this for many texts at once, five times as fast as scikit-learn's CountVectorizer.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ftft_core.dynamics import BoolArray, IntArray
from ftft_core.profile.masks import checked_mask

OnProgress = Callable[[int, int], None]
"""Called with how many examples are done, and how many there are in all."""

MOST_WORDS = 50_000
"""Words that are kept: those in the most examples."""

FEWEST_EXAMPLES = 2
"""A word in fewer examples than this is not kept."""

LONGEST_WORD = 40
NUMBER, LINK = "[number]", "[link]"

_FORMAT = 1
_LINK_MARK = "\ue000"  # a private character stands for a link until words are told apart
_LINKS = r"(?:https?://|www\.)\S+"
_ALONE = r"[\p{So}\p{Han}\p{Hiragana}\p{Katakana}]"
_BETWEEN = r"[^\p{L}\p{M}\p{N}\p{So}_'’@" + _LINK_MARK + "]+"
_SPARSE_SHARE = 0.2
"""Up to this share of the examples, gathering the selected rows is faster than a product with the whole matrix."""


@dataclass(frozen=True, eq=False)
class WordIndex:
    """Which words each training example of a suite holds. Shared: not to be changed."""

    vocabulary: tuple[str, ...]
    """Words by the number of examples that hold them, most first; equal ones by alphabet."""
    indptr: npt.NDArray[np.int32]
    """(N + 1,) where the words of each example begin in `indices`, as in a scipy CSR matrix."""
    indices: npt.NDArray[np.int32]
    """Places in the vocabulary, each at most once an example."""
    num_words: npt.NDArray[np.int32]
    """(N,) length of each example in words, kept in the vocabulary or not, both texts of a pair together."""

    @property
    def num_examples(self) -> int:
        """Number of training examples."""
        return len(self.num_words)

    @cached_property
    def matrix(self) -> Any:
        """The presence matrix (examples, words): a scipy `csr_array` of ones."""
        from scipy.sparse import csr_array

        shape = (self.num_examples, len(self.vocabulary))
        return csr_array((np.ones(len(self.indices), dtype=np.int8), self.indices, self.indptr), shape=shape)

    @cached_property
    def total(self) -> IntArray:
        """(words,) examples that hold each word."""
        return np.bincount(self.indices, minlength=len(self.vocabulary))

    def counts(self, mask: BoolArray) -> IntArray:
        """Count the examples of a mask that hold each word.

        :param mask: (N,) over the training split (not over a run's map).
        :returns: (words,).
        """
        mask = checked_mask(mask, self.num_examples)
        if not self.vocabulary:
            return np.zeros(0, dtype=np.int64)
        if mask.all():
            return self.total
        if mask.mean() <= _SPARSE_SHARE:
            return np.bincount(self.matrix[mask].indices, minlength=len(self.vocabulary))
        # int8 times int32 is added up in int32: a million examples fit many times.
        return np.asarray(self.matrix.T @ mask.astype(np.int32), dtype=np.int64)


def build_word_index(
    batches: Iterable[tuple[pa.Array, pa.Array]],
    num_examples: int,
    *,
    most_words: int = MOST_WORDS,
    on_progress: OnProgress | None = None,
) -> WordIndex:
    """Read all texts once, a batch at a time; about a second for 100,000 short texts.

    :param batches: Arrow string arrays of text and text_pair (null where there is none), in the order of the file.
    :param num_examples: how many there are in all.
    """
    known: dict[str, int] = {}
    all_indices, all_counts, all_lengths = [], [], []
    done = 0
    for text, text_pair in batches:
        indices, counts, lengths = _read_batch(text, text_pair, known)
        all_indices.append(indices)
        all_counts.append(counts)
        all_lengths.append(lengths)
        done += len(lengths)
        if on_progress is not None:
            on_progress(done, num_examples)
    indices = np.concatenate([np.empty(0, np.int32), *all_indices])
    counts = np.concatenate([np.empty(0, np.int32), *all_counts])
    words = np.array(list(known), dtype=object)
    frequency = np.bincount(indices, minlength=len(words))
    frequent = np.flatnonzero(frequency >= FEWEST_EXAMPLES)
    if len(frequent) > most_words:
        frequent = frequent[np.argsort(-frequency[frequent], kind="stable")[:most_words]]
    order = sorted(frequent.tolist(), key=lambda index: (-frequency[index], words[index]))
    place = np.full(len(words), -1, dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    indices = place[indices]
    is_kept = indices >= 0
    ends = np.concatenate([[0], np.cumsum(is_kept)])[np.concatenate([[0], np.cumsum(counts)])]
    return WordIndex(
        tuple(words[order]),
        ends.astype(np.int32),
        indices[is_kept],
        np.concatenate([np.empty(0, np.int32), *all_lengths]),
    )


def words_of(text: str) -> list[str]:
    """Give the words of one text, in their order, repeated where they are."""
    entries, tokens = _split(pa.array([text], pa.large_string()))
    return [word for entry in tokens.indices.to_pylist() if (word := entries[entry]) is not None]


def write_word_index(index: WordIndex, path: Path) -> None:
    """Write an index as one .npz file without pickles; it appears whole or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                format=np.array(_FORMAT),
                vocabulary=np.frombuffer("\n".join(index.vocabulary).encode("utf-8"), dtype=np.uint8),
                indptr=index.indptr,
                indices=index.indices,
                num_words=index.num_words,
            )
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_word_index(path: Path) -> WordIndex | None:
    """Read an index; None where there is none, or where it is damaged or of another format: build it then."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if int(stored["format"]) != _FORMAT:
                return None
            text = stored["vocabulary"].tobytes().decode("utf-8")
            index = WordIndex(
                tuple(text.split("\n")) if text else (), stored["indptr"], stored["indices"], stored["num_words"]
            )
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    is_whole = len(index.indptr) == index.num_examples + 1 and int(index.indptr[-1]) == len(index.indices)
    return index if is_whole else None


def _read_batch(
    text: pa.Array, text_pair: pa.Array, known: dict[str, int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Give the distinct words of each text (numbers in `known`, which grows), how many, and the lengths in words."""
    from scipy.sparse import csr_array

    kind = pa.large_string()
    joined = text.cast(kind).fill_null("")
    if text_pair.null_count < len(text_pair):
        joined = pc.binary_join_element_wise(joined, text_pair.cast(kind).fill_null(""), pa.scalar(" ", kind))
    entries, tokens = _split(joined)
    numbers = np.array([-1 if word is None else known.setdefault(word, len(known)) for word in entries], np.int32)
    ends = tokens.ends
    words = numbers[tokens.indices.to_numpy()] if len(numbers) else np.empty(0, np.int32)
    is_word = words >= 0
    ends = np.concatenate([[0], np.cumsum(is_word)])[ends]
    matrix = csr_array(
        (np.ones(int(ends[-1]), np.int8), words[is_word], ends.astype(np.int32)), shape=(len(joined), len(known))
    )
    matrix.sum_duplicates()
    return matrix.indices.astype(np.int32), np.diff(matrix.indptr).astype(np.int32), np.diff(ends).astype(np.int32)


@dataclass(frozen=True)
class _Tokens:
    indices: pa.Array
    """Entry of each token, text after text."""
    ends: npt.NDArray[np.int64]
    """(texts + 1,) where the tokens of each text begin."""


def _split(texts: pa.Array) -> tuple[list[str | None], _Tokens]:
    """Tell the tokens of texts apart: the words of a dictionary (None for what is no word), and the tokens in it."""
    texts = pc.utf8_lower(texts)
    if pc.any(pc.match_substring_regex(texts, r"\p{M}")).as_py():
        texts = pc.utf8_normalize(texts, form="NFC")
    if pc.any(pc.match_substring_regex(texts, r"://|www\.")).as_py():
        texts = pc.replace_substring_regex(texts, _LINKS, f" {_LINK_MARK} ")
    if pc.any(pc.match_substring_regex(texts, _ALONE)).as_py():
        texts = pc.replace_substring_regex(texts, f"({_ALONE})", r" \1 ")
    if pc.any(pc.match_substring(texts, "@")).as_py():
        texts = pc.replace_substring(texts, "@", " @")
    texts = pc.replace_substring_regex(texts, _BETWEEN, " ")
    lists = pc.split_pattern(texts, " ")
    encoded = pc.dictionary_encode(lists.flatten())
    ends = lists.offsets.to_numpy().astype(np.int64)
    return [_word(token) for token in encoded.dictionary.to_pylist()], _Tokens(encoded.indices, ends - ends[0])


def _word(token: str) -> str | None:
    if token == _LINK_MARK:
        return LINK
    word = token.strip("'’_").replace("’", "'").replace(_LINK_MARK, "")
    if not word or word == "@" or len(word) > LONGEST_WORD:
        return None
    return NUMBER if word.isnumeric() else word
