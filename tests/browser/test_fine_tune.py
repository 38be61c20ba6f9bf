"""The fine-tune page under the pointer, with a real model that really trains: watched, left, come back to, resumed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.run_folder import RunFolder
from ftft_core.workspace import Workspace
from tests.browser.conftest import SECONDS, App, running_app
from tests.conftest import write_suite_files
from tests.holding import holding

EPOCHS, STEPS_PER_EPOCH = 20, 30
"""Short enough to be waited for; it is held while it is watched and left."""


@pytest.fixture(scope="module")
def app(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("fine-tune")
    workspace = Workspace(folder / "workspace")
    workspace.add_suite("reviews", write_suite_files(folder / "suite", num_train=480))
    with running_app(workspace) as running:
        yield running
    stop_all(workspace)


@pytest.fixture
def tab(person: Any, app: App) -> Iterator[Any]:
    opened = open_tab(person, app)
    yield opened
    opened.close()


def open_tab(person: Any, app: App, address: str | None = None) -> Any:
    tab = person.new_page()
    tab.goto(address or f"{app.address}/fine_tune")
    tab.locator(".st-key-ft_start button").wait_for()
    return tab


def wait_until(happened: Callable[[], object], *, seconds: float = SECONDS, pause: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(pause)


def stop_all(workspace: Workspace) -> None:
    for run in workspace.queue()["run_id"]:
        workspace.cancel(run)
    wait_until(lambda: workspace.queue().empty)


def percent(tab: Any) -> int:
    return int(tab.locator('.st-key-ft-queue [role="progressbar"]').first.get_attribute("aria-valuenow") or 0)


def fill(tab: Any, field: str, value: object) -> None:
    box = tab.locator(f".st-key-ft_{field} input")
    box.fill(str(value))
    box.press("Enter")


def test_a_run_is_started_watched_left_cancelled_resumed_and_compared(
    tab: Any, person: Any, app: App, tiny_model: Path
) -> None:
    # The model comes last: what a step takes is measured from then on, and again when what it depends on changes.
    fill(tab, "epochs", EPOCHS)
    tab.get_by_text("More: learning rate").click()
    fill(tab, "batch_size", 16)
    fill(tab, "learning_rate", "1e-3")
    fill(tab, "model", tiny_model)
    tab.locator(".ftft-what, .ftft-cost", has_text="1 run").first.wait_for()
    start = tab.get_by_role("button", name="Start 1 run")
    tab.locator(".ftft-cost", has_text=f"{EPOCHS * STEPS_PER_EPOCH:,} steps").or_(
        tab.locator(".ftft-cost", has_text="about")
    ).first.wait_for()
    start.click()

    # Its progress moves, beside a name that is being typed, and nothing else moves.
    wait_until(lambda: list(app.workspace.folder.glob("runs/r*/state.json")))
    (path,) = app.workspace.folder.glob("runs/r*")
    with holding(RunFolder(path)) as held:
        tab.locator(".ftft-run .how", has_text=re.compile("left")).wait_for()
        name = tab.get_by_role("textbox", name="Name", exact=True)
        name.press_sequentially("half a na")
        before, place = percent(tab), start.bounding_box()
        held.move_to(held.step + 2 * STEPS_PER_EPOCH)
        wait_until(lambda: percent(tab) > before)
        assert name.input_value() == "half a na"
        assert start.bounding_box() == place

        # It opens, at an address of its own; the tab is closed and the address opened again.
        tab.locator('[class*="st-key-run-open-"] button').click()
        tab.wait_for_url(re.compile("open=r[0-9a-f]{8}"))
        address = tab.url
        run = re.search("open=(r[0-9a-f]{8})", address)[1]  # type: ignore[index]
        assert run == path.name
        tab.locator(".ftft-state", has_text=re.compile("Training, step")).wait_for()
        tab.close()
        again = open_tab(person, app, address)
        again.locator(".ftft-state", has_text=re.compile("Training, step")).wait_for()
        again.get_by_role("button", name="Cancel").click()
        wait_until(lambda: RunFolder(path).cancel_requested)
        held.let_go()
        again.locator(".ftft-state", has_text="Resume goes on from its newest checkpoint").wait_for()
    app.workspace.sync()  # the page reads the run's files, which the database follows
    assert app.workspace.run(run)["status"] == "cancelled"
    again.get_by_role("button", name="Resume").click()
    again.locator(".ftft-state", has_text="It went on from step").wait_for()
    again.locator(".ftft-state", has_text=re.compile("^Finished")).wait_for(timeout=4000 * SECONDS)
    app.workspace.sync()
    assert app.workspace.run(run)["resumed_from_step"] > 0
    assert app.workspace.run(run)["num_optimizer_steps"] == EPOCHS * STEPS_PER_EPOCH
    wait_until(lambda: again.locator(".js-plotly-plot").count() == 2)

    # And it stands in the comparison.
    again.get_by_role("link", name="Compare").click()
    again.get_by_text("erm reaches").first.wait_for()
    assert again.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    again.close()


def test_runs_that_wait_are_reordered_duplicated_removed_and_brought_back(tab: Any, app: App, tiny_model: Path) -> None:
    def submit(name: str, seed: int, **training: Any) -> str:
        return app.workspace.submit(
            RunConfig(suite="reviews", model=str(tiny_model), layers=2, name=name, seed=seed,
                      budget=BudgetConfig(max_steps=100_000), training=TrainingConfig(**training))
        )  # fmt: skip

    stop_all(app.workspace)
    with app.workspace._queue.working(timeout_seconds=SECONDS):  # nobody works: what is queued goes on waiting
        first, second = submit("first", 2), submit("second", 3, learning_rate=3e-4, batch_size=8)
        change_what_waits(tab, app, first, second)


def change_what_waits(tab: Any, app: App, first: str, second: str) -> None:
    tab.locator(f".st-key-run-line-{second} .how", has_text="2nd in line").wait_for()
    tab.locator(f".st-key-run-up-{second} button:visible").click()
    tab.locator(f".st-key-run-line-{second} .how", has_text="next in line").wait_for()
    queue = app.workspace.queue().set_index("run_id")["position"]
    assert queue[second] < queue[first]

    pick(tab, second, "Duplicate")
    tab.get_by_text("As second; change what you like.").wait_for()
    tab.get_by_text("More: learning rate").click()
    held = {field: tab.locator(f".st-key-ft_{field} input").input_value() for field in
            ("seeds", "layers", "max_steps", "learning_rate", "batch_size")}  # fmt: skip
    assert held == {
        "seeds": "seed 3", "layers": "2", "max_steps": "100000", "learning_rate": "0.0003", "batch_size": "8",
    }  # fmt: skip

    pick(tab, first, "Remove")
    tab.get_by_text("first was moved to the trash").wait_for()
    assert first not in set(app.workspace.runs()["run_id"])
    tab.locator(f".st-key-undo-{first} button").click()
    tab.locator(f".st-key-run-line-{first}").wait_for()
    assert app.workspace.run(first)["status"] in ("cancelled", "queued")
    tab.locator(f".st-key-cancel-{second} button").click()
    tab.locator(f".st-key-run-line-{second} .how", has_text="cancelled").wait_for()


def pick(tab: Any, run: str, action: str) -> None:
    tab.locator(f".st-key-run-menu-{run} button:visible").click()
    tab.get_by_role("menuitem", name=action).click()
