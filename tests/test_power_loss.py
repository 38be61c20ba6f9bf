"""What is renamed into place was synced before, and its folder after: a power loss finds the old or the new, whole."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ftft_core.run_folder import RunFolder
from ftft_core.training.__main__ import main
from tests.conftest import write_suite_files
from tests.training_runs import Runs

NOT_SYNCED = {"progress.json"}
"""Written twice a second and of no use after a power loss; an empty one counts as none."""


@dataclass
class Journal:
    """What reached the disk for certain, by inode, and the renames that were ahead of it."""

    synced: set[tuple[int, int]] = field(default_factory=set)
    """Files and folders as they are at this moment, and when they were changed last."""
    renamed: list[str] = field(default_factory=list)
    unsynced: list[str] = field(default_factory=list)
    open_folders: dict[int, str] = field(default_factory=dict)
    """Folders in which something was renamed, and that were not synced since."""

    def key(self, path: str | int) -> tuple[int, int]:
        facts = os.stat(path)
        return facts.st_ino, facts.st_mtime_ns

    def note_sync(self, descriptor: int) -> None:
        self.synced.add(self.key(descriptor))
        self.open_folders.pop(os.fstat(descriptor).st_ino, None)

    def note_rename(self, source: str, target: str) -> None:
        name = Path(target).name
        if name in NOT_SYNCED:
            return
        self.renamed.append(name)
        inside = [str(path) for path in Path(source).rglob("*")] if Path(source).is_dir() else []
        # An empty folder holds nothing that could be lost; its own entry is in the folder around it.
        paths = [path for path in [source, *inside] if Path(path).is_file() or any(Path(path).iterdir())]
        self.unsynced += [f"{path}, renamed to {target}" for path in paths if self.key(path) not in self.synced]
        self.open_folders[os.stat(Path(target).parent).st_ino] = f"{Path(target).parent} after {name}"


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Journal:
    noted = Journal()
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        noted.note_sync(descriptor)

    def noted_replace(source: str, target: str) -> None:
        noted.note_rename(str(source), str(target))
        replace(source, target)

    def noted_rename(source: str, target: str) -> None:
        noted.note_rename(str(source), str(target))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(os, "rename", noted_rename)
    return noted


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_everything_that_a_run_writes_is_on_the_disk_when_it_appears(
    tmp_path: Path, tiny_model: Path, journal: Journal
) -> None:
    runs = Runs(tmp_path, write_suite_files(tmp_path / "suite"), tiny_model)
    folder = runs.queue("safe", stop="patience", stop_metric="accuracy", patience=100, budget={"epochs": 2})
    assert main(folder) == 0
    assert folder.read_state()["status"] == "finished"
    names = set(journal.renamed)
    assert {"state.json", "run.json", "safe", "best.safetensors", "checkpoint-6", "checkpoint-12", "model"} <= names
    assert {"dynamics-00000.parquet", "predictions-test.parquet", "scores-final-dev.parquet"} <= names
    assert runs.suite.fingerprint in names
    assert journal.unsynced == []
    assert list(journal.open_folders.values()) == []


def test_a_removed_run_is_moved_for_certain(tmp_path: Path, journal: Journal) -> None:
    from tests.ui_workspace import make_workspace

    workspace = make_workspace(tmp_path)
    run = str(workspace.run("erm-0")["run_id"])
    before = journal.renamed.count(run)
    workspace.restore_run(workspace.remove_run(run))
    assert journal.renamed.count(run) == before + 2  # Moved to the trash, and back.
    assert list(journal.open_folders.values()) == []


def test_the_journal_sees_what_is_not_synced(tmp_path: Path, journal: Journal) -> None:
    RunFolder(tmp_path / "r1").create({})
    (tmp_path / "careless.new").write_text("x", encoding="utf-8")
    os.replace(tmp_path / "careless.new", tmp_path / "careless")
    assert len(journal.unsynced) == 1
    assert [name.endswith("after careless") for name in journal.open_folders.values()] == [True]
