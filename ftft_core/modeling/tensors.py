"""Reading a file of tensors that torch saved, without unpickling anything else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from ftft_core.errors import InputError


def load_tensors(path: Path) -> Any:
    """Load what `torch.save` wrote, tensors and plain containers only, to the CPU.

    :raises InputError: when the file is damaged, or holds anything else.
    """
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as failure:
        reason = (str(failure).splitlines() or [type(failure).__name__])[0]
        raise InputError(f"{path} can't be read as a file of tensors ({reason}).") from failure
