"""A run that was stopped and resumed gives what an uninterrupted one gives, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch

from ftft_core.errors import RunError
from ftft_core.training.__main__ import main
from ftft_core.training.checkpoint import newest_checkpoint, remove_checkpoints
from ftft_core.training.loop import fit
from ftft_core.training.setup import prepare
from tests.conftest import environment, write_suite_files
from tests.training_runs import (
    Runs,
    Trained,
    after,
    assert_same_tables,
    assert_same_weights,
    finish,
    interrupt,
    never,
    read_outbox,
)

STEPS_PER_EPOCH = 6  # 96 examples, 16 in a batch


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runs:
    folder = tmp_path_factory.mktemp("checkpoints")
    return Runs(folder, write_suite_files(folder / "suite"), tiny_model)


@pytest.fixture(scope="module")
def whole(runs: Runs) -> Trained:
    """Two and a half epochs, never interrupted."""
    return runs.train("whole", budget={"epochs": 2.5})


def assert_same(resumed: Trained, whole: Trained) -> None:
    assert_same_tables(resumed.outbox, whole.outbox)
    assert_same_weights(resumed.weights, whole.weights)
    seconds = {"train_seconds": 0.0, "evaluation_seconds": 0.0}
    assert vars(resumed.counters) | seconds == vars(whole.counters) | seconds


@pytest.mark.parametrize(
    "stops",
    [(8,), (1,), (STEPS_PER_EPOCH,), (2 * STEPS_PER_EPOCH,), (15,), (4, 3, 1, 2)],
    ids=["middle", "first-step", "last-step-of-an-epoch", "of-the-second", "last-step-of-the-run", "four-times"],
)
def test_a_resumed_run_gives_the_same_bits(runs: Runs, whole: Trained, stops: tuple[int, ...]) -> None:
    folder = runs.queue(f"cut-{'-'.join(map(str, stops))}", budget={"epochs": 2.5})
    for steps in stops:
        interrupt(folder, after(steps))
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    assert checkpoint.name == f"checkpoint-{sum(stops)}"
    assert_same(finish(folder), whole)


def test_the_learning_rate_goes_on_where_it_was(runs: Runs, whole: Trained) -> None:
    folder = runs.queue("rates", budget={"epochs": 2.5})
    interrupt(folder, after(8))
    finish(folder)
    records = [
        [(record["step"], record["learning_rate"]) for record in run.read_history() if record["kind"] == "step"]
        for run in (folder, whole.setup.folder)
    ]
    assert records[0] == records[1]
    assert len(records[0]) == 15


def test_a_run_resumed_after_its_last_step_only_evaluates(runs: Runs, whole: Trained) -> None:
    folder = runs.queue("evaluate-again", budget={"epochs": 2.5})
    finish(folder)
    for path in folder.outbox_files():
        if path.name.startswith(("predictions", "scores-final")):
            path.unlink()
    again = finish(folder)
    assert_same(again, whole)


def test_only_the_newest_checkpoint_is_kept_and_used(runs: Runs, whole: Trained) -> None:
    folder = runs.queue("newest", budget={"epochs": 2.5})
    interrupt(folder, after(4))
    old = newest_checkpoint(folder)
    assert old is not None
    shutil.copytree(old, folder.path / "kept")
    interrupt(folder, after(7))
    assert [path.name for path in folder.path.glob("checkpoint-*")] == ["checkpoint-11"]
    # A process killed between writing the new and removing the old one leaves both.
    shutil.copytree(folder.path / "kept", folder.path / "checkpoint-4")
    newest = newest_checkpoint(folder)
    assert newest is not None
    assert newest.name == "checkpoint-11"
    assert_same(finish(folder), whole)
    assert [path.name for path in folder.path.glob("checkpoint-*")] == ["checkpoint-15"]


def test_half_written_checkpoints_are_ignored_and_removed(runs: Runs, whole: Trained) -> None:
    folder = runs.queue("half", budget={"epochs": 2.5})
    interrupt(folder, after(4))
    half = folder.path / ".checkpoint-9"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"cut off")
    assert_same(finish(folder), whole)
    assert not half.exists()


def test_a_checkpoint_holds_no_pickle(runs: Runs) -> None:
    folder = runs.queue("files")
    interrupt(folder, after(8))
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "dynamics-0.safetensors",
        "dynamics-1.safetensors",
        "model.safetensors",
        "optimizer.safetensors",
        "random-0.safetensors",
        "state.json",
    ]
    assert not list(folder.path.glob(".*"))
    remove_checkpoints(folder)
    assert newest_checkpoint(folder) is None


def test_a_checkpoint_of_other_processes_is_refused(runs: Runs) -> None:
    folder = runs.queue("processes")
    interrupt(folder, after(2))
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    shutil.copy(checkpoint / "random-0.safetensors", checkpoint / "random-1.safetensors")
    setup = prepare(folder)
    with pytest.raises(RunError, match=r"checkpoint-2 was written by 2 process\(es\), but this run has 1"):
        fit(setup, stop_requested=never)


@pytest.mark.slow
def test_a_killed_process_is_resumed_to_the_same_bits(tmp_path: Path, tiny_model: Path) -> None:
    runs = Runs(tmp_path, write_suite_files(tmp_path / "suite"), tiny_model)
    budget = {"epochs": 12}
    folder = runs.queue("killed", budget=budget, checkpoint_seconds=0.1)
    with folder.log.open("ab") as log:
        victim = subprocess.Popen(
            [sys.executable, "-m", "ftft_core.training", str(folder.path)],
            stdout=log,
            stderr=log,
            env={**environment(tmp_path), "OMP_NUM_THREADS": "1"},  # as `Runs` has it here: sums depend on it
        )
    uninterrupted = runs.queue("whole", budget=budget)
    while newest_checkpoint(folder) is None:
        assert victim.poll() is None, folder.log.read_text(encoding="utf-8")
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait(timeout=60) == -signal.SIGKILL
    assert folder.true_state()["status"] == "lost"
    assert folder.read_state()["status"] == "running"
    # What a process killed while writing leaves behind.
    (folder.path / f".progress.json.{victim.pid}.new").write_text("{", encoding="utf-8")
    (folder.outbox / f".dynamics-00039.parquet.{victim.pid}.new").write_bytes(b"PAR1")
    with (folder.path / "history.jsonl").open("a", encoding="utf-8") as history:
        history.write('{"kind": "st')

    # The rest, and the other run, in this process, which has torch already.
    assert [main(run) for run in (folder, uninterrupted)] == [0, 0], folder.read_state()["message"]
    state, expected = folder.read_state(), uninterrupted.read_state()
    assert state["status"] == expected["status"] == "finished"
    assert state["resumed_from_step"] >= 1
    assert expected["resumed_from_step"] is None
    for count in ("num_optimizer_steps", "num_examples_seen", "train_flops", "evaluation_flops", "num_steps_planned"):
        assert state[count] == expected[count]
    assert state["num_optimizer_steps"] == 72
    assert_same_tables(read_outbox(folder), read_outbox(uninterrupted))
    assert len([name for name in read_outbox(folder) if name.startswith("dynamics")]) == 12
    assert_same_weights(
        *(safetensors.torch.load_file(run.model / "model.safetensors") for run in (folder, uninterrupted))
    )
    names = {path.name for path in folder.path.iterdir()}
    kept = {"run.json", "state.json", "progress.json", "history.jsonl", "log.txt", "outbox", "model"}
    assert names == {*kept, ".training.lock"}
    assert all(path.suffix == ".parquet" and path.name[0] != "." for path in folder.outbox.iterdir())
    assert [record["step"] for record in folder.read_history() if record["kind"] == "step"] == list(range(1, 73))
