"""Numbers for the browser: named arrays and a header in one run of bytes, read there without a copy.

Owns the order of the bytes; not what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

KINDS = ("float32", "int32", "uint8")
"""Types of numbers that are sent; all little-endian."""

ALIGNMENT = 4


def pack(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return length of the header, header, arrays; each padded to a multiple of four bytes.

    The header gains `arrays`: name -> [type, offset behind the header, number of elements].
    """
    places: dict[str, tuple[str, int, int]] = {}
    parts: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        kind = array.dtype.name
        if kind not in KINDS:
            raise TypeError(f"{name} is {kind}; the browser reads {', '.join(KINDS)}")
        part = _padded(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
        places[name] = (kind, offset, array.size)
        parts.append(part)
        offset += len(part)
    head = _padded(json.dumps({**header, "arrays": places}, allow_nan=False).encode("utf-8"), fill=b" ")
    return b"".join([len(head).to_bytes(ALIGNMENT, "little"), head, *parts])


def _padded(part: bytes, *, fill: bytes = b"\0") -> bytes:
    return part + fill * (-len(part) % ALIGNMENT)
