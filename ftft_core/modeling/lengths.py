"""Lengths in tokens, padded, and how texts of similar length are put together; nothing here imports torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PAD_MULTIPLE = 8
"""Lengths are padded to a multiple of this: what matrix units like, and few distinct shapes to count."""

EVALUATION_TOKENS = 8192
"""Tokens of one forward pass of an evaluation, padding included; as many examples as fit."""

Shape = tuple[int, int]
"""Examples in a batch and their padded length in tokens."""


def padded_lengths(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Round lengths in tokens up to the next multiple of `PAD_MULTIPLE`."""
    return -(-lengths.astype(np.int64) // PAD_MULTIPLE) * PAD_MULTIPLE


def length_batches(
    lengths: NDArray[np.integer], rows: NDArray[np.integer], *, tokens_per_batch: int
) -> list[tuple[NDArray[np.integer], int]]:
    """Cut `rows` into batches of similar length: pairs of rows and their padded length, longest first.

    :param tokens_per_batch: tokens of one batch, padding included; as many examples as fit, and at least one.
    """
    padded = padded_lengths(lengths)
    order = rows[np.argsort(-padded[rows], kind="stable")]
    batches = []
    start = 0
    while start < len(order):
        length = int(padded[order[start]])
        end = start + max(1, tokens_per_batch // length)
        batches.append((order[start:end], length))
        start = end
    return batches


def evaluation_batches(
    lengths: NDArray[np.integer], rows: NDArray[np.integer]
) -> list[tuple[NDArray[np.integer], int]]:
    """Cut `rows` into batches of similar length: pairs of rows and their padded length, longest first."""
    return length_batches(lengths, rows, tokens_per_batch=EVALUATION_TOKENS)
