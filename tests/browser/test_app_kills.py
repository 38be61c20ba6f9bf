"""The app itself is killed, with a page open on it: a run that it started goes on, and nothing is lost or doubled.

What is killed is `ftft serve` with all that belongs to it, as a session that is closed or a machine short of memory
would do it. `FTFT_KILLS` says how many times; once in each test when it says nothing. The moments are drawn from
`FTFT_KILLS_SEED`.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from ftft_core.run_folder import RunFolder
from ftft_core.selection import IdsCondition, Recipe
from ftft_core.workspace import Workspace
from tests.browser.conftest import SECONDS, is_healthy
from tests.browser.test_fine_tune import fill, stop_all, wait_until
from tests.conftest import ROOT, environment, write_suite_files
from tests.planning_workspace import config, measure_here
from tests.ui_workspace import leave_dynamics, leave_predictions, make_workspace, queue

pytestmark = pytest.mark.slow

NUM_KILLS = int(os.environ.get("FTFT_KILLS", "1"))
NUM_STARTS = max(1, NUM_KILLS // 4)
"""A run that outlives the app takes longer than a click."""
SEED = int(os.environ.get("FTFT_KILLS_SEED", "0"))
EPOCHS, STEPS_PER_EPOCH = 12, 30
VIEWS = ("dynamics", "data_map", "predictions", "scores")
JOINED = ["1", "2", "3", "4", "9"]


class Served:
    """`ftft serve` in a session of its own."""

    def __init__(self, workspace: Workspace) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.log = workspace.folder / "app.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ftft_core", "serve", "--port", str(port)],
                env=environment(workspace.folder), cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: is_healthy(self.address) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text(errors="replace")

    def kill(self) -> None:
        """Kill it, Streamlit too, and see that neither is left."""
        family = [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))]
        assert len(family) >= 2
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert not is_healthy(self.address)


@pytest.fixture
def serve() -> Iterator[Any]:
    started: list[Served] = []

    def start(workspace: Workspace) -> Served:
        started.append(Served(workspace))
        return started[-1]

    yield start
    for served in started:
        if served.process.poll() is None:
            served.kill()


@pytest.fixture
def tab(person: Any) -> Iterator[Any]:
    opened = person.new_page()
    yield opened
    opened.close()


@pytest.mark.parametrize("number", range(NUM_STARTS))
def test_a_run_outlives_the_app_that_started_it_and_a_new_app_shows_it(
    serve: Any, tab: Any, tmp_path: Path, tiny_model: Path, number: int
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_suite("reviews", write_suite_files(tmp_path / "suite", num_train=480))
    measure_here(workspace, config(tiny_model, batch_size=16))  # no process but those that the run itself needs
    served = serve(workspace)
    tab.goto(f"{served.address}/fine_tune")
    fill(tab, "epochs", EPOCHS)
    tab.get_by_text("More: learning rate").click()
    fill(tab, "batch_size", 16)
    fill(tab, "model", tiny_model)
    tab.locator(".ftft-what, .ftft-cost", has_text="1 run").first.wait_for()
    tab.locator(".ftft-cost", has_text=f"{EPOCHS * STEPS_PER_EPOCH} steps").or_(
        tab.locator(".ftft-cost", has_text="about")
    ).first.wait_for()
    tab.get_by_role("button", name="Start 1 run").click()
    wait_until(lambda: list(workspace.folder.glob("runs/r*/state.json")))
    (path,) = workspace.folder.glob("runs/r*")
    folder = RunFolder(path)
    # While it trains, or from the moment that it is queued, whether or not a worker is there yet.
    if number % 2 == 0:
        wait_until(lambda: folder.read_state()["status"] == "running")
    delay = random.Random(f"{SEED}-start-{number}").uniform(0, 3)
    time.sleep(delay)
    before = folder.read_state()
    served.kill()
    killed_at = time.monotonic()

    # The database opens, and what it says of the run is true.
    workspace = Workspace(workspace.folder)
    workspace.sync()
    (run,) = workspace.runs()["run_id"]
    state = folder.true_state()
    status, true_after = state["status"], time.monotonic() - killed_at
    assert status in {"queued", "running", "finished"}, (delay, status, workspace.log_tail(run))
    assert before["status"] != "running" or state.get("pid", before["pid"]) == before["pid"], "it is another process"
    # Killed before it had started a worker, nobody works: whoever looks next starts one.
    try:
        wait_until(lambda: workspace.progress(run).status == "finished", seconds=4 * SECONDS)
    finally:
        stop_all(workspace)
    print(f"app killed after {delay:.2f} s: the run was {before['status']}, then {status}, told in {true_after:.2f} s")
    workspace.sync()
    row = workspace.run(run)
    assert (row["status"], row["num_optimizer_steps"], row["resumed_from_step"]) == (
        "finished", EPOCHS * STEPS_PER_EPOCH, None,
    )  # fmt: skip
    assert_steps_are_told_once(folder)
    assert folder.finished_leftovers() == []
    assert folder.outbox_files() == []
    assert workspace.health()["problems"] == []

    again = serve(workspace)
    tab.goto(f"{again.address}/fine_tune?open={run}")
    tab.locator(".ftft-state", has_text=re.compile("^Finished")).wait_for()
    again.kill()


def assert_steps_are_told_once(folder: RunFolder) -> None:
    lines = (folder.path / "history.jsonl").read_text(encoding="utf-8").splitlines()
    told = Counter(record["step"] for record in map(json.loads, lines) if record["kind"] == "step")
    assert set(told.values()) == {1}
    assert max(told) == EPOCHS * STEPS_PER_EPOCH


def test_an_app_killed_while_it_saves_a_subset_and_takes_files_in_loses_and_doubles_nothing(
    serve: Any, tab: Any, tmp_path: Path
) -> None:
    workspace = make_workspace(tmp_path, with_comparison=False)
    for name, ids in {"few": JOINED[:4], "some": ["3", "4", "9"]}.items():
        workspace.save_subset(Recipe(conditions=(IdsCondition(example_ids=tuple(ids)),)), name=name, suite="toy")
    generator = random.Random(f"{SEED}-click")

    # Once without a kill: what it gives, and how long it takes.
    served = serve(workspace)
    click = ready_to_save(tab, served, "joined-0")
    leave_files(workspace, 0)
    started = time.monotonic()
    click()
    subset_name(tab, "joined-0").wait_for()
    wait_until(lambda: num_files(workspace) == 0)
    took = time.monotonic() - started
    expected = read(workspace, "waits-0")
    assert {view: len(rows) for view, rows in expected.items()} == {
        "dynamics": 960, "data_map": 240, "predictions": 220, "scores": 0,
    }  # fmt: skip
    log = workspace.database.path.with_name("ftft.duckdb.wal")
    told = []
    for number in range(1, NUM_KILLS + 1):
        name = f"joined-{number}"
        click = ready_to_save(tab, served, name)
        leave_files(workspace, number)
        click()
        if number % 2:
            # In the middle of what it writes: the database has its log beside it, or files are going.
            moment = "while it writes"
            wait_until_it_writes(workspace, log)
        else:
            delay = generator.uniform(0, took)
            moment = f"after {delay:.2f} of {took:.2f} s"
            time.sleep(delay)
        was_seen = subset_name(tab, name).count() > 0
        served.kill()
        workspace = Workspace(workspace.folder)
        left, log_left = num_files(workspace), log.exists()
        workspace.sync()
        saved = [each for each in workspace.subsets("toy")["name"] if each.startswith(name)]
        told.append((moment, f"{left} files left", f"log left: {log_left}", saved))
        assert saved in ([name], [name] if was_seen else []), told
        if saved:
            assert workspace.subset_examples(name)["example_id"].tolist() == JOINED, told
        for view, rows in read(workspace, f"waits-{number}").items():
            pd.testing.assert_frame_equal(rows, expected[view], check_exact=True, obj=f"{view} {told[-1]}")
        assert list(workspace.folder.glob("runs/*/outbox/*")) == [], told
        assert not log.exists(), told
        assert workspace.repair() == [], told
        served = serve(workspace)
    print(f"app killed after the click: {told}")

    tab.goto(f"{served.address}/subsets")
    newest_first = list(workspace.subsets("toy")["name"])[::-1][:12]  # a page of them
    for name in newest_first:
        subset_name(tab, name).wait_for()
    assert tab.locator(".ftft-subset-name").count() == len(newest_first)


def ready_to_save(tab: Any, served: Served, name: str) -> Any:
    """Open the subsets and type what joins two of them; give what saves it."""
    tab.goto(f"{served.address}/subsets")
    tab.get_by_role("textbox", name="Combine").fill("few | some")
    save = tab.get_by_role("button", name="Save 5 examples as subset")
    save.wait_for()
    tab.get_by_placeholder("few-some").fill(name)
    return save.click


def leave_files(workspace: Workspace, number: int) -> None:
    """Leave the files of a run for the database, as a training process does; whoever looks next takes them in."""
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name=f"waits-{number}", method="erm", seed=number)
    workspace.run_folder(run).set_status("cancelled", "as if it had been stopped")
    leave_dynamics(workspace, run)
    leave_predictions(workspace, run, skill=1.0, seed=1)


def wait_until_it_writes(workspace: Workspace, log: Path) -> None:
    full = num_files(workspace)
    wait_until(lambda: log.exists() or num_files(workspace) < full, pause=0)


def num_files(workspace: Workspace) -> int:
    """Count the files that wait to be taken in."""
    return len(list(workspace.folder.glob("runs/*/outbox/*.parquet")))


def subset_name(tab: Any, name: str) -> Any:
    return tab.locator(".ftft-subset-name", has_text=re.compile(f"^{re.escape(name)}$"))


def read(workspace: Workspace, run: str) -> dict[str, pd.DataFrame]:
    run_id = workspace.run(run)["run_id"]
    with workspace.database.reading() as connection:
        return {
            view: connection.execute(
                f"SELECT * EXCLUDE (run_id) FROM {view} WHERE run_id = ? ORDER BY ALL", [run_id]
            ).df()
            for view in VIEWS
        }
