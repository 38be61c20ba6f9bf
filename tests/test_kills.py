"""Whatever is killed, and whenever: what it had done is there, once, and going on gives what never being killed gives.

`FTFT_KILLS` says how many times a trainer is killed, and how many times a command that takes files in; when left out,
once at every kind of moment. The moments are drawn from `FTFT_KILLS_SEED`, so that a failure can be had again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.run_folder import RunFolder
from ftft_core.workspace import Workspace
from tests.conftest import ROOT, environment, write_suite_files
from tests.ui_workspace import NUM_EPOCHS, NUM_TRAIN, leave_dynamics, leave_predictions, make_workspace, queue

pytestmark = pytest.mark.slow

NUM_KILLS = int(os.environ.get("FTFT_KILLS", "6"))
NUM_LISTINGS = int(os.environ.get("FTFT_KILLS", "3"))
SEED = int(os.environ.get("FTFT_KILLS_SEED", "0"))
KINDS = ("checkpoint", "outbox", "tidy", "forward", "file", "seconds")
KILLED = {-signal.SIGKILL, -signal.SIGALRM}
"""How a process ends that was killed: at once, or by the kernel's timer a moment later."""
LONGEST_DELAY = 0.004
"""Seconds after a file was opened or made, in which it is written and synced."""
EPOCHS, STEPS_PER_EPOCH = 4, 6  # 96 examples, 16 in a batch
KEPT = {"run.json", "state.json", "progress.json", "history.jsonl", "log.txt", "outbox", "model", ".training.lock"}
VIEWS = ("dynamics", "data_map", "predictions", "scores")

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Have something done in a process that may be killed."""
    command = [sys.executable, "-m", "tests.kills"]
    environ = environment(tmp_path_factory.mktemp("kills"))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

        def send(**asked: Any) -> dict[str, Any]:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(asked, default=str) + "\n")
            server.stdin.flush()
            return dict(json.loads(server.stdout.readline()))

        yield send
        server.stdin.close()


class Bench:
    """A workspace with one run that was never interrupted, and others to kill."""

    def __init__(self, folder: Path, model: Path, ask: Ask) -> None:
        self.workspace, self.model, self.ask = Workspace(folder / "workspace"), model, ask
        self.workspace.add_suite("reviews", write_suite_files(folder / "suite"))
        self.whole = self.queue("whole")
        self.counts = self.train(self.whole)
        assert self.counts["status"] == 0, self.whole.log.read_text(encoding="utf-8")
        self.workspace.sync()
        self.views = self.read(self.whole)
        assert len(self.views["dynamics"]) == EPOCHS * 96

    def queue(self, name: str, *trackers: str) -> RunFolder:
        # Checkpoints come at any step, not only after an epoch. Every other run is logged, which must change nothing.
        training = TrainingConfig(
            batch_size=16, learning_rate=1e-3, precision="fp32", snapshots=2, checkpoint_seconds=0.05, trackers=trackers
        )
        run_id = self.workspace.queue_run(
            RunConfig(
                suite="reviews", model=str(self.model), layers=2, name=name, training=training, stop="patience",
                stop_metric="accuracy", patience=100, budget=BudgetConfig(epochs=EPOCHS),
            )
        )  # fmt: skip
        return self.workspace.run_folder(run_id)

    def train(self, folder: RunFolder, **moment: Any) -> dict[str, Any]:
        return self.ask(train=folder.path, **moment)

    def read(self, folder: RunFolder) -> dict[str, pd.DataFrame]:
        with self.workspace.database.reading() as connection:
            return {
                view: connection.execute(
                    f"SELECT * EXCLUDE (run_id) FROM {view} WHERE run_id = ? ORDER BY ALL", [folder.run_id]
                ).df()
                for view in VIEWS
            }

    def moment(self, generator: random.Random, kind: str) -> dict[str, Any]:
        """A moment in the life of a run."""
        if kind == "seconds":
            return {kind: generator.uniform(0.05, 0.9) * self.counts["seconds"]}
        delay = generator.choice((0.0, generator.uniform(0, LONGEST_DELAY))) if kind in KINDS[:2] else 0.0
        return {kind: generator.randint(1, self.counts[kind]), "delay": delay}

    def assert_finished_like_whole(self, folder: RunFolder) -> None:
        for view, rows in self.read(folder).items():
            pd.testing.assert_frame_equal(rows, self.views[view], check_exact=True, obj=view)
        weights, expected = (run.model / "model.safetensors" for run in (folder, self.whole))
        assert weights.read_bytes() == expected.read_bytes()
        steps = [record["step"] for record in folder.read_history() if record["kind"] == "step"]
        assert steps == list(range(1, EPOCHS * STEPS_PER_EPOCH + 1))
        state, whole = folder.read_state(), self.whole.read_state()
        assert state["status"] == "finished"
        for count in ("num_optimizer_steps", "num_examples_seen", "train_flops", "kept_step", "snapshot_flops"):
            assert state[count] == whole[count], count
        tracked = {path.name for path in folder.path.glob("trackers")}
        assert {path.name for path in folder.path.iterdir()} == KEPT | tracked
        assert list(folder.outbox.iterdir()) == []
        if tracked:
            assert {path.name for path in folder.trackers.iterdir()} == {"tensorboard", "tensorboard.json"}
            told = EventAccumulator(str(folder.trackers / "tensorboard" / state_name(folder)), {"scalars": 0})
            told.Reload()
            assert [event.step for event in told.Scalars("train/loss")] == steps


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, ask: Ask) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), tiny_model, ask)


def state_name(folder: RunFolder) -> str:
    return str(folder.read_run()["config"]["name"])


@pytest.mark.parametrize("number", range(NUM_KILLS))
def test_a_killed_trainer_goes_on_to_the_same_bits(bench: Bench, number: int) -> None:
    generator = random.Random(f"{SEED}-{number}")
    folder = bench.queue(f"killed-{number}", *["tensorboard"] * (number % 2))
    told = []
    # Killed once, and some once more while they go on.
    for kind in (KINDS[number % len(KINDS)], *generator.choices(KINDS, k=generator.randint(0, 1))):
        moment = bench.moment(generator, kind)
        before = folder.checkpoints()
        ended = bench.train(folder, **moment)
        told.append((moment, ended))
        if ended["status"] == 0:
            break  # The moment was after its end.
        assert ended["status"] in KILLED, (told, folder.log.read_text(encoding="utf-8"))
        if generator.random() < 0.5:
            bench.workspace.sync()  # Somebody looks: epochs are taken in while the run is cut.
            row = bench.workspace.run(folder.run_id)
            assert row["status"] in {"lost", "finished", "queued"}, told
            if row["status"] == "lost":
                assert "resume" in row["message"], told
        has_finished = folder.read_state()["status"] == "finished"
        if before and not has_finished:
            assert folder.checkpoints(), told
    print(f"kill {number}: {told}")  # Seen with `pytest -s`, and when it fails.
    checkpoints, steps_done = folder.checkpoints(), [record["step"] for record in folder.read_history()]
    has_finished = folder.read_state()["status"] == "finished"
    ended = bench.train(folder)
    assert ended["status"] == 0, (told, folder.log.read_text(encoding="utf-8"))
    resumed_from = folder.read_state()["resumed_from_step"]
    if has_finished:
        assert ended["forward"] == 0, told  # It only tidied up.
    elif checkpoints:
        assert resumed_from == int(checkpoints[-1].name.rpartition("-")[2]), told
        assert max(steps_done, default=0) - resumed_from <= STEPS_PER_EPOCH, told
    bench.workspace.sync()
    bench.assert_finished_like_whole(folder)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which files of two runs wait to be taken in."""
    workspace = make_workspace(tmp_path_factory.mktemp("waiting"), with_comparison=False)
    for name in ("one", "two"):
        run = queue(workspace, Path(workspace.run("map-run")["model"]), name=name, method="erm")
        leave_dynamics(workspace, run)
        leave_predictions(workspace, run, skill=1.0, seed=1)
        workspace.run_folder(run).set_status("cancelled", "as if it had been stopped")
    return workspace


