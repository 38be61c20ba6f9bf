"""The files in which results are kept: what stands in them, and how they are written and read.

A suite has a folder of its name with `suite.json` (labels, splits, fingerprints), `examples.parquet` (split, id, gold
label and group of every example, no texts), `runs.jsonl` (the facts of a run a line, in the order in which they were
made) and, for each run, `runs/KEY.parquet`. A run's file is one table, whose column `part` says what a row is: a
`prediction` (split, position, logits), `dynamics` (epoch, position, log_odds, is_right), a `score` of a whole split
while it trained (split, step, metric, value), or a `subset` example that it was trained on (position, weight).

Logits of predictions are kept as they are, or rounded where that is asked for (`round_logits`); those of dynamics are
kept as the log-odds of the gold label in half precision and whether the prediction was right, which gives back
confidence, variability, correctness and what follows from them, and of two labels all of a data map.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ftft_core.errors import InputError

SUITE_FILE, EXAMPLES_FILE, RUNS_FILE, RUNS_FOLDER = "suite.json", "examples.parquet", "runs.jsonl", "runs"
PARTS = ("prediction", "dynamics", "score", "subset")
SMALLEST_HALF = 6e-8
"""About the smallest float16 above 0."""
ROUNDED_BITS = 12
"""Of a logit's mantissa, where logits are rounded: it is off by at most 0.025 %, a probability by about as little."""

_SCHEMA = pa.schema(
    {
        "part": pa.string(),
        "split": pa.string(),
        "epoch": pa.int32(),
        "position": pa.int32(),
        "logits": pa.list_(pa.float32()),
        "log_odds": pa.float16(),
        "is_right": pa.bool_(),
        "step": pa.int64(),
        "metric": pa.string(),
        "value": pa.float64(),
        "weight": pa.float64(),
    }
)
_ENCODINGS = {
    "epoch": "DELTA_BINARY_PACKED",
    "position": "DELTA_BINARY_PACKED",
    "logits.list.element": "BYTE_STREAM_SPLIT",
    "log_odds": "BYTE_STREAM_SPLIT",
    "step": "DELTA_BINARY_PACKED",
    "value": "BYTE_STREAM_SPLIT",
}
"""What makes the files small: logits that were computed with few bits take few."""


@dataclass(frozen=True)
class KeptSuite:
    """The folder of a suite's results."""

    folder: Path
    facts: dict[str, Any]
    """suite, fingerprint, training_fingerprint, labels, and splits: name, role, label_map, fingerprint of each."""
    runs: list[dict[str, Any]]
    """The facts of the runs, oldest first; `key` names a run."""

    def table(self, key: str) -> pa.Table:
        """Give what came of a run."""
        return read_parquet(run_file(self.folder, key))

    @property
    def examples(self) -> pa.Table:
        """Split, example_id, label and group of every example, in the order of the files."""
        return read_parquet(self.folder / EXAMPLES_FILE)


def run_file(folder: Path, key: str) -> Path:
    """Where a run's results are."""
    return folder / RUNS_FOLDER / f"{key}.parquet"


def kept_suites(folder: Path) -> list[Path]:
    """Give the folders of the suites of which results are kept, by name."""
    return sorted(path.parent for path in folder.glob(f"*/{SUITE_FILE}"))


def read_kept(folder: Path) -> KeptSuite:
    """Read the results that are kept of a suite.

    :raises InputError: when there are none, or a file can't be read.
    """
    try:
        facts = json.loads((folder / SUITE_FILE).read_text(encoding="utf-8"))
        lines = (folder / RUNS_FILE).read_text(encoding="utf-8").splitlines()
        return KeptSuite(folder, facts, [json.loads(line) for line in lines])
    except FileNotFoundError:
        raise InputError(
            f"No results of a suite are kept in {folder}; benchmarks/keep_results.py keeps some."
        ) from None
    except (OSError, ValueError) as failure:
        raise InputError(f"The results in {folder} can't be read ({failure}).") from failure


