"""Checking a workspace, and mending it without deleting anything that was paid for.

Every check gives findings: a sentence about what is wrong, and what would mend it, where something would. Mending
twice changes nothing more. What belongs nowhere is moved to `set-aside/`; only what was half written by a process that
has ended, and what a finished run needs no more, is removed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ftft_core.errors import FTFTError
from ftft_core.run_folder import RunFolder, disk_use_bytes, in_bytes, run_folders, stale_files
from ftft_core.run_folder.trouble import free_space_words
from ftft_core.store import checks
from ftft_core.suites import write_suite
from ftft_core.workspace.run_care import PURGING, RunCare

_SETTLED_SECONDS = 60.0
"""A folder that is younger than this may be one that another process is still making."""

_LOW_DISK_BYTES = 2**30


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    problem: str
    mend: Callable[[], str] | None = None
    """Puts it right, and says what it did."""


class Doctor(RunCare):
    """The workspace's health."""

    def health(self) -> dict[str, Any]:
        """Give what the workspace holds, its sizes on disk, and `problems`: one sentence for each.

        :raises WorkspaceError: when the database can't be opened or read.
        """
        with self.database.reading() as connection:
            checks.read_everything(connection)
            counts = checks.count_things(connection)
        return {
            "folder": self.folder,
            **counts,
            "database_mib": self.database.path.stat().st_size / 2**20,
            "runs_mib": disk_use_bytes(self._queue.runs) / 2**20,
            "trash_mib": disk_use_bytes(self.trash) / 2**20,
            "set_aside_mib": disk_use_bytes(self.folder / "set-aside") / 2**20,
            "disk_free_mib": shutil.disk_usage(self.folder).free / 2**20,
            "problems": [finding.problem for finding in self._findings()],
        }

    def repair(self) -> list[str]:
        """Mend what can be mended; say in words what was done, or why it could not be."""
        done = []
        for finding in self._findings():
            if finding.mend is not None:
                try:
                    done.append(finding.mend())
                except (OSError, FTFTError) as failure:
                    done.append(f"Not mended, since {_sentence(failure)}: {finding.problem}.")
        self.sync()
        return done

    def _findings(self) -> list[Finding]:
        finders = (
            *(self._check_states, self._check_places, self._check_strangers, self._check_outboxes),
            *(self._check_leftovers, self._check_database, self._check_suites, self._check_room),
        )
        return [finding for finder in finders for finding in finder()]

    # -- runs ------------------------------------------------------------------------------------------------------

    def _check_states(self) -> Iterator[Finding]:
        """Runs that ended badly, and files of a run that can't be read."""
        rows = self.runs()
        for row in rows[rows["status"].isin(["failed", "lost"])].to_dict("records"):
            yield Finding(f"run {row['name']} is {row['status']}: {row['message']}")
        for folder in self._folders(rows["run_id"]):
            if not folder.has_readable_state():
                yield Finding(
                    f"the state of run {folder.run_id} can't be read; it counts as lost",
                    partial(self._mend_state, folder),
                )

    def _mend_state(self, folder: RunFolder) -> str:
        with self._queue.changing():
            path = folder.path / "state.json"
            aside = "it had none"
            message = "its state was missing; resume the run"
            if path.exists():
                message = folder.read_state()["message"]
                aside = f"its old one is {self._said(self.set_aside(path))}"
            folder.set_status("lost", message)
        return f"Run {folder.run_id} has a state again, 'lost'; {aside}."

    def _check_places(self) -> Iterator[Finding]:
        """Rows without folders, and folders of removed and present runs that lie in the other's place."""
        with self.database.reading() as connection:
            known = checks.known_runs(connection)
        for row in known.to_dict("records"):
            here, gone = self._queue.runs / row["run_id"], self.trash / row["run_id"]
            right, wrong = (gone, here) if row["is_removed"] else (here, gone)
            if wrong.is_dir() and not right.is_dir():
                yield Finding(
                    f"the folder of run {row['name']} ({row['run_id']}) lies in {wrong.parent.name}/, but belongs in "
                    f"{right.parent.name}/",
                    partial(self._mend_place, row["name"], wrong, right),
                )
            elif not right.is_dir() and not row["is_removed"] and not row["is_imported"]:
                is_waiting = row["status"] in {"queued", "running"}
                yield Finding(
                    f"run {row['name']} has no folder: it can't be resumed, and its model is gone",
                    partial(self._mend_missing, row) if is_waiting else None,
                )

    def _mend_place(self, name: str, wrong: Path, right: Path) -> str:
        with self._queue.changing():
            self._move(wrong, right)
        return f"The folder of run {name} was moved to {right.parent.name}/, where it belongs."

    def _mend_missing(self, row: dict[str, Any]) -> str:
        with self.database.writing() as connection:
            checks.fail_run(connection, row["run_id"], "its folder is missing, so it can't be trained; remove the run")
        return f"Run {row['name']}, which was {row['status']} without a folder, is now failed."

    def _check_strangers(self) -> Iterator[Finding]:
        """Folders that no row knows."""
        with self.database.reading() as connection:
            known = set(checks.known_runs(connection)["run_id"])
        for parent in (self._queue.runs, self.trash):
            for path in sorted(parent.iterdir()) if parent.is_dir() else []:
                if path.name.startswith(PURGING):
                    yield Finding(
                        f"{self._said(path)} was to be deleted for good, but is still there",
                        partial(self._mend_purged, path),
                    )
                elif path.is_dir() and path.name not in known and not _is_fresh(path):
                    if RunFolder(path).is_held():
                        yield Finding(f"a process trains in the folder {path}, which belongs to no run; stop it")
                    else:
                        yield Finding(f"the folder {path} belongs to no run", partial(self._mend_stranger, path))

    def _mend_purged(self, path: Path) -> str:
        size = disk_use_bytes(path)
        shutil.rmtree(path)
        return f"The rest of {self._said(path)}, which was to be deleted, is gone; {in_bytes(size)} freed."

    def _mend_stranger(self, path: Path) -> str:
        return f"{self._said(path)}, which belongs to no run, was moved to {self._said(self.set_aside(path))}."

    def _check_outboxes(self) -> Iterator[Finding]:
        """Outboxes that are gone, and files in them that can't be read."""
        rows = self.runs().set_index("run_id")
        for folder in self._folders(rows.index):
            name = rows.loc[folder.run_id, "name"]
            if not folder.outbox.is_dir():
                yield Finding(f"run {name} has no outbox", partial(self._mend_outbox, folder))
            for path in sorted(folder.outbox.glob("*.damaged")):
                yield Finding(
                    f"run {name} lacks what its damaged file {path} held; remove the run and train it again",
                    partial(self._mend_damaged, name, path),
                )

    def _mend_outbox(self, folder: RunFolder) -> str:
        folder.outbox.mkdir(exist_ok=True)
        return f"Run {folder.run_id} has an outbox again."

    def _mend_damaged(self, name: str, path: Path) -> str:
        return f"The damaged file {path.name} of run {name} was moved to {self._said(self.set_aside(path))}."

    def _check_leftovers(self) -> Iterator[Finding]:
        """Half-written files, stale requests and locks, and what finished runs need no more."""
        for path in stale_files([self.folder, self.folder / "flops"]):
            yield Finding(f"{self._said(path)} is half written", partial(self._mend_half_written, [path]))
        for folder in run_folders(self._queue.runs):
            state = folder.true_state()
            if state["status"] in {"queued", "running"} or folder.is_held():
                continue
            half = [*stale_files([folder.path, folder.outbox]), *folder.half_written_folders()]
            if half:
                yield Finding(
                    f"run {folder.run_id} has half-written files: {', '.join(path.name for path in half)}",
                    partial(self._mend_half_folder, folder),
                )
            if state["status"] == "finished" and folder.finished_leftovers():
                yield Finding(
                    f"run {folder.run_id} has finished, but still holds what it needed to go on: "
                    + ", ".join(path.name for path in folder.finished_leftovers()),
                    partial(self._mend_leftovers, folder),
                )
            elif folder.cancel_requested:
                yield Finding(
                    f"run {folder.run_id} is {state['status']}, but still asked to stop",
                    partial(self._mend_request, folder),
                )
        if self._queue.starting.exists() and not _is_fresh(self._queue.starting):
            yield Finding("a worker that was started never took up its work", self._mend_starting)

    def _mend_half_folder(self, folder: RunFolder) -> str:
        return self._mend_half_written(folder.remove_leftovers())

    def _mend_half_written(self, paths: list[Path]) -> str:
        for path in paths:
            path.unlink(missing_ok=True)
        return f"Removed {', '.join(map(self._said, paths)) or 'nothing'}, which a process that ended half wrote."

    def _mend_leftovers(self, folder: RunFolder) -> str:
        return f"Removed what run {folder.run_id} needs no more: {', '.join(path.name for path in folder.tidy())}."

    def _mend_request(self, folder: RunFolder) -> str:
        folder.clear_cancel()
        return f"Run {folder.run_id} is no longer asked to stop."

    def _mend_starting(self) -> str:
        self._queue.starting.unlink(missing_ok=True)
        return "The note about a worker that never worked is gone."

    # -- the database, suites and the disk -------------------------------------------------------------------------

    def _check_database(self) -> Iterator[Finding]:
        with self.database.reading() as connection:
            orphans = checks.count_orphans(connection)
            without_map = checks.runs_without_map(connection)
            odd = checks.epochs_with_other_counts(connection)
            missing = checks.missing_epochs(connection)
            unpredicted = checks.missing_predictions(connection)
        for table, count in orphans.items():
            yield Finding(f"{count:,} rows of table {table} belong to nothing", partial(self._mend_orphans, table))
        for run_no, name in without_map.items():
            yield Finding(
                f"the data map of run {name} does not fit its dynamics",
                partial(self._mend_map, run_no, name),
            )
        for epoch in odd:
            yield Finding(f"the dynamics of {epoch} hold other examples than were taken in; train the run again")
        for name, splits in unpredicted.items():
            yield Finding(
                f"run {name} has finished, but its predictions of {', '.join(splits)} are not there, so that "
                "comparisons leave it out there; remove it and train it again"
            )
        for name, epochs in missing.items():
            yield Finding(
                f"run {name} has finished, but lacks the dynamics of epoch {', '.join(map(str, epochs))}; its map is "
                "made without them: remove the run and train it again"
            )

    def _mend_orphans(self, table: str) -> str:
        folder = self.folder / "set-aside"
        folder.mkdir(exist_ok=True)
        path = folder / f"{table}-{time.time_ns()}.parquet"
        with self.database.writing() as connection:
            checks.move_orphans(connection, table, path)
        return f"The rows of table {table} that belong to nothing were moved to {self._said(path)}."

    def _mend_map(self, run_no: int, name: str) -> str:
        with self.database.writing() as connection:
            checks.make_map(connection, run_no)
        return f"The data map of run {name} was made anew."

    def _check_suites(self) -> Iterator[Finding]:
        with self.database.reading() as connection:
            needed, known = checks.suites_with_texts(connection), checks.suite_fingerprints(connection)
        suites = self.folder / "suites"
        for fingerprint, name in needed.items():
            if not (suites / fingerprint).is_dir():
                yield Finding(
                    f"the folder {self._said(suites / fingerprint)} of suite {name} is missing: nothing can be trained "
                    "on it",
                    partial(self._mend_suite, fingerprint, name),
                )
        for path in sorted(suites.iterdir()) if suites.is_dir() else []:
            if path.name not in known and not _is_fresh(path):
                yield Finding(f"{self._said(path)} belongs to no suite", partial(self._mend_unused, path))

    def _mend_suite(self, fingerprint: str, name: str) -> str:
        with self.database.reading() as connection:
            suite = checks.rebuild_suite(connection, fingerprint)
        write_suite(suite, self.folder / "suites" / fingerprint)
        return f"The folder of suite {name} was made anew from the database."

    def _mend_unused(self, path: Path) -> str:
        return f"{self._said(path)}, which belongs to no suite, was moved to {self._said(self.set_aside(path))}."

    def _check_room(self) -> Iterator[Finding]:
        if shutil.disk_usage(self.folder).free < _LOW_DISK_BYTES:
            trash = disk_use_bytes(self.trash)
            hint = f"; `ftft runs purge --all` empties the trash and frees {in_bytes(trash)}" if trash else ""
            yield Finding(f"there is little room: {free_space_words(self.folder)}{hint}")

    def _folders(self, run_ids: Any) -> list[RunFolder]:
        folders = [self._queue.folder(run_id) for run_id in run_ids]
        return [folder for folder in folders if folder.path.is_dir()]

    def _said(self, path: Path) -> str:
        """Name a path as seen from the workspace."""
        return str(path.relative_to(self.folder))


def _is_fresh(path: Path) -> bool:
    return abs(time.time() - path.stat().st_mtime) < _SETTLED_SECONDS


def _sentence(failure: Exception) -> str:
    return (failure.message if isinstance(failure, FTFTError) else str(failure)).rstrip(".")
