"""Training dynamics of other tools: what allenai/cartography and nlpsoc/FTFT write, read; the former also written.

allenai/cartography keeps one file an epoch, `training_dynamics/dynamics_epoch_{e}.jsonl`, with one record
`{"guid", "logits_epoch_{e}", "gold"}` a line. nlpsoc/FTFT saves `uid_to_logits.pt`, a dictionary from id to a tensor
(epochs, classes), without the gold labels. Nothing is unpickled here: a `.pt` file is opened by a function that the
caller hands in, which must load tensors only (`torch.load(..., weights_only=True)`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError, one_of

FOLDER = "training_dynamics"
LABEL_NAMES_FILE = "label_names.json"
"""Beside the folder, not in it: allenai/cartography takes every file in it for an epoch."""

FTFT_FILE = "uid_to_logits.pt"

MAX_PROBLEMS = 20
"""Problems of one input that are told in full; the rest is counted."""

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

_EPOCH_FILE = re.compile(r"dynamics_epoch_(\d+)\.jsonl")


def read_cartography(path: str | Path, *, label_names: Sequence[str] | None = None) -> TrainingDynamics:
    """Read what allenai/cartography recorded.

    :param path: the model's output folder, or the folder `training_dynamics` itself.
    :param label_names: in the order of the logits; else those that `write_cartography` left beside the folder, else
        "0", "1", ...
    :returns: dynamics in the order of the first epoch's file; every epoch counts.
    :raises InputError: with one problem, file and line named, for each missing epoch, broken line, example that is
        not in every epoch, changed gold label, or row of logits that is not of the same number of finite numbers.
    """
    folder = _dynamics_folder(_path_of(path))
    files, problems = _epoch_files(folder)
    epochs: list[_Epoch] = []
    for number, file in files:
        epochs.append(_read_epoch(file, number, epochs[0] if epochs else None, problems))
    _raise_if(problems, folder)
    # (epochs, N, classes), each epoch's rows in the order of the first epoch's
    logits = np.stack([epoch.logits[[epoch.row_of[example_id] for example_id in epochs[0].row_of]] for epoch in epochs])
    names = label_names if label_names is not None else _label_names_beside(folder)
    return TrainingDynamics.from_arrays(epochs[0].row_of, epochs[0].golds, logits, label_names=names)


def write_cartography(dynamics: TrainingDynamics, folder: str | Path) -> Path:
    """Write dynamics so that allenai/cartography's own scripts read them; `read_cartography` gives them back exactly.

    Only counted epochs are written, numbered anew from 0: that tool takes it for granted that every epoch saw every
    example. `gold` is the index of the label; the labels' names go into `label_names.json` beside the folder.

    :param folder: gets `training_dynamics/dynamics_epoch_{e}.jsonl`, and may exist.
    :returns: the folder `training_dynamics`.
    :raises InputError: if no epoch counts, or there are dynamics in the folder already.
    """
    target = _path_of(folder) / FOLDER
    try:
        if target.exists() and any(target.iterdir()):
            raise InputError(f"{target} holds files already; export to an empty folder, so that no epochs are mixed.")
        # Written beside it and renamed, so that an export that was broken off leaves nothing in the way of the next.
        building = target.with_name(f".{FOLDER}.new")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        _write_epochs(dynamics, building)
        names = json.dumps(list(dynamics.label_names), ensure_ascii=False)
        (target.parent / LABEL_NAMES_FILE).write_text(names + "\n", encoding="utf-8")
        building.replace(target)
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        raise InputError(f"The dynamics can't be written to {target} ({reason}); give another folder.") from failure
    return target


def _write_epochs(dynamics: TrainingDynamics, folder: Path) -> None:
    counted = dynamics.counted()
    for number, epoch in enumerate(counted):
        key = f"logits_epoch_{number}"
        # A float32 as a Python float prints all the digits that it takes to read it back.
        rows = zip(dynamics.example_ids, dynamics.logits[epoch].tolist(), dynamics.labels.tolist(), strict=True)
        with (folder / f"dynamics_epoch_{number}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for example_id, logits, gold in rows:
                file.write(json.dumps({"guid": example_id, key: logits, "gold": gold}, ensure_ascii=False) + "\n")


def read_ftft(
    path: str | Path,
    labels: Mapping[str, str] | Mapping[str, int],
    *,
    load_tensors: Callable[[Path], object],
    label_names: Sequence[str] | None = None,
) -> TrainingDynamics:
    """Read what nlpsoc/FTFT recorded: `uid_to_logits.pt`.

    :param path: the run's folder, or the file itself.
    :param labels: gold label (name or class index) of each example by id: the file does not hold them. Its order,
        that of the training file, becomes the order of the examples.
    :param load_tensors: opens the file without unpickling objects: `torch.load` with `weights_only=True`.
    :param label_names: in the order of the logits; needed where `labels` are names.
    :raises InputError: if the file is not of this format, or its examples are not those of `labels`.
    """
    given = _path_of(path)
    file = given / FTFT_FILE if given.is_dir() else given
    if not file.is_file():
        raise InputError(f"There is no file {file}; give the folder in which nlpsoc/FTFT saved {FTFT_FILE}.")
    return from_ftft(load_tensors(file), labels, label_names=label_names, what=str(file))


def from_ftft(
    uid_to_logits: object,
    labels: Mapping[str, str] | Mapping[str, int],
    *,
    label_names: Sequence[str] | None = None,
    what: str = FTFT_FILE,
) -> TrainingDynamics:
    """Turn nlpsoc/FTFT's dictionary, id to (epochs, classes), into dynamics (see `read_ftft`).

    That tool begins each epoch with rows of zeros, and drops a last epoch in which one is left. A row of zeros is
    taken for an example not seen: such an epoch does not count.
    """
    if not isinstance(uid_to_logits, Mapping) or not uid_to_logits:
        raise InputError(f"{what} must hold a dictionary from example id to logits; it holds something else.")
    rows = {str(example_id): _as_array(values, what) for example_id, values in uid_to_logits.items()}
    gold = {str(example_id): label for example_id, label in labels.items()}
    shapes = {values.shape for values in rows.values()}
    problems = []
    if len(rows) != len(uid_to_logits):
        problems.append("Some ids are equal when written as text.")
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        problems.append(
            f"Every example must have logits (epochs, classes) of one shape; found {one_of(map(str, shapes))}."
        )
    for missing, where in [
        ([example_id for example_id in rows if example_id not in gold], "labels"),
        ([example_id for example_id in gold if example_id not in rows], "logits"),
    ]:
        if missing:
            problems.append(f"{len(missing)} examples have no {where}: {one_of(map(repr, missing), limit=5)}.")
    _raise_if(problems, what)
    ids = list(gold)
    logits = np.stack([rows[example_id] for example_id in ids], axis=1)  # (epochs, N, classes)
    if label_names is None and any(isinstance(label, str) for label in gold.values()):
        raise InputError("The labels are names, so label_names is needed: it says which of the logits each one is.")
    seen = (logits != 0).any(axis=2)
    return TrainingDynamics.from_arrays(ids, list(gold.values()), logits, seen=seen, label_names=label_names)


class _Epoch:
    """One epoch's file: in which row each example stands, its gold label and line, and the logits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.row_of: dict[str, int] = {}
        self.golds: list[int] = []
        self.lines: list[int] = []
        self.logits: npt.NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)