def write_kept(kept: KeptSuite) -> None:
    """Write facts of suite and runs; the files of runs are written before, so that none is named that is not there."""
    lines = [json.dumps(run, ensure_ascii=False) + "\n" for run in kept.runs]
    facts = json.dumps(kept.facts, ensure_ascii=False, indent=1) + "\n"
    for name, text in ((RUNS_FILE, "".join(lines)), (SUITE_FILE, facts)):
        path = kept.folder / name
        temporary = path.with_name(f".{name}.new")
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as small as it gets."""
    encodings = {column: how for column, how in _ENCODINGS.items() if column.partition(".")[0] in table.column_names}
    words = [field.name for field in table.schema if pa.types.is_string(field.type)]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    pq.write_table(
        table, temporary, compression="zstd", compression_level=19, use_dictionary=words, column_encoding=encodings,
        write_statistics=False, store_schema=False,
    )  # fmt: skip
    temporary.replace(path)


def read_parquet(path: Path) -> pa.Table:
    """Read a table.

    :raises InputError: when it is missing or damaged.
    """
    try:
        return pq.read_table(io.BytesIO(path.read_bytes()))
    except (OSError, pa.ArrowInvalid) as failure:
        raise InputError(f"{path} can't be read ({failure}).") from failure


def rows_of(part: str, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Rows of one part of a run's table; columns that are not given are null."""
    assert part in PARTS
    size = len(next(iter(columns.values())))
    given = {"part": pa.array([part] * size, pa.string()), **columns}
    return pa.table(
        [
            given[field.name].cast(field.type) if field.name in given else pa.nulls(size, field.type)
            for field in _SCHEMA
        ],
        schema=_SCHEMA,
    )


def part_of(table: pa.Table, part: str, columns: Sequence[str]) -> pa.Table:
    """Give the rows of one part, with the columns that it has."""
    mask = pa.array(table["part"].to_numpy(zero_copy_only=False) == part)
    return table.filter(mask).select(list(columns)).combine_chunks()


def lists_of(logits: npt.NDArray[np.float32]) -> pa.Array:
    """(n, C) as lists."""
    offsets = np.arange(len(logits) + 1, dtype=np.int32) * logits.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(logits.reshape(-1), pa.float32()))


def round_logits(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round logits to `ROUNDED_BITS` bits, which halves their file; predictions stay what they are.

    A row whose largest logit would change places is kept as it is.
    """
    mantissa, exponent = np.frexp(logits.astype(np.float64))
    rounded = np.ldexp(np.round(np.ldexp(mantissa, ROUNDED_BITS)), exponent - ROUNDED_BITS).astype(np.float32)
    moved = rounded.argmax(axis=1) != logits.argmax(axis=1)
    rounded[moved] = logits[moved]
    return rounded


def pack_dynamics(
    logits: npt.NDArray[np.float32], gold: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
    """Give log-odds of the gold label and whether the prediction is right.

    :param logits: (n, C); :param gold: (n,) index of the gold label.
    """
    rows = np.arange(len(logits))
    others = logits.astype(np.float64)
    own = others[rows, gold]
    others[rows, gold] = -np.inf
    largest = others.max(axis=1)
    log_odds = own - largest - np.log(np.exp(others - largest[:, None]).sum(axis=1))
    half = np.clip(log_odds, -6e4, 6e4).astype(np.float16)
    vanished = (half == 0) & (log_odds != 0)
    half[vanished] = (np.sign(log_odds[vanished]) * SMALLEST_HALF).astype(np.float16)
    return half, logits.argmax(axis=1) == gold


def unpack_dynamics(
    log_odds: npt.NDArray[np.float16], is_right: npt.NDArray[np.bool_], gold: npt.NDArray[np.int64], num_labels: int
) -> npt.NDArray[np.float32]:
    """Make logits with that probability of the gold label, and with it as the prediction where that was right.

    Of more than two labels nothing is known of how the others share the rest: where the prediction was wrong one of
    them gets it all, where it was right they get the same.
    """
    rows = np.arange(len(gold))
    share = -np.log(num_labels - 1) - (1e-6 if num_labels > 2 else 0.0)
    logits = np.where(is_right[:, None], share, -60.0) * np.ones((1, num_labels))
    rival = np.where(gold == 0, 1, 0)
    wrong = ~is_right
    logits[rows[wrong], rival[wrong]] = 0.0 if num_labels == 2 else 1e-6
    logits[rows, gold] = log_odds.astype(np.float64)
    return logits.astype(np.float32)


def portable_model(model: str) -> str:
    """Name a model as others can: a hub name or short name as it is, a folder by its last part."""
    parts = PurePath(model).parts
    is_folder = model.startswith((".", "~")) or PurePath(model).is_absolute() or len(parts) > 2 or "\\" in model
    return PurePath(model.replace("\\", "/")).name if is_folder else model
