"""What tells one content from another: sha256 over labels, roles, label maps, ids and texts, never over files.

The same rows give the same fingerprint from CSV, JSON lines or Parquet, under any path. Each column is hashed as the
lengths of its values in bytes (-1 for None) and then their UTF-8 bytes, so no two contents are hashed alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy
import pandas
import pyarrow
import pyarrow.compute

from ftft_core.suites.suite import COLUMNS, DEV, TRAIN

_VERSION = "ftft suite 1"  # part of every hash: a change of the rules must never look like unchanged data


def split_fingerprint(
    name: str, role: str, label_map: Mapping[str, Sequence[str]] | None, examples: pandas.DataFrame
) -> str:
    """Sha256 (hex) of one split; the order of its rows counts, that of its label map does not."""
    merged = sorted((label, sorted(members)) for label, members in label_map.items()) if label_map else None
    digest = hashlib.sha256(_json([_VERSION, "split", name, role, merged, len(examples)]))
    for column in COLUMNS:
        _hash_column(digest, examples[column].tolist())
    return digest.hexdigest()


def suite_fingerprint(labels: Sequence[str], splits: Mapping[str, str]) -> str:
    """Sha256 (hex) of the labels, whose order counts, and of each split's fingerprint by name."""
    return hashlib.sha256(_json([_VERSION, "suite", list(labels), sorted(splits.items())])).hexdigest()


def training_fingerprint(labels: Sequence[str], splits: Mapping[str, str]) -> str:
    """Sha256 (hex) of what a run trains on and chooses by: the labels, `train` and `dev`."""
    return hashlib.sha256(_json([_VERSION, "training", list(labels), splits[TRAIN], splits[DEV]])).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


def _hash_column(digest: hashlib._Hash, values: list[str | None]) -> None:
    array = pyarrow.array(values, type=pyarrow.large_string(), from_pandas=True)
    lengths = pyarrow.compute.fill_null(pyarrow.compute.binary_length(array), -1)
    digest.update(numpy.asarray(lengths, dtype="<i8").tobytes())
    text = array.buffers()[2]
    if text is not None:
        offsets = numpy.frombuffer(array.buffers()[1], dtype="<i8")
        digest.update(memoryview(text)[: int(offsets[len(array)])])
