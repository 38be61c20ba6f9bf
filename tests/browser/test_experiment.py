"""An experiment under the pointer, with a real model: started, left, come back to, stopped, gone on with, compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftft_core import experiments
from ftft_core.run_folder import RunFolder
from ftft_core.workspace import Workspace
from tests.browser.conftest import App, running_app
from tests.browser.test_fine_tune import wait_until
from tests.conftest import write_suite_files
from tests.holding import holding
from tests.planning_workspace import config, measure_here

pytestmark = pytest.mark.slow

RECIPE = """\
suite: reviews
main_model: {{model: {model}, layers: 2}}
reference_model: {{model: {model}, layers: 1, max_steps: {steps}}}
methods: [ftft, erm]
max_steps: 12
training: {{batch_size: 16, learning_rate: 1.0e-3}}
"""
STEPS = 300
"""Of the reference, which is held while it is left and stopped."""


@pytest.fixture(scope="module")
def app(browser: Any, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("experiment")
    workspace = Workspace(folder / "workspace")
    workspace.add_suite("reviews", write_suite_files(folder / "suite", num_train=960))
    # What the page would have measured by a process for each of the two models.
    for layers in (1, 2):
        measure_here(workspace, config(tiny_model, batch_size=16, layers=layers))
    with running_app(workspace) as running:
        yield running
    for each in experiments.experiments(workspace):
        if each.is_active:
            experiments.stop(workspace, each.experiment)
    wait_until(lambda: not any(each.is_active for each in experiments.experiments(workspace)))


def state_of(tab: Any) -> Any:
    return tab.locator(".ftft-experiment")


def reference_of(workspace: Workspace) -> RunFolder:
    """Give the folder of the only reference run, once there is one."""

    def found() -> list[RunFolder]:
        folders = [folder for folder, _ in workspace._queue.states()]
        return [folder for folder in folders if folder.read_run()["config"]["method"] == "reference"]

    wait_until(found)
    return found()[0]


def test_an_experiment_is_started_left_stopped_gone_on_with_and_compared(
    person: Any, app: App, tiny_model: Path
) -> None:
    # The empty comparison leads to it.
    tab = person.new_page()
    tab.goto(f"{app.address}/compare")
    tab.get_by_role("link", name="Set up an experiment").click()
    tab.get_by_text("No experiment on this suite yet").wait_for()
    tab.locator(".st-key-ex_mode").get_by_text("YAML").click()
    text = tab.locator(".st-key-ex_yaml textarea")
    text.fill("suite: reviews\nmethods: [magic]")
    text.press("Control+Enter")
    tab.get_by_text("There is no method 'magic'").wait_for()
    assert tab.locator(".st-key-ex_start button").is_disabled()
    text.fill(RECIPE.format(model=tiny_model, steps=STEPS))
    text.press("Control+Enter")
    start = tab.get_by_role("button", name="Start 3 runs")
    start.wait_for()
    start.click()

    # A line a run; the tab is closed, and the bare page shows it again.
    state_of(tab).get_by_text("Under way").wait_for()
    tab.locator(".ftft-planned", has_text=re.compile("^after reference")).wait_for()
    tab.wait_for_url(re.compile("experiment=e[0-9a-f]{8}"))
    with holding(reference_of(app.workspace)) as held:
        tab.close()
        tab = person.new_page()
        tab.goto(f"{app.address}/fine_tune")
        tab.locator('[class*="st-key-ex-open-e"] button').click()
        tab.locator(".ftft-run .how", has_text=re.compile("left")).first.wait_for()
        tab.get_by_role("button", name="Stop", exact=True).first.click()  # its line has one, and its page
        state_of(tab).get_by_text("Stopping").first.wait_for()
        held.let_go()
        state_of(tab).get_by_text("Stopped: each run left a checkpoint").wait_for(timeout=600_000)
    (stopped,) = experiments.experiments(app.workspace)
    assert stopped.status == "stopped"
    (reference,) = [line for line in stopped.runs if line.method == "reference"]

    tab.get_by_role("button", name="Go on", exact=True).click()
    state_of(tab).get_by_text("Finished: 3 of 3 runs").wait_for(timeout=600_000)
    app.workspace.sync()
    row = app.workspace.run(str(reference.run_id))
    assert (row["status"], row["num_optimizer_steps"]) == ("finished", STEPS)
    assert row["resumed_from_step"] is not None
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    tab.locator('[class*="st-key-ex-compare-"] button').click()
    tab.wait_for_url(re.compile("/compare"))
    tab.locator(".ftft-paper", has_text="ftft").first.wait_for()
    tab.close()
