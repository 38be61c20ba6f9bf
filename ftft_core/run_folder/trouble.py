"""What a machine runs out of, in words: room on a disk, and memory."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DISK_WORDS = ("No space left on device", "Disk quota exceeded", "File too large", "os error 28", "os error 27")
_MEMORY_WORDS = (
    *("can't allocate memory", "Cannot allocate memory", "bad_alloc", "bad allocation", "out of memory"),
    *("can't start new thread", "MemoryError", "failed to map segment"),
)
"""Libraries raise errors of their own kinds; what the system said stands in their text."""

_DEVICE_WORDS = ("CUDA", "HIP", "MPS", "XPU")
_REFUSALS = {errno.EROFS, errno.EACCES, errno.EPERM}

LOW_MIB = 4.0
"""With less room than this, whoever ended without a word probably could not write it."""


def trouble_in_words(error: BaseException | str, folder: Path, *, batch_size: int | None = None) -> str | None:
    """Say what the machine ran out of or refused, and what to do; None for another error.

    :param error: or the last words of a process.
    :param folder: on the disk in question.
    :param batch_size: that of the run, named where a smaller one would help.
    """
    if is_disk_full(error):
        return disk_full_words(folder)
    if is_out_of_memory(error):
        return memory_words(error, batch_size=batch_size)
    if isinstance(error, str):
        return None
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in _REFUSALS:
            return refused_words(folder, each)
        # Arrow names the file in its words alone.
        if isinstance(each, FileNotFoundError) and str(folder / "outbox") in str(each):
            return (
                f"the run's outbox {folder / 'outbox'} is gone: somebody removed it; resume the run, which makes it "
                "again and goes on from the newest checkpoint"
            )
    return None


def memory_words(error: BaseException | str, *, batch_size: int | None = None) -> str:
    """Say whose memory ran out, and what to do."""
    said = error if isinstance(error, str) else " ".join(str(each) for each in _chain(error))
    now = "" if batch_size is None else f" (it is {batch_size} now)"
    smaller = f"train it anew with a smaller batch_size{now} or max_length (`ftft train --like RUN --batch-size N`)"
    if any(word in said for word in _DEVICE_WORDS):
        return f"the GPU's memory ran out: {smaller}, or end what else uses the GPU and resume the run"
    return f"memory ran out: end other programs and resume the run, or {smaller}"


def refused_words(folder: Path, error: OSError | None = None) -> str:
    """Say that a folder can't be written to, and what to do."""
    said = "" if error is None else f" ({error.strerror})"
    place = folder if error is None or error.filename is None else error.filename
    return (
        f"{place} can't be written to{said}: make it writable, then resume the run, which goes on from its checkpoint"
    )


def is_disk_full(error: BaseException | str) -> bool:
    """Whether an error, or one that it came from, says that nothing more fits on a disk."""
    if isinstance(error, str):
        return any(word in error for word in _DISK_WORDS)
    return any(
        (isinstance(each, OSError) and each.errno in _DISK_ERRORS) or any(word in str(each) for word in _DISK_WORDS)
        for each in _chain(error)
    )


def is_out_of_memory(error: BaseException | str) -> bool:
    """Whether an error, or one that it came from, says that memory ran out."""
    if isinstance(error, str):
        return any(word in error for word in _MEMORY_WORDS)
    return any(
        isinstance(each, MemoryError)
        or (isinstance(each, OSError) and each.errno == errno.ENOMEM)
        or any(word in str(each) for word in _MEMORY_WORDS)
        for each in _chain(error)
    )


def disk_full_words(folder: Path) -> str:
    """Say which file system is full, how much is free, and what to do."""
    return (
        f"the disk is full: {free_space_words(folder)}; free some space there, then resume the run, which goes on from "
        "its newest checkpoint"
    )


def free_space_words(folder: Path) -> str:
    """Say how much is free on a folder's file system, and where that is mounted."""
    usage = shutil.disk_usage(folder)
    return f"{in_bytes(usage.free)} of {in_bytes(usage.total)} are free on the file system at {mount_point(folder)}"


def free_mib(folder: Path) -> float:
    """Give the room that is free on a folder's file system."""
    return shutil.disk_usage(folder).free / 2**20


def mount_point(folder: Path) -> Path:
    """Give the folder where the file system begins that holds another folder."""
    folder = folder.resolve()
    return next((each for each in (folder, *folder.parents) if each.is_mount()), folder)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def in_bytes(num_bytes: float) -> str:
    """Word a size: whole bytes or KiB, MiB and more with one decimal."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024 or unit == "GiB":
            return f"{num_bytes:.0f} {unit}" if unit in ("B", "KiB") else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    raise AssertionError