def test_a_killed_listing_loses_nothing_and_takes_nothing_in_twice(
    waiting: Workspace, ask: Ask, tmp_path: Path
) -> None:
    generator = random.Random(SEED)
    copies = iter(range(10_000))

    def copy() -> Workspace:
        return Workspace(shutil.copytree(waiting.folder, tmp_path / str(next(copies))))

    whole = copy()
    took = ask(list=whole.folder)
    assert took["status"] == 0, (whole.folder / "log.txt").read_text(encoding="utf-8")
    expected = read_all(whole)
    assert len(expected["dynamics"]) == 3 * NUM_EPOCHS * NUM_TRAIN
    for number in range(NUM_LISTINGS):
        workspace = copy()
        # Just before it touches a file, while the database takes files in, or anywhere.
        moment = (
            {"taking": generator.uniform(0, 1) * took["taking"]},
            {"file": generator.randint(1, took["file"])},
            {"seconds": generator.uniform(0.05, 1) * took["seconds"]},
        )[number % 3]
        ended = ask(list=workspace.folder, **moment)
        while ended["status"] == 0 and "file" not in moment:
            # The machine was less busy than when it was timed, and it was over sooner.
            moment, workspace = {name: seconds / 2 for name, seconds in moment.items()}, copy()
            ended = ask(list=workspace.folder, **moment)
        assert ended["status"] in KILLED, moment
        print(f"listing {number}: {moment}, {ended}")
        assert ask(list=workspace.folder)["status"] == 0
        for view, rows in read_all(workspace).items():
            pd.testing.assert_frame_equal(rows, expected[view], check_exact=True, obj=f"{view} after {moment}")
        assert list(workspace.folder.glob("runs/*/outbox/*")) == []
        assert not workspace.database.path.with_name("ftft.duckdb.wal").exists()
        assert workspace.repair() == []


def read_all(workspace: Workspace) -> dict[str, pd.DataFrame]:
    with workspace.database.reading() as connection:
        return {view: connection.execute(f"SELECT * FROM {view} ORDER BY ALL").df() for view in VIEWS}


SUBMIT = """
import sys, time
from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.workspace import Workspace
config = RunConfig(suite="reviews", model=sys.argv[2], layers=2, name="outlives", budget=BudgetConfig(max_steps=40),
                   training=TrainingConfig(batch_size=16))
print(Workspace(sys.argv[1]).submit(config), flush=True)
time.sleep(600)
"""


def test_a_run_outlives_the_process_that_started_it_and_all_that_came_with_it(bench: Bench, tmp_path: Path) -> None:
    """As of an app that is killed, or a terminal that is closed."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_suite("reviews", write_suite_files(tmp_path / "suite"))
    command = [sys.executable, "-c", SUBMIT, str(workspace.folder), str(bench.model)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(workspace.folder), start_new_session=True
    ) as app:
        assert app.stdout is not None
        run_id = app.stdout.readline().strip()
        os.killpg(app.pid, signal.SIGKILL)
    deadline = time.monotonic() + 300
    while workspace.progress(run_id).status in {"queued", "running"} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert workspace.progress(run_id).status == "finished", workspace.log_tail(run_id)
    workspace.sync()
    assert workspace.run(run_id)["num_optimizer_steps"] == 40