def _path_of(path: str | Path) -> Path:
    """Give the path that a person named; `~` is their home."""
    if not str(path).strip():
        raise InputError("The path is an empty name; give a folder.")
    if "\0" in str(path):
        raise InputError(f"The path {str(path)!r} holds a NUL character; give a folder.")
    try:
        found = Path(path).expanduser()
        found.exists()
    except (OSError, RuntimeError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        raise InputError(f"The path {str(path)[:100]} can't be used ({reason}); give another folder.") from failure
    return found


def _dynamics_folder(path: Path) -> Path:
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    if not folder.is_dir():
        raise InputError(f"There is no folder {path}; give the one that holds {FOLDER}/dynamics_epoch_0.jsonl.")
    return folder


def _epoch_files(folder: Path) -> tuple[list[tuple[int, Path]], list[str]]:
    """(epoch, file) in order, and a problem for each epoch that is missing."""
    try:
        found = {int(match[1]): file for file in folder.iterdir() if (match := _EPOCH_FILE.fullmatch(file.name))}
    except OSError as failure:
        raise InputError(f"The folder {folder} can't be read ({failure.strerror}).") from failure
    if not found:
        raise InputError(f"{folder} holds no dynamics_epoch_0.jsonl; give the folder that holds {FOLDER}.")
    missing = [epoch for epoch in range(max(found)) if epoch not in found][:MAX_PROBLEMS]
    return sorted(found.items()), [f"{folder / f'dynamics_epoch_{epoch}.jsonl'} is missing." for epoch in missing]


def _read_epoch(file: Path, number: int, first: _Epoch | None, problems: list[str]) -> _Epoch:
    """Read a file; what is wrong with it, or differs from the `first` epoch, is added to the problems."""
    epoch = _Epoch(file.name)
    key = f"logits_epoch_{number}"
    rows: list[list[float]] = []
    width = first.logits.shape[1] if first is not None and first.row_of else None
    for line, record in _records(file, problems):
        problem = _record_problem(record, key)
        if problem is None:
            example_id, gold, logits = str(record["guid"]), record["gold"], record[key]
            width = len(logits) if width is None else width
            if example_id in epoch.row_of:
                earlier = epoch.lines[epoch.row_of[example_id]]
                problem = f"guid '{example_id}' stands on line {earlier} already."
            elif len(logits) != width:
                problem = f"has {len(logits)} logits; the first record has {width}."
            elif first is not None:
                problem = _difference(example_id, gold, first)
        if problem is not None:
            problems.append(f"{file.name} line {line}: {problem}")
            continue
        epoch.row_of[example_id] = len(rows)
        epoch.golds.append(gold)
        epoch.lines.append(line)
        rows.append(logits)
    epoch.logits = np.array(rows, dtype=np.float32).reshape(len(rows), width or 0)
    if first is None and not rows:
        problems.append(f"{file.name}: holds no usable record.")
    missing = [example_id for example_id in first.row_of if example_id not in epoch.row_of] if first is not None else []
    if missing and first is not None:
        named = one_of(map(repr, missing), limit=5)
        problems.append(f"{file.name}: lacks {len(missing)} examples of {first.name}: {named}.")
    return epoch


def _difference(example_id: str, gold: int, first: _Epoch) -> str | None:
    """Say what is wrong with a record as compared with the first epoch."""
    if example_id not in first.row_of:
        return f"guid '{example_id}' is not in {first.name}."
    expected = first.golds[first.row_of[example_id]]
    return f"gold is {gold}, but {expected} in {first.name}." if gold != expected else None


def _records(file: Path, problems: list[str]) -> Iterator[tuple[int, Any]]:
    try:
        with file.open(encoding="utf-8") as lines:
            for number, text in enumerate(lines, start=1):
                if not text.strip():
                    continue
                try:
                    yield number, json.loads(text)
                except json.JSONDecodeError as failure:
                    said = f"{failure.msg} at character {failure.pos + 1}"
                    problems.append(f"{file.name} line {number}: is no JSON ({said}).")
                except (ValueError, RecursionError):
                    problems.append(f"{file.name} line {number}: holds a number too long or lists too deep to read.")
    except UnicodeDecodeError:
        problems.append(f"{file.name}: is not UTF-8 text.")
    except OSError as failure:
        problems.append(f"{file.name}: can't be read ({failure.strerror}).")


def _are_finite_numbers(values: list[Any]) -> bool:
    """Whether all are numbers that a float32 can hold; comparing also keeps NaN and huge whole numbers out."""
    return {type(value) for value in values} <= {int, float} and all(
        -LARGEST_FLOAT32 <= value <= LARGEST_FLOAT32 for value in values
    )


def _record_problem(record: Any, key: str) -> str | None:
    if not isinstance(record, dict):
        return 'must be an object {"guid", "logits_epoch_...", "gold"}.'
    missing = [name for name in ("guid", key, "gold") if name not in record]
    if missing:
        return f"lacks {', '.join(missing)}; it has {one_of(record)}."
    if isinstance(record["guid"], bool) or not isinstance(record["guid"], (str, int)):
        return f"guid is {record['guid']!r}; it must be text or a whole number."
    logits, gold = record[key], record["gold"]
    if not isinstance(logits, list) or not _are_finite_numbers(logits):
        return f"{key} must be a list of finite numbers; received {str(logits)[:60]}."
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < len(logits):
        return f"gold is {gold!r}; it must be a class index from 0 to {len(logits) - 1}."
    return None


def _label_names_beside(folder: Path) -> list[str] | None:
    file = folder.parent / LABEL_NAMES_FILE
    if folder.name != FOLDER or not file.is_file():
        return None
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{file} must hold a JSON list of label names; remove or mend it.")
    return names


def _as_array(values: Any, what: str) -> npt.NDArray[np.float32]:
    plain = values.detach().float().cpu().numpy() if hasattr(values, "detach") else values
    try:
        return np.asarray(plain, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{what} must hold numbers only; an example's logits are {str(values)[:60]}.") from None


def _raise_if(problems: list[str], what: object) -> None:
    if problems:
        shown = problems[:MAX_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"... and {len(problems) - len(shown)} more.")
        raise InputError(f"{what} cannot be read as training dynamics.", shown)
