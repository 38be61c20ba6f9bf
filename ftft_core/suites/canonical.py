"""The suite as a training process reads it: `suite.json` and one Parquet file per split.

Owns the layout of that folder. A training process needs neither the files that the suite was made from nor the
database. The folder appears whole or not at all, and what is read is checked against its fingerprints.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet

from ftft_core.errors import FingerprintError, NotFoundError, SuiteError, unknown
from ftft_core.suites import fingerprints
from ftft_core.suites.suite import COLUMNS, DEV, TRAIN, Split, Suite

FORMAT_VERSION = 1
_HEADER = "suite.json"


def write_suite(suite: Suite, folder: str | Path) -> Path:
    """Write the canonical form of a suite; where the same suite stands already nothing is done.

    :returns: the folder.
    :raises SuiteError: the folder holds something else, or cannot be written.
    """
    target = Path(folder)
    header = _header(suite)
    if _holds(target, header):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as failure:
        raise SuiteError(f"The suite cannot be written to {target}: {failure.strerror or failure}.") from None
    try:
        for split in suite.splits:
            schema = pyarrow.schema([(column, pyarrow.large_string()) for column in COLUMNS])
            table = pyarrow.Table.from_pandas(split.examples[list(COLUMNS)], schema=schema, preserve_index=False)
            pyarrow.parquet.write_table(table, temporary / f"{split.name}.parquet", compression="zstd")
            _sync(temporary / f"{split.name}.parquet")
        (temporary / _HEADER).write_text(header, encoding="utf-8")
        _sync(temporary / _HEADER)
        _sync(temporary)
        temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone
        os.rename(temporary, target)
        _sync(target.parent)
    except OSError as failure:
        shutil.rmtree(temporary, ignore_errors=True)
        if _holds(target, header):  # another process wrote the same suite meanwhile
            return target
        if target.exists():
            raise SuiteError(f"The folder {target} exists and holds something else; choose another.") from None
        raise SuiteError(f"The suite cannot be written to {target}: {failure.strerror or failure}.") from None
    return target


def read_suite(folder: str | Path, splits: Sequence[str] | None = None) -> Suite:
    """Read a suite that `write_suite` wrote.

    :param splits: read these alone, in the suite's order; the fingerprints are still those of the whole suite.
    :raises NotFoundError: there is no such folder or split.
    :raises FingerprintError: a file is damaged or was changed.
    """
    source = Path(folder)
    try:
        header: dict[str, Any] = json.loads((source / _HEADER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"There is no suite in {source}: {_HEADER} is missing.") from None
    except (OSError, ValueError) as failure:
        raise FingerprintError(f"The suite in {source} is damaged: {_HEADER} cannot be read ({failure}).") from None
    if header.get("format") != FORMAT_VERSION:
        raise FingerprintError(
            f"The suite in {source} has the format {header.get('format')!r}; "
            f"this version reads format {FORMAT_VERSION}."
        )
    entries = {entry["name"]: entry for entry in header["splits"]}
    for name in splits or ():
        if name not in entries:
            raise NotFoundError(unknown("split", name, entries))
    labels = tuple(header["labels"])
    by_name = {name: entry["fingerprint"] for name, entry in entries.items()}
    if (
        fingerprints.suite_fingerprint(labels, by_name) != header["fingerprint"]
        or fingerprints.training_fingerprint(labels, by_name) != header["training_fingerprint"]
    ):
        raise FingerprintError(f"The suite in {source} was changed: {_HEADER} does not match its own fingerprint.")
    wanted = [entry for name, entry in entries.items() if splits is None or name in splits]
    return Suite(
        name=header["name"],
        labels=labels,
        splits=tuple(_read_split(source, entry) for entry in wanted),
        fingerprint=header["fingerprint"],
        training_fingerprint=header["training_fingerprint"],
        warnings=tuple(header["warnings"]),
    )


def split_names(folder: str | Path) -> list[str]:
    """Give the names of the splits that `write_suite` wrote, training among them, in the order of names."""
    return sorted(path.stem for path in Path(folder).glob("*.parquet"))


def count_examples(folder: str | Path, split: str) -> int:
    """Give the number of examples of a split that `write_suite` wrote.

    :raises FingerprintError: the file is missing or damaged.
    """
    with _open_split(Path(folder), split) as file:
        return int(file.metadata.num_rows)


def iterate_texts(folder: str | Path, split: str, *, batch_size: int, start: int = 0) -> Iterator[Split]:
    """Give the texts of a split in file order, some at a time, so that few are in memory.

    Each batch is a split whose examples have the columns `text` and `text_pair` alone; fingerprints are not checked.

    :param start: rows to leave out at the beginning, a multiple of `batch_size`.
    :raises FingerprintError: the file is missing or damaged.
    """
    with _open_split(Path(folder), split) as file:
        position = 0
        for batch in file.iter_batches(batch_size=batch_size, columns=["text", "text_pair"]):
            if position >= start:
                texts = {
                    name: pandas.Series(batch.column(name).to_pylist(), dtype=object) for name in batch.schema.names
                }
                yield Split(split, split, pandas.DataFrame(texts), None, "")
            position += batch.num_rows


def _open_split(folder: Path, split: str) -> pyarrow.parquet.ParquetFile:
    try:
        return pyarrow.parquet.ParquetFile(folder / f"{split}.parquet")
    except (OSError, ValueError, pyarrow.ArrowException) as failure:
        said = " ".join(str(failure).split())
        raise FingerprintError(f"The suite in {folder} is damaged: {split}.parquet cannot be read ({said}).") from None


def _read_split(folder: Path, entry: dict[str, Any]) -> Split:
    file = folder / f"{entry['name']}.parquet"
    try:
        table = pyarrow.parquet.read_table(file, columns=list(COLUMNS))
    except (OSError, ValueError, pyarrow.ArrowException) as failure:
        said = " ".join(str(failure).split())
        raise FingerprintError(f"The suite in {folder} is damaged: {file.name} cannot be read ({said}).") from None
    examples = pandas.DataFrame(
        {column: pandas.Series(table.column(column).to_pylist(), dtype=object) for column in COLUMNS}
    )
    given = entry["label_map"]
    label_map = {label: tuple(members) for label, members in given.items()} if given is not None else None
    if fingerprints.split_fingerprint(entry["name"], entry["role"], label_map, examples) != entry["fingerprint"]:
        raise FingerprintError(
            f"The split '{entry['name']}' in {folder} differs from what was recorded: {file.name} was changed; "
            "add the suite again."
        )
    return Split(entry["name"], entry["role"], examples, label_map, entry["fingerprint"])


def _header(suite: Suite) -> str:
    missing = {TRAIN, DEV} - {split.name for split in suite.splits}
    if missing:
        raise SuiteError(f"A suite that was read without its {' and '.join(sorted(missing))} split cannot be written.")
    values = {
        "format": FORMAT_VERSION,
        "name": suite.name,
        "labels": suite.labels,
        "fingerprint": suite.fingerprint,
        "training_fingerprint": suite.training_fingerprint,
        "warnings": suite.warnings,
        "splits": [
            {
                "name": split.name,
                "role": split.role,
                "num_examples": len(split),
                "label_map": split.label_map,
                "fingerprint": split.fingerprint,
            }
            for split in suite.splits
        ],
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _holds(folder: Path, header: str) -> bool:
    try:
        return (folder / _HEADER).read_text(encoding="utf-8") == header
    except (OSError, ValueError):
        return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
