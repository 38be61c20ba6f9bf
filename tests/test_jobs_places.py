"""Several places, with real trainings: side by side, adopted from a killed worker, handed back by one that stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ftft_core.jobs import ends
from tests.conftest import CommandLine, environment
from tests.queued_runs import DEADLINE_SECONDS, Training, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def training(tmp_path: Path, tiny_model: Path) -> Iterator[Training]:
    made = Training(tmp_path, tiny_model)
    yield made
    made.stop()


def test_runs_share_a_device_outlive_their_worker_and_are_handed_back_by_the_next(training: Training) -> None:
    workspace = training.workspace
    workspace.change_worker_settings(runs_per_device=2)
    for name, steps in (("left", 700), ("right", 700), ("later", 2)):
        training.submit(name, steps)
    # That the trainings sleep from here on, as on a machine that does, is no reason to take them for lost.
    trainers = {}
    for name in ("left", "right"):
        training.wait_for_checkpoint(name)
        trainers[name] = training.trainer(name)
        psutil.Process(trainers[name]).suspend()
    queue = workspace.queue()
    assert (queue["name"].tolist(), queue["position"].tolist()) == (["left", "right", "later"], [0, 0, 1])
    assert queue["device"].tolist()[:2] == ["cpu", "cpu"]

    # A killed worker takes nothing with it, and the next one starts nothing where its places are taken.
    (first,) = training.workers()
    first.kill()
    wait_until(lambda: not training.workers(), "the worker is dead")
    wait_until(lambda: (workspace.sync(), workspace._queue.worker())[1], "looking is enough for another to be there")
    named = workspace._queue.worker()
    assert named is not None
    assert named["pid"] != first.pid
    assert {name: training.trainer(name) for name in trainers} == trainers
    assert workspace.queue()["status"].tolist() == ["running", "running", "queued"]
    assert "its process is paused" in workspace.progress("left").message

    # One that is told to stop has them write checkpoints, and they are the next to be trained.
    os.kill(named["pid"], signal.SIGTERM)
    wait_until(lambda: all(ends.returns(workspace.run_folder(name)) for name in trainers), "they are asked to stop")
    for pid in trainers.values():
        psutil.Process(pid).resume()
    wait_until(lambda: not workspace._queue.running(), "the runs have stopped")
    wait_until(lambda: len(workspace._queue.waiting()) == 3, "they are back in the queue")
    waiting = workspace._queue.waiting()
    assert [folder.read_run()["config"]["name"] for folder in waiting] == ["left", "right", "later"]
    assert waiting[0].read_state()["message"] == ends.RETURNED
    for name in ("left", "right", "later"):
        training.wait_for(name, "finished")
    workspace.sync()
    for name in ("left", "right"):
        row = workspace.run(name)
        assert 0 < row["resumed_from_step"] < 700
        assert (row["num_optimizer_steps"], row["counted_epochs"]) == (700, 7)
        told = workspace.progress(name)
        assert (told.resumed_from_step, told.device) == (row["resumed_from_step"], "cpu")
        assert told.memory_bytes is not None
        assert told.examples_per_second is not None


def test_a_worker_in_the_foreground_is_stopped_and_kills_when_told_twice(training: Training, ftft: CommandLine) -> None:
    workspace = training.workspace
    # Queued without a worker in the background: this one is ours.
    lock = workspace._queue.working()
    with lock:
        training.submit("long", 100_000)
        training.submit("short", 2)
    command = [sys.executable, "-m", "ftft_core", "worker", "--runs-per-device", "2", "--json"]
    with subprocess.Popen(
        command, env=environment(workspace.folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        folder = workspace._queue.folder(workspace.run("long")["run_id"])
        wait_until(lambda: (folder.read_progress().get("step") or 0) > 10, "the run takes steps")
        trainer = psutil.Process(folder.read_state()["pid"])
        trainer.suspend()  # It can't write a checkpoint, and would be waited for.
        process.send_signal(signal.SIGINT)
        wait_until(lambda: ends.returns(folder), "the run is asked to stop")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said, log = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, log
    assert "write a checkpoint and go back to the queue" in log
    assert '"runs_per_device": 2' in said
    assert not trainer.is_running()
    assert folder.read_state()["status"] == "queued", log
    workspace.cancel("long")
    answer = ftft("worker", "--until-idle", "--json", timeout=DEADLINE_SECONDS)
    assert answer.exit_code == 0, answer.stderr
    assert workspace.run("short")["status"] == "finished"
