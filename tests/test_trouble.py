"""What a machine runs out of or refuses: the run fails with its reason, nothing is lost, and resuming finishes it."""

from __future__ import annotations

import errno
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pytest
import torch

from ftft_core.errors import WorkspaceError
from ftft_core.run_folder import RunFolder, last_word, trouble_in_words, write_parquet
from ftft_core.training.__main__ import main
from ftft_core.workspace import Workspace
from tests.conftest import environment, write_suite_files
from tests.training_runs import Runs, Trained, after, assert_same_tables, interrupt, read_outbox
from tests.ui_workspace import NUM_TRAIN, leave_dynamics, make_workspace, queue

LIMITED = """
import resource, sys
from pathlib import Path
from ftft_core.run_folder import RunFolder
from ftft_core.training import __main__ as training
real = training.fit
def fit(setup, **values):
    # Only now: importing takes more room than training does.
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 4 * 2**20,) * 2)
    return real(setup, **values)
training.fit = fit
sys.exit(training.main(RunFolder(Path(sys.argv[1]))))
"""


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own, of a few MiB."""
    folder = tmp_path_factory.mktemp("disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "ftft-test", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"mounting isn't allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A training in this process listens for being asked to stop."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runs:
    folder = tmp_path_factory.mktemp("trouble")
    return Runs(folder, write_suite_files(folder / "suite"), tiny_model)


@pytest.fixture(scope="module")
def whole(runs: Runs) -> Trained:
    return runs.train("whole", budget={"epochs": 3})


def write_for_ever(file: BinaryIO, size: int) -> None:
    while True:
        file.write(b"x" * size)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Fill a disk to its last byte."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            with pytest.raises(OSError, match="No space left on device"):
                write_for_ever(file, size)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def test_a_full_disk_fails_the_run_and_resuming_finishes_it(
    small_disk: Path, runs: Runs, whole: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "runs").mkdir()
    shutil.copytree(runs.folder / "suites", small_disk / "suites")
    elsewhere = runs.queue("full", budget={"epochs": 3})
    shutil.move(elsewhere.path, small_disk / "runs" / "full")
    folder = RunFolder(small_disk / "runs" / "full")
    interrupt(folder, after(8))
    folder.hold_reserve()
    with filled(small_disk):
        assert main(folder) == 1
        # Written to a disk without a byte left: there was a reserve.
        state = folder.read_state()
        assert state["status"] == "failed"
        assert "the disk is full: " in state["message"]
        assert f"on the file system at {small_disk}; free some space there, then resume the run" in state["message"]
        assert folder.half_written_folders() == []
        assert [path.name for path in folder.checkpoints()] == ["checkpoint-8"]
    capfd.readouterr()
    assert main(folder) == 0
    assert folder.read_state()["resumed_from_step"] == 8
    assert_same_tables(read_outbox(folder), whole.outbox)
    assert not list(folder.path.glob(".*.new"))


def test_a_disk_without_room_for_a_word_is_told_by_who_looks(small_disk: Path) -> None:
    folder = RunFolder(small_disk / "silent")
    folder.create({"run_id": "silent"})
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        folder.claim("training", pid=process.pid)
        process.kill()
    with filled(small_disk):
        state = folder.true_state()
    assert (state["status"], "and the disk is full" in state["message"]) == ("lost", True)


def test_the_database_on_a_full_disk_opens_and_takes_in_later(small_disk: Path, tmp_path: Path) -> None:
    made = make_workspace(tmp_path, with_comparison=False)
    model = Path(made.run("map-run")["model"])
    shutil.copytree(made.folder, small_disk / "workspace")
    workspace = Workspace(small_disk / "workspace")
    run = queue(workspace, model, name="late", method="erm")
    logits = np.random.default_rng(0).normal(size=(NUM_TRAIN, 2)).astype(np.float32)
    table = pa.table(
        {
            "epoch": pa.array(np.zeros(NUM_TRAIN), pa.int32()),
            "position": pa.array(np.arange(NUM_TRAIN), pa.int64()),
            "logits": pa.array(logits.tolist(), pa.list_(pa.float32())),
        }
    )
    write_parquet(workspace.run_folder(run).outbox / "dynamics-00000.parquet", table)
    gone = workspace.remove_run("map-run")
    with filled(small_disk):
        with pytest.raises(WorkspaceError, match=r"the disk is full, 0 B of .* what could not be taken in waits"):
            workspace.sync()
        # What is there can be read, by this process and by another.
        assert workspace.run("late")["counted_epochs"] == 0
        assert len(workspace.run_folder(run).outbox_files()) == 1
        read = "import sys; from ftft_core.workspace import Workspace; print(len(Workspace(sys.argv[1]).runs()))"
        command = [sys.executable, "-c", read, str(workspace.folder)]
        answer = subprocess.run(command, env=environment(workspace.folder), capture_output=True, text=True)
        assert answer.stdout == "1\n", answer.stderr
        # Emptying the trash makes room where there is none.
        assert workspace.purge_runs([gone]) > 0
    workspace.sync()
    assert workspace.run("late")["counted_epochs"] == 1
    assert workspace.run_folder(run).outbox_files() == []
    assert workspace.repair() == []


def test_a_lost_outbox_is_made_again_with_every_epoch(
    runs: Runs, whole: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = runs.queue("outbox", budget={"epochs": 3})
    interrupt(folder, after(8))
    real = RunFolder.hold_reserve
    try:
        # Somebody deletes it while the run trains.
        RunFolder.hold_reserve = lambda self: shutil.rmtree(self.outbox)  # type: ignore[method-assign]
        assert main(folder) == 1
    finally:
        RunFolder.hold_reserve = real  # type: ignore[method-assign]
    state = folder.read_state()
    assert state["status"] == "failed"
    assert "outbox is gone: somebody removed it; resume the run" in state["message"]
    capfd.readouterr()
    assert main(folder) == 0
    left = read_outbox(folder)
    assert_same_tables({name: left[name] for name in whole.dynamics}, whole.dynamics)


def test_a_folder_that_can_not_be_written_to_is_named(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    folder = runs.queue("read-only")
    outbox = str(folder.outbox)
    mounted = subprocess.run(["mount", "--bind", outbox, outbox], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting isn't allowed here: {mounted.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", outbox], check=True)
        assert main(folder) == 1
    finally:
        subprocess.run(["umount", outbox], check=True)
    state = folder.read_state()
    assert state["status"] == "failed"
    assert "outbox" in state["message"]
    assert "can't be written to (Read-only file system): make it writable, then resume the run" in state["message"]
    capfd.readouterr()
    assert main(folder) == 0


def test_memory_that_is_refused_fails_the_run_and_resuming_finishes_it(
    runs: Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = runs.queue("memory", batch_size=96)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder.path)],
        env=environment(runs.folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    state = folder.read_state()
    assert state["status"] == "failed", done.stderr
    assert "memory ran out: end other programs and resume the run" in state["message"], done.stderr
    assert "a smaller batch_size (it is 96 now)" in state["message"]
    assert main(folder) == 0


def test_there_is_one_trainer_at_a_time(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    folder = runs.queue("held")
    with folder.training():
        assert main(folder) == 1
    assert "another process still trains this run" in capfd.readouterr().err
    assert folder.read_state()["status"] == "queued"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk is full: .* then resume the run"),
        (OSError(errno.EFBIG, "File too large"), "the disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (MemoryError(), "memory ran out: end other programs and resume the run"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), r"memory ran out: .*\(it is 32 now\)"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory ran out"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
            r"the GPU's memory ran out: .* a smaller batch_size \(it is 32 now\)",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), r"/data/x can't be written to \(Permission"),
    ],
)
def test_reasons_are_words(tmp_path: Path, error: Exception, words: str) -> None:
    said = trouble_in_words(error, tmp_path, batch_size=32)
    assert said is not None
    assert re.search(words, said), said
    outer = ValueError("while saving")
    outer.__cause__ = error
    assert trouble_in_words(outer, tmp_path, batch_size=32) == said


def test_other_errors_are_told_as_they_are(tmp_path: Path) -> None:
    assert trouble_in_words(ValueError("labels differ"), tmp_path) is None
    assert trouble_in_words(FileNotFoundError(errno.ENOENT, "No such file", "/models/x"), tmp_path) is None


def test_the_last_word_of_a_process_that_said_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "r1")
    folder.create({})
    folder.claim("training")
    status, message = last_word(folder, -signal.SIGKILL)
    assert (status, "SIGKILL (somebody killed it" in message) == ("lost", True)
    assert message.endswith("resume the run, which goes on from its newest checkpoint")
    assert "SIGSEGV; resume" in last_word(folder, -signal.SIGSEGV)[1]
    # The system counts whom it ended because memory ran out.
    monkeypatch.setattr("ftft_core.run_folder.folder.count_oom_kills", lambda: 10**9)
    assert "because memory ran out; end other programs and resume" in last_word(folder, -signal.SIGKILL)[1]
    folder.log.write_text("Traceback\nMemoryError\n", encoding="utf-8")
    assert last_word(folder, 1) == ("failed", trouble_in_words(MemoryError(), tmp_path))
    folder.log.write_text("\nRuntimeError: no\n\n", encoding="utf-8")
    assert last_word(folder, 3) == ("failed", "the training process ended with status 3: RuntimeError: no")


def test_a_file_that_the_system_refuses_to_read_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path, with_comparison=False)
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="later", method="erm")
    leave_dynamics(workspace, run)

    def refuse(*_: object, **__: object) -> pa.Table:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("ftft_core.store.dynamics.pq.read_table", refuse)
        with pytest.raises(WorkspaceError, match=r"could not be taken in now .* it waits there, nothing is lost"):
            workspace.sync()
    assert len(workspace.run_folder(run).outbox_files()) == 4
    workspace.sync()
    assert workspace.run(run)["counted_epochs"] == 4
