"""From tokenised texts to padded tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ftft_core.suites import TokenisedSplit

PAD_MULTIPLE = 8
"""Lengths are padded to a multiple of this: what matrix units like, and few distinct shapes to count."""


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


def make_batch(
    tokens: TokenisedSplit, rows: NDArray[np.integer], length: int, *, pad_token_id: int, device: torch.device
) -> dict[str, Tensor]:
    """Give the inputs of a forward pass over `rows`, each tensor of shape (len(rows), length), on `device`."""
    input_ids = np.full((len(rows), length), pad_token_id, dtype=np.int64)
    attention_mask = np.zeros((len(rows), length), dtype=np.int64)
    token_type_ids = np.zeros((len(rows), length), dtype=np.int64)
    for index, row in enumerate(rows):
        start, end = tokens.offsets[row], tokens.offsets[row + 1]
        input_ids[index, : end - start] = tokens.input_ids[start:end]
        attention_mask[index, : end - start] = 1
        if tokens.token_type_ids is not None:
            token_type_ids[index, : end - start] = tokens.token_type_ids[start:end]
    arrays = {"input_ids": input_ids, "attention_mask": attention_mask}
    if tokens.token_type_ids is not None:
        arrays["token_type_ids"] = token_type_ids
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in arrays.items()}
