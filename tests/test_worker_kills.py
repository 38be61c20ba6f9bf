"""Killing the worker at random moments: every run ends finished, was trained once, and nothing is left behind.

FTFT_KILLS says how many times it is killed; a few when it says nothing.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.queued_runs import Training, wait_until

NUM_KILLS = int(os.environ.get("FTFT_KILLS", "3"))
LATEST_SECONDS = 3.0
STEPS = 100


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
    assert not workspace._queue.worker_file.exists()
    assert not workspace._queue.starting.exists()
    assert workspace.health()["problems"] == []
