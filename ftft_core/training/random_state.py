"""The state of all random generators of a process: taken, put back, and kept from what must not disturb it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def random_tensors() -> dict[str, torch.Tensor]:
    """Give the state of every generator that training may draw from, as tensors for a checkpoint."""
    _, python_state, _ = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    assert isinstance(numpy_state, dict)
    tensors = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(python_state, dtype=torch.int64),
        "numpy": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
        "numpy_position": torch.tensor([numpy_state["state"]["pos"]]),
    }
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        tensors["mps"] = torch.mps.get_rng_state()
    return tensors


def set_random(tensors: dict[str, torch.Tensor]) -> None:
    """Put every generator back to where it was."""
    torch.set_rng_state(tensors["torch"])
    random.setstate((3, tuple(tensors["python"].tolist()), None))
    numpy_key = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", numpy_key, int(tensors["numpy_position"][0]), 0, 0.0))
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
    if "mps" in tensors and torch.backends.mps.is_available():
        torch.mps.set_rng_state(tensors["mps"])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Have every generator go on afterwards as if nothing had been drawn within."""
    tensors, python_state, numpy_state = random_tensors(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        set_random(tensors)
        # These two also hold half of a pair of normal numbers, which checkpoints do without.
        random.setstate(python_state)
        np.random.set_state(numpy_state)
