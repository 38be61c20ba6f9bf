"""Killing the worker at random moments: every run ends finished, was trained once, and nothing is left behind.

FTFT_KILLS says how many times it is killed; a few when it says nothing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ftft_core.run_folder import child_environment
from tests.queued_runs import DEADLINE_SECONDS, Training, wait_until

pytestmark = pytest.mark.slow

NUM_KILLS = int(os.environ.get("FTFT_KILLS", "3"))
LATEST_SECONDS = 3.0
STEPS = 100

DYING_WORKER = """
import os, signal, sys
from pathlib import Path
from ftft_core.jobs import Queue, work_off
from ftft_core.run_folder import RunFolder

claim, moment = RunFolder.claim, sys.argv[2]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def claim_and_die(folder, *arguments, **facts):
    if moment == "before_claim":
        die()
    claim(folder, *arguments, **facts)
    if moment == "after_claim":
        die()

RunFolder.claim = claim_and_die
queue = Queue(Path(sys.argv[1]))
work_off(queue, say=lambda line: die() if "starts on" in line else None)
"""
"""A worker that kills itself at one moment of starting a run."""


@pytest.fixture
def training(tmp_path: Path, tiny_model: Path) -> Iterator[Training]:
    made = Training(tmp_path, tiny_model)
    yield made
    made.stop()


def processes_of(workspace: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if str(workspace) in command and process.status() != psutil.STATUS_ZOMBIE:
                found.append(command)
        except psutil.Error:
            continue
    return found


def test_a_worker_killed_at_any_moment_costs_no_run_anything(training: Training) -> None:
    workspace = training.workspace
    workspace.change_worker_settings(runs_per_device=2)
    moments = random.Random(int(os.environ.get("FTFT_SEED", "0")))
    names = [f"run-{number}" for number in range(max(3, NUM_KILLS // 2))]
    for name in names:
        training.submit(name, STEPS)
    num_killed = 0
    while num_killed < NUM_KILLS:
        workspace.sync()
        if all(training.status(name) == "finished" for name in names):
            # All was trained before it was killed often enough; there is more to do.
            names.append(training.submit(f"run-{len(names)}", STEPS) and f"run-{len(names)}")
        workers = training.workers()
        if workers:
            # Also while it starts: one that has not begun to work is a worker, too.
            time.sleep(moments.uniform(0, LATEST_SECONDS))
            for worker in workers:
                num_killed += worker.is_running()
                worker.kill()
        time.sleep(0.1)

    for name in names:
        training.wait_for(name, "finished")
    check_trained_once(training, names)


def test_a_worker_killed_while_it_starts_a_run_leaves_no_training_that_nobody_knows(training: Training) -> None:
    queue = training.workspace._queue
    with queue.working():  # No worker but those that are to be killed.
        training.submit("fragile", STEPS)
    folder = training.workspace.run_folder("fragile")
    statuses = []
    for moment in ("before_claim", "after_claim", "after_go"):
        command = [sys.executable, "-c", DYING_WORKER, str(training.workspace.folder), moment]
        died = subprocess.run(command, env=child_environment(), timeout=DEADLINE_SECONDS)
        assert died.returncode == -signal.SIGKILL, moment
        written = folder.read_state()["status"]
        if moment != "after_go":
            wait_until(lambda: not processes_of(training.workspace.folder), "what was started has given up")
        statuses.append((written, queue.settle(folder)["status"]))
    # Claimed and never told to begin, it is back in the queue; once told to, it trains on without a worker.
    assert statuses == [("queued", "queued"), ("running", "queued"), ("running", "running")]
    training.wait_for("fragile", "finished")
    check_trained_once(training, ["fragile"])


def check_trained_once(training: Training, names: list[str]) -> None:
    """See that runs have finished, were trained by one process each, and left nothing behind."""
    workspace = training.workspace
    wait_until(lambda: not processes_of(workspace.folder), "no process is left")
    workspace.sync()
    for name in names:
        row, folder = workspace.run(name), workspace.run_folder(name)
        assert (row["status"], row["num_optimizer_steps"], row["counted_epochs"]) == ("finished", STEPS, 1), name
        # It was never begun anew, nor by two processes: each step is told of once.
        assert row["resumed_from_step"] is None, name
        lines = (folder.path / "history.jsonl").read_text(encoding="utf-8").splitlines()
        steps = Counter(record["step"] for record in map(json.loads, lines) if record["kind"] == "step")
        assert set(steps.values()) == {1}, name
        assert not {path.name for path in folder.path.iterdir()} & {"cancel", "return"}, name
        assert not folder.checkpoints(), name
        assert not folder.outbox_files(), name
    half_written = [path for path in workspace.folder.rglob(".*") if path.name.endswith(".new")]
    assert half_written == []
    assert workspace._queue.worker() is None
    assert not workspace._queue.starting.exists()
    assert workspace.health()["problems"] == []
