"""From tokenised texts to padded tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ftft_core.suites import TokenisedSplit


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
